import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, DateTime, Deferred, Effect, Exit, Fiber, Layer, Schedule, Schema } from "effect"
import { Query, RetryPolicy } from "querypool"
import { Task, TaskRunner, TaskStore, TaskStoreMemory } from "querypool/task"
import { Faults, TestQueryPool, TestTasks, TestTime } from "querypool/testing"

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", { at: Schema.DateTimeUtc }) {}

const at = DateTime.makeUnsafe("2026-03-01T12:00:00Z")

/** What its handler does is said by its payload. */
const work = Task.make("work", {
  payload: Schema.Struct({ how: Schema.String, day: Schema.DateTimeUtc }),
  success: Schema.DateTimeUtc,
  error: Schema.Union([Busy, Refused]),
  session: "none",
  timeout: "1 minute",
  retry: RetryPolicy.make({
    on: ["Busy", "TimedOut"],
    schedule: Schedule.upTo(Schedule.exponential("1 second"), { times: 3 })
  })
})
const payload = (how: string) => ({ how, day: at })

const handler = Task.toLayer(work, ({ day, how }, { attempt, id, report }) =>
  Effect.gen(function* () {
    yield* report({ how, attempt, id })
    switch (how) {
      case "succeeds":
        return DateTime.add(day, { days: 1 })
      case "is refused":
        return yield* new Refused({ at: day })
      case "is busy":
        return yield* new Busy({ line: 7 })
      case "is busy once":
        return attempt === 1 ? yield* new Busy({ line: 7 }) : day
      case "snoozes":
        return yield* Task.snooze("5 minutes")
      case "retries":
        return yield* Task.retryIn("3 seconds")
      case "discards":
        return yield* Task.discard("nothing to do")
      case "dies":
        return yield* Effect.die(new Error("a fault"))
      case "interrupts itself":
        return yield* Effect.interrupt
      default:
        return yield* Effect.never
    }
  })
)
const tasks = Layer.provideMerge(handler, TestTasks.layerMemory())

const note = Task.make("note", { payload: Schema.Finite, session: "none", queue: "notes" })

const dieOf = (exit: Exit.Exit<unknown, unknown>): { readonly [key in keyof Error]?: string } & object =>
  Exit.isFailure(exit) ? Object(exit.cause.reasons.find(Cause.isDieReason)?.defect) : {}

