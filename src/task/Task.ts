/**
 * A named, typed piece of background work: a value without a handler, so that the code that enqueues a task does not load
 * the code that runs it.
 *
 * - **At least once.** A task is run until it has ended; a handler whose process died half-way runs again. Make what it
 *   does safe to do twice, or let `session: "transaction"` make it all or nothing.
 * - **Pass ids, not entities.** A payload is what was true when the task was offered. By the time it runs, and more so at
 *   its third attempt, a row has another content: let the handler read it.
 * - **With the transaction.** A task that is enqueued inside a transaction runs after its COMMIT, or never.
 *
 * @since 0.1.0
 */
import type { DateTime, Duration } from "effect"
import { Clock, Effect, Schema } from "effect"
import type { QueryError } from "../query/QueryError.ts"
import type { Known } from "../query/RetryPolicy.ts"
import * as RetryPolicy from "../query/RetryPolicy.ts"
import type { TaskError, TimedOut } from "./TaskError.ts"
import type { Enqueued, TaskHandle } from "./TaskHandle.ts"
import * as Handles from "./TaskHandle.ts"
import * as TaskOffer from "./TaskOffer.ts"
import type { Json, Offer, TaskId } from "./TaskStore.ts"
import { TaskStore } from "./TaskStore.ts"
import { checkedMillis } from "./TaskTime.ts"

export { counts, list, requeue } from "./TaskList.ts"
export { discard, retryIn, snooze } from "./TaskSignal.ts"
export { toLayer } from "./TaskWork.ts"

/**
 * What a handler has for its SQL: a session of its own, in one transaction or not, or none.
 *
 * @since 0.1.0
 */
export type Session = "transaction" | "connection" | "none"

/**
 * A task: from a payload `P` to a value `A` or an error `E`, with a session `S`, and what it reports meanwhile, `G`.
 *
 * @since 0.1.0
 */
export interface Task<P, A, E = never, S extends Session = Session, G = Json> {
  readonly name: string
  readonly payload: Schema.ConstraintCodec<P, Json>
  readonly success: Schema.ConstraintCodec<A, Json>
  readonly error: Schema.ConstraintCodec<E, Json>
  readonly progress: Schema.ConstraintCodec<G, Json>
  readonly retry: RetryPolicy.RetryPolicy<never>
  readonly timeoutMillis: number
  readonly session: S
  readonly queue: string
  readonly priority: number
  readonly uniqueKey: ((payload: P) => string | undefined) | undefined
  readonly limitKey: ((payload: P) => string | undefined) | undefined
}

/**
 * What can be said of a task.
 *
 * @since 0.1.0
 */
export interface Options<P, A, E, S extends Session, G = Json> {
  /** Kept as JSON, also where the schema's own encoded form is none. */
  readonly payload: Schema.ConstraintCodec<P, unknown>
  /** Nothing by default. */
  readonly success?: Schema.ConstraintCodec<A, unknown> | undefined
  /** The errors that are an answer, and that whoever waits gets as they are. None by default. */
  readonly error?: Schema.ConstraintCodec<E, unknown> | undefined
  /** What its handler reports while it runs. Any JSON by default. */
  readonly progress?: Schema.ConstraintCodec<G, unknown> | undefined
  /**
   * Which failures are tried again, how often and when: errors of the task's own, of its queries, `TimedOut`, and
   * `TaskError`, of the tasks that its handler enqueues. None by default. A task whose last attempt failed is dead.
   */
  readonly retry?: RetryPolicy.RetryPolicy<Known<E | QueryError | TimedOut | TaskError>> | undefined
  /** How long an attempt may take, from having its session. Default 5 minutes. */
  readonly timeout?: Duration.Input | undefined
  /**
   * `connection` (the default) gives the handler a session of its own while it runs, `transaction` one in a transaction
   * that is committed when it succeeds. `none` takes no connection: for handlers that wait for something else, such as
   * mail, and run a query now and then. Which one is meant cannot be seen from a handler, and a task without SQL that
   * was left at the default does not compile without a pool.
   */
  readonly session?: S | undefined
  /** Default "default". */
  readonly queue?: string | undefined
  /** More is sooner. An integer, default 0. */
  readonly priority?: number | undefined
  /** Of tasks with the same key that have not ended there is one. */
  readonly uniqueKey?: ((payload: P) => string | undefined) | undefined
  /** Of tasks with the same key only so many run at once as the runner's `perKey`. */
  readonly limitKey?: ((payload: P) => string | undefined) | undefined
}

