/** Stores that fail for a while, leases that are lost, handlers that die or do not stop: what becomes of tasks, and the log. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Queue, Schema, Stream } from "effect"
import { TestTime } from "querypool/testing"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { logged } from "./logged.ts"
import { outage } from "./outage.ts"

const work = Task.make("work", { payload: Schema.Finite, session: "none", timeout: "1 minute" })
const counted = Task.make("counted", { payload: Schema.Finite, progress: Schema.Finite, session: "none" })

type Handlers = Layer.Layer<never, never, TaskRunner.TaskRunner>

/** Each with a runner of its own, if there are several. */
const running = (handlers: Handlers, options: TaskRunner.Options = {}) =>
  Layer.provide(handlers, Layer.fresh(TaskRunner.layer({ drain: 0, ...options })))

const stateOf = Effect.fnUntraced(function* (id: string) {
  const { get } = yield* TaskStore
  const [stored] = yield* get([id])
  return `${stored?.state._tag} ${stored?.state.attempt}`
})

/** What is logged while a store is switched off and on, without what is said of it. */
const setUp = () => ({ ...outage(), ...logged() })

describe("while a store fails", () => {
  it.effect("what a handler has done is not forgotten, and not done again", () => {
    const { failing, lines, logger, store } = setUp()
    let begun = 0
    const handlers = Task.toLayer(work, () =>
      Effect.andThen(
        Effect.sync(() => begun++),
        Effect.sleep(100)
      ).pipe(Effect.asVoid)
    )
    return Effect.gen(function* () {
      yield* Layer.build(running(handlers))
      const handle = yield* Task.enqueue(work, 1)
      failing.add("settle")
      yield* TestTime.advance(5500)
      assert.strictEqual(yield* stateOf(handle.id), "running 1")
      failing.clear()
      yield* TestTime.advance(1000)
      assert.isTrue(Exit.isSuccess(yield* handle.await))
      assert.strictEqual(begun, 1)
      assert.deepStrictEqual(lines, [
        "Warn: The store of tasks cannot keep what became of tasks, and is asked again each second: A task: the store could not be asked: no connection",
        "Info: The store of tasks can keep what became of tasks again"
      ])
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(store, logger)))
  })

  it.effect("nothing is claimed, and everything once it works again", () => {
    const { failing, lines, logger, store } = setUp()
    const ran: Array<number> = []
    const handlers = Task.toLayer(work, (number) => Effect.sync(() => ran.push(number)).pipe(Effect.asVoid))
    return Effect.gen(function* () {
      failing.add("claim").add("watch").add("sweep")
      yield* Layer.build(running(handlers))
      yield* Task.enqueueAll(work, [1, 2, 3])
      yield* TestTime.advance(3000)
      assert.deepStrictEqual(ran, [])
      failing.clear()
      yield* TestTime.advance(1000)
      assert.deepStrictEqual(ran, [1, 2, 3])
      yield* Task.enqueue(work, 4)
      yield* TestTime.advance(1)
      assert.deepStrictEqual(ran, [1, 2, 3, 4])
      assert.deepStrictEqual(lines.map((line) => line.slice(0, 4)).toSorted(), ["Info", "Info", "Warn", "Warn"])
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(store, logger)))
  })

  it.effect("leases are kept if it works again before they run out, at whatever moment", () =>
    Effect.gen(function* () {
      for (let from = 0; from <= 10_000; from += 1000) {
        const { failing, store } = setUp()
        const handlers = Task.toLayer(work, () => Effect.asVoid(Effect.sleep("50 seconds")))
        yield* Effect.gen(function* () {
          yield* Layer.build(running(handlers))
          const { id, await: ended } = yield* Task.enqueue(work, 1)
          yield* TestTime.advance(from)
          failing.add("renew")
          yield* TestTime.advance(18_000)
          failing.clear()
          yield* TestTime.advance(50_000)
          assert.strictEqual(yield* stateOf(id), "succeeded 1", String(from))
          yield* ended
        }).pipe(Effect.scoped, Effect.provide(store))
      }
    })
  )

  it.effect("what is cancelled is stopped, though nobody tells of it", () => {
    const { failing, store } = setUp()
    return Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const handlers = Task.toLayer(work, () =>
        Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      )
      failing.add("watch")
      yield* Layer.build(running(handlers))
      const { cancel } = yield* Task.enqueue(work, 1)
      yield* TestTime.advance(1000)
      yield* cancel
      yield* TestTime.advance(10_000)
      assert.isTrue(yield* Deferred.isDone(interrupted))
    }).pipe(Effect.scoped, Effect.provide(store))
  })
})