describe("a task that is run inline", () => {
  it.effect("ends as it would with a runner, with its types", () =>
    Effect.gen(function* () {
      const run = (how: string, options?: TestTasks.RunOptions) => TestTasks.run(work, payload(how), options)
      assert.deepStrictEqual(yield* run("succeeds"), { _tag: "succeeded", value: DateTime.add(at, { days: 1 }) })
      assert.deepStrictEqual(yield* run("is refused"), { _tag: "failed", error: new Refused({ at }) })
      assert.deepInclude(yield* run("is busy"), { _tag: "retrying", delayMillis: 1000 })
      assert.deepInclude(yield* run("is busy", { attempt: 3 }), { _tag: "retrying", delayMillis: 4000 })
      const last = yield* run("is busy", { attempt: 4 })
      assert.strictEqual(last._tag, "dead")
      assert.include(last._tag === "dead" ? last.why : "", "the last of 4 attempts failed")
      assert.deepStrictEqual(yield* run("snoozes"), { _tag: "snoozed", delayMillis: 300_000 })
      assert.deepInclude(yield* run("retries"), { _tag: "retrying", delayMillis: 3000 })
      assert.deepStrictEqual(yield* run("discards"), { _tag: "discarded", why: "nothing to do" })
      const died = yield* run("dies")
      assert.include(died._tag === "dead" ? died.why : "", "a fault")
      assert.deepStrictEqual(yield* run("interrupts itself"), { _tag: "dead", why: "its handler was interrupted" })
      const { list } = yield* TaskStore.TaskStore
      assert.deepStrictEqual(yield* list({}), [])
    }).pipe(Effect.provide(tasks))
  )

  it.effect("has its timeout, its attempt, and what it reports", () =>
    Effect.gen(function* () {
      const reports: Array<unknown> = []
      const onReport = (progress: unknown) => reports.push(progress)
      const slow = yield* Effect.forkChild(TestTasks.run(work, payload("hangs"), { attempt: 2, id: "seven", onReport }))
      yield* TestTime.advance("59 seconds")
      assert.isUndefined(slow.pollUnsafe())
      yield* TestTime.advance("1 second")
      assert.deepInclude(yield* Fiber.join(slow), { _tag: "retrying", delayMillis: 2000 })
      assert.deepStrictEqual(reports, [{ how: "hangs", attempt: 2, id: "seven" }])
    }).pipe(Effect.provide(tasks))
  )

  it.effect("gets its payload as it comes out of JSON", () => {
    const seen: Array<unknown> = []
    const any = Task.make("any", { payload: Schema.Json, session: "none" })
    const layer = Task.toLayer(any, (got) => Effect.sync(() => void seen.push(got)))
    return Effect.gen(function* () {
      const given = { list: [-0, 1] }
      yield* TestTasks.run(any, given)
      // Neither the same object, nor a value that JSON does not have.
      assert.notStrictEqual(seen[0], given)
      assert.deepStrictEqual(seen, [{ list: [0, 1] }])
      const unfit = yield* Effect.flip(TestTasks.run(note, Number.NaN).pipe(Effect.provide(handlerOfNotes)))
      assert.strictEqual(unfit.reason._tag, "Unfit")
    }).pipe(Effect.provide(Layer.provideMerge(layer, TestTasks.layerMemory())))
  })

  it.effect("dies without a handler, and says which there are", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(TestTasks.run(note, 1))
      assert.strictEqual(
        dieOf(exit).message,
        `Task "note" has no handler here; these have: "work". Provide its layer, made by Task.toLayer, with ` +
          `TestTasks.layerMemory()`
      )
      const wrong = yield* Effect.exit(TestTasks.run(work, payload("succeeds"), { attempt: 0 }))
      assert.include(dieOf(wrong).message, "Expected `attempt` to be an integer from 1, got 0")
    }).pipe(Effect.provide(tasks))
  )

  it.effect("has its session, in which what it enqueues waits for the commit", () => {
    const parent = Task.make("parent", { payload: Schema.Boolean, session: "transaction" })
    const layer = Task.toLayer(parent, (good, { sql }) =>
      Effect.gen(function* () {
        yield* sql`insert into t values (1)`
        yield* Task.enqueue(note, 1).pipe(Effect.orDie)
        yield* TestTasks.expectNoneEnqueued(note).pipe(Effect.orDie)
        if (!good) yield* sql`fails`
      })
    )
    return Effect.gen(function* () {
      const { ledger } = yield* TestQueryPool.TestQueryPool
      const bad = yield* TestTasks.run(parent, false)
      assert.strictEqual(bad._tag, "dead")
      yield* TestTasks.expectNoneEnqueued(note)
      assert.deepStrictEqual(yield* TestTasks.run(parent, true), { _tag: "succeeded", value: undefined })
      yield* TestTasks.expectEnqueued(note, { payload: 1, queue: "notes" })
      assert.deepStrictEqual(
        ledger.transactions.map(({ end }) => end),
        ["rolledBack", "committed"]
      )
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          layer,
          Layer.merge(
            TestTasks.layerMemory(),
            TestQueryPool.layer({ parent: ({ sql }) => (sql === "fails" ? Faults.sqlState("22012") : []) })
          )
        )
      )
    )
  })

  it.effect("stops when the test does", () =>
    Effect.gen(function* () {
      const stopped = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      const hangs = Task.toLayer(note, () =>
        Effect.onInterrupt(Effect.andThen(Deferred.succeed(begun, undefined), Effect.never), () =>
          Deferred.succeed(stopped, undefined)
        )
      )
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(TestTasks.run(note, 1))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(stopped)
        const handle = yield* Task.enqueue(note, 1)
        const drains = yield* Effect.forkChild(TestTasks.drain())
        yield* TestTime.advance(1)
        yield* Fiber.interrupt(drains)
        const state = yield* handle.status
        assert.deepInclude(state, { _tag: "ready", attempt: 0 })
      }).pipe(Effect.provide(Layer.provideMerge(hangs, TestTasks.layerMemory())))
    })
  )
})

