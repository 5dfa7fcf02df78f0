import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Random, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Query, QueryPool } from "querypool"
import type { QueryEvent } from "querypool"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { below, interleaved } from "../../support/Chaos.ts"
import * as Pg from "../../support/Pg.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

const usedMegabytes = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed / 2 ** 20
}

const many = 100_000
const failing = 50_001

const lookup = (n: number) =>
  Query.make("lookup", (sql) =>
    Effect.map(
      sql<{ readonly n: number }>`select ${n}::int / case ${n}::int when ${failing} then 0 else 1 end as n`,
      ([row]) => row?.n
    )
  )

const lookups = function* (taken: { count: number }) {
  for (; taken.count < many; taken.count++) yield lookup(taken.count)
}

layer(Pg.layer("QueryPool"), { excludeTestServices: true })("a run", (it) => {
  describe("of 100,000 queries", () => {
    it.effect("gives all results in order, one typed failure among them, and keeps no query in memory", () =>
      Effect.gen(function* () {
        const heap: Array<number> = []
        const failures: Array<unknown> = []
        const misplaced: Array<number> = []
        const taken = { count: 0 }
        let next = 0
        let mostAhead = 0
        yield* QueryPool.stream(lookups(taken), { concurrency: 5, preserveOrder: true }).pipe(
          Stream.runForEach(({ outcome }) =>
            Effect.sync(() => {
              const n = next++
              mostAhead = Math.max(mostAhead, taken.count - n)
              if (n % 10_000 === 0) heap.push(usedMegabytes())
              if (outcome._tag === "Failed") failures.push(n, outcome.error.reason)
              else if (outcome._tag !== "Succeeded" || outcome.value !== n) misplaced.push(n)
            })
          )
        )
        assert.strictEqual(next, many)
        assert.deepStrictEqual(misplaced, [])
        const [failed, reason] = failures
        assert.strictEqual(failed, failing)
        assert.deepInclude({ ...Object(reason) }, { _tag: "Rejected", sqlState: "22012" })
        assert.lengthOf(failures, 2)
        assert.isAtMost(mostAhead, 30)
        const [first = 0, ...rest] = heap.slice(1)
        // 80,000 queries that were kept would be some 20 MB at the least.
        assert.isBelow(Math.max(...rest) - first, 5, heap.map((megabytes) => megabytes.toFixed(1)).join(" "))
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 5 })))
    )

    it.effect("can be taken from a stream and from an async iterable, in any order", () =>
      Effect.gen(function* () {
        const some = 20_000
        const sources = [
          Stream.map(Stream.range(0, some - 1), lookup),
          (async function* () {
            for (let n = 0; n < some; n++) yield lookup(n)
          })()
        ]
        for (const source of sources) {
          const seen = new Set<number | undefined>()
          yield* Stream.runForEach(QueryPool.stream(source, { concurrency: 5 }), ({ outcome }) =>
            Effect.sync(() => outcome._tag === "Succeeded" && seen.add(outcome.value))
          )
          assert.strictEqual(seen.size, some)
        }
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 5 })))
    )

    it.effect("gives an array for an iterable, an outcome for each where these are asked for", () =>
      Effect.gen(function* () {
        const outcomes = yield* QueryPool.all(lookups({ count: 0 }), { mode: "outcome", concurrency: 5 })
        assert.lengthOf(outcomes, many)
        outcomes.forEach((outcome, n) => {
          if (n === failing) assert.strictEqual(outcome._tag, "Failed")
          else assert.strictEqual(outcome._tag === "Succeeded" && outcome.value, n)
        })
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 5 })))
    )
  })

  it.effect("that fails or is interrupted leaves the pool as it was, and nothing on the server", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const error = yield* Effect.flip(QueryPool.all(lookups({ count: failing - 20 }), { concurrency: 5 }))
      assert.deepInclude({ ...error.reason }, { sqlState: "22012" })
      const sleeps = Query.make("sleeps", (sql) => sql`select pg_sleep(600)`)
      for (const run of [
        QueryPool.all([sleeps, sleeps]),
        QueryPool.all([sleeps, sleeps], { mode: "outcome" }),
        QueryPool.report([sleeps, sleeps]),
        Stream.runDrain(QueryPool.stream([sleeps, sleeps]))
      ]) {
        const fiber = yield* Effect.forkChild(Effect.asVoid<unknown, unknown, QueryPool.QueryPool>(run))
        yield* observer.seen(
          "it sleeps",
          (backend) => backend.query.includes("pg_sleep(600)") && backend.state === "active"
        )
        yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
        assert.isFalse((yield* observer.backends).some((backend) => backend.state === "active"))
      }
      assert.deepStrictEqual(yield* QueryPool.all([lookup(1), lookup(2)]), [1, 2])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 3 })))
  )

  it.effect("of everything that the pool can do keeps one outcome for each query and what each query wrote", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const sql = yield* SqlClient.SqlClient
      yield* sql`create table written (id int primary key)`
      const events: Array<QueryEvent.QueryEvent> = []
      const write = (id: number) => sql`insert into written values (${id})`
      const undone = { mode: "transaction" } as const
      const either = [undefined, "transaction"] as const
      const kinds: ReadonlyArray<(id: number) => Effect.Effect<unknown, unknown, QueryPool.QueryPool>> = [
        (id) => Query.make("fails", () => Effect.andThen(write(id), Effect.fail("fails")), undone),
        (id) => Query.make("rejected", () => Effect.andThen(write(id), sql`select 1 / 0`), undone),
        (id) =>
          Query.make("slow", () => Effect.andThen(write(id), sql`select pg_sleep(600)`), undone).pipe(
            Effect.timeoutOption("5 millis")
          ),
        (id) => Query.make("nested", () => sql.withTransaction(Query.make("inner", () => write(id), undone))),
        (id) => Effect.andThen(write(id), lookup(id)),
        (id) => Query.make("many", () => Effect.all([write(id), lookup(id), lookup(id)], { concurrency: 3 })),
        ...either.flatMap((mode) => [
          (id: number) => Query.make("session", () => Effect.andThen(write(id), sql`set work_mem = '5MB'`), { mode }),
          (id: number) => Query.make("plain", () => write(id), { mode })
        ])
      ]
      const members = yield* Effect.forEach(
        Array.from({ length: 300 }, (_, id) => id),
        (id) => Effect.map(below(kinds.length), (kind) => kinds[kind]?.(id) ?? Effect.void)
      )
      const report = yield* QueryPool.report(members, { concurrency: 6, onEvent: (event) => events.push(event) })
      const ends = events.filter((event) => event._tag === "Ended")
      assert.lengthOf(new Set(ends.map(({ id }) => id)), ends.length)
      assert.lengthOf(
        events.filter((event) => event._tag === "Submitted"),
        ends.length
      )
      assert.lengthOf(report.queries, ends.length)
      for (const query of report.queries) {
        const expected: Readonly<Record<string, string>> = { fails: "Failed", rejected: "Failed", slow: "Cancelled" }
        assert.strictEqual(query.outcome, expected[query.name] ?? "Succeeded", JSON.stringify(query))
        if (query.worker !== undefined) assert.isBelow(query.worker, 6)
      }
      assert.isAtMost(report.efficiency, 1)
      const undoneCount = report.queries.filter(({ outcome }) => outcome !== "Succeeded").length
      assert.isAbove(undoneCount, 20)
      assert.strictEqual(yield* observer.value("select count(*)::int from written"), 300 - undoneCount)
      assert.deepStrictEqual(yield* Query.make("clean", () => sql`select current_setting('work_mem') as mem`), [
        { mem: "4MB" }
      ])
    }).pipe(interleaved(4), Random.withSeed("a run of everything"), Effect.provide(Pg.pool({ maxConnections: 4 })))
  )
})
