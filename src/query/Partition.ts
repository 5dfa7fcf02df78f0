/**
 * One query cut into many, which together give exactly its rows.
 *
 * - Each row is in one part, whatever the parts were cut by: statistics may be stale and bounds may be wrong, and the
 *   parts are longer or shorter for it.
 * - All parts see one snapshot, and so does the plan: that of the run around, or one of their own.
 * - The first part that fails is the failure of the whole, and the others are interrupted, on the server too.
 * - Parts are queries by the name `accounts [1/8]`, and what plans them is `accounts [plan]`.
 *
 * What is cut has to give the same rows each time: not so a `limit` without a complete order, `random()`, `tablesample`,
 * or what a volatile function does.
 *
 * @since 0.1.0
 */
import type { Schema } from "effect"
import { Cause, Deferred, Effect, Exit, Fiber, Queue, Stream } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Origin from "./Origin.ts"
import type { Each, Part, Plan, Planned } from "./PartitionPlan.ts"
import { planBlocks, planRanges } from "./PartitionPlan.ts"
import * as Query from "./Query.ts"
import { QueryError, SnapshotLost } from "./QueryError.ts"
import type { RunOptions, Unit } from "./QueryPool.ts"
import * as QueryPool from "./QueryPool.ts"
import { CurrentRun } from "./Run.ts"

export type { Each, Plan } from "./PartitionPlan.ts"

const TypeId = "~querypool/query/Partition"

/**
 * A query and how it is cut. The rows of its parts have the shape of `S`.
 *
 * @since 0.1.0
 */
export interface Partition<out S extends Schema.Constraint> {
  readonly name: string
  readonly schema: S
  /** @internal */
  readonly [TypeId]: {
    readonly plan: (sql: SqlClient) => Effect.Effect<Planned, SqlError | QueryError>
    /** Whether it is of no use without a snapshot. */
    readonly needsSnapshot: boolean
  }
}

/**
 * A value before which to cut: a text as the server reads it, or what has one such text.
 *
 * @since 0.1.0
 */
export type Bound = string | number | bigint | Date

/**
 * How to cut by the values of a column: into so many `parts` (from 1), each with as many rows as the others as far as
 * that is known; or before each of the `bounds`, whose order does not matter.
 *
 * @since 0.1.0
 */
export type ByRange = {
  /** By its name among the columns of the statement. Its type is any that the server can sort. */
  readonly column: string
  readonly each?: Each | undefined
} & (
  | { readonly parts: number; readonly bounds?: undefined }
  | { readonly parts?: undefined; readonly bounds: ReadonlyArray<Bound> }
)

/** More would be more queries than any server runs at once, by far. */
const mostParts = 10_000

const checkParts = (parts: number): void => {
  if (!Number.isSafeInteger(parts) || parts < 1 || parts > mostParts) {
    throw new RangeError(`Expected \`parts\` to be an integer from 1 to ${mostParts}, got ${String(parts)}`)
  }
}

const byOf = ({ bounds, parts }: ByRange): number | ReadonlyArray<string> => {
  if (parts !== undefined && bounds === undefined) {
    checkParts(parts)
    return parts
  }
  if (parts !== undefined || bounds === undefined) throw new RangeError("Expected either `parts` or `bounds`")
  if (bounds.length >= mostParts) {
    throw new RangeError(`Expected at most ${mostParts - 1} \`bounds\`, got ${bounds.length}`)
  }
  return bounds.map(textOfBound)
}

const textOfBound = (bound: Bound): string => {
  if (!(bound instanceof Date)) return String(bound)
  if (Number.isNaN(bound.getTime())) throw new RangeError("Expected `bounds` to be values, got an invalid Date")
  return bound.toISOString()
}

/**
 * A query cut by ranges of a column's values. NULLs are in the first part.
 *
 * The statement is that of `Query.findAll`: a SELECT, VALUES, TABLE or WITH … SELECT. An order that it has holds within a
 * part. Where the column has an index, and a part is a small share, a part reads no other part's rows; without one each
 * part reads all of them, which is of use where the rows are much work, and not where reading them is (see `byBlocks`).
 *
 * Throws a `RangeError` for parts or bounds that are none.
 *
 * @since 0.1.0
 */
export const byRange = <S extends Schema.Constraint>(find: Query.Find<S>, options: ByRange): Partition<S> => {
  Origin.note(find.name)
  const { column, each } = options
  const by = byOf(options)
  const { name, schema } = find
  return {
    name,
    schema,
    [TypeId]: { plan: (sql) => planRanges(sql, find, { column, by }, each), needsSnapshot: false }
  }
}

/**
 * A table cut by its blocks into at most so many `parts` (from 1), each a range that the server reads without looking
 * at the rest, and without an index. Its rows, each once; of a partitioned table those of all tables below it, of a
 * materialized view too. Needs PostgreSQL 14, and privileges on the tables below.
 *
 * `table` is a name as in SQL, such as `public.accounts` or `"Accounts"`.
 *
 * @since 0.1.0
 */
export const byBlocks = <S extends Schema.Constraint>(
  find: { readonly name: string; readonly schema: S; readonly table: string },
  options: { readonly parts: number; readonly each?: Each | undefined }
): Partition<S> => {
  Origin.note(find.name)
  checkParts(options.parts)
  const { name, schema } = find
  return {
    name,
    schema,
    [TypeId]: { plan: (sql) => planBlocks(sql, find, options.parts, options.each), needsSnapshot: true }
  }
}

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
 * How a part is tried again, and how long it may take: as any query.
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

const planned = (partition: Partition<Schema.Constraint>): Query.Query<Planned, QueryError> => {
  const name = `${partition.name} [plan]`
  Origin.noteAs(name, partition.name)
  return Query.make(name, partition[TypeId].plan, { mode: "readOnly" })
}

