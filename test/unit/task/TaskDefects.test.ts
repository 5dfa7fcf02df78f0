/** What dies beside a handler: a schema, a policy or a key that throws. A task ends in any case, and its place is free. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schedule, Schema, SchemaTransformation } from "effect"
import { TestTime } from "querypool/testing"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { logged } from "./logged.ts"

const broken = (): never => {
  throw new Error("the schema is broken")
}

const reads = Schema.String.pipe(
  Schema.decodeTo(Schema.String, SchemaTransformation.transform({ decode: broken, encode: (text: string) => text }))
)
const writes = Schema.String.pipe(
  Schema.decodeTo(Schema.String, SchemaTransformation.transform({ decode: (text: string) => text, encode: broken }))
)

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}

const tasks = {
  payload: Task.make("payload", { payload: reads, session: "none" }),
  success: Task.make("success", { payload: Schema.String, success: writes, session: "none" }),
  policy: Task.make("policy", {
    payload: Schema.String,
    error: Busy,
    session: "none",
    retry: RetryPolicy.make({ on: ["Busy"], schedule: Schedule.while(Schedule.spaced("1 second"), broken) })
  }),
  error: Task.make("error", {
    payload: Schema.String,
    error: Schema.Struct({ _tag: Schema.tag("No"), text: writes }),
    session: "none"
  })
}

const handlers = Layer.mergeAll(
  Task.toLayer(tasks.payload, () => Effect.void),
  Task.toLayer(tasks.success, () => Effect.succeed("done")),
  Task.toLayer(tasks.policy, () => Effect.fail(new Busy({ line: 1 }))),
  Task.toLayer(tasks.error, () => Effect.fail({ _tag: "No" as const, text: "no" }))
)

describe("a task", () => {
  it.effect.each(["payload", "success", "policy", "error"] as const)("is dead at once where its %s throws", (what) => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      yield* Layer.build(Layer.provide(handlers, TaskRunner.layer({ concurrency: 1, drain: 0 })))
      const { get } = yield* TaskStore
      const { id } = yield* Task.enqueue(tasks[what] as typeof tasks.payload, "x")
      yield* TestTime.advance(10)
      const [stored] = yield* get([id])
      assert.strictEqual(stored?.state._tag, "dead")
      assert.include(stored?.why, "the schema is broken")
      assert.lengthOf(lines, 1)
      assert.include(lines[0], `Task "${what}" (${id}) is dead`)
      const next = yield* Task.enqueue(tasks.payload, "y")
      yield* TestTime.advance(10)
      assert.strictEqual((yield* next.status)._tag, "dead")
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layerMemory(), logger)))
  })
})

describe("a payload of 10 MB", () => {
  const large = Task.make("large", { payload: Schema.String, success: Schema.Finite, session: "none" })
  const text = "x".repeat(10 * 2 ** 20)

  it.effect("is run as any other", () =>
    Effect.gen(function* () {
      yield* Layer.build(
        Layer.provide(
          Task.toLayer(large, (payload) => Effect.succeed(payload.length)),
          TaskRunner.layer()
        )
      )
      const handle = yield* Task.enqueue(large, text)
      assert.deepStrictEqual(yield* handle.await, Exit.succeed(text.length))
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  )

  it.effect("is not all of what is said of it where it does not agree with its schema", () => {
    const { lines, logger } = logged()
    const number = Task.make("number", { payload: Schema.Struct({ id: Schema.Finite }), session: "none" })
    return Effect.gen(function* () {
      yield* Layer.build(
        Layer.provide(
          Task.toLayer(number, () => Effect.void),
          TaskRunner.layer()
        )
      )
      const { get, offer } = yield* TaskStore
      yield* offer([{ id: "u", name: "number", queue: "default", priority: 0, payload: { id: text }, at: 0 }], 0)
      yield* TestTime.advance(10)
      const [stored] = yield* get(["u"])
      assert.strictEqual(stored?.state._tag, "dead")
      assert.include(stored?.why, `["id"]`)
      assert.isBelow(stored?.why?.length ?? 0, 10_000)
      assert.isBelow(lines.join().length, 10_000)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layerMemory(), logger)))
  })
})
