import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { collector, DurationHistory, estimates, listening, mostNames } from "../../../src/query/Learning.ts"
import * as Query from "../../../src/query/Query.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

const started = (id: number, name: string, at: number, attempt = 1): QueryEvent => ({
  _tag: "Started",
  at,
  id,
  name,
  worker: 0,
  attempt
})
const ended = (id: number, name: string, at: number, outcome: "Succeeded" | "Failed" | "Cancelled" | "Skipped") =>
  ({ _tag: "Ended", at, id, name, outcome, rows: 0 }) satisfies QueryEvent

const learnedFrom = (events: Iterable<QueryEvent>) => {
  const { add, learned } = collector()
  for (const event of events) add(event)
  return Object.fromEntries(learned())
}

/** A history that knows what it is given, and keeps what it is taught. */
const scripted = (known: Readonly<Record<string, number>> = {}) => {
  const taught: Array<Readonly<Record<string, number>>> = []
  let asked = 0
  const history = DurationHistory.of({
    recall: Effect.succeed((name) => {
      asked++
      return known[name]
    }),
    learn: (run) => Effect.sync(() => void taught.push(Object.fromEntries(run)))
  })
  return { taught, asked: () => asked, provide: Effect.provideService(DurationHistory, history) }
}

const untouchable = new Proxy<Array<object>>([], { get: () => assert.fail("a member was looked at") })

const ignore = (): void => {}

const takes = (name: string, millis: number) => Query.make(name, () => Effect.sleep(millis))

describe("what a run teaches", () => {
  it("is how long each took that succeeded, with a session, and no other", () => {
    const taught = learnedFrom([
      started(0, "a", 100),
      started(1, "b", 110),
      started(2, "c", 120),
      started(3, "d", 120),
      ended(1, "b", 150, "Failed"),
      ended(2, "c", 160, "Cancelled"),
      ended(4, "never", 170, "Skipped"),
      ended(0, "a", 180.5, "Succeeded")
    ])
    assert.deepStrictEqual(taught, { a: 80.5 })
  })

  it("is of a query that was retried its last attempt", () => {
    const taught = learnedFrom([
      started(0, "a", 100),
      { _tag: "Retrying", at: 900, id: 0, name: "a", attempt: 1, error: "", delayMillis: 50 },
      started(0, "a", 950, 2),
      ended(0, "a", 980, "Succeeded")
    ])
    assert.deepStrictEqual(taught, { a: 30 })
  })

  it("is nothing of a query that ended between two attempts", () => {
    const retrying: QueryEvent = { _tag: "Retrying", at: 9, id: 0, name: "a", attempt: 1, error: "", delayMillis: 50 }
    assert.deepStrictEqual(learnedFrom([started(0, "a", 1), retrying, ended(0, "a", 10, "Succeeded")]), {})
  })

  it("is the mean of those that have one name", () => {
    const events = [10, 20, 60].flatMap((millis, id) => [
      started(id, "lookup", 1000),
      ended(id, "lookup", 1000 + millis, "Succeeded")
    ])
    assert.deepStrictEqual(learnedFrom(events), { lookup: 30 })
  })

  it("is bounded: of too many names, those that ended last", () => {
    const { add, learned } = collector()
    const addOne = (id: number, name: string) => {
      add(started(id, name, id))
      add(ended(id, name, id + 1, "Succeeded"))
    }
    addOne(0, "often")
    for (let id = 1; id < mostNames + 1000; id++) {
      addOne(id, `once ${id}`)
      if (id % 1000 === 0) addOne(id, "often")
    }
    const names = [...learned().keys()]
    assert.lengthOf(names, mostNames)
    assert.strictEqual(names.at(-1), `once ${mostNames + 999}`)
    assert.include(names, "often")
    assert.notInclude(names, "once 900")
  })

  it.effect("is learned from every run, however it ends, once and at its end", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const history = scripted()
      const run = (queries: ReadonlyArray<Query.Query<void, unknown>>) =>
        QueryPool.all(queries, { concurrency: 2 }).pipe(provide, history.provide)

      const whole = yield* Effect.forkChild(run([takes("a", 10), takes("b", 40), takes("b", 20)]))
      yield* timePasses(39)
      assert.deepStrictEqual(history.taught, [])
      yield* timePasses(1)
      yield* Fiber.join(whole)
      assert.closeTo(history.taught[0]?.["b"] ?? 0, 30, 0.001)

      const failed = yield* Effect.forkChild(
        Effect.exit(run([takes("c", 5), Query.make("bad", () => Effect.andThen(Effect.sleep(9), Effect.fail("no")))]))
      )
      yield* timePasses(20)
      yield* Fiber.join(failed)
      assert.deepStrictEqual(Object.keys(history.taught[1] ?? {}), ["c"])

      const left = yield* Effect.forkChild(run([takes("d", 5), takes("e", 1000)]))
      yield* timePasses(20)
      yield* Fiber.interrupt(left)
      assert.deepStrictEqual(Object.keys(history.taught[2] ?? {}), ["d"])
      assert.lengthOf(history.taught, 3)
    })
  )

  it.effect("is learned beside a listener, and from reports and streams", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const history = scripted()
      const seen: Array<string> = []
      const queries = [Query.make("a", () => Effect.void)]
      yield* QueryPool.all(queries, { onEvent: ({ _tag }) => void seen.push(_tag) }).pipe(provide, history.provide)
      assert.deepStrictEqual(seen, ["RunStarted", "Submitted", "Started", "Ended", "RunEnded"])
      yield* QueryPool.report(queries).pipe(provide, history.provide)
      yield* Stream.runDrain(QueryPool.stream(queries)).pipe(provide, history.provide)
      assert.deepStrictEqual(
        history.taught.map((taught) => Object.keys(taught)),
        [["a"], ["a"], ["a"]]
      )
    })
  )

  it.effect("is of a query that the pool retried the attempt that succeeded", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const history = scripted()
      let attempts = 0
      const unlucky = Query.make(
        "unlucky",
        () =>
          Effect.suspend(() =>
            attempts++ === 0
              ? Effect.andThen(Effect.sleep(500), Effect.fail({ _tag: "Bad" as const }))
              : Effect.sleep(30)
          ),
        { retry: RetryPolicy.make({ on: ["Bad"], schedule: RetryPolicy.backoff({ times: 1 }) }) }
      )
      const run = yield* Effect.forkChild(QueryPool.all([unlucky]).pipe(provide, history.provide))
      yield* timePasses(60_000)
      yield* Fiber.join(run)
      assert.closeTo(history.taught[0]?.["unlucky"] ?? 0, 30, 0.001)
    })
  )
})

