import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schedule, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Query, QueryError, QueryPool, RetryPolicy } from "querypool"
import type { QueryEvent } from "querypool"
import { Faults, TestQueryPool, TestTime } from "querypool/testing"

const deadlock = Faults.sqlState("40P01")
const refused = new QueryError.ConnectFailed({ message: "refused" })

const inserts = (name: string, options?: Query.Options<QueryError.QueryError>) =>
  Query.make(name, (sql) => Effect.as(sql`insert`, name), options)

const again = (times: number) =>
  RetryPolicy.make({ on: ["Deadlock", "ConnectionLost", "ConnectFailed"], schedule: Schedule.recurs(times) })

const pool = (rules: ReadonlyArray<Faults.QueryRule>, options?: Faults.Options) =>
  Layer.provideMerge(
    Faults.queries(rules, options),
    TestQueryPool.layer(() => [{ n: 1 }])
  )

const ledger = Effect.map(TestQueryPool.TestQueryPool, (test) => test.ledger)

describe("the faults of queries", () => {
  it.effect("happen to the executions that are named, by the first rule that is for them", () => {
    const seen: Array<Faults.Injected> = []
    return Effect.gen(function* () {
      const outcomes = yield* QueryPool.all(
        ["a", "a", "mail 1", "a", "b"].map((name) => inserts(name)),
        { mode: "outcome", concurrency: 1 }
      )
      assert.deepStrictEqual(
        outcomes.map((outcome) => (outcome._tag === "Failed" ? outcome.error.reason._tag : outcome._tag)),
        ["Succeeded", "Deadlock", "ConnectFailed", "Succeeded", "Succeeded"]
      )
      assert.deepStrictEqual(seen, [
        { name: "a", nth: 2, fault: "Fail" },
        { name: "mail 1", nth: 1, fault: "Fail" }
      ])
    }).pipe(
      Effect.provide(
        pool(
          [
            { query: "a", nth: [2], fault: Faults.fail(deadlock) },
            { query: "a", nth: [2], fault: Faults.hang },
            { query: /^mail/g, fault: Faults.fail(refused) },
            { query: "b", chance: 0, fault: Faults.hang }
          ],
          { onFault: (fault) => seen.push(fault) }
        )
      )
    )
  })

  it.effect("follow by chance from the seed, the name and the number alone, in whatever order queries come", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 20 }, (_, id) => `query ${id}`)
      const faultsOf = (seed: number, order: ReadonlyArray<string>, concurrency: number) => {
        const seen: Array<string> = []
        return QueryPool.all(
          order.map((name) => inserts(name)),
          { mode: "outcome", concurrency }
        ).pipe(
          Effect.provide(
            pool([{ chance: 0.3, fault: Faults.fail(deadlock) }], {
              seed,
              onFault: ({ name, nth }) => seen.push(`${name}/${nth}`)
            })
          ),
          Effect.map(() => seen.toSorted())
        )
      }
      const often = names.flatMap((name) => Array.from({ length: 50 }, () => name))
      const first = yield* faultsOf(7, often, 1)
      assert.deepStrictEqual(yield* faultsOf(7, often.toReversed(), 9), first)
      assert.notDeepEqual(yield* faultsOf(8, often, 1), first)
      // Of 1,000, three in ten: within five standard deviations of 14.5.
      for (let seed = 1; seed <= 10; seed++)
        assert.closeTo((yield* faultsOf(seed, often, 5)).length, 300, 73, `${seed}`)
    })
  )

  it.effect("fail a query on a session of which nothing was asked, or without one, and it is tried again", () =>
    Effect.gen(function* () {
      const events: Array<QueryEvent.QueryEvent> = []
      const run = QueryPool.all([inserts("a", { retry: again(2) }), inserts("b", { retry: again(2) })], {
        concurrency: 1,
        onEvent: (event) => events.push(event)
      })
      assert.deepStrictEqual(yield* run, ["a", "b"])
      const { opened, statements } = yield* ledger
      // The pool was never asked for a session for the one that could not connect.
      assert.deepStrictEqual(opened, ["a", "a", "b"])
      assert.deepStrictEqual(
        statements.map(({ query }) => query),
        ["a", "b"]
      )
      assert.deepStrictEqual(
        events.flatMap((event) => ("name" in event ? [`${event.name} ${event._tag}`] : [])),
        [
          ...["a Submitted", "b Submitted", "a Started", "a Retrying", "a Started", "a Ended"],
          ...["b Retrying", "b Started", "b Ended"]
        ]
      )
    }).pipe(
      Effect.provide(
        pool([
          { query: "a", nth: [1], fault: Faults.fail(deadlock) },
          { query: "b", nth: [1], fault: Faults.fail(refused) }
        ])
      )
    )
  )

  it.effect(
    "fail it when all is done: a transaction is rolled back and tried again, and what stands alone is kept",
    () =>
      Effect.gen(function* () {
        const retry = again(1)
        assert.strictEqual(yield* inserts("transaction", { mode: "transaction", retry }), "transaction")
        const error = yield* Effect.flip(inserts("autocommit", { retry }))
        assert.deepInclude({ ...error }, { outcome: "partial", connection: "usable", attempt: 1 })
        const { opened, transactions } = yield* ledger
        assert.deepStrictEqual(
          transactions.map(({ end }) => end),
          ["rolledBack", "committed"]
        )
        assert.deepStrictEqual(opened, ["transaction", "transaction", "autocommit"])
      }).pipe(Effect.provide(pool([{ nth: [1], fault: Faults.failAfter(deadlock) }])))
  )

  it.effect(
    "lose the answer of what is done: it is committed, its outcome is unknown, and only what may be is repeated",
    () =>
      Effect.gen(function* () {
        const retry = again(3)
        const error = yield* Effect.flip(inserts("once", { mode: "transaction", retry }))
        assert.deepInclude({ ...error }, { outcome: "unknown", connection: "gone", attempt: 1 })
        assert.strictEqual(error.reason._tag, "ConnectionLost")
        assert.strictEqual(yield* inserts("twice", { mode: "transaction", retry, idempotent: true }), "twice")
        assert.deepStrictEqual(
          (yield* ledger).transactions.map(({ end, query }) => [query, end]),
          [
            ["once", "committed"],
            ["twice", "committed"],
            ["twice", "committed"]
          ]
        )
      }).pipe(Effect.provide(pool([{ nth: [1], fault: Faults.loseAnswer }])))
  )

  it.effect("delay it, and let it hang, on its session: its time and its run go on", () =>
    Effect.gen(function* () {
      const { inUse } = yield* Effect.gen(function* () {
        const slow = yield* Effect.forkChild(inserts("slow"))
        yield* TestTime.advance(1999)
        assert.isUndefined(slow.pollUnsafe())
        assert.strictEqual((yield* ledger).inUse, 1)
        yield* TestTime.advance(1)
        assert.strictEqual(yield* Fiber.join(slow), "slow")
        const late = yield* Effect.forkChild(Effect.flip(inserts("slow", { timeout: "1 second" })))
        yield* TestTime.advance(1000)
        assert.strictEqual((yield* Fiber.join(late)).reason._tag, "TimedOut")
        const stuck = yield* Effect.forkChild(QueryPool.all([inserts("hangs"), inserts("good")]))
        yield* TestTime.advance("1 day")
        assert.deepStrictEqual((yield* ledger).closed.slice(-1), ["good"])
        yield* Fiber.interrupt(stuck)
        return yield* ledger
      })
      assert.strictEqual(inUse, 0)
    }).pipe(
      Effect.provide(
        pool([
          { query: "slow", fault: Faults.delay("2 seconds") },
          { query: "hangs", fault: Faults.hang }
        ])
      )
    )
  )

  it.effect("happen to streams of rows", () =>
    Effect.gen(function* () {
      const rows = (name: string) =>
        Query.stream({ name, schema: Schema.Struct({ n: Schema.Finite }), statement: (sql) => sql`select` })
      const read = (name: string) => {
        const seen: Array<number> = []
        return Effect.map(
          Effect.exit(Stream.runForEach(rows(name), ({ n }) => Effect.sync(() => seen.push(n)))),
          (exit) => ({ seen, error: Exit.isFailure(exit) ? Exit.findErrorOption(exit) : undefined })
        )
      }
      const reasonOf = ({ error }: Effect.Success<ReturnType<typeof read>>) =>
        error?._tag === "Some" ? [error.value.reason._tag, error.value.outcome] : []
      for (const [name, seen, reason] of [
        ["good", [1], []],
        ["fails", [], ["Deadlock", "notApplied"]],
        ["refused", [], ["ConnectFailed", "notApplied"]],
        ["fails after", [1], ["Deadlock", "partial"]],
        ["lost", [1], ["ConnectionLost", "unknown"]]
      ] as const) {
        const result = yield* read(name)
        assert.deepStrictEqual([result.seen, reasonOf(result)], [seen, reason], name)
      }
      const slow = yield* Effect.forkChild(read("slow"))
      const stuck = yield* Effect.forkChild(read("hangs"))
      yield* TestTime.advance(1999)
      assert.isUndefined(slow.pollUnsafe())
      yield* TestTime.advance(1)
      assert.deepStrictEqual((yield* Fiber.join(slow)).seen, [1])
      assert.isUndefined(stuck.pollUnsafe())
      yield* Fiber.interrupt(stuck)
      assert.strictEqual((yield* ledger).inUse, 0)
    }).pipe(
      Effect.provide(
        pool([
          { query: "fails", fault: Faults.fail(deadlock) },
          { query: "refused", fault: Faults.fail(refused) },
          { query: "fails after", fault: Faults.failAfter(deadlock) },
          { query: "lost", fault: Faults.loseAnswer },
          { query: "slow", fault: Faults.delay("2 seconds") },
          { query: "hangs", fault: Faults.hang }
        ])
      )
    )
  )

  it.effect("leave a query's own errors as they are, and statements outside of queries alone", () =>
    Effect.gen(function* () {
      const own = Query.make("own", () => Effect.fail("own"))
      assert.strictEqual(yield* Effect.flip(own), "own")
      const sql = yield* SqlClient
      assert.deepStrictEqual(yield* sql`select 1`, [{ n: 1 }])
    }).pipe(Effect.provide(pool([{ fault: Faults.failAfter(deadlock) }])))
  )

  it("are refused where they cannot be", () => {
    const rule = { fault: Faults.hang }
    assert.throws(() => Faults.queries([{ ...rule, chance: 1.5 }]), "Expected `chance` to be a number from 0 to 1")
    assert.throws(() => Faults.queries([{ ...rule, chance: Number.NaN }]), "got NaN")
    assert.throws(() => Faults.queries([{ ...rule, nth: [0] }]), "Expected `nth` to be integers from 1, got 0")
    assert.throws(() => Faults.delay(-1), "Expected `delay` to be a duration from 0")
  })
})
