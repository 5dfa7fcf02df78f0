/** How a run ends before its queries do: by a failure, by a defect, by an interruption. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import * as Query from "../../../src/query/Query.ts"
import type { QueryError } from "../../../src/query/QueryError.ts"
import { ConnectFailed } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

type AnyQuery = Query.Query<unknown, string | QueryError>
type AnyRun = Effect.Effect<unknown, string | QueryError, QueryPool.QueryPool>

/** Every way to run queries, as an effect that ends when the run does. */
const modes: ReadonlyArray<{
  readonly mode: string
  readonly start: (queries: ReadonlyArray<AnyQuery>, options: QueryPool.RunOptions) => AnyRun
}> = [
  { mode: "all", start: (queries, options) => QueryPool.all(queries, options) },
  { mode: "outcome", start: (queries, options) => QueryPool.all(queries, { ...options, mode: "outcome" }) },
  { mode: "report", start: (queries, options) => QueryPool.report(queries, options) },
  { mode: "stream", start: (queries, options) => Stream.runDrain(QueryPool.stream(queries, options)) },
  {
    mode: "stream in order",
    start: (queries, options) => Stream.runDrain(QueryPool.stream(queries, { ...options, preserveOrder: true }))
  }
]

const hangs = (name: string) => Query.make(name, () => Effect.never)

/** A query that ends so after 10 milliseconds. */
const later = (name: string, end: Effect.Effect<unknown, string>) =>
  Query.make(name, () => Effect.andThen(Effect.sleep(10), end))

const endsOf = (events: ReadonlyArray<QueryEvent>): Readonly<Record<string, string>> =>
  Object.fromEntries(events.flatMap((event) => (event._tag === "Ended" ? [[event.name, event.outcome]] : [])))

describe("a run that is interrupted", () => {
  it.effect.each(modes)("ends, in the mode $mode, and so do its queries", ({ start }) =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const queries = ["a", "b", "c", "d", "e"].map(hangs)
      const fiber = yield* Effect.forkChild(start(queries, { concurrency: 2 }).pipe(provide))
      yield* timePasses(1)
      assert.strictEqual(ledger.inUse, 2)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual([ledger.opened, ledger.inUse], [["a", "b"], 0])
    })
  )

  it.effect.each(modes)("waits, in the mode $mode, until its query has stopped", ({ start }) =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({}, { release: () => Effect.sleep(100) })
      const events: Array<QueryEvent> = []
      const onEvent = (event: QueryEvent) => events.push(event)
      const run = start([hangs("a")], { concurrency: 2, onEvent })
      const fiber = yield* Effect.forkChild(run.pipe(provide))
      yield* timePasses(1)
      yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* timePasses(99)
      assert.isUndefined(fiber.pollUnsafe())
      assert.deepStrictEqual(endsOf(events), {})
      yield* timePasses(1)
      assert.isDefined(fiber.pollUnsafe())
      assert.deepStrictEqual(endsOf(events), { a: "Cancelled" })
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect.each(modes)("stops all of its queries at once in the mode $mode", ({ start }) =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({}, { release: () => Effect.sleep(100) })
      const queries = ["a", "b", "c"].map(hangs)
      const fiber = yield* Effect.forkChild(start(queries, { concurrency: 3 }).pipe(provide))
      yield* timePasses(1)
      yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* timePasses(100)
      assert.isDefined(fiber.pollUnsafe())
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect.each(modes.filter(({ mode }) => !mode.startsWith("stream")))(
    "tells, in the mode $mode, of those that ran that they were cancelled, of the others that they were skipped",
    ({ start }) =>
      Effect.gen(function* () {
        const { provide } = yield* TestQueryPool.make()
        const events: Array<QueryEvent> = []
        const queries = [later("done", Effect.void), hangs("a"), hangs("b"), hangs("c"), hangs("d")]
        const run = start(queries, { concurrency: 2, onEvent: (event) => events.push(event) })
        const fiber = yield* Effect.forkChild(run.pipe(provide))
        yield* timePasses(10)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(endsOf(events), {
          done: "Succeeded",
          a: "Cancelled",
          b: "Cancelled",
          c: "Skipped",
          d: "Skipped"
        })
      })
  )

  it.effect("tells of a query that still waited for its session that it was cancelled", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({}, { connect: () => Effect.never })
      const events: Array<QueryEvent> = []
      const run = QueryPool.all([hangs("waits")], { onEvent: (event) => events.push(event) })
      const fiber = yield* Effect.forkChild(run.pipe(provide))
      yield* timePasses(1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(endsOf(events), { waits: "Cancelled" })
      assert.isFalse(events.some((event) => event._tag === "Started"))
      assert.deepStrictEqual(ledger.opened, [])
    })
  )
})

