import { assert, describe, it } from "@effect/vitest"
import type { Duration } from "effect"
import { DateTime, Effect, Exit, Fiber, Layer, Option, Result, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Task from "../../../src/task/Task.ts"
import { TaskError } from "../../../src/task/TaskError.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { timePasses } from "../query/timePasses.ts"
import { logged } from "./logged.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}

const copy = Task.make("copy", {
  payload: Schema.Struct({ from: Schema.Finite, on: Schema.DateTimeUtcFromString }),
  success: Schema.Finite,
  error: Busy,
  progress: Schema.Struct({ done: Schema.Finite }),
  session: "none",
  queue: "copies"
})
const note = Task.make("note", { payload: Schema.String, session: "none", uniqueKey: (text) => text.at(0) })

const on = DateTime.makeUnsafe(0)

const reasonOf = (exit: Exit.Exit<unknown, unknown>) => {
  const error = Option.getOrUndefined(Exit.findErrorOption(exit))
  return error instanceof TaskError ? error.reason : undefined
}

const impossible = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>, said: string) {
  const reason = reasonOf(yield* Effect.exit(effect))
  assert.strictEqual(reason?._tag, "Impossible", said)
  assert.include(reason?.message, said)
})

const wrong: ReadonlyArray<readonly [Duration.Input, string]> = [
  [-1, "-1"],
  [NaN, "NaN"],
  [Infinity, "Infinity"],
  ["-1 seconds", "-1 seconds"],
  ["Infinity", "Infinity"],
  [{ seconds: -1 }, `{"seconds":-1}`],
  [{ seconds: NaN }, "seconds"],
  [[NaN, 0], "null"],
  [-1n, "-1"]
]

const run = <A, E>(
  handlers: Layer.Layer<never, never, TaskRunner.TaskRunner>,
  test: Effect.Effect<A, E, TaskStore>
): Effect.Effect<A, E> =>
  Effect.provide(test, Layer.provideMerge(Layer.provide(handlers, TaskRunner.layer({ drain: 0 })), layerMemory()))

describe("a task", () => {
  it.each([
    ["no duration", { timeout: "soon" }],
    ["no time at all", { timeout: 0 }],
    ["no end", { timeout: "Infinity" }],
    ["what is below zero", { timeout: "-1 seconds" }],
    ["what is no number", { timeout: NaN }]
  ])("is refused with %s for a timeout", (_, options) => {
    // As from a program whose types were not checked.
    const make: Function = Task.make
    assert.throws(() => make("a", { payload: Schema.String, ...options }), RangeError, `timeout of task "a"`)
  })

  it.each([0.5, NaN, 2 ** 31, -(2 ** 31)])("is refused with %s for a priority", (priority) => {
    assert.throws(() => Task.make("a", { payload: Schema.String, priority }), RangeError, "an integer of 32 bits")
  })
})

