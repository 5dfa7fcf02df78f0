import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Hints } from "../../../src/pool/Estimates.ts"
import { estimate } from "../../../src/pool/Estimates.ts"

const text = { length: 100 }
const shown = (hints: ReadonlyArray<Hints>) => estimate(hints).map((found) => found && [found.millis, found.source])

const Amount = Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })))
const AnyHints = Schema.Array(
  Schema.Struct({
    learnedMillis: Amount,
    statisticsMillis: Amount,
    cost: Amount,
    length: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
  })
)

describe("an estimate", () => {
  it("is the best that is known of a query, and says what that is", () => {
    const hints = { learnedMillis: 7, statisticsMillis: 8, cost: 900, length: 10 }
    assert.deepStrictEqual(shown([hints]), [[7, "learned"]])
    assert.deepStrictEqual(shown([{ ...hints, learnedMillis: undefined }]), [[8, "pg_stat_statements"]])
    assert.deepStrictEqual(shown([{ ...hints, learnedMillis: undefined, statisticsMillis: undefined }]), [
      [9, "explain"]
    ])
    assert.deepStrictEqual(shown([{ length: 10 }]), [[1, "text"]])
    assert.deepStrictEqual(shown([{ length: 0 }]), [undefined])
  })

  it("of a cost is at the ratio of those whose time is known too", () => {
    const hints: ReadonlyArray<Hints> = [
      { ...text, learnedMillis: 100, cost: 1000 },
      { ...text, statisticsMillis: 30, cost: 300 },
      { ...text, cost: 50 }
    ]
    assert.deepStrictEqual(shown(hints)[2], [5, "explain"])
  })

  it("of a cost is not moved by one that sleeps, or that the server had in its hands already", () => {
    const measured = [100, 110, 95, 105].map((millis): Hints => ({ ...text, learnedMillis: millis, cost: 1000 }))
    const sleeps: Hints = { ...text, learnedMillis: 60_000, cost: 0.01 }
    const cached: Hints = { ...text, learnedMillis: 0, cost: 5000 }
    const [millis = 0, source] = shown([...measured, sleeps, cached, { ...text, cost: 2000 }])[6] ?? []
    assert.strictEqual(source, "explain")
    assert.isTrue(Number(millis) >= 190 && Number(millis) <= 220, String(millis))
  })

  it("of a text is at the ratio of those whose time is known or planned", () => {
    const hints: ReadonlyArray<Hints> = [
      { learnedMillis: 500, length: 100 },
      { cost: 20_000, length: 40 },
      { length: 200 },
      { length: 20 }
    ]
    assert.deepStrictEqual(shown([{ length: 200 }, { length: 20 }]), [
      [20, "text"],
      [2, "text"]
    ])
    // Without `cost` of one that is known, a unit of it is 0.01 ms: both take 5 ms for a character.
    assert.deepStrictEqual(shown(hints.slice(0, 1).concat(hints.slice(2))).slice(1), [
      [1000, "text"],
      [100, "text"]
    ])
    assert.deepStrictEqual(shown(hints).slice(1), [
      [200, "explain"],
      [1000, "text"],
      [100, "text"]
    ])
  })

  it.prop("is there for each query in its place, and is a number that can be sorted", [AnyHints], ([all]) => {
    const estimates = estimate(all)
    assert.lengthOf(estimates, all.length)
    for (const [index, found] of estimates.entries()) {
      const { cost, learnedMillis, length = 0, statisticsMillis } = all[index] ?? {}
      const isKnown = length > 0 || [cost, learnedMillis, statisticsMillis].some((amount) => amount !== undefined)
      assert.strictEqual(found !== undefined, isKnown)
      if (found !== undefined) assert.isTrue(Number.isFinite(found.millis) && found.millis >= 0)
    }
  })

  it.prop("of one source keeps the order of what it rests on", [AnyHints], ([all]) => {
    const estimates = estimate(all)
    const of = {
      learned: "learnedMillis",
      pg_stat_statements: "statisticsMillis",
      explain: "cost",
      text: "length"
    } as const
    for (const [source, hint] of Object.entries(of)) {
      const ranked = estimates.flatMap((found, index) =>
        found?.source === source ? { millis: found.millis, amount: all[index]?.[hint] ?? 0 } : []
      )
      for (const a of ranked) for (const b of ranked) if (a.amount > b.amount) assert.isAtLeast(a.millis, b.millis)
    }
  })
})