describe("what a handler reports", () => {
  it.effect("is said to the store at once, the latest of each, and before its end", () => {
    const { asked, store } = setUp()
    const handlers = Task.toLayer(counted, (to, { report }) =>
      Effect.forEach(Array.from({ length: to }), (_, index) => report(index + 1), { discard: true })
    )
    return Effect.gen(function* () {
      yield* Layer.build(running(handlers))
      const handles = yield* Task.enqueueAll(counted, [1000, 2000, 3000])
      yield* TestTime.advance(1)
      const listed = yield* Task.list({ task: counted })
      assert.deepStrictEqual(
        listed.map(({ progress }) => progress),
        [1000, 2000, 3000].map((last) => Option.some(last))
      )
      // A fiber has its turn for some 2,000 steps.
      assert.isAtMost(asked.get("report") ?? 0, 12)
      yield* Effect.forEach(handles, ({ await: ended }) => ended)
    }).pipe(Effect.scoped, Effect.provide(store))
  })

  it.effect("waits for a store that fails, and nothing else waits for it", () => {
    const { failing, lines, logger, store } = setUp()
    return Effect.gen(function* () {
      const steps = yield* Queue.unbounded<number>()
      const handlers = Task.toLayer(counted, (to, { report }) =>
        to === 0
          ? Effect.void
          : Effect.repeat(
              Effect.flatMap(Queue.take(steps), (step) => Effect.as(report(step), step)),
              {
                until: (step) => step === to
              }
            ).pipe(Effect.asVoid)
      )
      failing.add("report")
      yield* Layer.build(running(handlers))
      const handle = yield* Task.enqueue(counted, 3)
      const seen = yield* Effect.forkChild(Stream.runCollect(handle.progress))
      yield* Queue.offerAll(steps, [1, 2])
      const other = yield* Task.enqueue(counted, 0)
      yield* TestTime.advance(1000)
      assert.strictEqual(yield* stateOf(other.id), "succeeded 1")
      failing.clear()
      yield* TestTime.advance(1000)
      yield* Queue.offer(steps, 3)
      yield* TestTime.advance(1)
      assert.deepStrictEqual(yield* Fiber.join(seen), [2, 3])
      assert.lengthOf(lines, 2)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(store, logger)))
  })
})

