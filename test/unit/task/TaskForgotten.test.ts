/** Many who wait for one task, a slow reader of its progress, and tasks that the store has forgotten meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { TestTime } from "querypool/testing"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"

const counted = Task.make("counted", {
  payload: Schema.Finite,
  success: Schema.Finite,
  progress: Schema.Finite,
  session: "none"
})

describe("a task", () => {
  it.effect("tells its end to each of a thousand that wait for it", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const handler = Task.toLayer(counted, (number) => Effect.as(Deferred.await(gate), number))
      yield* Layer.build(Layer.provide(handler, TaskRunner.layer()))
      const handle = yield* Task.enqueue(counted, 7)
      const waiting = yield* Effect.forEach(Array.from({ length: 1000 }), () => Effect.forkChild(handle.await))
      yield* TestTime.advance(10)
      yield* Deferred.succeed(gate, undefined)
      for (const fiber of waiting) assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.succeed(7))
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  )

  it.effect("that is forgotten before a slow reader is done ends its progress, with what is known of it", () =>
    Effect.gen(function* () {
      const handler = Task.toLayer(counted, (number, { report }) =>
        Effect.gen(function* () {
          for (let step = 1; step <= 5; step++) {
            yield* report(step)
            yield* Effect.sleep(10)
          }
          return number
        })
      )
      yield* Layer.build(Layer.provide(handler, TaskRunner.layer()))
      const handle = yield* Task.enqueue(counted, 1)
      const seen: Array<number> = []
      const reader = yield* Effect.forkChild(
        Effect.exit(
          Stream.runForEach(handle.progress, (step) =>
            Effect.andThen(
              Effect.sleep(1000),
              Effect.sync(() => seen.push(step))
            )
          )
        )
      )
      yield* TestTime.advance(500)
      yield* Task.enqueue(counted, 2)
      yield* TestTime.advance(5000)
      const exit = yield* Fiber.join(reader)
      assert.deepStrictEqual(seen, [1])
      assert.include(String(exit), "the store knows no task with the id")
      assert.include(String(yield* handle.await), "It may have ended long ago")
    }).pipe(Effect.scoped, Effect.provide(layerMemory({ retained: 1, retention: "100 millis" })))
  )
})
