import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schedule, Schema, Scope } from "effect"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as Task from "../../../src/task/Task.ts"
import { TaskError } from "../../../src/task/TaskError.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { timePasses } from "../query/timePasses.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}

const mail = Task.make("mail", {
  payload: Schema.Struct({ id: Schema.Finite }),
  success: Schema.String,
  error: Busy,
  session: "none",
  timeout: "1 minute"
})
const retried = Task.make("retried", {
  payload: Schema.Finite,
  error: Busy,
  session: "none",
  retry: RetryPolicy.make({
    on: ["Busy", "TimedOut"],
    schedule: Schedule.upTo(Schedule.exponential("1 second"), { times: 3 })
  }),
  timeout: "1 minute"
})

const one = (queue: string, limitKey?: (payload: number) => string) =>
  Task.make(queue, { payload: Schema.Finite, session: "none", queue, limitKey })

/** Runs handlers in a scope of its own, for those that stop them. */
const withRunner = <A, E, R>(
  handlers: Layer.Layer<never, never, TaskRunner.TaskRunner>,
  test: Effect.Effect<A, E, R | TaskStore>,
  options?: TaskRunner.Options
) => test.pipe(Effect.provide(Layer.provideMerge(Layer.provide(handlers, TaskRunner.layer(options)), layerMemory())))

const reasonOf = <A, E>(exit: Exit.Exit<A, E>) => {
  const error = Exit.isFailure(exit)
    ? exit.cause.reasons.flatMap((reason) => ("error" in reason ? [reason.error] : []))[0]
    : undefined
  return error instanceof TaskError ? error.reason._tag : error
}

