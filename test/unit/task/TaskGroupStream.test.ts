import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, Layer, Queue, Schema, Stream } from "effect"
import * as Task from "../../../src/task/Task.ts"
import * as TaskGroup from "../../../src/task/TaskGroup.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { isEnded } from "../../../src/task/TaskState.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { timePasses } from "../query/timePasses.ts"

const square = Task.make("square", {
  payload: Schema.Finite,
  success: Schema.Finite,
  error: Schema.Literal("odd"),
  session: "none"
})
const wait = Task.make("wait", { payload: Schema.Finite, session: "none" })
const { member } = TaskGroup

const handlers = Layer.merge(
  Task.toLayer(square, (n) => (n % 100 === 99 ? Effect.fail("odd") : Effect.succeed(n * n))),
  Task.toLayer(wait, (millis) => Effect.sleep(millis))
)

const withRunner = <A, E, R>(test: Effect.Effect<A, E, R | TaskStore>, retained = 10_000) =>
  test.pipe(
    Effect.provide(
      Layer.provideMerge(Layer.provide(handlers, TaskRunner.layer({ concurrency: 200 })), layerMemory({ retained }))
    )
  )

const stored = Effect.flatMap(TaskStore, ({ list }) => list({ limit: 100_000 }))
/** How many have not ended. */
const open = Effect.map(stored, (tasks) => tasks.filter(({ state }) => !isEnded(state)).length)

const numbers = (count: number) => Stream.map(Stream.range(1, count), (n) => member(square, n))

describe("a stream of tasks", () => {
  it.effect("gives each member with its Exit", () =>
    withRunner(
      Effect.gen(function* () {
        const results = yield* Stream.runCollect(TaskGroup.stream(numbers(1000)))
        const byNumber = new Map(results.map(({ exit, member }) => [member.payload, exit]))
        assert.strictEqual(byNumber.size, 1000)
        for (const [n, exit] of byNumber) {
          assert.deepStrictEqual(exit, n % 100 === 99 ? Exit.fail("odd") : Exit.succeed(n * n))
        }
      })
    )
  )

  it.effect("gives them as they end", () =>
    withRunner(
      Effect.gen(function* () {
        const members = [30, 10, 20].map((millis) => member(wait, millis))
        const ended: Array<number> = []
        const fiber = yield* Effect.forkChild(
          Stream.runForEach(TaskGroup.stream(members), ({ member }) => Effect.sync(() => ended.push(member.payload)))
        )
        for (let turn = 0; turn < 3; turn++) yield* timePasses(10)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(ended, [10, 20, 30])
      })
    )
  )

  it.effect("has no more of them in the store at a time than its concurrency, and the store no more in all", () =>
    withRunner(
      Effect.gen(function* () {
        const { watch } = yield* TaskStore
        let most = 0
        let mostOpen = 0
        const look = Effect.gen(function* () {
          most = Math.max(most, (yield* stored).length)
          mostOpen = Math.max(mostOpen, yield* open)
        })
        yield* Effect.forkChild(Stream.runForEach(watch(), () => look))
        const count = yield* TaskGroup.stream(numbers(1000), { concurrency: 20 }).pipe(
          Stream.tap(() => look),
          Stream.runCount
        )
        assert.strictEqual(count, 1000)
        assert.strictEqual(mostOpen, 20)
        assert.isAtMost(most, 20 + 50)
      }),
      25
    )
  )

  it.effect("does not run ahead of who reads slowly", () =>
    withRunner(
      Effect.gen(function* () {
        const gate = yield* Latch.make(false)
        let taken = 0
        const members = (function* () {
          while (taken < 1000) yield member(square, ++taken)
        })()
        const reader = yield* Effect.forkChild(
          Stream.runForEach(TaskGroup.stream(members, { concurrency: 10 }), () => gate.await)
        )
        yield* timePasses(1000)
        const before = taken
        // Those that are read together, those that are ready behind them, and one in the hands of each worker.
        assert.isAtMost(before, 30)
        yield* timePasses(1000)
        assert.strictEqual(taken, before)
        assert.lengthOf(yield* stored, before)
        yield* gate.open
        yield* Fiber.join(reader)
        assert.strictEqual(taken, 1000)
      })
    )
  )

  it.effect("cancels what it has offered when it is left before its end", () =>
    withRunner(
      Effect.gen(function* () {
        const members = Stream.map(Stream.range(1, 1000), (n) => member(wait, n * 1000))
        const first = yield* Effect.forkChild(
          Stream.runCollect(Stream.take(TaskGroup.stream(members, { concurrency: 5 }), 1))
        )
        yield* timePasses(1000)
        assert.strictEqual((yield* Fiber.join(first))[0]?.member.payload, 1000)
        const states = (yield* stored).map(({ state }) => state._tag)
        assert.strictEqual(yield* open, 0)
        assert.lengthOf(
          states.filter((state) => state === "succeeded"),
          1
        )
        const second = yield* Effect.forkChild(Stream.runDrain(TaskGroup.stream(members, { concurrency: 5 })))
        yield* timePasses(100)
        assert.strictEqual(yield* open, 5)
        yield* Fiber.interrupt(second)
        assert.strictEqual(yield* open, 0)
      })
    )
  )

  it.effect("fails with what its source fails with, after the Exits of what came before", () =>
    withRunner(
      Effect.gen(function* () {
        const seen = yield* Queue.unbounded<number>()
        const source = Stream.concat(numbers(3), Stream.fail("lost"))
        const exit = yield* Effect.exit(
          Stream.runForEach(TaskGroup.stream(source), ({ member }) => Queue.offer(seen, member.payload))
        )
        assert.deepStrictEqual(exit, Exit.fail("lost"))
        assert.strictEqual(yield* Queue.size(seen), 3)
      })
    )
  )

  it.effect("fails at a member that cannot be offered, and cancels the others", () =>
    withRunner(
      Effect.gen(function* () {
        const members = [member(wait, 1000), member(wait, Number.NaN)]
        const exit = yield* Effect.exit(Stream.runDrain(TaskGroup.stream(members)))
        assert.include(String(exit), "its payload does not agree with its schema")
        assert.strictEqual(yield* open, 0)
      })
    )
  )

  it.effect("refuses a concurrency that is none", () =>
    Effect.gen(function* () {
      for (const concurrency of [0, 1.5, Number.NaN]) {
        const exit = yield* Effect.exit(Stream.runDrain(TaskGroup.stream(numbers(1), { concurrency })))
        assert.include(String(exit), "Expected `concurrency` to be an integer from 1, got")
      }
    }).pipe(Effect.provide(layerMemory()))
  )
})
