/**
 * Tasks that are run where the test stands, instead of by a runner in the background.
 *
 * ```ts
 * const tasks = Layer.provideMerge(Welcome, TestTasks.layerMemory()).pipe(
 *   Layer.provide(TestQueryPool.layer({ welcome: [] }))
 * )
 *
 * it.effect("welcomes, and asks a day later how it went", () =>
 *   Effect.gen(function* () {
 *     yield* signUp("ann@example.org")
 *     yield* TestTasks.expectEnqueued(welcome, { payload: { userId: 7 } })
 *     yield* TestTasks.drain()
 *     yield* TestTasks.expectEnqueued(survey, { payload: { userId: 7 }, delay: "1 day" })
 *   }).pipe(Effect.provide(tasks))
 * )
 *
 * it.effect("tries again while the mail server is busy", () =>
 *   Effect.gen(function* () {
 *     const ending = yield* TestTasks.run(welcome, { userId: 7 }, { attempt: 2 })
 *     assert.deepInclude(ending, { _tag: "retrying", delayMillis: 2000 })
 *   }).pipe(Effect.provide(tasks))
 * )
 * ```
 *
 * - `Task.toLayer` finds here what it needs; a handler runs as it does with a runner: its payload is encoded, written as
 *   JSON, read and decoded, it has its session, its timeout, and its policy says what becomes of a failure.
 * - One task runs at a time, in the order in which a runner would claim them. Bounds and rates of a runner are not kept.
 * - The store is that of the tests in memory, or any other. Both clocks will do: with effect's `TestClock`, time is moved.
 * - What runs beside a runner is tested with a runner: `TaskRunner.layer`, and `TestTime.advance` where time matters.
 *
 * @since 0.1.0
 */
import { Clock, Context, Effect, Fiber, Layer, Schema } from "effect"
import type { Session, Task } from "../task/Task.ts"
import { TaskError, Unfit } from "../task/TaskError.ts"
import type { Worker } from "../task/TaskRegistry.ts"
import { TaskRunner } from "../task/TaskRegistry.ts"
import type { Json, Stored, TaskId } from "../task/TaskStore.ts"
import { TaskStore } from "../task/TaskStore.ts"
import type { Options as MemoryOptions } from "../task/TaskStoreMemory.ts"
import { layerMemory as storeInMemory } from "../task/TaskStoreMemory.ts"
import { listed } from "./Enqueued.ts"
import type { Ending } from "./TaskEnding.ts"
import * as TaskEnding from "./TaskEnding.ts"
import { advance, testClockOf } from "./TestTime.ts"

export type { Enqueued, Expected } from "./Enqueued.ts"
export { enqueued, expectEnqueued, expectNoneEnqueued } from "./Enqueued.ts"
export type { Ending } from "./TaskEnding.ts"

/**
 * The handlers that there are, and the store.
 *
 * @since 0.1.0
 */
export class TestTasks extends Context.Service<
  TestTasks,
  {
    /** @internal */
    readonly workers: ReadonlyMap<string, Worker>
    /** @internal */
    readonly store: TaskStore["Service"]
  }
>()("querypool/testing/TestTasks") {}

/**
 * Takes handlers, and runs their tasks when it is told to, from the store that there is.
 *
 * @since 0.1.0
 */
export const layer: Layer.Layer<TestTasks | TaskRunner, never, TaskStore> = Layer.effectContext(
  Effect.map(TaskStore, (store) => {
    const workers = new Map<string, Worker>()
    const register = (worker: Worker) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          if (workers.has(worker.name)) return Effect.die(new Error(`Task "${worker.name}" has a handler already`))
          return Effect.sync(() => void workers.set(worker.name, worker))
        }),
        () => Effect.sync(() => void workers.delete(worker.name))
      )
    return Context.make(TestTasks, { workers, store }).pipe(
      Context.add(TaskRunner, TaskRunner.of({ register, builtIn: () => Effect.void }))
    )
  })
)

/**
 * As `layer`, with a store in memory of its own.
 *
 * @since 0.1.0
 */
export const layerMemory = (options?: MemoryOptions): Layer.Layer<TestTasks | TaskRunner | TaskStore> =>
  Layer.provideMerge(layer, storeInMemory(options))

/** A task as these helpers need it: what it reports does not matter. */
type Tested<P, A, E> = Pick<
  Task<P, A, E, Session>,
  "name" | "payload" | "success" | "error" | "queue" | "priority" | "uniqueKey" | "limitKey"