/**
 * Makes a task. Throws a RangeError for a timeout or a priority that cannot be.
 *
 * @since 0.1.0
 */
export const make = <P, A = void, E = never, const S extends Session = "connection", G = Json>(
  name: string,
  options: Options<P, A, E, S, G>
): Task<P, A, E, S, G> => {
  const { priority = 0, queue = "default", retry = RetryPolicy.none, timeout = "5 minutes" } = options
  const timeoutMillis = checkedMillis(`timeout of task "${name}"`, timeout, 1)
  if (!TaskOffer.isPriority(priority)) {
    throw new RangeError(
      `Expected \`priority\` of task "${name}" to be ${TaskOffer.priorities}, got ${String(priority)}`
    )
  }
  // What is not said is what the types' defaults are.
  const success = (options.success ?? Schema.Void) as Schema.ConstraintCodec<A, unknown>
  const error = (options.error ?? Schema.Never) as Schema.ConstraintCodec<E, unknown>
  const progress = (options.progress ?? Schema.Json) as Schema.ConstraintCodec<G, unknown>
  return {
    name,
    payload: Schema.toCodecJson(options.payload),
    success: Schema.toCodecJson(success),
    error: Schema.toCodecJson(error),
    progress: Schema.toCodecJson(progress),
    retry,
    timeoutMillis,
    session: (options.session ?? "connection") as S,
    queue,
    priority,
    uniqueKey: options.uniqueKey,
    limitKey: options.limitKey
  }
}

/**
 * When and how a task is to run, beside what the task itself says.
 *
 * @since 0.1.0
 */
export interface EnqueueOptions {
  /** How long it waits first: from 0. */
  readonly delay?: Duration.Input | undefined
  /** From when on it may run; a number is milliseconds since the epoch. `delay` counts from then. */
  readonly at?: number | Date | DateTime.DateTime | undefined
  readonly priority?: number | undefined
  readonly uniqueKey?: string | undefined
  /**
   * What happens where a task with the same unique key has not ended. `existing` (the default) gives that one, and its
   * handle says so by `isNew`: a key is given so that the work is done once, and whoever asks for it twice has what they
   * wanted. `fail` is for those who must not take another's task for theirs, whose payload may not be the same: it fails
   * with `Duplicate`, and enqueues nothing.
   */
  readonly onDuplicate?: "existing" | "fail" | undefined
}

/**
 * Offers a task for each payload, all or none of them. Fails with `TaskError`: `Unfit` for a payload that does not agree
 * with its schema, `Impossible` for a delay, a moment or a priority that cannot be, `Duplicate` where that is asked for,
 * `StoreFailed`.
 *
 * @since 0.1.0
 */
export const enqueueAll = Effect.fnUntraced(function* <P, A, E, S extends Session, G>(
  task: Task<P, A, E, S, G>,
  payloads: Iterable<P>,
  options: EnqueueOptions = {}
): Effect.fn.Return<ReadonlyArray<Enqueued<A, E, G>>, TaskError, TaskStore> {
  const store = yield* TaskStore
  const now = yield* Clock.currentTimeMillis
  const toOffer = yield* TaskOffer.maker(task, options, now)
  const offers: Array<Offer> = []
  for (const payload of payloads) offers.push(yield* toOffer(payload))
  const ids = yield* store.offer(offers, now, { onDuplicate: options.onDuplicate })
  return ids.map((id, index) => Handles.enqueued(store, task, id, id === offers[index]?.id))
})

/**
 * Offers a task. See `enqueueAll`.
 *
 * @since 0.1.0
 */
export const enqueue = <P, A, E, S extends Session, G>(
  task: Task<P, A, E, S, G>,
  payload: P,
  options?: EnqueueOptions
): Effect.Effect<Enqueued<A, E, G>, TaskError, TaskStore> =>
  Effect.flatMap(enqueueAll(task, [payload], options), ([handle]) =>
    handle === undefined ? Effect.die(new Error("the store gave no id")) : Effect.succeed(handle)
  )

/**
 * The handle of a task whose id is known.
 *
 * @since 0.1.0
 */
export const handle = <P, A, E, S extends Session, G>(
  task: Task<P, A, E, S, G>,
  id: TaskId
): Effect.Effect<TaskHandle<A, E, G>, never, TaskStore> =>
  Effect.map(TaskStore, (store) => Handles.make(store, task, id))
