/**
 * The parts of a query as a run: planned, and run beside each other, at one moment of the database.
 *
 * @internal
 */
import type { Schema } from "effect"
import { Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Origin from "./Origin.ts"
import * as PartName from "./PartName.ts"
import type { Part, Partition, Planned } from "./PartitionPlan.ts"
import { TypeId } from "./PartitionPlan.ts"
import * as Query from "./Query.ts"
import { QueryError, Rejected, SnapshotLost } from "./QueryError.ts"
import type { RunOptions, Unit } from "./QueryPool.ts"
import * as QueryPool from "./QueryPool.ts"
import { CurrentRun } from "./Run.ts"
import { placeIn } from "./Subquery.ts"

/**
 * How the parts are run: as a run of their own. Where the fiber is in a run with a snapshot already, the parts belong to
 * that one, and what is said here of a run does not count.
 *
 * @since 0.1.0
 */
export interface Options extends Omit<RunOptions, "order"> {
  /**
   * All parts see one moment, which is what makes them exact, so this is true by default. Without it a row that is
   * written meanwhile may be in two parts or in none: that is for poolers and standby servers that give no snapshot, and
   * for data that nobody writes. Blocks are not read without it.
   */
  readonly snapshot?: RunOptions["snapshot"]
}

/**
 * How a part is tried again, and how long it may take: as any query. What plans the parts is tried again as they are.
 *
 * @since 0.1.0
 */
export type PartOptions = Pick<Query.Options<QueryError>, "retry" | "timeout">

/** Runs what needs one moment: in the run around, if that has a snapshot, and otherwise in a run of its own. */
const atOneMoment = <A, E, R>(
  { [TypeId]: { needsSnapshot }, name }: Partition<Schema.Constraint>,
  options: Options | undefined,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | QueryPool.QueryPool> =>
  Effect.flatMap(CurrentRun, (around) => {
    if (around?.snapshot !== undefined) return work
    const snapshot = options?.snapshot ?? true
    if (snapshot === false && needsSnapshot) {
      return Effect.die(
        new RangeError(
          `Expected \`snapshot\` not to be false: "${name}" is cut by blocks, between which an update moves a row`
        )
      )
    }
    return Effect.map(QueryPool.all([work], { ...options, snapshot }), ([value]) => value)
  })

/** As many parts at a time as the run has slots. */
const atOnce: Effect.Effect<number> = Effect.map(CurrentRun, (run) => run?.concurrency ?? 1)

/**
 * Plans the parts, as a query of the run.
 *
 * @internal
 */
export const planned = (
  partition: Partition<Schema.Constraint>,
  retry?: PartOptions["retry"]
): Effect.Effect<Planned, QueryError, QueryPool.QueryPool> =>
  Effect.suspend(() => {
    let statement: string | undefined
    const plan = Query.make(
      PartName.plan(partition.name),
      (sql) =>
        partition[TypeId].plan(sql, (text) => {
          statement = text
        }),
      { mode: "readOnly", retry }
    )
    return Effect.mapError(
      plan,
      placed((position) => (statement === undefined ? undefined : placeIn(statement, position)))
    )
  })

/**
 * Plans the parts and runs something for each, as many at a time as the run has slots. `onPlanned` comes in between.
 *
 * @internal
 */
export const forEachPart = <A, R>(
  partition: Partition<Schema.Constraint>,
  options: (Options & Pick<PartOptions, "retry">) | undefined,
  run: (part: Part, index: number) => Effect.Effect<A, QueryError, R>,
  onPlanned: (parts: number) => Effect.Effect<unknown> = () => Effect.void
): Effect.Effect<ReadonlyArray<A>, QueryError, R | QueryPool.QueryPool> =>
  atOneMoment(
    partition,
    options,
    Effect.gen(function* () {
      const { parts } = yield* planned(partition, options?.retry)
      yield* onPlanned(parts.length)
      return yield* Effect.forEach(parts, (part, index) => Effect.mapError(run(part, index), placed(part.placeOf)), {
        concurrency: yield* atOnce
      })
    })
  )

/** An error of a text that is more than what the user wrote, with its place in that, or without one. */
const placed =
  (placeOf: Part["placeOf"]) =>
  (error: QueryError): QueryError => {
    const { reason } = error
    if (reason._tag !== "Rejected" || reason.position === undefined) return error
    const { message, position } = reason
    return error.with({ reason: new Rejected({ ...reason, message, position: placeOf(position) }) })
  }

/**
 * Fails where the rows that a part gave may be the wrong ones.
 *
 * @internal
 */
export const checked = (
  { check, name }: Part,
  sql: SqlClient,
  unit: Unit
): Effect.Effect<void, SqlError | QueryError> =>
  check === undefined
    ? Effect.void
    : Effect.flatMap(check(sql), (fault) => {
        if (fault === undefined) return Effect.void
        const reason = new SnapshotLost({ message: fault })
        const origin = Origin.of(name)
        return Effect.fail(new QueryError({ query: name, origin, reason, connection: "usable", outcome: unit.outcome }))
      })