>

/**
 * What can be said of the attempt that is made.
 *
 * @since 0.1.0
 */
export interface RunOptions {
  /** Which attempt it is, from 1: the policy's delay and its last try go by that. Default 1. */
  readonly attempt?: number | undefined
  /** The task's id, by which what is chosen at random in its delays is always the same. Default "test". */
  readonly id?: TaskId | undefined
  /** Called with what the handler reports, encoded. */
  readonly onReport?: ((progress: Json) => void) | undefined
}

/**
 * Runs a task's handler once, as a runner would, and gives what would become of the task. Nothing is put into the store.
 *
 * Fails with `TaskError` for a payload that does not agree with its schema, as `Task.enqueue` does. A task without a
 * handler is a defect.
 *
 * @since 0.1.0
 */
export const run = Effect.fnUntraced(function* <P, A, E>(
  task: Tested<P, A, E>,
  payload: P,
  options: RunOptions = {}
): Effect.fn.Return<Ending<A, E>, TaskError, TestTasks> {
  const { attempt = 1, id = "test", onReport } = options
  if (!Number.isSafeInteger(attempt) || attempt < 1) {
    return yield* Effect.die(new RangeError(`Expected \`attempt\` to be an integer from 1, got ${String(attempt)}`))
  }
  const { workers } = yield* TestTasks
  const worker = workers.get(task.name)
  if (worker === undefined) return yield* Effect.die(new Error(withoutHandler(task.name, [...workers.keys()])))
  const encoded = yield* Effect.mapError(
    Schema.encodeEffect(task.payload)(payload),
    ({ message }) => new TaskError({ task: task.name, reason: new Unfit({ what: "payload", message }) })
  )
  const now = yield* Clock.currentTimeMillis
  const { name, priority, queue } = task
  const stored: Stored = {
    id,
    name,
    queue,
    priority,
    payload: asWritten(encoded),
    at: now,
    uniqueKey: task.uniqueKey?.(payload),
    limitKey: task.limitKey?.(payload),
    offeredAt: now,
    state: { _tag: "running", attempt, at: now, token: 1, lost: 0, runner, leaseUntil: now + leaseMillis }
  }
  const ended = yield* attempted(worker, stored, (progress) => onReport?.(asWritten(progress)))
  return yield* TaskEnding.of(task, stored, ended, yield* Clock.currentTimeMillis)
})

/**
 * What is run.
 *
 * @since 0.1.0
 */
export interface DrainOptions {
  /** Of this queue alone. Default: of all. */
  readonly queue?: string | undefined
  /**
   * Whether what is due later runs, too, in the order of its time: delayed tasks, and those that are tried again. With
   * effect's `TestClock` time is moved to when each is due; with the clock of the machine nothing waits, and its handler
   * sees the time of now. Default false.
   */
  readonly scheduled?: boolean | undefined
  /** After how many attempts it is taken for one that never ends, which is a defect. Default 10,000. */
  readonly limit?: number | undefined
}

/**
 * An attempt at a task of the store, and what became of it.
 *
 * @since 0.1.0
 */
export interface Drained {
  readonly id: TaskId
  readonly name: string
  readonly queue: string
  /** Which attempt it was, from 1. */
  readonly attempt: number
  /** As the store has it. */
  readonly payload: Json
  /** Encoded; `handle.await` has the typed Exit by now. */
  readonly ending: Ending<Json, Json>
}

/**
 * Runs the tasks that are ready and have a handler, those too that come to be meanwhile, one after the other, until there
 * is none. Gives what became of each attempt, in order.
 *
 * A handler that waits for time under `TestClock` waits until the test moves it: run this in a fiber, and move it.
 *
 * @since 0.1.0
 */
export const drain = Effect.fnUntraced(function* (
  options: DrainOptions = {}
): Effect.fn.Return<ReadonlyArray<Drained>, TaskError, TestTasks> {
  const { limit = 10_000, queue, scheduled = false } = options
  const { store, workers } = yield* TestTasks
  const done: Array<Drained> = []
  let moment = yield* Clock.currentTimeMillis
  for (;;) {
    moment = Math.max(moment, yield* Clock.currentTimeMillis)
    const one = yield* next(store, workers, queue, moment)
    if (one !== undefined) {
      done.push(one)
      if (done.length >= limit) return yield* Effect.die(new Error(endless(done)))
      continue
    }
    const due = scheduled ? yield* nextDue(store, workers, queue) : undefined
    if (due === undefined) return done
    const clock = yield* Clock.Clock
    if (testClockOf(clock) !== undefined) yield* advance(Math.max(0, due - clock.currentTimeMillisUnsafe()))
    moment = Math.max(moment, due)
  }
})

