/** How many queries run at once, and which runs are refused. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Stream } from "effect"
import * as Query from "../../../src/query/Query.ts"
import type { QueryError } from "../../../src/query/QueryError.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import { Run } from "../../../src/query/Run.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

const takes = (name: string, millis: number) => Query.make(name, () => Effect.sleep(millis))

type AnyEffect = Effect.Effect<unknown, QueryError, QueryPool.QueryPool>

/** Every way to run effects. */
const starts: ReadonlyArray<(effects: ReadonlyArray<AnyEffect>, options: QueryPool.RunOptions) => AnyEffect> = [
  (effects, options) => QueryPool.all(effects, options),
  (effects, options) => QueryPool.all(effects, { ...options, mode: "outcome" }),
  (effects, options) => QueryPool.report(effects, options),
  (effects, options) => Stream.runDrain(QueryPool.stream(effects, options)),
  (effects, options) => Stream.runDrain(QueryPool.stream(effects, { ...options, preserveOrder: true }))
]

describe("the concurrency of a run", () => {
  it.effect("is kept in every mode, also where effects hold several queries and run them side by side", () =>
    Effect.gen(function* () {
      const several = Effect.all([takes("one", 3), takes("two", 5)], { concurrency: "unbounded", discard: true })
      const nested = Effect.forEach([several, takes("three", 2), several], (effect) => effect, {
        concurrency: "unbounded",
        discard: true
      })
      for (const start of starts) {
        for (const concurrency of [1, 2, 3]) {
          const { ledger, provide } = yield* TestQueryPool.make()
          const effects = [nested, takes("alone", 4), several, nested, takes("alone", 1)]
          const fiber = yield* Effect.forkChild(start(effects, { concurrency }).pipe(provide))
          let millis = 0
          while (fiber.pollUnsafe() === undefined && millis++ < 100) {
            yield* timePasses(1)
            assert.isAtMost(ledger.inUse, concurrency)
          }
          yield* Fiber.join(fiber)
          assert.strictEqual(ledger.mostInUse, concurrency)
          assert.lengthOf(ledger.closed, 5 + 1 + 2 + 5 + 1)
        }
      }
    })
  )

  it.effect("is not needed by a query that joins another's session", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const inner = Query.make("inner", () => Effect.succeed(1))
      const outer = Query.make("outer", () => Effect.all([inner, inner], { concurrency: 2 }))
      assert.deepStrictEqual(yield* QueryPool.all([outer], { concurrency: 1 }).pipe(provide), [[1, 1]])
      assert.deepStrictEqual(ledger.opened, ["outer"])
    })
  )

  it.effect("is not needed by a query of another pool in a query's body, by either way into the run", () =>
    Effect.gen(function* () {
      const here = yield* TestQueryPool.make()
      const there = yield* TestQueryPool.make()
      const elsewhere = Query.make("elsewhere", () => Effect.succeed("found")).pipe(there.provide)
      const query = Query.make("here", () => elsewhere)
      const effect = Effect.map(query, (found) => found)
      for (const member of [query, effect]) {
        assert.deepStrictEqual(yield* QueryPool.all([member], { concurrency: 1 }).pipe(here.provide), ["found"])
        const results = QueryPool.stream([member], { concurrency: 1 })
        assert.lengthOf(yield* Stream.runCollect(results).pipe(here.provide), 1)
      }
      assert.lengthOf(there.ledger.closed, 4)
    })
  )

  it.effect("is free again for the next query when one has ended in any way", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const ends: ReadonlyArray<Effect.Effect<void, string>> = [
        Effect.fail("no"),
        Effect.die("a fault"),
        Effect.interrupt,
        Effect.void
      ]
      const queries = [...ends, ...ends].map((end, id) => Query.make(`${id}`, () => end))
      const hidden = queries.map((query) => Effect.map(query, (value) => value))
      yield* QueryPool.report([...queries, ...hidden], { concurrency: 1 }).pipe(provide)
      assert.lengthOf(ledger.closed, 16)
    })
  )

  it.effect.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 100_001])(
    "is refused when it is %d",
    (concurrency) =>
      Effect.gen(function* () {
        const { ledger, provide } = yield* TestQueryPool.make()
        for (const start of starts) {
          const run = start([takes("a", 0)], { concurrency })
          const defect = yield* Effect.flip(Effect.catchDefect(run, Effect.fail)).pipe(provide)
          assert.instanceOf(defect, RangeError)
          assert.propertyVal(
            defect,
            "message",
            `Expected \`concurrency\` to be an integer from 1 to 100000, got ${concurrency}`
          )
        }
        assert.deepStrictEqual(ledger.opened, [])
      })
  )
})

describe("a run inside a query's body", () => {
  it.effect("is refused with the name of the query, in every mode", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      for (const start of starts) {
        const outer = Query.make("outer", () => start([takes("inner", 0)], {}))
        const defect = yield* Effect.flip(Effect.catchDefect(Effect.asVoid(outer), Effect.fail)).pipe(provide)
        assert.propertyVal(
          defect,
          "message",
          `A run was started inside the body of query "outer". It could wait for the session that this query holds, ` +
            `so it is refused. Start the run outside, or run the queries one after the other inside the body: they ` +
            `join its session`
        )
      }
      assert.notInclude(ledger.opened, "inner")
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect("is welcome on another pool", () =>
    Effect.gen(function* () {
      const here = yield* TestQueryPool.make()
      const there = yield* TestQueryPool.make()
      const inner = QueryPool.all([Query.make("inner", () => Effect.succeed(1))]).pipe(there.provide)
      assert.deepStrictEqual(yield* Query.make("outer", () => inner).pipe(here.provide), [1])
    })
  )
})

describe("a run that nobody listens to", () => {
  it.effect("has no listener, and so nothing for each query", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const options = { concurrency: 5, workers: 5, clock, queueMillis: undefined, deadlineMillis: undefined }
      assert.isUndefined(new Run({ ...options, onEvent: undefined }).listener)
      assert.isDefined(new Run({ ...options, onEvent: () => {} }).listener)
    })
  )
})
