/**
 * The contract of a pool, and what is built on it alone: running many queries at once.
 *
 * A pool lends a query a session of its own while the query runs. `all`, `stream` and `report` run many effects with
 * bounded concurrency; the queries inside them belong to the run.
 *
 * - Each query of a run ends in exactly one of four ways: succeeded, failed, cancelled, skipped.
 * - Interrupting a run interrupts its queries, on the server too; a run ends when the last of them has stopped.
 * - A query inside another query's body joins that query's session and slot, and is part of its outcome. A run inside
 *   a query's body is refused: it could wait for the session that its own query holds.
 *
 * @since 0.1.0
 */
import type { Duration, Scope } from "effect"
import { Cause, Clock, Context, Effect, Exit, Fiber, identity, Option, Predicate, Stream } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { mapWithWorkers } from "../internal/mapWithWorkers.ts"
import { toStream } from "../internal/toStream.ts"
import type { AnyEffect, Mode } from "./Members.ts"
import * as Members from "./Members.ts"
import { faultOf, handsOf, isQuery, toOutcome } from "./Members.ts"
import type * as Outcome from "./Outcome.ts"
import type { QueryError, QueueTimeout, TimedOut } from "./QueryError.ts"
import type { QueryEvent } from "./QueryEvent.ts"
import * as Attempts from "./Attempts.ts"
import { listening, recall } from "./Learning.ts"
import * as Progress from "./Progress.ts"
import * as Report from "./Report.ts"
import type { RetryPolicy } from "./RetryPolicy.ts"
import { CurrentRun, Run } from "./Run.ts"
import type { Snapshot } from "./RunSnapshot.ts"
import { RunSnapshot } from "./RunSnapshot.ts"
import type { Telemetry } from "./Telemetry.ts"
import type { Unit } from "./Unit.ts"
import { Watch } from "./Watch.ts"

/**
 * How long something may take, and what it fails with when it takes longer.
 *
 * @since 0.1.0
 */
export interface Limit {
  readonly millis: number
  readonly reason: QueueTimeout | TimedOut
}

/**
 * On what terms an attempt is made.
 *
 * @since 0.1.0
 */
export interface Terms {
  /** How long it may wait for its slot. */
  readonly queue?: Limit | undefined
  /** How long it may take, from having its slot to its end; asked when it has it. */
  readonly running?: (() => Limit | undefined) | undefined
  /** The moment that it sees: its session joins it in a read-only transaction. */
  readonly snapshot?: Effect.Effect<Snapshot, SqlError> | undefined
}

/**
 * What a pool has to know of a query.
 *
 * @since 0.1.0
 */
export interface QueryInfo {
  readonly name: string
  /** Where it was made, as `file:line:column`, if that is known. */
  readonly origin?: string | undefined
  readonly options: {
    /**
     * `autocommit` (the default) lets each statement commit by itself; `transaction` makes the query one transaction,
     * committed when it succeeds and rolled back otherwise; `readOnly` is `autocommit` on a session whose statements
     * the server keeps from writing.
     */
    readonly mode?: "autocommit" | "transaction" | "readOnly" | undefined
    /** Running it twice does no more than running it once, so that it may be retried whatever became of it. */
    readonly idempotent?: boolean | undefined
    /**
     * How long it may take, from having a slot: connecting, running, and every retry. Fails with `TimedOut`.
     * Unlimited by default.
     */
    readonly timeout?: Duration.Input | undefined
    /** Which failures are tried again, how often and when. None by default. */
    readonly retry?: RetryPolicy<never> | undefined
    /**
     * `pinned` (the default) gives the query a session of its own; `pipelined` sends its one statement on a connection
     * that it shares with others, without waiting for their answers. See `Query.FindOptions`.
     */
    readonly lane?: "pinned" | "pipelined" | undefined
  }
}

export { QueryTypeId } from "./Members.ts"
export type { Column, Flow, RowReceiver } from "./RowReceiver.ts"
export type { Unit } from "./Unit.ts"

