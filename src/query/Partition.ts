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
import type { Array, Cause, Schema } from "effect"
import { Deferred, Effect, Exit, Fiber, Queue, Stream } from "effect"
import * as Origin from "./Origin.ts"
import type { Each, Part, Partition, Plan } from "./PartitionPlan.ts"
import { planBlocks, planRanges, TypeId } from "./PartitionPlan.ts"
import type { Options, PartOptions } from "./PartitionRun.ts"
import { checked, forEachPart, planned } from "./PartitionRun.ts"
import * as Query from "./Query.ts"
import type { QueryError } from "./QueryError.ts"
import type { QueryPool } from "./QueryPool.ts"

export type { Each, Partition, Plan } from "./PartitionPlan.ts"
export type { Options, PartOptions } from "./PartitionRun.ts"

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

/**
 * More would be more queries than any server runs at once, by far.
 *
 * @internal
 */
export const mostParts = 10_000

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
    [TypeId]: {
      plan: (sql, onStatement) => planRanges(sql, find, { column, by }, each, onStatement),
      needsSnapshot: false
    }
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
 * What the parts will be, as of now. It reads statistics and, for want of these, an index or a sample.
 *
 * @since 0.1.0
 */
export const plan = (partition: Partition<Schema.Constraint>): Effect.Effect<Plan, QueryError, QueryPool> =>
  Effect.map(planned(partition), ({ plan }) => plan)

const findOf = <S extends Schema.Constraint>({ schema }: Partition<S>, { name, text }: Part): Query.Find<S> => ({
  name,
  schema,
  statement: () => ({ sql: text.text, parameters: text.parameters })
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
): Effect.Effect<ReadonlyArray<S["Type"]>, QueryError, S["DecodingServices"] | QueryPool> => {
  const { retry, timeout } = options ?? {}
  const how = { mode: "readOnly", retry, timeout } as const
  const rowsOf = (part: Part) => {
    const rows = Query.allRows(findOf(partition, part))
    return Query.make(part.name, (sql, unit) => Effect.tap(rows(sql, unit), () => checked(part, sql, unit)), how)
  }
  return Effect.map(forEachPart(partition, options, rowsOf), (rows) => rows.flat())
}

/**
 * How many chunks of rows (512 at most) a part may be ahead of the stream that is to have its rows in order. With fewer,
 * parts could not run beside each other.
 */
const chunksAhead = 16

/**
 * The rows as a stream, as they come, or with `preserveOrder` part after part. `concurrency` parts are read at a time,
 * and another one when the rows of one are taken: memory is bounded by that, whatever the number of rows and of parts.
 *
 * Fails as `findAll` does, after the rows that came before. There are no retries: rows that were given cannot be taken
 * back. As with `Query.stream`, parts take no slots of their run: whoever runs queries for the rows needs more sessions
 * than there are parts at a time.
 *
 * @since 0.1.0
 */
export const stream = <S extends Schema.Constraint>(
  partition: Partition<S>,
  options?: Pick<Options, "concurrency" | "snapshot" | "onEvent" | "progressEvery"> & {
    readonly preserveOrder?: boolean | undefined
  }
): Stream.Stream<S["Type"], QueryError, S["DecodingServices"] | QueryPool> => {
  const { preserveOrder = false, ...runOptions } = options ?? {}
  const rowsOf = (part: Part) => {
    const rows = Query.rowStream(findOf(partition, part))
    return Query.streamOf(
      part.name,
      (sql, unit) => Stream.concat(rows(sql, unit), Stream.fromEffectDrain(checked(part, sql, unit))),
      { mode: "readOnly" }
    )
  }
  return Stream.unwrap(
    Effect.gen(function* () {
      type Lane = Queue.Queue<Array.NonEmptyReadonlyArray<S["Type"]>, QueryError | Cause.Done>
      const lanes = yield* Deferred.make<ReadonlyArray<Lane>, QueryError>()
      let made: ReadonlyArray<Lane> = []
      const open = (parts: number) =>
        Effect.flatMap(
          Effect.replicateEffect(makeLane<S["Type"]>(preserveOrder ? chunksAhead : 1), preserveOrder ? parts : 1),
          (all) => Deferred.succeed(lanes, (made = all))
        )
      const read = (part: Part, index: number) => {
        const lane = made[preserveOrder ? index : 0]
        if (lane === undefined) return Effect.void
        const rows = Stream.runForEachArray(rowsOf(part), (chunk) => Queue.offer(lane, chunk))
        if (!preserveOrder) return rows
        // The next part waits until this one's rows are taken: small ones would all be read, and all be in memory.
        return Effect.andThen(Effect.andThen(rows, Queue.end(lane)), Queue.await(lane))
      }
      const close = (exit: Exit.Exit<unknown, QueryError>) =>
        Exit.isSuccess(exit)
          ? Effect.forEach(made, Queue.end, { discard: true })
          : Effect.andThen(
              Deferred.failCause(lanes, exit.cause),
              Effect.forEach(made, (lane) => Queue.failCause(lane, exit.cause), { discard: true })
            )
      const fiber = yield* Effect.forkScoped(Effect.onExit(forEachPart(partition, runOptions, read, open), close))
      return Stream.fromIterable(yield* Deferred.await(lanes)).pipe(
        Stream.flatMap(Stream.fromQueue),
        Stream.flattenArray,
        // The last part may be read before its run has ended, and that may go wrong, too.
        Stream.concat(Stream.fromEffectDrain(Fiber.join(fiber)))
      )
    })
  )
}

const makeLane = <A>(capacity: number) =>
  Queue.bounded<Array.NonEmptyReadonlyArray<A>, QueryError | Cause.Done>(capacity)