describe("a run with a failure", () => {
  it.effect("fails with the first one, interrupts the rest, and waits until they have stopped", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(
        {},
        {
          release: (name) => (name === "slow to stop" ? Effect.sleep(100) : Effect.void)
        }
      )
      const events: Array<QueryEvent> = []
      const run = QueryPool.all([hangs("slow to stop"), later("fails", Effect.fail("no")), hangs("never started")], {
        concurrency: 2,
        onEvent: (event) => events.push(event)
      })
      const fiber = yield* Effect.forkChild(run.pipe(provide))
      yield* timePasses(10)
      assert.deepStrictEqual(ledger.closed, ["fails"])
      assert.isUndefined(fiber.pollUnsafe())
      yield* timePasses(100)
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "no")
      assert.deepStrictEqual(ledger.closed, ["fails", "slow to stop"])
      assert.deepStrictEqual(endsOf(events), {
        "slow to stop": "Cancelled",
        fails: "Failed",
        "never started": "Skipped"
      })
    })
  )

  it.effect("fails with the error of the pool for a query whose session could not be opened", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(
        {},
        {
          connect: (name) =>
            name === "refused" ? Effect.fail(new ConnectFailed({ message: "too many clients" })) : Effect.void
        }
      )
      const error = yield* Effect.flip(QueryPool.all([hangs("a"), hangs("refused")]).pipe(provide))
      assert.match(error.message, /^Query "refused" failed: too many clients\n/)
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect("gives its slots back, so that an effect may catch the failure and go on", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const fails = Query.make("fails", () => Effect.fail("no"))
      const caught = Effect.andThen(
        Effect.exit(fails),
        Query.make("goes on", () => Effect.succeed("yes"))
      )
      assert.deepStrictEqual(yield* QueryPool.all([caught, caught], { concurrency: 1 }).pipe(provide), ["yes", "yes"])
    })
  )
})

describe("a run that has failed", () => {
  it.effect("has its slots for queries that effects run while they are interrupted", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const tidy = Effect.all([later("one", Effect.void), later("two", Effect.void)], {
        concurrency: "unbounded",
        discard: true
      })
      const run = QueryPool.all(
        [later("fails", Effect.fail("no")), Effect.ensuring(Effect.never, Effect.orDie(tidy))],
        {
          concurrency: 2
        }
      )
      const fiber = yield* Effect.forkChild(run.pipe(provide))
      yield* timePasses(10)
      assert.deepStrictEqual(ledger.opened, ["fails", "one", "two"])
      yield* timePasses(10)
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "no")
    })
  )
})

describe("a run with a defect", () => {
  it.effect.each(modes.filter(({ mode }) => mode !== "report"))(
    "dies of it, in the mode $mode, and interrupts the rest",
    ({ start }) =>
      Effect.gen(function* () {
        const { ledger, provide } = yield* TestQueryPool.make()
        const queries = [hangs("a"), later("dies", Effect.die("a fault")), hangs("b")]
        const run = start(queries, { concurrency: 2 }).pipe(Effect.catchDefect(Effect.fail), Effect.flip, provide)
        const fiber = yield* Effect.forkChild(run)
        yield* timePasses(10)
        assert.strictEqual(yield* Fiber.join(fiber), "a fault")
        assert.strictEqual(ledger.inUse, 0)
        assert.includeMembers([...ledger.closed], ["a", "dies"])
      })
  )

  it.effect("goes on in the mode report, and records it", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const queries = [later("dies", Effect.die("a fault")), later("lives", Effect.void)]
      const fiber = yield* Effect.forkChild(QueryPool.report(queries, { concurrency: 1 }).pipe(provide))
      yield* timePasses(20)
      assert.deepStrictEqual(
        (yield* Fiber.join(fiber)).queries.map(({ error, outcome }) => [outcome, error]),
        [
          ["Failed", "a fault"],
          ["Succeeded", undefined]
        ]
      )
    })
  )
})

describe("a stream of queries that is left early", () => {
  it.effect("interrupts its query, and waits until it has stopped", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({}, { release: () => Effect.sleep(100) })
      const events: Array<QueryEvent> = []
      const queries = [later("done", Effect.void), hangs("a")]
      const results = QueryPool.stream(queries, { concurrency: 2, onEvent: (event) => events.push(event) })
      const left = yield* Deferred.make<void>()
      const run = Stream.runDrain(Stream.take(results, 1)).pipe(Effect.ensuring(Deferred.succeed(left, undefined)))
      yield* Effect.forkChild(run.pipe(provide))
      yield* timePasses(110)
      assert.isFalse(yield* Deferred.isDone(left))
      yield* timePasses(100)
      assert.isTrue(yield* Deferred.isDone(left))
      assert.strictEqual(ledger.inUse, 0)
      assert.deepStrictEqual(endsOf(events), { done: "Succeeded", a: "Cancelled" })
      assert.strictEqual(events.at(-1)?._tag, "RunEnded")
    })
  )
})

const onEvent = () => {
  throw new Error("listener")
}

describe("a listener that throws", () => {
  it.effect("is a defect of the run, whichever kind of run", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const queries = [Query.make("a query", () => Effect.void)]
      const all = yield* Effect.exit(QueryPool.all(queries, { onEvent }).pipe(provide))
      const stream = yield* Effect.exit(Stream.runDrain(QueryPool.stream(queries, { onEvent })).pipe(provide))
      assert.deepStrictEqual([all, stream], [Exit.die(new Error("listener")), Exit.die(new Error("listener"))])
    })
  )
})