const handlerOfNotes = Layer.provideMerge(
  Task.toLayer(note, () => Effect.void),
  TestTasks.layerMemory()
)

describe("a queue that is drained", () => {
  it.effect("runs what is ready, in the order of a runner, and what that enqueues", () => {
    const chain = Task.make("chain", { payload: Schema.Finite, session: "none" })
    const layer = Task.toLayer(chain, (left) => (left > 0 ? Effect.orDie(Task.enqueue(chain, left - 1)) : Effect.void))
    return Effect.gen(function* () {
      yield* Task.enqueue(work, payload("is busy once"))
      yield* Task.enqueue(work, payload("succeeds"), { priority: 5 })
      yield* Task.enqueue(work, payload("succeeds"), { delay: "1 hour" })
      yield* Task.enqueue(chain, 2)
      yield* Task.enqueue(note, 1)
      const drained = yield* TestTasks.drain()
      assert.deepStrictEqual(
        drained.map(({ attempt, ending, name }) => [name, attempt, ending._tag]),
        [
          ["work", 1, "succeeded"],
          ["work", 1, "retrying"],
          ["chain", 1, "succeeded"],
          ["chain", 1, "succeeded"],
          ["chain", 1, "succeeded"]
        ]
      )
      assert.deepStrictEqual(drained[0]?.ending, { _tag: "succeeded", value: "2026-03-02T12:00:00.000Z" })
      assert.deepStrictEqual(yield* TestTasks.drain(), [])
      // One without a handler stays where it is.
      yield* TestTasks.expectEnqueued(note, { payload: 1 })
      assert.lengthOf(yield* TestTasks.enqueued(work), 2)
    }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(handler, layer), TestTasks.layerMemory())))
  })

  it.effect("runs what is due later, too, each at its time, and whoever waits has the end", () => {
    const times: Array<number> = []
    const timed = Task.make("timed", { payload: Schema.Finite, session: "none", success: Schema.Finite })
    const layer = Task.toLayer(timed, (times10) =>
      Effect.tap(Clock.currentTimeMillis, (now) => Effect.sync(() => times.push(now))).pipe(
        Effect.map(() => times10 * 10)
      )
    )
    return Effect.gen(function* () {
      const start = yield* Clock.currentTimeMillis
      const late = yield* Task.enqueue(timed, 2, { delay: "2 hours" })
      const soon = yield* Task.enqueue(timed, 1, { delay: "1 hour" })
      const busy = yield* Task.enqueue(work, payload("is busy once"), { delay: "90 minutes" })
      const drained = yield* TestTasks.drain({ scheduled: true })
      assert.deepStrictEqual(
        drained.map(({ ending, name }) => [name, ending._tag]),
        [
          ["timed", "succeeded"],
          ["work", "retrying"],
          ["work", "succeeded"],
          ["timed", "succeeded"]
        ]
      )
      assert.deepStrictEqual(
        times.map((time) => time - start),
        [3_600_000, 7_200_000]
      )
      assert.deepStrictEqual(yield* soon.await, Exit.succeed(10))
      assert.deepStrictEqual(yield* late.await, Exit.succeed(20))
      assert.deepStrictEqual(yield* busy.await, Exit.succeed(at))
    }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(handler, layer), TestTasks.layerMemory())))
  })

  it.live("runs what is due later without waiting, where the clock is that of the machine", () =>
    Effect.gen(function* () {
      yield* Task.enqueue(work, payload("succeeds"), { delay: "1 day" })
      yield* Task.enqueue(work, payload("is busy once"), { delay: "1 hour" })
      const drained = yield* TestTasks.drain({ scheduled: true })
      assert.deepStrictEqual(
        drained.map(({ attempt, ending }) => [attempt, ending._tag]),
        [
          [1, "retrying"],
          [2, "succeeded"],
          [1, "succeeded"]
        ]
      )
    }).pipe(Effect.provide(tasks))
  )

  it.effect("is one of several, if it is named", () =>
    Effect.gen(function* () {
      yield* Task.enqueue(note, 1)
      yield* Task.enqueue(work, payload("succeeds"))
      const notes = yield* TestTasks.drain({ queue: "notes" })
      assert.deepStrictEqual(
        notes.map(({ name }) => name),
        ["note"]
      )
      yield* TestTasks.expectEnqueued(work)
      yield* TestTasks.expectNoneEnqueued(note)
      assert.deepStrictEqual(yield* TestTasks.drain({ queue: "no such queue" }), [])
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          Layer.merge(
            handler,
            Task.toLayer(note, () => Effect.void)
          ),
          TestTasks.layerMemory()
        )
      )
    )
  )

  it.effect("keeps what is reported and why it is dead, and tells of what was cancelled under way", () => {
    const layer = Task.toLayer(note, (_, { id }) =>
      Effect.flatMap(Task.handle(note, id), (handle) => Effect.orDie(handle.cancel)).pipe(Effect.asVoid)
    )
    return Effect.gen(function* () {
      const dies = yield* Task.enqueue(work, payload("dies"))
      const cancels = yield* Task.enqueue(note, 1)
      const drained = yield* TestTasks.drain()
      assert.deepStrictEqual(
        drained.map(({ ending, id }) => [id, ending._tag]),
        [
          [dies.id, "dead"],
          [cancels.id, "cancelled"]
        ]
      )
      const { get } = yield* TaskStore.TaskStore
      assert.deepInclude((yield* get([dies.id]))[0], { progress: { how: "dies", attempt: 1, id: dies.id } })
      assert.strictEqual((yield* dies.status)._tag, "dead")
    }).pipe(Effect.provide(Layer.provideMerge(Layer.merge(handler, layer), TestTasks.layerMemory())))
  })

  it.effect("that never ends is a defect, which names who does it", () =>
    Effect.gen(function* () {
      yield* Task.enqueue(work, payload("snoozes"))
      const exit = yield* Effect.exit(TestTasks.drain({ scheduled: true, limit: 20 }))
      assert.include(dieOf(exit).message, `Not drained after 20 attempts; the last were "work" (attempt 1: snoozed)`)
    }).pipe(Effect.provide(tasks))
  )
})