describe("what is enqueued", () => {
  it.effect("is refused for a delay, a moment or a priority that cannot be", () =>
    Effect.gen(function* () {
      for (const [delay, said] of wrong) yield* impossible(Task.enqueue(note, "a", { delay }), said)
      yield* impossible(Task.enqueue(note, "a", { at: NaN }), "NaN")
      yield* impossible(Task.enqueue(note, "a", { at: new Date(NaN) }), "Invalid Date")
      yield* impossible(Task.enqueue(note, "a", { priority: 0.5 }), "0.5")
      assert.deepStrictEqual(yield* Task.list(), [])
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("waits until its moment, and its delay beside", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1000)
      const moments = [5000, new Date(5000), DateTime.makeUnsafe(5000), 4]
      for (const at of moments) {
        const { status } = yield* Task.enqueue(note, "a", { at, delay: "1.5 millis", uniqueKey: String(at) })
        const state = yield* status
        assert.deepInclude(state, at === 4 ? { _tag: "ready", at: 1000 } : { _tag: "scheduled", at: 5002 })
      }
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("says whether it is new, or another one's with the same unique key", () =>
    Effect.gen(function* () {
      const first = yield* Task.enqueue(note, "abc")
      const second = yield* Task.enqueue(note, "axy")
      assert.deepStrictEqual([first.isNew, second.isNew, second.id], [true, false, first.id])
      const [own, other] = yield* Task.enqueueAll(note, ["b1", "b2"])
      assert.deepStrictEqual([own?.isNew, other?.isNew, other?.id], [true, false, own?.id])
      yield* first.cancel
      assert.isTrue((yield* Task.enqueue(note, "a")).isNew)
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("fails where another one's is not wanted, and is not enqueued, nor are those with it", () =>
    Effect.gen(function* () {
      const { id } = yield* Task.enqueue(note, "abc")
      const exit = yield* Effect.exit(Task.enqueueAll(note, ["b", "axy"], { onDuplicate: "fail" }))
      assert.deepInclude(reasonOf(exit), { _tag: "Duplicate", id, uniqueKey: "a" })
      assert.include(String(exit), `Task "note" with the key "a" is there already`)
      assert.lengthOf(yield* Task.list(), 1)
    }).pipe(Effect.provide(layerMemory()))
  )
})

describe("a handler", () => {
  it.effect("reports as the task's schema says, and what does not agree with it is in the log", () => {
    const { lines, logger } = logged()
    return run(
      Task.toLayer(copy, ({ from }, { report }) =>
        Effect.gen(function* () {
          yield* report({ done: from })
          yield* Effect.sleep(10)
          yield* report({ done: NaN })
          return from
        })
      ),
      Effect.gen(function* () {
        const { id, progress } = yield* Task.enqueue(copy, { from: 7, on })
        const seen = yield* Effect.forkChild(Stream.runCollect(progress))
        yield* timePasses(10)
        assert.deepStrictEqual(yield* Fiber.join(seen), [{ done: 7 }])
        assert.deepStrictEqual(
          lines.map((line) => line.split("\n")[0]),
          [`Warn: Task "copy" (${id}) reports what does not agree with its schema: Expected a finite number`]
        )
      })
    ).pipe(Effect.provide(logger))
  })

  it.effect("that asks for a time that cannot be has its task dead, with what it asked for", () =>
    Effect.gen(function* () {
      for (const end of [Task.snooze, Task.retryIn]) {
        for (const [duration, said] of wrong) {
          const why = yield* run(
            Task.toLayer(note, () => end(duration)),
            Effect.gen(function* () {
              const { await: ended } = yield* Task.enqueue(note, "a")
              yield* ended
              const [dead] = yield* Task.list({ task: note, states: ["dead"] })
              return dead?.why
            })
          )
          assert.include(why, end === Task.snooze ? "snooze" : "retryIn")
          assert.include(why, said)
        }
      }
    })
  )
})

describe("a list of tasks", () => {
  it.effect("has the parts of a task by its types: what it was given, what it reported, and how it ended", () =>
    run(
      Task.toLayer(copy, ({ from }, { report }) => {
        if (from === 1) return Effect.succeed(10)
        if (from === 2) return Effect.fail(new Busy({ line: 2 }))
        if (from === 3) return Effect.die(new Error("broken"))
        if (from === 4) return Task.discard("gone")
        return Effect.andThen(report({ done: 0.5 }), Effect.never)
      }),
      Effect.gen(function* () {
        yield* Task.enqueueAll(
          copy,
          [1, 2, 3, 4, 5].map((from) => ({ from, on }))
        )
        yield* timePasses(1)
        const found = yield* Task.list({ task: copy })
        assert.deepStrictEqual(
          found.map(({ payload }) => Result.getOrThrow(payload)),
          [1, 2, 3, 4, 5].map((from) => ({ from, on }))
        )
        assert.deepStrictEqual(
          found.map(({ state }) => state._tag),
          ["succeeded", "failed", "dead", "failed", "running"]
        )
        const exits = found.map(({ exit }) => Option.getOrUndefined(exit))
        assert.deepStrictEqual(exits[0], Exit.succeed(10))
        assert.deepStrictEqual(exits[1], Exit.fail(new Busy({ line: 2 })))
        assert.deepStrictEqual(
          exits.map((exit) => (exit === undefined ? undefined : reasonOf(exit)?._tag)),
          [undefined, undefined, "Dead", "Discarded", undefined]
        )
        assert.include(found[2]?.why, "broken")
        assert.deepStrictEqual([found[0]?.why, found[3]?.why], [undefined, "gone"])
        assert.deepStrictEqual(found[4]?.progress, Option.some({ done: 0.5 }))
        // Without a task, as JSON.
        const [first, second] = yield* Task.list({ queue: "copies", limit: 2 })
        assert.deepStrictEqual(first?.payload, Result.succeed({ from: 1, on: "1970-01-01T00:00:00.000Z" }))
        assert.deepStrictEqual(first?.exit, Option.some(Exit.succeed(10)))
        assert.deepStrictEqual(second?.exit, Option.some(Exit.fail({ _tag: "Busy", line: 2 })))
        assert.deepStrictEqual(
          (yield* Task.list({ after: found[3]?.id })).map(({ id }) => id),
          found.slice(4).map(({ id }) => id)
        )
        yield* impossible(Task.list({ limit: 0 }), "0")
        yield* impossible(Task.list({ task: copy, limit: NaN }), "NaN")
      })
    )
  )

  it.effect("has those whose payload nobody can read, and whose name nobody knows", () =>
    run(
      Task.toLayer(note, () => Effect.void),
      Effect.gen(function* () {
        const { offer } = yield* TaskStore
        const offered = { queue: "default", priority: 0, at: 0 }
        yield* offer(
          [
            { ...offered, id: "1", name: "note", payload: 7 },
            { ...offered, id: "2", name: "old", payload: { any: "thing" } }
          ],
          0
        )
        yield* timePasses(1)
        const [unfit] = yield* Task.list({ task: note })
        assert.strictEqual(unfit?.state._tag, "dead")
        assert.include(unfit?.why, "its payload does not agree with its schema: Expected string")
        assert.isTrue(unfit !== undefined && Result.isFailure(unfit.payload))
        const [, unknown] = yield* Task.list()
        assert.deepInclude(unknown, { id: "2", name: "old", payload: Result.succeed({ any: "thing" }) })
        assert.strictEqual(unknown?.state._tag, "ready")
      })
    )
  )

  it.effect("is where the dead are found, to queue them again", () => {
    let isBroken = true
    return run(
      Task.toLayer(note, () => (isBroken ? Effect.die(new Error("broken")) : Effect.void)),
      Effect.gen(function* () {
        const handle = yield* Task.enqueue(note, "a")
        const other = yield* Task.enqueue(note, "b", { delay: 10 })
        yield* handle.await
        const dead = yield* Task.list({ states: ["dead"] })
        isBroken = false
        const ids = dead.map(({ id }) => id)
        assert.deepStrictEqual(yield* Task.requeue([...ids, other.id, "unknown"]), [handle.id])
        assert.isTrue(Exit.isSuccess(yield* handle.await))
        assert.strictEqual((yield* handle.status).attempt, 1)
        assert.deepStrictEqual(yield* Task.requeue(ids), [])
      })
    )
  })
})
