import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Schedule, Schema } from "effect"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as Task from "../../../src/task/Task.ts"
import { Discarded, TaskError } from "../../../src/task/TaskError.ts"
import * as TaskGroup from "../../../src/task/TaskGroup.ts"
import { Faults } from "../../../src/testing/index.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { timePasses } from "../query/timePasses.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}
class Stale extends Schema.TaggedError<Stale>()("Stale", { message: Schema.String }) {}

const work = Task.make("work", {
  payload: Schema.String,
  success: Schema.String,
  error: Schema.Union([Busy, Stale]),
  session: "none",
  timeout: "1 minute",
  retry: RetryPolicy.make({ on: ["Stale"], schedule: Schedule.upTo(Schedule.spaced("1 second"), { times: 2 }) })
})
/** Has no handler: it stays ready. */
const nobodys = Task.make("nobodys", { payload: Schema.Void, session: "none" })

const { member } = TaskGroup

/** Does as the payload says. */
const worker = () => {
  const seen = new Set<string>()
  return Task.toLayer(work, (how, { attempt, id }) => {
    const isFirst = !seen.has(id)
    seen.add(id)
    switch (how) {
      case "fails":
        return Effect.fail(new Busy({ line: 7 }))
      case "dies":
        return Effect.die(new Error("broken"))
      case "is stale":
        return Effect.fail(new Stale({ message: "too old" }))
      case "is stale at first":
        return attempt === 1 ? Effect.fail(new Stale({ message: "too old" })) : Effect.succeed(`${how}, ${attempt}`)
      case "snoozes":
        return isFirst ? Task.snooze("1 second") : Effect.succeed(`${how}, ${attempt}`)
      case "discards":
        return Task.discard("gone")
      case "hangs":
      case "runs":
        return Effect.never
      default:
        return Effect.succeed(how)
    }
  })
}

/** Members that end in every way that there is, each by what its name says. */
const everyWay = {
  good: member(work, "good"),
  fails: member(work, "fails"),
  dies: member(work, "dies"),
  hangs: member(work, "hangs"),
  stale: member(work, "is stale"),
  second: member(work, "is stale at first"),
  snoozes: member(work, "snoozes"),
  discards: member(work, "discards"),
  scheduled: member(work, "good", { delay: "1 hour" }),
  ready: member(nobodys, undefined),
  running: member(work, "runs", { priority: 1 })
}
type Way = keyof typeof everyWay
const waysTasks = {
  good: work,
  fails: work,
  dies: work,
  hangs: work,
  stale: work,
  second: work,
  snoozes: work,
  discards: work,
  scheduled: work,
  ready: nobodys,
  running: work
}

const expectedOfEach: { readonly [W in Way]: string } = {
  good: "good",
  fails: "Busy",
  dies: "TaskError: Dead: 1, Error: broken",
  hangs: "TaskError: Dead: 1, took longer than 60000 ms",
  stale: "TaskError: Dead: 3, the last of 3 attempts failed: too old",
  second: "is stale at first, 2",
  snoozes: "snoozes, 1",
  discards: "TaskError: Discarded: gone",
  scheduled: "TaskError: Cancelled",
  ready: "TaskError: Cancelled",
  running: "TaskError: Cancelled"
}

/** An Exit in a word or two. */
const told = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return String(exit.value)
  const error = exit.cause.reasons.find(Cause.isFailReason)?.error
  if (!(error instanceof TaskError)) return error instanceof Busy || error instanceof Stale ? error._tag : String(error)
  const { reason } = error
  const detail =
    reason._tag === "Dead"
      ? `: ${reason.attempts}, ${reason.why.split("\n")[0]}`
      : reason._tag === "Discarded"
        ? `: ${reason.why}`
        : ""
  return `TaskError: ${reason._tag}${detail}`
}

const toldOfAll = (exits: Readonly<Record<string, Exit.Exit<unknown, unknown>>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(exits).map(([name, exit]) => [name, told(exit)]))

/** Cancels what waits to be: one that is scheduled, one that is ready and one that runs. */
const cancelThree = Effect.gen(function* () {
  const { cancel, list } = yield* TaskStore
  yield* timePasses(0)
  const tasks = yield* list({})
  const found = tasks.filter(
    ({ name, payload, state }) =>
      name === "nobodys" || payload === "runs" || (payload === "good" && state._tag === "scheduled")
  )
  assert.deepStrictEqual(found.map(({ state }) => state._tag).toSorted(), ["ready", "running", "scheduled"])
  yield* cancel(
    found.map(({ id }) => id),
    0
  )
})

