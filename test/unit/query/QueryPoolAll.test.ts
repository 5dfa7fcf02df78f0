import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import * as Query from "../../../src/query/Query.ts"
import type { QueryError } from "../../../src/query/QueryError.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

/** A query that takes its time and gives its name. */
const takes = (name: string, millis: number) => Query.make(name, () => Effect.as(Effect.sleep(millis), name))

/** Runs to the end while the clock is moved. */
const whileTimePasses = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>, millis: number) {
  const fiber = yield* Effect.forkChild(effect)
  yield* timePasses(millis)
  return yield* Fiber.join(fiber)
})

/** A list that throws after its first query. */
const broken = function* () {
  yield Query.make("runs", (): Effect.Effect<never> => Effect.never)
  throw new Error("the list is broken")
}

describe("QueryPool.all", () => {
  it.effect("gives a tuple for a tuple, a record for a record and an array for any other iterable", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const one = Query.make("one", () => Effect.succeed(1))
      const two = Query.make("two", () => Effect.succeed("two"))
      const tuple: [number, string] = yield* QueryPool.all([one, two]).pipe(provide)
      assert.deepStrictEqual(tuple, [1, "two"])
      const record: { a: number; b: string } = yield* QueryPool.all({ b: two, a: one }).pipe(provide)
      assert.deepStrictEqual(Object.entries(record), [
        ["b", "two"],
        ["a", 1]
      ])
      const array: Array<number | string> = yield* QueryPool.all(new Set([two, one])).pipe(provide)
      assert.deepStrictEqual(array, ["two", 1])
    })
  )

  it.effect("gives nothing for nothing", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      assert.deepStrictEqual(yield* QueryPool.all([]).pipe(provide), [])
      assert.deepStrictEqual(yield* QueryPool.all({}).pipe(provide), {})
      assert.deepStrictEqual(yield* QueryPool.all(new Set<Query.Query<number>>()).pipe(provide), [])
      assert.deepStrictEqual(yield* QueryPool.all([], { mode: "outcome" }).pipe(provide), [])
      assert.deepStrictEqual(ledger.opened, [])
    })
  )

  it.effect("gives results in the order given, whatever the order of ends", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const queries = [takes("a", 40), takes("b", 10), takes("c", 30), takes("d", 20)]
      const values = yield* whileTimePasses(QueryPool.all(queries, { concurrency: 4 }).pipe(provide), 40)
      assert.deepStrictEqual(values, ["a", "b", "c", "d"])
      assert.deepStrictEqual(ledger.closed, ["b", "d", "c", "a"])
      const outcomes = yield* whileTimePasses(QueryPool.all(queries, { mode: "outcome" }).pipe(provide), 40)
      assert.deepStrictEqual(
        outcomes.map((outcome) => outcome._tag === "Succeeded" && outcome.value),
        values
      )
    })
  )

  it.effect("starts five at once, in the order given, when nothing else is asked for", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const queries = Array.from({ length: 12 }, (_, id) => takes(`${id}`, 10))
      const fiber = yield* Effect.forkChild(QueryPool.all(queries).pipe(provide))
      yield* timePasses(5)
      assert.deepStrictEqual(ledger.opened, ["0", "1", "2", "3", "4"])
      yield* timePasses(25)
      const names = queries.map((query) => query.name)
      assert.deepStrictEqual(yield* Fiber.join(fiber), names)
      assert.deepStrictEqual(ledger.opened, names)
      assert.strictEqual(ledger.mostInUse, 5)
    })
  )

  it.effect("pulls an iterable only as workers become free, and reads it once", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      let pulled = 0
      let closed = 0
      const queries = function* () {
        try {
          for (let id = 0; id < 6; id++) {
            pulled++
            yield takes(`${id}`, 10)
          }
        } finally {
          closed++
        }
      }
      const fiber = yield* Effect.forkChild(QueryPool.all(queries(), { concurrency: 2 }).pipe(provide))
      const seen: Array<number> = []
      for (let round = 0; round < 3; round++) {
        yield* timePasses(round === 0 ? 5 : 10)
        seen.push(pulled)
      }
      assert.deepStrictEqual(seen, [2, 4, 6])
      yield* timePasses(10)
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["0", "1", "2", "3", "4", "5"])
      assert.strictEqual(closed, 1)
    })
  )

  it.effect("closes the generator when it ends early", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const ends: ReadonlyArray<Effect.Effect<void, string>> = [Effect.fail("no"), Effect.die("fault")]
      for (const end of ends) {
        let closed = 0
        const queries = function* () {
          try {
            yield Query.make("first", () => Effect.void)
            while (true) yield Query.make("ends", () => end)
          } finally {
            closed++
          }
        }
        yield* Effect.exit(QueryPool.all(queries(), { concurrency: 2 }).pipe(provide))
        assert.strictEqual(closed, 1)
      }
      let closed = 0
      const endless = function* () {
        try {
          while (true) yield takes("endless", 10)
        } finally {
          closed++
        }
      }
      const fiber = yield* Effect.forkChild(QueryPool.all(endless(), { concurrency: 2 }).pipe(provide))
      yield* timePasses(25)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(closed, 1)
    })
  )

  it.effect("ends with the error of an iterator that throws, and interrupts what runs", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const runs: ReadonlyArray<Effect.Effect<unknown, QueryError, QueryPool.QueryPool>> = [
        QueryPool.all(broken(), { concurrency: 2 }),
        QueryPool.all(broken(), { concurrency: 2, mode: "outcome" }),
        QueryPool.report(broken(), { concurrency: 2 })
      ]
      for (const run of runs) {
        const defect = yield* Effect.flip(Effect.catchDefect(run, Effect.fail)).pipe(provide)
        assert.deepStrictEqual(defect, new Error("the list is broken"))
        assert.strictEqual(ledger.inUse, 0)
      }
      assert.deepStrictEqual(ledger.closed, ["runs", "runs", "runs"])
    })
  )

  it.effect("can be run again", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      let runs = 0
      const count = Query.make("count", () => Effect.sync(() => ++runs))
      const all = QueryPool.all([count, count]).pipe(provide)
      assert.deepStrictEqual(
        [yield* all, yield* all],
        [
          [1, 2],
          [3, 4]
        ]
      )
      assert.strictEqual(ledger.opened.length, 4)
    })
  )

  it.effect("runs a query that is handed over twice two times", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const latch = yield* Latch.make()
      let ran = 0
      const twice = Query.make("twice", () =>
        Effect.andThen(
          latch.await,
          Effect.sync(() => ++ran)
        )
      )
      const fiber = yield* Effect.forkChild(QueryPool.all([twice, twice]).pipe(provide))
      yield* timePasses(1)
      assert.strictEqual(ledger.inUse, 2)
      yield* latch.open
      assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 2])
    })
  )

  it.effect("takes effects that are no queries, and gives their values", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const sum = Effect.zipWith(
        Query.make("left", () => Effect.succeed(1)),
        Query.make("right", () => Effect.succeed(2)),
        (left, right) => left + right
      )
      assert.deepStrictEqual(yield* QueryPool.all([sum, Effect.succeed("plain")]).pipe(provide), [3, "plain"])
      assert.deepStrictEqual(ledger.opened, ["left", "right"])
    })
  )

  it.effect("runs everything in the mode for outcomes, and tells of each how it ended", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const outcomes = yield* QueryPool.all(
        {
          good: Query.make("good", () => Effect.succeed(1)),
          bad: Query.make("bad", () => Effect.fail("no")),
          gone: Query.make("gone", () => Effect.interrupt),
          plain: Effect.fail("plain"),
          last: Query.make("last", () => Effect.succeed(2))
        },
        { concurrency: 1, mode: "outcome" }
      ).pipe(provide)
      assert.deepStrictEqual(outcomes, {
        good: { _tag: "Succeeded", value: 1 },
        bad: { _tag: "Failed", error: "no" },
        gone: { _tag: "Cancelled" },
        plain: { _tag: "Failed", error: "plain" },
        last: { _tag: "Succeeded", value: 2 }
      })
      assert.deepStrictEqual(ledger.opened, ["good", "bad", "gone", "last"])
    })
  )
})