/**
 * Lends sessions to queries. `PgQueryPool.layer` makes one on PostgreSQL.
 *
 * @since 0.1.0
 */
export class QueryPool extends Context.Service<
  QueryPool,
  {
    /**
     * Runs `body` on a session of its own and takes the session back however `body` ends. In the body of another
     * query of this pool, `body` joins that query's session. One attempt: a query's retries are not the pool's.
     */
    readonly use: <A, E, R>(
      query: QueryInfo,
      body: (sql: SqlClient, unit: Unit) => Effect.Effect<A, E, R>,
      terms?: Terms | undefined
    ) => Effect.Effect<A, Exclude<E, SqlError> | QueryError, R>
    /**
     * As `use`, for a body that is a stream of rows: the session is lent until the stream ends. Of the terms, a stream
     * has the snapshot alone.
     */
    readonly stream: <A, E, R>(
      query: QueryInfo,
      body: (sql: SqlClient, unit: Unit) => Stream.Stream<A, E, R>,
      terms?: Pick<Terms, "snapshot"> | undefined
    ) => Stream.Stream<A, Exclude<E, SqlError> | QueryError, R>
    /**
     * Takes a snapshot and holds it, on a session of its own, until the scope closes. `onLost` is called when that
     * session is gone before.
     */
    readonly snapshot: (options: {
      readonly allowStandby: boolean
      readonly onLost: () => void
    }) => Effect.Effect<Snapshot, SqlError, Scope.Scope>
    /** The name of the query of this pool whose body the context belongs to. */
    readonly within: (context: Context.Context<never>) => string | undefined
    /** What it adds to the spans and metrics of its queries; without it they have none. */
    readonly telemetry?: Telemetry | undefined
  }
>()("querypool/query/QueryPool") {}

/**
 * What a run can be made of: a tuple, an array, a record or any iterable of effects, but not one effect (which is
 * itself iterable, for `yield*`).
 *
 * @since 0.1.0
 */
export type Shape = (Iterable<AnyEffect> | Readonly<Record<string, AnyEffect>>) & {
  readonly [Effect.TypeId]?: never
}

type Member<T> = Extract<T extends Iterable<infer M> ? M : T[keyof T], AnyEffect>

type Value<M, Mode> =
  M extends Effect.Effect<infer A, infer E, infer _R> ? (Mode extends "outcome" ? Outcome.Outcome<A, E> : A) : never

type Values<T, Mode> =
  T extends ReadonlyArray<unknown>
    ? { -readonly [K in keyof T]: Value<T[K], Mode> }
    : T extends Iterable<infer M>
      ? Array<Value<M, Mode>>
      : { -readonly [K in keyof T]: Value<T[K], Mode> }

/**
 * How a run goes about its work.
 *
 * @since 0.1.0
 */
export interface RunOptions {
  /** How many queries run at once: an integer from 1. Default 5. */
  readonly concurrency?: number | undefined
  /**
   * Who is next: `given` (the default) keeps the order of the effects; `longest-first` starts those first that took the
   * longest before, so that no long one is left alone in the end. How long they took is what the `DurationHistory` in
   * the context has learned. Queries of which nothing is known count as the mean of the others, and where nothing is
   * known of any, the order is that given. With `longest-first`, all of an iterable is taken before the run. Results
   * stand in the order given, either way.
   */
  readonly order?: "given" | "longest-first" | undefined
  /**
   * How long a query may wait for its turn and its slot, from being handed over. Fails with `QueueTimeout`. Unlimited
   * by default.
   */
  readonly queueTimeout?: Duration.Input | undefined
  /**
   * How long the run's queries have, all attempts and waits of them together. Fails with `TimedOut`. Unlimited by
   * default.
   */
  readonly deadline?: Duration.Input | undefined
  /**
   * Whether all queries of the run, with every retry and partition, see one moment of the database: that in which the
   * first of them starts. Each runs as a read-only transaction then, on a connection that joins the one that holds the
   * snapshot, and one that is made to write (`mode: "transaction"` or `"autocommit"`) is refused. A query that comes
   * after the snapshot is lost fails with `SnapshotLost`. A standby server is refused unless it is allowed: a snapshot
   * holds back its replay, or is cancelled by it. Default false.
   */
  readonly snapshot?: boolean | { readonly allowStandby?: boolean | undefined } | undefined
  /** Called with everything that happens, as it happens. It must neither throw nor take long. */
  readonly onEvent?: ((event: QueryEvent) => void) | undefined
  /**
   * How often `onEvent` is told how many rows each running query has received so far (`Progressed`), where that has
   * changed. Never by default, and nothing is counted for it then.
   */
  readonly progressEvery?: Duration.Input | undefined
}

