/** What a run tells of the rows of its queries while they run. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schedule, Stream } from "effect"
import * as Query from "../../../src/query/Query.ts"
import { Rejected } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

/** Finds so many rows, one a second. */
const rowASecond = (name: string, rows: number) =>
  Query.make(name, (sql) => Effect.repeat(Effect.andThen(Effect.sleep(1_000), sql`a row`), Schedule.recurs(rows - 1)))

const pool = () => TestQueryPool.make(() => [{}])

const told = (events: ReadonlyArray<QueryEvent>) =>
  events.flatMap((event) => (event._tag === "Progressed" ? [`${event.at}: ${event.name} ${event.rows}`] : []))

const collect = () => {
  const events: Array<QueryEvent> = []
  return { events, onEvent: (event: QueryEvent) => void events.push(event) }
}

describe("a run with `progressEvery`", () => {
  it.effect("tells that often of each query whose rows have changed, until it ends", () =>
    Effect.gen(function* () {
      const { events, onEvent } = collect()
      const { provide } = yield* pool()
      const queries = [rowASecond("a", 3), rowASecond("b", 5), Query.make("idle", () => Effect.sleep(9_000))]
      const fiber = yield* Effect.forkChild(provide(QueryPool.all(queries, { onEvent, progressEvery: "2100 millis" })))
      for (let second = 0; second < 12; second++) yield* timePasses(1_000)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(told(events), ["2100: a 2", "2100: b 2", "4200: b 4"])
      assert.strictEqual(events.at(-1)?._tag, "RunEnded")
    })
  )

  it.effect("begins to count anew with each attempt, and tells of none while a query waits for the next", () =>
    Effect.gen(function* () {
      const { events, onEvent } = collect()
      const { provide } = yield* pool()
      let attempts = 0
      const query = Query.make(
        "a",
        (sql) =>
          Effect.gen(function* () {
            const rows = ++attempts === 1 ? 3 : 2
            for (let row = 0; row < rows; row++) yield* Effect.andThen(Effect.sleep(1_000), sql`a row`)
            yield* Effect.sleep(500)
            if (attempts === 1) return yield* new Rejected({ sqlState: undefined, message: "no" })
          }),
        { mode: "readOnly", retry: RetryPolicy.make({ on: ["Rejected"], schedule: Schedule.spaced("10 seconds") }) }
      )
      const fiber = yield* Effect.forkChild(provide(QueryPool.all([query], { onEvent, progressEvery: "1050 millis" })))
      for (let second = 0; second < 20; second++) yield* timePasses(1_000)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        events.flatMap((event): ReadonlyArray<string | number> =>
          event._tag === "Progressed" ? [event.rows] : event._tag === "Retrying" ? ["retried"] : []
        ),
        [1, 2, 3, "retried", 1, 2]
      )
    })
  )

  it.effect("tells of a stream of rows as they are read", () =>
    Effect.gen(function* () {
      const { events, onEvent } = collect()
      const { provide } = yield* pool()
      const rows = Query.streamOf("rows", (sql) =>
        Stream.flatMap(Stream.range(1, 5), () => Stream.fromEffect(Effect.andThen(Effect.sleep(1_000), sql`a row`)))
      )
      const fiber = yield* Effect.forkChild(
        provide(QueryPool.all([Stream.runDrain(rows)], { onEvent, progressEvery: "1600 millis" }))
      )
      for (let second = 0; second < 6; second++) yield* timePasses(1_000)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(told(events), ["1600: rows 1", "3200: rows 3", "4800: rows 4"])
    })
  )

  it.effect("tells nothing after its end, however it ends", () =>
    Effect.gen(function* () {
      const { events, onEvent } = collect()
      const { provide } = yield* pool()
      const run = QueryPool.all([rowASecond("a", 9)], { onEvent, progressEvery: "1100 millis" })
      const fiber = yield* Effect.forkChild(provide(run))
      yield* timePasses(2_500)
      yield* Fiber.interrupt(fiber)
      yield* timePasses(5_000)
      assert.deepStrictEqual(told(events), ["1100: a 1", "2200: a 2"])
      assert.strictEqual(events.at(-1)?._tag, "RunEnded")
    })
  )

  it.effect("asks its sessions to count what arrives; without it, nobody counts or tells", () =>
    Effect.gen(function* () {
      for (const progressEvery of [undefined, "Infinity", "1 second"] as const) {
        const { events, onEvent } = collect()
        const lends = yield* pool()
        let asked = 0
        const countArriving = () => void asked++
        const counting = QueryPool.QueryPool.of({
          ...lends.pool,
          use: (query, body, terms) =>
            lends.pool.use(query, (sql, unit) => body(sql, Object.assign(unit, { countArriving })), terms)
        })
        const run = QueryPool.all([rowASecond("a", 1), rowASecond("b", 3)], { onEvent, progressEvery })
        const fiber = yield* Effect.forkChild(Effect.provideService(run, QueryPool.QueryPool, counting))
        for (let second = 0; second < 4; second++) yield* timePasses(1_000)
        yield* Fiber.join(fiber)
        assert.strictEqual(told(events).length > 0, progressEvery === "1 second")
        assert.strictEqual(asked, progressEvery === "1 second" ? 2 : 0)
      }
    })
  )

  it.effect("is refused with a period that is none", () =>
    Effect.gen(function* () {
      const { provide } = yield* pool()
      for (const progressEvery of [0, -1, Number.NaN]) {
        const exit = yield* Effect.exit(provide(QueryPool.all([], { progressEvery })))
        assert.isTrue(Exit.isFailure(exit))
        assert.include(String(exit), "Expected `progressEvery` to be a duration")
      }
    })
  )
})

describe("the beginning of a run", () => {
  it.effect("says how many queries there are, where that is known", () =>
    Effect.gen(function* () {
      const { provide } = yield* pool()
      const a = Query.make("a", () => Effect.void)
      const cases = [
        [[a, a], 2],
        [{ a }, 1],
        [[], 0],
        [[a, Effect.asVoid(a)], undefined],
        [[a, a].values(), undefined]
      ] as const
      for (const [effects, queries] of cases) {
        const { events, onEvent } = collect()
        yield* provide(QueryPool.report(effects, { onEvent }))
        assert.deepStrictEqual(
          events.flatMap((event) => (event._tag === "RunStarted" ? [event.queries] : [])),
          [queries]
        )
      }
    })
  )
})