const runner = "TestTasks"
/** Whatever a test's handler takes, nobody else is to have its task. */
const leaseMillis = 24 * 3600 * 1000

type Store = TaskStore["Service"]
type Workers = TestTasks["Service"]["workers"]

/** Runs the task that a runner would claim first, if there is one. */
const next = (
  store: Store,
  workers: Workers,
  queue: string | undefined,
  now: number
): Effect.Effect<Drained | undefined, TaskError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* store.sweep(now)
      const names = [...workers.keys()]
      const queues = new Set([...workers.values()].map((worker) => worker.queue))
      const [claimed] = yield* store.claim({
        runner,
        queues: [...queues]
          .filter((one) => queue === undefined || one === queue)
          .map((one) => ({ queue: one, limit: 1 })),
        limit: 1,
        names,
        leaseMillis,
        now
      })
      const worker = workers.get(claimed?.name ?? "")
      if (claimed === undefined || worker === undefined) return undefined
      const { id, token } = claimed
      let progress: Json | undefined
      const report = (latest: Json): void => {
        progress = latest
      }
      const ended = yield* Effect.onInterrupt(restore(attempted(worker, claimed, report)), () =>
        Effect.ignore(store.settle([{ id, token, input: { _tag: "handBack" } }], now))
      )
      if (progress !== undefined) yield* store.report([{ id, token, progress }])
      const at = Math.max(now, yield* Clock.currentTimeMillis)
      const stale = yield* store.settle([{ id, token, ...ended }], at)
      const { name, payload, state } = claimed
      const ending: Ending<Json, Json> =
        stale.length > 0 ? { _tag: "cancelled" } : yield* TaskEnding.of(plain(name), claimed, ended, at)
      return { id, name, queue: claimed.queue, attempt: state.attempt, payload, ending }
    })
  )

const plain = (name: string) => ({ name, success: Schema.Json, error: Schema.Json })

/** When the next task is due that has a handler. */
const nextDue = (
  store: Store,
  workers: Workers,
  queue: string | undefined
): Effect.Effect<number | undefined, TaskError> =>
  Effect.map(listed(store, { states: ["scheduled", "retrying"], queue }), (waiting) => {
    const moments = waiting.flatMap(({ name, state }) => (workers.has(name) ? [state.at] : []))
    return moments.length === 0 ? undefined : moments.reduce((first, at) => Math.min(first, at))
  })

/** In a fiber of its own: that the test is interrupted is told from a handler that interrupts itself. */
const attempted = (worker: Worker, task: Stored, report: (progress: Json) => void) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      let isStopped = false
      const { attempt: number } = task.state
      const attempt = worker.attempt({ task, number, report, begins: () => undefined, isStopped: () => isStopped })
      return Effect.flatMap(Effect.forkChild(attempt, { uninterruptible: true }), (fiber) =>
        Effect.onInterrupt(restore(Fiber.join(fiber)), () => {
          isStopped = true
          return Fiber.interrupt(fiber)
        })
      )
    })
  )

/** As a store in another process would have it: JSON has fewer values than JavaScript. */
const asWritten = (value: Json): Json => {
  const read: Json = JSON.parse(JSON.stringify(value))
  return read
}

const withoutHandler = (name: string, handled: ReadonlyArray<string>): string =>
  `Task "${name}" has no handler here; ` +
  (handled.length === 0 ? "no task has" : `these have: ${handled.map((one) => `"${one}"`).join(", ")}`) +
  `. Provide its layer, made by Task.toLayer, with TestTasks.layerMemory()`

const endless = (done: ReadonlyArray<Drained>): string => {
  const last = done.slice(-3).map(({ attempt, ending, name }) => `"${name}" (attempt ${attempt}: ${ending._tag})`)
  return (
    `Not drained after ${done.length} attempts; the last were ${last.join(", ")}. Does a task bring about the next one ` +
    `for ever? Then run what is ready, without \`scheduled\`, or say a \`limit\``
  )
}