const defaultConcurrency = 5

/**
 * Runs effects, at most `concurrency` at a time, and returns their results in the shape and order given: a tuple for
 * a tuple, a record for a record, an array for any other iterable. An iterable is pulled as workers become free.
 *
 * By default the first failure interrupts the rest, on the server too, and is the failure of the run. With
 * `mode: "outcome"` every effect is run and each result is an `Outcome`; a defect still ends the run.
 *
 * @since 0.1.0
 */
export const all = <const T extends Shape, const Mode extends "default" | "outcome" | undefined = undefined>(
  effects: T,
  options?: (RunOptions & { readonly mode?: Mode }) | undefined
): Effect.Effect<
  Values<T, Mode>,
  Mode extends "outcome" ? never : Effect.Error<Member<T>>,
  Effect.Services<Member<T>> | QueryPool
> => {
  const run = Effect.suspend((): AnyEffect => {
    const results: Array<unknown> = []
    const keep = (value: unknown, { index }: { readonly index: number }): void => {
      results[index] = value
    }
    const mode = options?.mode === "outcome" ? outcomes : values
    return isIterable(effects)
      ? Effect.as(runMembers("QueryPool.all", effects, mode, keep, options), results)
      : Effect.map(runMembers("QueryPool.all", Object.values<AnyEffect>(effects), mode, keep, options), () =>
          Object.fromEntries(Object.keys(effects).map((key, index) => [key, results[index]]))
        )
  })
  // That the results have the shape of the effects is what the loop above does, and beyond what its types can say.
  return run as Effect.Effect<Values<T, Mode>, never, Effect.Services<Member<T>> | QueryPool>
}

/**
 * Runs effects as `all` does, all of them, and reports how each query ended and where the time went. It never fails:
 * also what an effect that is no query failed with, or died of, stands in the report.
 *
 * @since 0.1.0
 */
export const report = <const T extends Shape>(
  effects: T,
  options?: RunOptions | undefined
): Effect.Effect<Report.Report, never, Effect.Services<Member<T>> | QueryPool> => {
  const run = Effect.suspend((): AnyEffect => {
    const collector = Report.collector()
    const onEvent = (event: QueryEvent): void => {
      collector.add(event)
      options?.onEvent?.(event)
    }
    const keys = isIterable(effects) ? undefined : Object.keys(effects)
    const members = isIterable(effects) ? effects : Object.values<AnyEffect>(effects)
    const failures: Array<Report.Report["failures"][number]> = []
    const keep: Parameters<typeof runMembers>[3] = (exit, { index, member }) => {
      if (isQuery(member) || !Exit.isExit(exit) || Exit.isSuccess(exit)) return
      failures.push({ member: keys?.[index] ?? index, error: Cause.squash(exit.cause) })
    }
    return Effect.map(runMembers("QueryPool.report", members, exits, keep, { ...options, onEvent }), () => ({
      ...collector.report(),
      failures
    }))
  })
  // `Effect.exit` leaves the members' services as they are, but a loop over any members cannot name them.
  return run as Effect.Effect<Report.Report, never, Effect.Services<Member<T>> | QueryPool>
}

