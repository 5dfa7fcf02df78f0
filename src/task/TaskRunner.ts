/**
 * Runs tasks: claims those that are due for the handlers that there are, within bounds, and says what became of each.
 *
 *     claim ─► running ─► settled
 *       ▲         │ renewed at a third of the lease
 *       └─ a place is free, something is ready, a moment has come
 *
 * - **Bounded** in all, by queue, and by key; and by time, where a queue has a `rateLimit`. What waits for that is in the
 *   store, and holds nothing. Of queues that wait, all get their turn: the first one asked is another each time.
 * - **A task's end is its own.** A handler that fails, dies or is cancelled gives its session back and is settled; no other
 *   task learns of it. What died is in the log, with its id, and so is one that does not stop.
 * - **Clean stop.** A handler's layer that closes claims no more of its tasks, and gives those that run `drain` to end: one
 *   `drain` for all that close together. What runs still is interrupted, on the server too, and handed back: it stays in the
 *   store, its attempt not counted, and the log names it. It closes in any case: a handler that cannot be interrupted
 *   has 5 more seconds, and a store that does not answer has as many; what is left then is named.
 * - **A store that fails** for a while is asked again each second, and two lines in the log say from when to when. What runs
 *   goes on, and keeps its place until the store knows its end.
 *
 * @since 0.1.0
 */
import type { Duration } from "effect"
import { Context, Effect, Layer, Option } from "effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { TaskLoop } from "./TaskLoop.ts"
import type { Rate, RateLimit } from "./TaskRates.ts"
import { TaskRates } from "./TaskRates.ts"
import { TaskRunner } from "./TaskRegistry.ts"
import { TaskStore } from "./TaskStore.ts"
import { checkedCount, checkedMillis } from "./TaskTime.ts"

export type { RateLimit } from "./TaskRates.ts"
export { TaskRunner } from "./TaskRegistry.ts"

/**
 * How much a runner does of a queue.
 *
 * @since 0.1.0
 */
export interface QueueOptions {
  /** How many at once: an integer from 1. Default as many as in all. */
  readonly concurrency?: number | undefined
  /**
   * How many begin in a time. The limit is this runner's own, unless there is a `RateLimiter` (effect/persistence) where the
   * runner's layer is built: then all that use that one share it, by the key `querypool/task/` and the queue's name.
   */
  readonly rateLimit?: RateLimit | undefined
}

/**
 * How much a runner does at once.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Its name in the store. Default "runner". */
  readonly name?: string | undefined
  /** How many tasks at once: an integer from 1. Default 10, as many as a pool has connections. */
  readonly concurrency?: number | undefined
  /** What holds for a queue beside that. */
  readonly queues?: Readonly<Record<string, QueueOptions>> | undefined
  /** How many tasks with the same key (`limitKey`) at once. Default 1. */
  readonly perKey?: number | undefined
  /** How long tasks may still run when they have to stop, those of all handlers that close together. Default 10 seconds. */
  readonly drain?: Duration.Input | undefined
  /** After how long others may take a task of a runner that is not heard of any more. Default 30 seconds. */
  readonly lease?: Duration.Input | undefined
}

/**
 * A runner of the tasks in a store. Throws a RangeError for options that cannot be.
 *
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<TaskRunner, never, TaskStore> => {
  const { drain = "10 seconds", lease = "30 seconds", name = "runner", perKey = 1 } = options
  const concurrency = checkedCount("concurrency", options.concurrency ?? 10, 1)
  const queues = Object.entries(options.queues ?? {})
  const limits = {
    name,
    concurrency,
    perKey: checkedCount("perKey", perKey, 1),
    queues: new Map(
      queues.map(([queue, one]) => [
        queue,
        { concurrency: checkedCount(`queues.${queue}.concurrency`, one.concurrency ?? concurrency, 1) }
      ])
    ),
    drainMillis: checkedMillis("drain", drain),
    leaseMillis: checkedMillis("lease", lease, 1)
  }
  const rates = new Map(
    queues.flatMap(([queue, { rateLimit }]) => (rateLimit === undefined ? [] : [[queue, rateOf(queue, rateLimit)]]))
  )
  return Layer.effect(
    TaskRunner,
    Effect.gen(function* () {
      const given = yield* Effect.serviceOption(RateLimiter.RateLimiter)
      const limiter = Option.isSome(given)
        ? given.value
        : Context.get(yield* Layer.build(ownLimiter), RateLimiter.RateLimiter)
      const loop = new TaskLoop(limits, yield* TaskStore, new TaskRates(limiter, rates))
      yield* loop.start
      return TaskRunner.of({
        register: (worker) => loop.register(worker),
        builtIn: (worker, scope) => Effect.sync(() => loop.builtIn(worker, scope))
      })
    })
  )
}

const ownLimiter = Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory)

const rateOf = (queue: string, { algorithm = "fixed-window", limit, window }: RateLimit): Rate => ({
  algorithm,
  limit: checkedCount(`queues.${queue}.rateLimit.limit`, limit, 1),
  windowMillis: checkedMillis(`queues.${queue}.rateLimit.window`, window, 1)
})
