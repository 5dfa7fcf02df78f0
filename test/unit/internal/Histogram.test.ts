import { assert, describe, it } from "@effect/vitest"
import { Metric } from "effect"
import { Context } from "effect"
import { Histogram } from "../../../src/internal/Histogram.ts"

describe("a histogram", () => {
  it("counts as one of effect's does", () => {
    const bounds = [0.001, 0.01, 1]
    const values = [0, 0.001, 0.0011, 0.5, 1, 7, 0.01]
    const own = new Histogram(bounds)
    const context = Context.make(Metric.MetricRegistry, new Map())
    const metric = Metric.histogram("h", { boundaries: bounds })
    for (const value of values) {
      own.add(value)
      metric.updateUnsafe(value, context)
    }
    assert.deepStrictEqual(own.state, metric.valueUnsafe(context))
  })

  it("has no least value before there is one", () => {
    assert.deepStrictEqual(new Histogram([1]).state, { buckets: [[1, 0]], count: 0, min: 0, max: 0, sum: 0 })
  })
})