/**
 * What the parts will be, as of now. It reads statistics and, for want of these, an index or a sample.
 *
 * @since 0.1.0
 */
export const plan = (partition: Partition<Schema.Constraint>): Effect.Effect<Plan, QueryError, QueryPool.QueryPool> =>
  Effect.map(planned(partition), ({ plan }) => plan)

const findOf = <S extends Schema.Constraint>({ schema }: Partition<S>, { name, text }: Part): Query.Find<S> => ({
  name,
  schema,
  statement: () => ({ sql: text.text, parameters: text.parameters })
})

/** Fails where the rows that a part gave may be the wrong ones. */
const checked = ({ check, name }: Part, sql: SqlClient, unit: Unit): Effect.Effect<void, SqlError | QueryError> =>
  check === undefined
    ? Effect.void
    : Effect.flatMap(check(sql), (fault) => {
        if (fault === undefined) return Effect.void
        const reason = new SnapshotLost({ message: fault })
        const origin = Origin.of(name)
        return Effect.fail(new QueryError({ query: name, origin, reason, connection: "usable", outcome: unit.outcome }))
      })

/**
 * All rows, part after part. `concurrency` parts run at a time.
 *
 * Fails with `QueryError`, as `Query.findAll` does; reason `Rejected` without a SQLSTATE where the statement cannot be
 * cut, `SnapshotLost` where a table was written anew between its blocks.
 *
 * @since 0.1.0
 */
export const findAll = <S extends Schema.Constraint>(
  partition: Partition<S>,
  options?: Options & PartOptions
): Effect.Effect<ReadonlyArray<S["Type"]>, QueryError, S["DecodingServices"] | QueryPool.QueryPool> => {
  const { retry, timeout } = options ?? {}
  const how = { mode: "readOnly", retry, timeout } as const
  const rowsOf = (part: Part) => {
    const find = findOf(partition, part)
    return part.check === undefined
      ? Query.findAll(find, how)
      : Query.make(part.name, (sql, unit) => Effect.tap(Query.findAll(find), () => checked(part, sql, unit)), how)
  }
  const work = Effect.gen(function* () {
    const { parts } = yield* planned(partition)
    const rows = yield* Effect.forEach(parts, rowsOf, { concurrency: yield* atOnce })
    return rows.flat()
  })
  return atOneMoment(partition, options, work)
}

/**
 * How many chunks of rows (512 at most) a part may be ahead of the stream that is to have its rows in order. With fewer,
 * parts could not run beside each other.
 */
const chunksAhead = 16

/**
 * The rows as a stream, as they come, or with `preserveOrder` part after part. `concurrency` parts are read at a time,
 * each on a session that it holds until its rows are taken: memory is bounded by that, whatever the number of rows.
 *
 * Fails as `findAll` does, after the rows that came before. There are no retries: rows that were given cannot be taken
 * back. As with `Query.stream`, parts take no slots of their run: whoever runs queries for the rows needs more sessions
 * than there are parts at a time.
 *
 * @since 0.1.0
 */
export const stream = <S extends Schema.Constraint>(
  partition: Partition<S>,
  options?: Pick<Options, "concurrency" | "snapshot" | "onEvent"> & { readonly preserveOrder?: boolean | undefined }
): Stream.Stream<S["Type"], QueryError, S["DecodingServices"] | QueryPool.QueryPool> => {
  const { preserveOrder = false, ...runOptions } = options ?? {}
  const rowsOf = (part: Part) => {
    const rows = Query.rowsOf(findOf(partition, part))
    return Query.streamOf(
      part.name,
      (sql, unit) => Stream.concat(rows(sql, unit), Stream.fromEffectDrain(checked(part, sql, unit))),
      { mode: "readOnly" }
    )
  }
  return Stream.unwrap(
    Effect.gen(function* () {
      type Lane = Queue.Queue<ReadonlyArray<S["Type"]>, QueryError | Cause.Done>
      const lanes = yield* Deferred.make<ReadonlyArray<Lane>, QueryError>()
      const work = Effect.gen(function* () {
        const { parts } = yield* planned(partition)
        const made: Array<Lane> = []
        for (let lane = 0; lane < (preserveOrder ? parts.length : 1); lane++) {
          made.push(
            yield* Queue.bounded<ReadonlyArray<S["Type"]>, QueryError | Cause.Done>(preserveOrder ? chunksAhead : 1)
          )
        }
        yield* Deferred.succeed(lanes, made)
        const read = (part: Part, index: number) => {
          const lane = made[preserveOrder ? index : 0]
          if (lane === undefined) return Effect.void
          const rows = Stream.runForEachArray(rowsOf(part), (chunk) => Queue.offer(lane, chunk))
          return preserveOrder ? Effect.andThen(rows, Queue.end(lane)) : rows
        }
        yield* Effect.forEach(parts, read, { concurrency: yield* atOnce, discard: true }).pipe(
          Effect.onExit((exit) => {
            const cause = Exit.isFailure(exit) ? exit.cause : Cause.fail(Cause.Done())
            return Effect.forEach(made, (lane) => Queue.failCause(lane, cause), { discard: true })
          })
        )
      })
      const fiber = yield* Effect.forkScoped(
        Effect.onError(atOneMoment(partition, runOptions, work), (cause) => Deferred.failCause(lanes, cause))
      )
      return Stream.fromIterable(yield* Deferred.await(lanes)).pipe(
        Stream.flatMap(Stream.fromQueue),
        Stream.flattenIterable,
        // The end of the rows is the end of the run, and what went wrong with that stands behind them.
        Stream.concat(Stream.fromEffectDrain(Fiber.join(fiber)))
      )
    })
  )
}