/**
 * Runs effects as `report` does, and gives how far the run is: once every `progressEvery` (default one second), by the
 * time of whoever reads, and once more when it is over, with the report. A stream that is left early interrupts the run.
 *
 * What is left is guessed from what the `DurationHistory` in the context has learned, where there is one, and from how
 * the run goes.
 *
 * @since 0.1.0
 */
export const progress = <const T extends Shape>(
  effects: T,
  options?: RunOptions | undefined
): Stream.Stream<
  Progress.Progress & { readonly report?: Report.Report },
  never,
  Effect.Services<Member<T>> | QueryPool
> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { onEvent, order, progressEvery } = options ?? {}
      const millis = Attempts.periodOf("progressEvery", progressEvery ?? "1 second") ?? Infinity
      const clock = yield* Clock.Clock
      const collector = Progress.collector({ order, expected: yield* recall })
      const told = (event: QueryEvent): void => {
        collector.add(event)
        onEvent?.(event)
      }
      // Twice as often: told of in the moment of a look, rows would be seen only by the next.
      const how = { ...options, onEvent: told, progressEvery: millis / 2 }
      const run = yield* Effect.forkScoped(report(effects, how))
      const next = Effect.map(Effect.timeoutOption(Fiber.join(run), millis), (ended) => {
        const now = collector.progress(Number(clock.currentTimeNanosUnsafe()) / 1e6)
        return Option.isSome(ended) ? ([{ ...now, report: ended.value }, true] as const) : ([now, false] as const)
      })
      return Stream.unfold(false, (isOver) => (isOver ? Effect.undefined : next))
    })
  )

/**
 * Runs a stream of effects, at most `concurrency` at a time, and gives each with its outcome: as they end, or with
 * `preserveOrder` in the order of the source. The source is pulled as workers become free, so memory is bounded by
 * `concurrency`, whatever the number of queries. A failed query is an outcome, never a failure of the stream; when the
 * source fails, the stream gives the outcomes of what was taken before, and then fails with it.
 *
 * @since 0.1.0
 */
export const stream = <Q extends AnyEffect, E2 = never, R2 = never>(
  queries: (Iterable<Q> | AsyncIterable<Q> | Stream.Stream<Q, E2, R2>) & { readonly [Effect.TypeId]?: never },
  options?: (Omit<RunOptions, "order"> & { readonly preserveOrder?: boolean | undefined }) | undefined
): Stream.Stream<
  { readonly query: Q; readonly outcome: Outcome.Outcome<Effect.Success<Q>, Effect.Error<Q>> },
  E2,
  Effect.Services<Q> | R2 | QueryPool
> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { pool, run, span } = yield* openRun("QueryPool.stream", options, undefined)
      // The source does not belong to the run: were it itself a query's rows, it would hold the slot its queries need.
      const source = Stream.provideContext(toStream(queries), yield* Effect.context<R2>())
      return mapWithWorkers(source, () => handsOf<Q>(pool, run), run.workers, {
        ordered: options?.preserveOrder === true
      }).pipe(
        // A query's body stands outside of the run: a query of another pool in it must not wait for a second slot.
        Stream.provideService(CurrentRun, undefined),
        (results) => (span === undefined ? results : span.quietlyStreamed(results)),
        Stream.concat(Stream.fromEffectDrain(Effect.suspend(() => faultOf(run))))
      )
    })
  )

/** Values as they are: the first failure is the failure of the run. */
const values: Mode = { failsFast: true, step: identity, hasSucceeded: () => true }

const outcomes: Mode = {
  failsFast: false,
  step: (member) => toOutcome(member),
  hasSucceeded: (outcome) => Predicate.isTagged(outcome, "Succeeded")
}

const exits: Mode = {
  failsFast: false,
  step: Effect.exit,
  hasSucceeded: (exit) => Exit.isExit(exit) && Exit.isSuccess(exit)
}

