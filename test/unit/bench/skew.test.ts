import { assert, describe, it } from "vitest"
import { lengths, randomFrom } from "../../../bench/suites/skew.ts"
import * as Plan from "../../../src/query/Plan.ts"

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

const makespan = (durations: ReadonlyArray<number>, workers: number, order: Plan.Order): number => {
  const plan = Plan.make(durations.map((expected, index) => ({ name: String(index), needs: [], expected })))
  return plan._tag === "Success" ? Plan.schedule(plan.success, { workers, order }).makespan : assert.fail("no plan")
}

describe("the lengths of a batch", () => {
  it("are the same for a seed, and others for another", () => {
    assert.deepStrictEqual(lengths(randomFrom(1), 100, 4, 0.5), lengths(randomFrom(1), 100, 4, 0.5))
    assert.notDeepEqual(lengths(randomFrom(1), 100, 4, 0.5), lengths(randomFrom(2), 100, 4, 0.5))
  })

  it.each([2, 4, 8])("are those of all work, of which the longest is the share of one of %s workers", (workers) => {
    for (let seed = 0; seed < 50; seed++) {
      const all = lengths(randomFrom(seed), 1000, workers, 0.5)
      assert.lengthOf(all, 24)
      assert.closeTo(Math.max(...all), 1000 / workers, 1e-9)
      assert.strictEqual(all[12], Math.max(...all))
      assert.closeTo(sum(all), 1000, 50)
      assert.isAbove(Math.min(...all), 0)
    }
  })

  it.each([
    [2, 1.15],
    [4, 1.25],
    [8, 1.25]
  ])(
    "make %s workers take %s times the bound at least in the order given, and hardly more than it with the longest first",
    (workers, least) => {
      const median = (order: Plan.Order) =>
        Array.from({ length: 51 }, (_, seed) => {
          const all = lengths(randomFrom(seed), 1000, workers, 0.5)
          return makespan(all, workers, order) / Plan.lowerBound({ durations: all, workers }).duration
        }).toSorted((a, b) => a - b)[25] ?? 0
      assert.isAbove(median("given"), least)
      assert.isBelow(median("longest-first"), 1.05)
    }
  )
})
