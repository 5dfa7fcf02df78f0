import { assert, describe, it } from "@effect/vitest"
import { SpanQuota } from "../../../src/query/SpanQuota.ts"

const takeAt = (quota: SpanQuota, millis: number, times: number): number => {
  let taken = 0
  for (let time = 0; time < times; time++) if (quota.take(millis)) taken++
  return taken
}

describe("a quota of spans", () => {
  it("gives a second's worth at once, and then as many as time has passed for", () => {
    const quota = new SpanQuota(100)
    assert.strictEqual(takeAt(quota, 5_000, 1_000), 100)
    assert.strictEqual(takeAt(quota, 5_009, 10), 0)
    assert.strictEqual(takeAt(quota, 5_100, 1_000), 10)
    assert.strictEqual(takeAt(quota, 9_000, 1_000), 100)
  })

  it("gives no more than its rate in the long run, however it is asked", () => {
    const quota = new SpanQuota(100)
    let taken = 0
    for (let millis = 0; millis <= 10_000; millis += 7) taken += takeAt(quota, millis, 13)
    assert.isAtMost(taken, 100 + 10 * 100)
    assert.isAtLeast(taken, 10 * 100)
  })

  it("gives all, or none", () => {
    assert.strictEqual(takeAt(new SpanQuota(Infinity), 0, 1_000), 1_000)
    const none = new SpanQuota(0)
    assert.strictEqual(takeAt(none, 0, 10) + takeAt(none, 1e9, 10), 0)
  })
})
