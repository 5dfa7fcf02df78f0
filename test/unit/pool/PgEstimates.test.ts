import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { expected } from "../../../src/pool/PgEstimates.ts"
import { DurationHistory } from "../../../src/query/Learning.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"

/** What is sent to the server for queries with these texts, of which the history knows none. */
const sentFor = (texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { ledger, provide } = yield* TestQueryPool.make(({ sql }) =>
      sql.startsWith("explain") ? [{ "QUERY PLAN": [{ Plan: { "Total Cost": 7 } }] }] : []
    )
    const estimates = yield* expected(texts.map((text, index) => ({ key: `${index}`, statements: [text] }))).pipe(
      provide,
      Effect.provideService(
        DurationHistory,
        DurationHistory.of({ recall: Effect.succeed(() => undefined), learn: () => Effect.void })
      )
    )
    const explained = ledger.statements.flatMap(({ sql }) => (sql.startsWith("explain") ? [sql] : []))
    return { explained, opened: ledger.opened, sources: estimates.map((estimate) => estimate?.source) }
  })

describe("what the server is asked of queries that are new", () => {
  it.effect("is each text once, however many queries have it", () =>
    Effect.gen(function* () {
      const texts = Array.from({ length: 1000 }, (_, index) => (index === 700 ? "select 2" : "select 1"))
      const { explained, opened, sources } = yield* sentFor(texts)
      assert.deepStrictEqual(explained, ["explain (format json) select 1", "explain (format json) select 2"])
      assert.deepStrictEqual(opened, ["estimates"])
      assert.isTrue(sources.every((source) => source === "explain"))
    })
  )

  it.effect("is nothing where all say the same", () =>
    Effect.gen(function* () {
      for (const count of [0, 1, 1000]) {
        const { opened, sources } = yield* sentFor(Array(count).fill("select 1"))
        assert.deepStrictEqual(opened, [])
        assert.deepStrictEqual(sources, Array(count).fill("text"))
      }
    })
  )
})