describe("what members of a run are expected to take", () => {
  it.effect("is what the history knows of their names", () =>
    Effect.gen(function* () {
      const members = [takes("a", 1), takes("unknown", 1), Effect.void, takes("a", 1)]
      assert.deepStrictEqual(yield* estimates(members), [12, undefined, undefined, 12])
    }).pipe(scripted({ a: 12 }).provide)
  )

  it.effect("is asked once of a name, however many queries have it", () =>
    Effect.gen(function* () {
      const history = scripted({ a: 12 })
      const names = Array.from({ length: 1000 }, (_, index) => (index % 2 === 0 ? "a" : "unknown"))
      const found = yield* estimates(names.map((name) => ({ name }))).pipe(history.provide)
      assert.deepStrictEqual(found.slice(-2), [12, undefined])
      assert.strictEqual(history.asked(), 2)
    })
  )
})

/** The names of a run's queries as they were started. */
const startedBy = (options: QueryPool.RunOptions) =>
  Effect.gen(function* () {
    const { ledger, provide } = yield* TestQueryPool.make()
    const queries = ["short", "new", "long", "shorter"].map((name) => takes(name, 0))
    yield* QueryPool.all(queries, { concurrency: 1, ...options }).pipe(provide)
    return [...ledger.opened]
  })

describe("a run with the longest first", () => {
  it.effect("starts them as the history in its context says, and learns from them", () =>
    Effect.gen(function* () {
      const history = scripted({ long: 90, short: 6, shorter: 3 })
      const started = yield* startedBy({ order: "longest-first" }).pipe(history.provide)
      assert.deepStrictEqual(started, ["long", "new", "short", "shorter"])
      assert.sameMembers(Object.keys(history.taught[0] ?? {}), started)
      assert.deepStrictEqual(yield* startedBy({ order: "given" }).pipe(history.provide), [
        "short",
        "new",
        "long",
        "shorter"
      ])
    })
  )

  it.effect("keeps the order given without a history, or with one that knows none of them", () =>
    Effect.gen(function* () {
      const given = ["short", "new", "long", "shorter"]
      assert.deepStrictEqual(yield* startedBy({ order: "longest-first" }), given)
      assert.deepStrictEqual(yield* startedBy({ order: "longest-first" }).pipe(scripted({ other: 5 }).provide), given)
    })
  )
})

describe("a run", () => {
  it.effect("without a history is not listened to, and no member is looked at", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* Effect.scoped(listening(undefined)))
      assert.strictEqual(yield* Effect.scoped(listening(ignore)), ignore)
      assert.deepStrictEqual(yield* estimates(untouchable), [])
    })
  )

  it.effect("in the given order looks nothing up", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const history = scripted({ a: 1 })
      yield* QueryPool.all([takes("a", 0), takes("a", 0)]).pipe(provide, history.provide)
      assert.strictEqual(history.asked(), 0)
      assert.lengthOf(history.taught, 1)
    })
  )
})