describe("what is enqueued", () => {
  it.effect("is given with its types and options, while it waits", () =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      yield* Task.enqueue(work, payload("succeeds"), { delay: "1 hour", priority: 3, uniqueKey: "one" })
      yield* Task.enqueue(work, payload("succeeds"))
      const [first, second] = yield* TestTasks.enqueued(work)
      assert.deepInclude(first, {
        payload: payload("succeeds"),
        queue: "default",
        priority: 3,
        at: now + 3_600_000,
        delayMillis: 3_600_000,
        uniqueKey: "one"
      })
      assert.deepInclude(second, { delayMillis: 0, priority: 0, uniqueKey: undefined })
      yield* TestTasks.drain({ scheduled: true })
      assert.deepStrictEqual(yield* TestTasks.enqueued(work), [])
    }).pipe(Effect.provide(tasks))
  )

  it.effect("is found among thousands, by its payload as JSON, by a function, and by its options", () =>
    Effect.gen(function* () {
      yield* Task.enqueueAll(
        note,
        Array.from({ length: 2500 }, (_, index) => index)
      )
      yield* Task.enqueue(note, 7, { delay: "1 hour", priority: 2 })
      assert.lengthOf(yield* TestTasks.enqueued(note), 2501)
      assert.lengthOf(yield* TestTasks.expectEnqueued(note, { payload: 7 }), 2)
      const [one, ...others] = yield* TestTasks.expectEnqueued(note, { payload: 7, delay: "1 hour", priority: 2 })
      assert.deepStrictEqual([one.payload, others], [7, []])
      assert.lengthOf(yield* TestTasks.expectEnqueued(note, { payload: (n) => n >= 2490 }), 10)
      yield* TestTasks.expectNoneEnqueued(note, { payload: 7, priority: 1 })
      yield* TestTasks.expectNoneEnqueued(work)
    }).pipe(Effect.provide(TaskStoreMemory.layerMemory()))
  )

  it.effect("is shown where something else was expected", () =>
    Effect.gen(function* () {
      yield* Task.enqueue(work, payload("succeeds"), { delay: "1 hour" })
      yield* Task.enqueue(work, payload("dies"))
      yield* Task.enqueueAll(note, [1, 2, 3])
      yield* TestTasks.drain()
      const missing = yield* Effect.exit(
        TestTasks.expectEnqueued(work, { payload: payload("snoozes"), priority: 2, delay: "1 hour" })
      )
      const message = dieOf(missing).message ?? ""
      assert.strictEqual(dieOf(missing).name, "AssertionError")
      assert.deepInclude<object>(dieOf(missing), {
        expected: [
          { payload: { how: "snoozes", day: "2026-03-01T12:00:00.000Z" }, delayMillis: 3_600_000, priority: 2 }
        ],
        actual: [{ payload: { how: "succeeds", day: "2026-03-01T12:00:00.000Z" }, delayMillis: 3_600_000, priority: 0 }]
      })
      assert.strictEqual(
        message,
        [
          `Expected a task "work" to be enqueued with payload {"how":"snoozes","day":"2026-03-01T12:00:00.000Z"}, ` +
            `delayMillis 3600000, priority 2`,
          `  there is one:`,
          `  1. payload {"how":"succeeds","day":"2026-03-01T12:00:00.000Z"}, at 3600000, delayMillis 3600000, ` +
            `priority 0, queue "default", scheduled`,
          `     payload.how is "succeeds", expected "snoozes"`,
          `     priority is 0, expected 2`,
          `  of "work" wait no more: dead (1)`,
          `  of others wait: "note" (3)`
        ].join("\n")
      )
      const some = yield* Effect.exit(TestTasks.expectNoneEnqueued(note, { payload: (n) => n > 1 }))
      assert.match(dieOf(some).message ?? "", /^Expected no task "note" to be enqueued with a payload that fits, but/)
      assert.include(dieOf(some).message, "there are 2:\n  1. payload 2,")
      const none = yield* Effect.exit(TestTasks.expectEnqueued(Task.make("other", { payload: Schema.Finite })))
      assert.include(dieOf(none).message, `Expected a task "other" to be enqueued\n  there is none\n`)
    }).pipe(Effect.provide(tasks))
  )
})

describe("time", () => {
  it.effect("is moved for a runner in the background, too", () =>
    Effect.gen(function* () {
      const handle = yield* Task.enqueue(work, payload("is busy once"), { delay: "1 hour" })
      yield* TestTime.advance("59 minutes")
      assert.strictEqual((yield* handle.status)._tag, "scheduled")
      yield* TestTime.advance("1 minute")
      assert.strictEqual((yield* handle.status)._tag, "retrying")
      yield* TestTime.advance("1 second")
      assert.strictEqual((yield* handle.status)._tag, "succeeded")
    }).pipe(
      Effect.provide(Layer.provideMerge(Layer.provide(handler, TaskRunner.layer()), TaskStoreMemory.layerMemory()))
    )
  )

  it.live("is not to be moved where the clock is that of the machine", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(TestTime.advance(1))
      assert.include(dieOf(exit).message, "Only effect's TestClock can be moved")
    })
  )

  it.effect("of a query moves with it", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const fiber = yield* Effect.forkChild(provide(Query.make("sleeps", () => Effect.sleep("1 day"))))
      yield* TestTime.advance("1 day")
      yield* Fiber.join(fiber)
    })
  )
})