const runMembers = (
  name: string,
  members: Iterable<AnyEffect>,
  mode: Mode,
  keep: Parameters<typeof Members.run>[4],
  options: RunOptions | undefined
): Effect.Effect<void, unknown, unknown> =>
  Effect.flatMap(Members.of(members, options?.order), (members) =>
    Effect.scoped(
      Effect.flatMap(openRun(name, options, members.known), ({ pool, run, span }) => {
        const work = Members.run(pool, run, members, mode, keep)
        return span === undefined ? work : span.quietly(work)
      })
    )
  )

/** More would be more fibers than any server has connections. */
const mostConcurrency = 100_000

/** A new run, of members that are known or come one by one, which ends with the scope. Its span has the name. */
const openRun = Effect.fnUntraced(function* (
  name: string,
  options: RunOptions | undefined,
  members: ReadonlyArray<AnyEffect> | undefined
) {
  const context = yield* Effect.context<QueryPool>()
  const concurrency = options?.concurrency ?? defaultConcurrency
  if (!Number.isSafeInteger(concurrency) || concurrency < 1 || concurrency > mostConcurrency) {
    return yield* Effect.die(
      new RangeError(
        `Expected \`concurrency\` to be an integer from 1 to ${mostConcurrency}, got ${String(concurrency)}`
      )
    )
  }
  const pool = Context.get(context, QueryPool)
  const within = pool.within(context)
  if (within !== undefined) {
    return yield* Effect.die(
      new Error(
        `A run was started inside the body of query "${within}". It could wait for the session that this query ` +
          `holds, so it is refused. Start the run outside, or run the queries one after the other inside the body: ` +
          `they join its session`
      )
    )
  }
  const clock = yield* Clock.Clock
  const progressMillis = Attempts.periodOf("progressEvery", options?.progressEvery)
  const snapshot = options?.snapshot ?? false
  const watch = yield* Watch.here(pool.telemetry)
  yield* runSpan(watch, name, {
    "querypool.run.concurrency": concurrency,
    "querypool.run.snapshot": snapshot !== false
  })
  const run: Run = new Run({
    concurrency,
    workers: Math.min(concurrency, members?.length ?? Infinity),
    clock,
    onEvent: yield* listening(options?.onEvent),
    progressMillis: options?.onEvent === undefined ? undefined : progressMillis,
    watch,
    snapshot:
      snapshot === false
        ? undefined
        : RunSnapshot.held({
            take: pool.snapshot,
            allowStandby: snapshot !== true && snapshot.allowStandby === true,
            scope: yield* Effect.scope,
            emit: (event) => {
              watch?.event(event)
              run.listener?.emit({ ...event, at: run.listener.now() })
            }
          }),
    queueMillis: Attempts.millisOf("queueTimeout", options?.queueTimeout),
    deadlineMillis: Attempts.millisOf("deadline", options?.deadline)
  })
  const { listener } = run
  if (listener !== undefined) {
    const queries = members?.every(isQuery) === true ? { queries: members.length } : {}
    yield* Effect.acquireRelease(
      Effect.sync(() => listener.emit({ _tag: "RunStarted", at: listener.now(), concurrency, ...queries })),
      () =>
        Effect.sync(() => {
          listener.skipAnnounced()
          listener.emit({ _tag: "RunEnded", at: listener.now() })
        })
    )
    // After the release that ends the run, and so interrupted before it.
    if (listener.progressMillis !== undefined) yield* Effect.forkScoped(listener.tellRows(listener.progressMillis))
  }
  return { pool, run, span: watch?.run }
})

/** The span of a run, which ends with the scope, where somebody follows it. */
const runSpan = (watch: Watch | undefined, name: string, attributes: Readonly<Record<string, unknown>>) => {
  if (watch?.tracer === undefined) return Effect.void
  return Effect.acquireRelease(
    Effect.withFiber((fiber) => Effect.succeed(watch.beginRun(fiber, name, attributes))),
    (_, exit) => Effect.sync(() => watch.endRun(exit))
  )
}

const isIterable = (effects: Shape): effects is Shape & Iterable<AnyEffect> => Symbol.iterator in effects