const allTime = Effect.gen(function* () {
  for (let second = 0; second < 5; second++) yield* timePasses(1000)
  yield* timePasses(60_000)
})

const withRunner = <A, E, R>(
  handlers: Layer.Layer<never, never, TaskRunner.TaskRunner>,
  test: Effect.Effect<A, E, R | TaskStore>,
  options?: TaskRunner.Options
) =>
  test.pipe(
    Effect.provide(
      Layer.provideMerge(Layer.provide(handlers, TaskRunner.layer({ concurrency: 20, ...options })), layerMemory())
    )
  )

const statesOf = Effect.map(
  Effect.flatMap(TaskStore, ({ list }) => list({ limit: 1000 })),
  (tasks) => tasks.map(({ name, state }) => `${name} ${state._tag}`)
)

const reasonOf = <A, E>(exit: Exit.Exit<A, E>): string => told(exit).replace(/^TaskError: /, "")

describe("all of a group", () => {
  it.effect("gives a typed Exit for each member, however it ends", () =>
    withRunner(
      worker(),
      Effect.gen(function* () {
        const waiting = yield* Effect.forkChild(TaskGroup.all(everyWay))
        yield* cancelThree
        yield* allTime
        assert.deepStrictEqual(toldOfAll(yield* Fiber.join(waiting)), expectedOfEach)
      })
    )
  )

  it.effect("keeps the shape of its members", () =>
    withRunner(
      worker(),
      Effect.gen(function* () {
        const [first, second] = yield* TaskGroup.all([member(work, "a"), member(work, "fails")])
        assert.deepStrictEqual(first, Exit.succeed("a"))
        assert.deepStrictEqual(second, Exit.fail(new Busy({ line: 7 })))
        const { one } = yield* TaskGroup.all({ one: member(work, "b") })
        assert.deepStrictEqual(one, Exit.succeed("b"))
        const many = yield* TaskGroup.all(["c", "d", "e"].values().map((how) => member(work, how)))
        assert.deepStrictEqual(many, [Exit.succeed("c"), Exit.succeed("d"), Exit.succeed("e")])
        assert.deepStrictEqual(yield* TaskGroup.all([]), [])
        assert.deepStrictEqual(yield* TaskGroup.all({}), {})
      })
    )
  )

  it.effect("offers nothing if one of its payloads does not agree with its schema", () =>
    Effect.gen(function* () {
      const line = Task.make("line", { payload: Schema.Finite })
      const exit = yield* Effect.exit(TaskGroup.all([member(work, "a"), member(line, Number.NaN)]))
      assert.strictEqual(reasonOf(exit), "Unfit")
      const late = yield* Effect.exit(TaskGroup.all([member(work, "a"), member(work, "b", { delay: -1 })]))
      assert.strictEqual(reasonOf(late), "Impossible")
      assert.deepStrictEqual(yield* statesOf, [])
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("cancels its members when it is interrupted, in whatever state they are", () =>
    withRunner(
      worker(),
      Effect.gen(function* () {
        const members = [
          member(work, "good", { delay: 50 }),
          member(work, "runs"),
          member(nobodys, undefined),
          member(work, "a")
        ]
        const waiting = yield* Effect.forkChild(TaskGroup.all(members))
        yield* timePasses(0)
        yield* Fiber.interrupt(waiting)
        assert.deepStrictEqual(yield* statesOf, [
          "work cancelled",
          "work cancelled",
          "nobodys cancelled",
          "work succeeded"
        ])
      })
    )
  )

  it.effect.each(["offer", "watch", "get"] as const)(
    "fails when the store fails at %s, and cancels its members",
    (operation) =>
      Effect.gen(function* () {
        const members = [member(nobodys, undefined), member(work, "a", { delay: 50 })]
        const faulty = Faults.store([{ operation, fault: Faults.loseAnswer }])
        const exit = yield* Effect.exit(Effect.provide(TaskGroup.all(members), faulty))
        assert.strictEqual(reasonOf(exit), "StoreFailed")
        assert.deepStrictEqual(yield* statesOf, ["nobodys cancelled", "work cancelled"])
      }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("waits for another's task that a member turned out to be, and leaves it when it is interrupted", () =>
    Effect.gen(function* () {
      const others = yield* Task.enqueue(nobodys, undefined, { uniqueKey: "k" })
      const own = member(nobodys, undefined)
      const shared = member(nobodys, undefined, { uniqueKey: "k" })
      const first = yield* Effect.forkChild(TaskGroup.all([own, shared, shared]))
      yield* timePasses(0)
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(yield* statesOf, ["nobodys ready", "nobodys cancelled"])
      const second = yield* Effect.forkChild(TaskGroup.all({ shared }))
      yield* timePasses(0)
      yield* others.cancel
      assert.deepStrictEqual(toldOfAll(yield* Fiber.join(second)), { shared: "TaskError: Cancelled" })
    }).pipe(Effect.provide(layerMemory()))
  )
})

/** A callback that keeps what it is given. */
const callback = <P, S extends Task.Session>(task: Task.Task<P, void, never, S>) => {
  const got: Array<P> = []
  return { got, layer: Task.toLayer(task, (exits) => Effect.sync(() => void got.push(exits))) }
}

describe("a chord", () => {
  it.effect("gives its callback a typed Exit for each member, however it ended", () => {
    const then = Task.make("then", { payload: TaskGroup.exits(waysTasks), session: "none" })
    const { got, layer } = callback(then)
    return withRunner(
      Layer.merge(worker(), layer),
      Effect.gen(function* () {
        const chord = yield* TaskGroup.chord(everyWay, then)
        yield* cancelThree
        yield* allTime
        assert.deepStrictEqual(yield* chord.callback.await, Exit.succeed(undefined))
        assert.deepStrictEqual(got.map(toldOfAll), [expectedOfEach])
        assert.strictEqual(told(yield* chord.members.second.await), expectedOfEach.second)
      })
    )
  })

  it.effect("runs its callback at once where it has no members, and keeps its shape", () => {
    const empty = Task.make("none", { payload: TaskGroup.exits([]), session: "none" })
    const none = callback(empty)
    const many = Task.make("many", { payload: Schema.Array(TaskGroup.exit(work)), session: "none" })
    const ofMany = callback(many)
    return withRunner(
      Layer.mergeAll(worker(), none.layer, ofMany.layer),
      Effect.gen(function* () {
        yield* yield* (yield* TaskGroup.chord([], empty)).callback.await
        assert.deepStrictEqual(none.got, [[]])
        const { callback, members } = yield* TaskGroup.chord(
          ["a", "b"].map((how) => member(work, how)),
          many
        )
        yield* yield* callback.await
        assert.deepStrictEqual(ofMany.got, [[Exit.succeed("a"), Exit.succeed("b")]])
        assert.lengthOf(members, 2)
      })
    )
  })

  const pair = Task.make("pair", { payload: TaskGroup.exits([work, nobodys]), session: "none" })

  it.effect("gives what another runner asks for, when nobody is left of those who offered it", () => {
    const { got, layer } = callback(pair)
    return Effect.gen(function* () {
      const { cancel } = yield* TaskStore
      const ids = yield* Effect.gen(function* () {
        const { members } = yield* TaskGroup.chord([member(work, "a"), member(nobodys, undefined)], pair)
        yield* members[0].await
        return members.map(({ id }) => id)
      }).pipe(Effect.provide(Layer.provide(worker(), TaskRunner.layer())))
      yield* cancel(ids, 0)
      assert.deepStrictEqual(yield* statesOf, ["work succeeded", "nobodys cancelled", "pair ready"])
      yield* Effect.provide(timePasses(0), Layer.provide(layer, TaskRunner.layer()))
      assert.deepStrictEqual(got.flat().map(told), ["a", "TaskError: Cancelled"])
    }).pipe(Effect.provide(layerMemory()))
  })

  it.effect("tries its callback again with the same Exits, as any task", () => {
    const again = Task.make("again", {
      payload: TaskGroup.exits({ one: work }),
      error: Stale,
      session: "none",
      retry: RetryPolicy.make({ on: ["Stale"], schedule: Schedule.spaced("1 second") })
    })
    const got: Array<unknown> = []
    const layer = Task.toLayer(again, (exits, { attempt }) => {
      got.push(exits)
      return attempt < 3 ? Effect.fail(new Stale({ message: "too old" })) : Effect.void
    })
    return withRunner(
      Layer.merge(worker(), layer),
      Effect.gen(function* () {
        const { callback } = yield* TaskGroup.chord({ one: member(work, "a") }, again)
        yield* timePasses(1000)
        yield* timePasses(1000)
        assert.deepStrictEqual(yield* callback.await, Exit.succeed(undefined))
        const exits = { one: Exit.succeed("a") }
        assert.deepStrictEqual(got, [exits, exits, exits])
      })
    )
  })

  it.effect("leaves its members alone when its callback is cancelled, and does not run it when they end", () => {
    const { got, layer } = callback(pair)
    return withRunner(
      Layer.merge(worker(), layer),
      Effect.gen(function* () {
        const { callback, members } = yield* TaskGroup.chord([member(work, "a"), member(nobodys, undefined)], pair)
        assert.isTrue(yield* callback.cancel)
        assert.deepStrictEqual(yield* members[0].await, Exit.succeed("a"))
        assert.strictEqual((yield* members[1].status)._tag, "ready")
        yield* members[1].cancel
        yield* timePasses(1000)
        assert.deepStrictEqual(got, [])
      })
    )
  })

  it.effect("awaits another's task that a member turned out to be, and has one callback for each unique key", () => {
    const { got, layer } = callback(pair)
    return withRunner(
      Layer.merge(worker(), layer),
      Effect.gen(function* () {
        const others = yield* Task.enqueue(nobodys, undefined, { uniqueKey: "k" })
        const members = [member(work, "a"), member(nobodys, undefined, { uniqueKey: "k" })] as const
        const first = yield* TaskGroup.chord(members, pair, { uniqueKey: "once" })
        const second = yield* TaskGroup.chord(members, pair, { uniqueKey: "once" })
        assert.strictEqual(first.callback.id, second.callback.id)
        assert.strictEqual(first.members[1].id, others.id)
        yield* timePasses(1000)
        assert.deepStrictEqual(got, [])
        yield* others.cancel
        yield* timePasses(0)
        assert.deepStrictEqual(got.flat().map(told), ["a", "TaskError: Cancelled"])
      })
    )
  })

  it.effect("refuses a callback whose keys would follow from a payload that it does not have yet", () =>
    Effect.gen(function* () {
      const payload = TaskGroup.exits([work])
      const unique = Task.make("unique", { payload, uniqueKey: () => "k" })
      const limited = Task.make("limited", { payload, limitKey: () => "k" })
      for (const then of [unique, limited]) {
        const exit = yield* Effect.exit(TaskGroup.chord([member(work, "a")], then))
        assert.strictEqual(reasonOf(exit), "Impossible")
      }
      assert.deepStrictEqual(yield* statesOf, [])
      yield* TaskGroup.chord([member(work, "a")], unique, { uniqueKey: "said" })
      assert.deepStrictEqual(yield* statesOf, ["work ready", "unique awaiting"])
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("has a callback dead, with what is wrong, that was made for other tasks than its members'", () => {
    // As in a process whose code is of another day.
    const then = Task.make("pair", { payload: TaskGroup.exits([nobodys, work]), session: "none" })
    const { got, layer } = callback(then)
    return withRunner(
      Layer.merge(worker(), layer),
      Effect.gen(function* () {
        const { callback, members } = yield* TaskGroup.chord([member(work, "a"), member(nobodys, undefined)], pair)
        yield* members[1].cancel
        const exit = yield* callback.await
        assert.include(told(exit), "Dead: 1, its payload does not agree")
        assert.include(String(exit), `Expected the end of task "nobodys", got that of "work"`)
        assert.deepStrictEqual(got, [])
      })
    )
  })

  it.effect("may be run by hand, with Exits that never were in a store", () => {
    const { got, layer } = callback(pair)
    return withRunner(
      layer,
      Effect.gen(function* () {
        const exits = [
          Exit.fail(new Busy({ line: 1 })),
          Exit.fail(new TaskError({ task: "nobodys", reason: new Discarded({ why: "gone" }) }))
        ] as const
        yield* yield* (yield* Task.enqueue(pair, exits)).await
        assert.deepStrictEqual(got, [exits])
      })
    )
  })
})