describe("a runner", () => {
  it.effect("gives whoever waits the handler's typed value and error", () =>
    withRunner(
      Task.toLayer(mail, ({ id }) => (id === 1 ? Effect.succeed("sent") : Effect.fail(new Busy({ line: id })))),
      Effect.gen(function* () {
        const [first, second] = yield* Task.enqueueAll(mail, [{ id: 1 }, { id: 2 }])
        assert.deepStrictEqual(yield* first?.await ?? Effect.die("no handle"), Exit.succeed("sent"))
        assert.deepStrictEqual(reasonOf(yield* second?.await ?? Effect.die("no handle")), new Busy({ line: 2 }))
      })
    )
  )

  it.effect("starts a delayed task to the millisecond", () => {
    const ran: Array<number> = []
    return withRunner(
      Task.toLayer(mail, ({ id }) => Effect.sync(() => `${ran.push(id)}`)),
      Effect.gen(function* () {
        yield* Task.enqueue(mail, { id: 1 }, { delay: "1 hour" })
        yield* Task.enqueue(mail, { id: 2 }, { delay: 50 })
        yield* timePasses(49)
        assert.deepStrictEqual(ran, [])
        yield* timePasses(1)
        assert.deepStrictEqual(ran, [2])
        yield* timePasses(3_599_949)
        assert.deepStrictEqual(ran, [2])
        yield* timePasses(1)
        assert.deepStrictEqual(ran, [2, 1])
      })
    )
  })

  it.effect("tries again what its policy names, by the attempt's number, and then has it dead", () => {
    const attempts: Array<number> = []
    return withRunner(
      Task.toLayer(retried, (line, { attempt }) =>
        Effect.suspend(() => {
          attempts.push(attempt)
          return Effect.fail(new Busy({ line }))
        })
      ),
      Effect.gen(function* () {
        const handle = yield* Task.enqueue(retried, 7)
        yield* timePasses(999)
        assert.deepStrictEqual(attempts, [1])
        yield* timePasses(1)
        assert.deepStrictEqual(attempts, [1, 2])
        yield* timePasses(2000)
        yield* timePasses(4000)
        assert.deepStrictEqual(attempts, [1, 2, 3, 4])
        assert.strictEqual(reasonOf(yield* handle.await), "Dead")
        const { list } = yield* TaskStore
        assert.lengthOf(yield* list({ states: ["dead"] }), 1)
      })
    )
  })

  it.effect("ends an attempt that takes too long, and tries again where that is named", () => {
    const attempts: Array<number> = []
    return withRunner(
      Task.toLayer(retried, (_, { attempt }) =>
        Effect.suspend(() => {
          attempts.push(attempt)
          return attempt === 1 ? Effect.never : Effect.void
        })
      ),
      Effect.gen(function* () {
        const handle = yield* Task.enqueue(retried, 7)
        yield* timePasses(60_000)
        yield* timePasses(1000)
        assert.isTrue(Exit.isSuccess(yield* handle.await))
        assert.deepStrictEqual(attempts, [1, 2])
      })
    )
  })

  it.effect("does as its handler says: later without counting, later, and not at all", () => {
    const attempts: Array<string> = []
    return withRunner(
      Task.toLayer(mail, ({ id }, { attempt }) => {
        attempts.push(`${id}.${attempt}`)
        const isFirst = attempts.filter((one) => one.startsWith(`${id}.`)).length === 1
        if (id === 3) return Task.discard("gone")
        if (!isFirst) return Effect.succeed("done")
        return id === 1 ? Task.snooze("1 second") : Task.retryIn("1 second")
      }),
      Effect.gen(function* () {
        const handles = yield* Task.enqueueAll(mail, [{ id: 1 }, { id: 2 }, { id: 3 }])
        yield* timePasses(1000)
        const ends = yield* Effect.forEach(handles, (handle) => handle.await)
        assert.deepStrictEqual(attempts, ["1.1", "2.1", "3.1", "1.1", "2.2"])
        assert.deepStrictEqual(ends.map(Exit.isSuccess), [true, true, false])
        assert.deepStrictEqual(ends.map(reasonOf), [undefined, undefined, "Discarded"])
      })
    )
  })

  it.effect("has a task dead at once whose handler dies, or whose payload nobody can read", () =>
    withRunner(
      Task.toLayer(mail, () => Effect.die(new Error("broken"))),
      Effect.gen(function* () {
        const { offer } = yield* TaskStore
        const unfit = { id: "u", name: "mail", queue: "default", priority: 0, payload: { id: "x" }, at: 0 }
        yield* offer([unfit], 0)
        const dies = yield* Task.enqueue(mail, { id: 1 })
        assert.strictEqual(reasonOf(yield* dies.await), "Dead")
        const exit = yield* Effect.flatMap(Task.handle(mail, "u"), (handle) => handle.await)
        assert.strictEqual(reasonOf(exit), "Dead")
        assert.include(String(exit), `["id"]`)
      })
    )
  )

  it.effect("keeps to its bounds in all, by queue and by key", () => {
    let [running, most] = [0, 0]
    const byQueue = new Map<string, number>()
    const handler = (queue: string) => () =>
      Effect.gen(function* () {
        most = Math.max(most, ++running)
        const now = (byQueue.get(queue) ?? 0) + 1
        byQueue.set(queue, now)
        assert.isAtMost(now, queue === "keyed" ? 1 : 2, queue)
        yield* Effect.sleep(10)
        byQueue.set(queue, (byQueue.get(queue) ?? 1) - 1)
        running--
      })
    const [slow, wide, keyed] = [one("slow"), one("wide"), one("keyed", () => "same")]
    return withRunner(
      Layer.mergeAll(
        Task.toLayer(slow, handler("slow")),
        Task.toLayer(keyed, handler("keyed")),
        Task.toLayer(wide, handler("wide"))
      ),
      Effect.gen(function* () {
        const handles = yield* Effect.forEach([slow, wide, keyed], (task) => Task.enqueueAll(task, [1, 2, 3, 4, 5, 6]))
        for (let turn = 0; turn < 20; turn++) yield* timePasses(10)
        const ends = yield* Effect.forEach(handles.flat(), (handle) => handle.await)
        assert.isTrue(ends.every(Exit.isSuccess))
        assert.strictEqual(most, 4)
      }),
      { concurrency: 4, queues: { slow: { concurrency: 2 }, wide: { concurrency: 2 } } }
    )
  })

  it.effect("interrupts the handler of a task that is cancelled", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      yield* withRunner(
        Task.toLayer(mail, () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))),
        Effect.gen(function* () {
          const handle = yield* Task.enqueue(mail, { id: 1 })
          yield* timePasses(1)
          assert.strictEqual((yield* handle.status)._tag, "running")
          assert.isTrue(yield* handle.cancel)
          yield* Deferred.await(interrupted)
          assert.strictEqual(reasonOf(yield* handle.await), "Cancelled")
        })
      )
    })
  )

  it.effect("stops with what ends in time, and hands the rest back with its attempt not counted", () =>
    Effect.gen(function* () {
      const store = yield* TaskStore
      const scope = yield* Scope.make()
      const handlers = Task.toLayer(mail, ({ id }) => Effect.as(Effect.sleep(id), "done"))
      yield* Layer.buildWithScope(Layer.provide(handlers, TaskRunner.layer({ drain: 1000, concurrency: 2 })), scope)
      const handles = yield* Task.enqueueAll(mail, [{ id: 500 }, { id: 5000 }, { id: 1 }])
      yield* timePasses(1)
      const stop = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* timePasses(1000)
      yield* Fiber.join(stop)
      const stored = yield* store.get(handles.map(({ id }) => id))
      assert.deepStrictEqual(
        stored.map(({ state }) => [state._tag, state.attempt]),
        [
          ["succeeded", 1],
          ["ready", 0],
          ["ready", 0]
        ]
      )
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("keeps its leases while a handler runs for longer than one", () =>
    Effect.gen(function* () {
      let begun = 0
      yield* withRunner(
        Task.toLayer(mail, () =>
          Effect.as(
            Effect.andThen(
              Effect.sync(() => begun++),
              Effect.sleep("50 seconds")
            ),
            "late"
          )
        ),
        Effect.gen(function* () {
          const handle = yield* Task.enqueue(mail, { id: 1 })
          yield* timePasses(10_000)
          yield* timePasses(40_000)
          assert.deepStrictEqual(yield* handle.await, Exit.succeed("late"))
          assert.strictEqual(begun, 1)
        }),
        { lease: "6 seconds" }
      )
    })
  )

  it.effect("refuses payloads and delays that cannot be", () =>
    Effect.gen(function* () {
      const unfit = yield* Effect.exit(Task.enqueue(mail, { id: Number.NaN }))
      assert.strictEqual(reasonOf(unfit), "Unfit")
      assert.strictEqual(reasonOf(yield* Effect.exit(Task.enqueue(mail, { id: 1 }, { delay: -1 }))), "Impossible")
    }).pipe(Effect.provide(layerMemory()))
  )
})
