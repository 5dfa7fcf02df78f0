/** One handler at a time for each task, also where it is cancelled, queued again and claimed while its handler stops. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { TestTime } from "querypool/testing"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"

const slow = Task.make("slow", { payload: Schema.Finite, session: "none" })

describe("a task that is cancelled and queued again", () => {
  it.effect("begins again when its handler has stopped, and keeps both in the bounds", () => {
    let [now, most, begun] = [0, 0, 0]
    const handler = Task.toLayer(slow, () =>
      Effect.gen(function* () {
        begun++
        most = Math.max(most, ++now)
        yield* Effect.onExit(Effect.sleep("1 minute"), () =>
          Effect.andThen(
            Effect.sleep(1000),
            Effect.sync(() => now--)
          )
        )
      })
    )
    return Effect.gen(function* () {
      yield* Layer.build(Layer.provide(handler, TaskRunner.layer({ concurrency: 5, drain: 0 })))
      const { id, cancel, status } = yield* Task.enqueue(slow, 1)
      yield* TestTime.advance(10)
      assert.strictEqual(begun, 1)
      assert.isTrue(yield* cancel)
      assert.deepStrictEqual(yield* Task.requeue([id]), [id])
      yield* TestTime.advance(500)
      assert.strictEqual(begun, 1)
      yield* TestTime.advance(1000)
      assert.strictEqual(begun, 2)
      assert.strictEqual(most, 1)
      assert.strictEqual((yield* status)._tag, "running")
      yield* TestTime.advance("2 minutes")
      assert.strictEqual((yield* status)._tag, "succeeded")
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  })

  it.effect("is waited for by a stop, in both of its attempts", () => {
    let now = 0
    const handler = Task.toLayer(slow, () =>
      Effect.gen(function* () {
        now++
        yield* Effect.onExit(Effect.sleep("1 minute"), () =>
          Effect.andThen(
            Effect.sleep(1000),
            Effect.sync(() => now--)
          )
        )
      })
    )
    return Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Layer.provide(handler, TaskRunner.layer({ drain: 0 })), scope)
      const { id, cancel, status } = yield* Task.enqueue(slow, 1)
      yield* TestTime.advance(10)
      yield* cancel
      yield* Task.requeue([id])
      yield* TestTime.advance(10)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestTime.advance(900)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestTime.advance(200)
      yield* Fiber.join(closing)
      assert.strictEqual(now, 0)
      assert.deepInclude(yield* status, { _tag: "ready", attempt: 0 })
    }).pipe(Effect.provide(layerMemory()))
  })

  it.effect("can be cancelled while it waits for its handler to stop", () => {
    let begun = 0
    return Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const handler = Task.toLayer(slow, () =>
        Effect.suspend(() => {
          begun++
          return Effect.onExit(Effect.never, () => Deferred.await(gate))
        })
      )
      yield* Layer.build(Layer.provide(handler, TaskRunner.layer({ concurrency: 5, drain: 0 })))
      const { id, cancel, status } = yield* Task.enqueue(slow, 1)
      yield* TestTime.advance(10)
      for (let round = 0; round < 5; round++) {
        assert.isTrue(yield* cancel)
        assert.isFalse(yield* cancel)
        assert.deepStrictEqual(yield* Task.requeue([id]), [id])
        assert.deepStrictEqual(yield* Task.requeue([id]), [])
        yield* TestTime.advance(10)
      }
      yield* cancel
      yield* TestTime.advance(10)
      yield* Deferred.succeed(gate, undefined)
      yield* TestTime.advance(10)
      assert.strictEqual(begun, 1)
      assert.strictEqual((yield* status)._tag, "cancelled")
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  })
})
