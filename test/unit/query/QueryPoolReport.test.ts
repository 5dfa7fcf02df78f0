import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import * as Query from "../../../src/query/Query.ts"
import { ConnectFailed } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as Report from "../../../src/query/Report.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

const rows = (name: string) => Query.stream({ name, schema: Schema.Struct({}), statement: (sql) => sql`select 1` })

const takes = (name: string, millis: number) => Query.make(name, () => Effect.sleep(millis))

describe("QueryPool.report", () => {
  it.effect("says of a run of nothing that it took no time", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      for (const nothing of [[], {}, new Set<Query.Query<void>>()]) {
        assert.deepStrictEqual(yield* QueryPool.report(nothing).pipe(provide), {
          queries: [],
          failures: [],
          concurrency: 5,
          makespanMillis: 0,
          lowerBoundMillis: 0,
          binding: "longest query",
          efficiency: 1
        })
      }
    })
  )

  it.effect("says how long each waited and ran, by which worker, and how good the schedule was", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const queries = { short: takes("short", 10), long: takes("long", 40), last: takes("last", 30) }
      const fiber = yield* Effect.forkChild(QueryPool.report(queries, { concurrency: 2 }).pipe(provide))
      yield* timePasses(40)
      const report = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        report.queries.map(({ id, name, ranMillis, startedMillis, waitedMillis, worker }) => [
          id,
          name,
          waitedMillis,
          ranMillis,
          startedMillis,
          worker
        ]),
        [
          [0, "short", 0, 10, 0, 0],
          [1, "long", 0, 40, 0, 1],
          [2, "last", 10, 30, 10, 0]
        ]
      )
      const { binding, concurrency, efficiency, lowerBoundMillis, makespanMillis } = report
      assert.deepStrictEqual([concurrency, makespanMillis, lowerBoundMillis, efficiency], [2, 40, 40, 1])
      assert.strictEqual(binding, "longest query")
    })
  )

  it.effect("has a lower bound that its run could not beat, also of streams of rows, which take no slots", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make(() => Effect.delay(Effect.succeed([]), 30))
      const streams = ["a", "b", "c"].map((name) => Stream.runDrain(rows(name)))
      const all = Effect.all(streams, { concurrency: "unbounded", discard: true })
      const fiber = yield* Effect.forkChild(QueryPool.report([all], { concurrency: 1 }).pipe(provide))
      yield* timePasses(30)
      const { efficiency, lowerBoundMillis, makespanMillis } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([makespanMillis, lowerBoundMillis, efficiency], [30, 30, 1])
    })
  )

  it.effect("counts the time until a session is there as waiting", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make({}, { connect: () => Effect.sleep(15) })
      const fiber = yield* Effect.forkChild(QueryPool.report([takes("a", 10)]).pipe(provide))
      yield* timePasses(25)
      const [query] = (yield* Fiber.join(fiber)).queries
      assert.deepInclude(query, { waitedMillis: 15, ranMillis: 10, startedMillis: 15 })
    })
  )

  it.effect("records failures, defects and interruptions, and runs the rest all the same", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make(
        {},
        {
          connect: (name) =>
            name === "refused" ? Effect.fail(new ConnectFailed({ message: "too many clients" })) : Effect.void
        }
      )
      const ends: Readonly<Record<string, Effect.Effect<void, string>>> = {
        good: Effect.void,
        bad: Effect.fail("no"),
        faulty: Effect.die("a fault"),
        gone: Effect.interrupt,
        refused: Effect.void,
        last: Effect.void
      }
      const queries = Object.entries(ends).map(([name, end]) => Query.make(name, () => end))
      const report = yield* QueryPool.report(queries, { concurrency: 1 }).pipe(provide)
      assert.deepStrictEqual(
        report.queries.map(({ attempts, error, name, outcome }) => [
          name,
          outcome,
          attempts,
          error instanceof Error ? error.message.split("\n")[0] : error
        ]),
        [
          ["good", "Succeeded", 1, undefined],
          ["bad", "Failed", 1, "no"],
          ["faulty", "Failed", 1, "a fault"],
          ["gone", "Cancelled", 1, undefined],
          ["refused", "Failed", 0, `Query "refused" failed: too many clients`],
          ["last", "Succeeded", 1, undefined]
        ]
      )
    })
  )

  it.effect("names effects that are no queries and failed or died, by their place or key", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const query = Query.make("a query", () => Effect.void)
      const list = yield* QueryPool.report([Effect.fail("first"), query, Effect.void, Effect.die("last")]).pipe(provide)
      assert.deepStrictEqual(list.failures, [
        { member: 0, error: "first" },
        { member: 3, error: "last" }
      ])
      const record = yield* QueryPool.report({ query, plain: Effect.fail("no") }).pipe(provide)
      assert.deepStrictEqual(record.failures, [{ member: "plain", error: "no" }])
    })
  )

  it.effect("keeps queries that failed out of the other failures", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const query = Query.make("a query", () => Effect.fail("no"))
      assert.deepStrictEqual((yield* QueryPool.report([query]).pipe(provide)).failures, [])
    })
  )

  it.effect("counts rows and keeps notices", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make(() => [{}, {}, {}])
      const noisy = Query.make("noisy", (sql, unit) =>
        Effect.gen(function* () {
          unit.onNotice?.("NOTICE", "first")
          yield* sql`select`
          unit.onNotice?.("WARNING", "second")
        })
      )
      const [query] = (yield* QueryPool.report([noisy]).pipe(provide)).queries
      assert.deepInclude(query, { rows: 3 })
      assert.deepStrictEqual(query?.notices, [
        { severity: "NOTICE", message: "first" },
        { severity: "WARNING", message: "second" }
      ])
    })
  )

  it.effect("reports each time a query that is handed over twice", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      let ran = 0
      const twice = Query.make("twice", () => (ran++ === 0 ? Effect.void : Effect.fail("no")))
      const report = yield* QueryPool.report([twice, twice], { concurrency: 1 }).pipe(provide)
      assert.deepStrictEqual(
        report.queries.map(({ id, name, outcome }) => [id, name, outcome]),
        [
          [0, "twice", "Succeeded"],
          [1, "twice", "Failed"]
        ]
      )
    })
  )

  it.effect("reports the queries inside of effects, and none that joined another's session", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const inner = takes("inner", 0)
      const effect = Effect.all([Query.make("left", () => Effect.void), Query.make("right", () => inner)])
      const report = yield* QueryPool.report([effect, Effect.fail("no query")], { concurrency: 1 }).pipe(provide)
      assert.deepStrictEqual(
        report.queries.map(({ name, outcome }) => [name, outcome]),
        [
          ["left", "Succeeded"],
          ["right", "Succeeded"]
        ]
      )
    })
  )

  it.effect("is what the events that it passes on tell", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const events: Array<QueryEvent> = []
      const onEvent = (event: QueryEvent) => events.push(event)
      const queries = [takes("a", 10), Query.make("b", () => Effect.interrupt), takes("c", 20)]
      const fiber = yield* Effect.forkChild(QueryPool.report(queries, { concurrency: 2, onEvent }).pipe(provide))
      yield* timePasses(30)
      const { failures: _failures, ...report } = yield* Fiber.join(fiber)
      assert.deepInclude(Report.fromEvents(events), report)
    })
  )
})