describe("a lease that is lost", () => {
  it.effect("stops the handler here, names it, and what it ended with is of no account", () => {
    const { failing, lines, logger, store } = setUp()
    const attempts: Array<string> = []
    const handlers = (runner: string) =>
      Task.toLayer(work, (_, { attempt }) =>
        Effect.gen(function* () {
          attempts.push(`${runner} ${attempt}`)
          yield* Effect.sleep("40 seconds")
          attempts.push(`${runner} ${attempt} ends`)
        })
      )
    return Effect.gen(function* () {
      yield* Layer.build(running(handlers("first"), { name: "first" }))
      const { id } = yield* Task.enqueue(work, 1)
      yield* TestTime.advance(1)
      // The first one hears and says nothing any more.
      failing.add("renew").add("sweep").add("claim").add("watch")
      yield* TestTime.advance(30_000)
      failing.clear()
      const { sweep } = yield* TaskStore
      yield* sweep(30_001)
      yield* Layer.build(running(handlers("second"), { name: "second" }))
      yield* TestTime.advance(50_000)
      assert.strictEqual(yield* stateOf(id), "succeeded 2")
      assert.strictEqual(attempts.filter((line) => line.endsWith("ends")).length, 1, attempts.join())
      assert.include(
        lines.join("\n"),
        `Warn: Task "work" (${id}) is stopped here: it was cancelled, or its lease had run out`
      )
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(store, logger)))
  })

  it.effect("of a runner that died is named, and the third one in a row is the end of the task", () => {
    const { lines, logger } = logged()
    const never: Handlers = Task.toLayer(counted, () => Effect.never)
    return Effect.gen(function* () {
      const { claim } = yield* TaskStore
      yield* Layer.build(running(never))
      const { id, await: ended } = yield* Task.enqueue(work, 1)
      for (let now = 0; now < 300; now += 100) {
        const request = { runner: "poor", queues: [{ queue: "default", limit: 1 }], names: ["work"] }
        assert.lengthOf(yield* claim({ ...request, leaseMillis: 100, now }), 1)
        yield* TestTime.advance(100)
      }
      const exit = yield* ended
      assert.include(String(exit), "its lease ran out 3 times in a row")
      assert.deepStrictEqual(lines, [
        `Warn: Task "work" (${id}) is to run again: its lease ran out, at last that of "poor", which may have died of it`,
        `Warn: Task "work" (${id}) is to run again: its lease ran out 2 times in a row, at last that of "poor", which may have died of it`,
        `Error: Task "work" (${id}) is dead: its lease ran out 3 times in a row, at last that of "poor", which may have died of it`
      ])
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layerMemory(), logger)))
  })
})

describe("the log", () => {
  it.effect("names a task whose handler died, with the defect", () => {
    const { lines, logger } = logged()
    const handlers = Task.toLayer(work, () => Effect.die(new Error("broken pipe")))
    return Effect.gen(function* () {
      yield* Layer.build(running(handlers))
      const { id, await: ended } = yield* Task.enqueue(work, 1)
      yield* ended
      yield* TestTime.advance(1)
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", new RegExp(`^Error: Task "work" \\(${id}\\) is dead: Error: broken pipe`))
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect("names one that is handed back", () => {
    const { lines, logger } = logged()
    const handlers = Task.toLayer(work, () => Effect.never)
    return Effect.gen(function* () {
      const { id } = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Layer.build(running(handlers))
          const handle = yield* Task.enqueue(work, 1)
          yield* TestTime.advance(1)
          return handle
        })
      )
      assert.deepStrictEqual(lines, [`Warn: Task "work" (${id}) did not end and was handed back`])
    }).pipe(Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect("names one that goes on long after its timeout, once", () => {
    const { lines, logger } = logged()
    const handlers = Task.toLayer(work, () => Effect.uninterruptible(Effect.sleep("3 minutes")))
    return Effect.gen(function* () {
      yield* Layer.build(running(handlers))
      const { id } = yield* Task.enqueue(work, 1)
      yield* TestTime.advance("64 seconds")
      assert.deepStrictEqual(lines, [])
      yield* TestTime.advance("100 seconds")
      assert.deepStrictEqual(lines, [`Warn: Task "work" (${id}) does not stop: it has run for 70000 ms`])
      yield* TestTime.advance("100 seconds")
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect("names tasks that wait for a handler which is not here, once", () => {
    const { lines, logger } = logged()
    const handlers = Task.toLayer(work, () => Effect.void)
    return Effect.gen(function* () {
      yield* Layer.build(running(handlers))
      const handle = yield* Task.enqueue(counted, 1)
      yield* TestTime.advance("59 seconds")
      assert.deepStrictEqual(lines, [])
      yield* TestTime.advance("10 minutes")
      assert.deepStrictEqual(lines, [
        `Warn: No handler for task "counted" is here: 1 wait in queue "default", and will until one comes`
      ])
      assert.strictEqual(yield* stateOf(handle.id), "ready 0")
      yield* Layer.build(running(Task.toLayer(counted, () => Effect.void)))
      yield* handle.await
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layerMemory(), logger)))
  })
})
