import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Plan from "../../../src/query/Plan.ts"

// Integers, so that sums are exact and the properties can compare for equality.
const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const durations = Schema.Array(integer(0, 10_000)).check(Schema.isMaxLength(40))
const workers = integer(1, 16)
const arbitrary = { runs: 300, seed: 20_260_101 }

const lowerBound = (options: Parameters<typeof Plan.lowerBound>[0]): number => Plan.lowerBound(options).duration

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, one) => total + one, 0)

/** The makespan of handing each to the worker that is free first, in the order given. */
const listSchedule = (durations: ReadonlyArray<number>, workers: number): number => {
  const busyUntil = Array.from({ length: workers }, () => 0)
  for (const duration of durations) {
    const first = busyUntil.indexOf(Math.min(...busyUntil))
    busyUntil[first] = (busyUntil[first] ?? 0) + duration
  }
  return Math.max(...busyUntil)
}

const bindingOf = (durations: ReadonlyArray<number>, workers: number, criticalPath?: number) =>
  Plan.lowerBound({ durations, workers, criticalPath }).binding

describe("Plan.lowerBound", () => {
  it("is 0 without durations", () => {
    assert.strictEqual(lowerBound({ durations: [], workers: 5 }), 0)
    assert.strictEqual(lowerBound({ durations: [], workers: 5, processors: 2 }), 0)
  })

  it("is the longest where one query outlasts the rest, and the share of each worker where none does", () => {
    assert.strictEqual(lowerBound({ durations: [100, 1, 1], workers: 2 }), 100)
    assert.strictEqual(lowerBound({ durations: [30, 30, 30], workers: 2 }), 45)
    assert.strictEqual(lowerBound({ durations: [30, 30, 30], workers: 3, processors: 1 }), 90)
  })

  it("is the critical path where that is more", () => {
    assert.strictEqual(lowerBound({ durations: [30, 30, 30], workers: 2, criticalPath: 60 }), 60)
    assert.strictEqual(lowerBound({ durations: [30, 30, 30], workers: 1, criticalPath: 60 }), 90)
  })

  it("says what it is that binds, and of equals what no worker more would help against", () => {
    assert.strictEqual(bindingOf([100, 1, 1], 2, 100), "longest query")
    assert.strictEqual(bindingOf([30, 30, 30], 2), "total work")
    assert.strictEqual(bindingOf([30, 30, 30], 2, 60), "critical path")
    assert.strictEqual(bindingOf([30], 1, 30), "longest query")
    assert.strictEqual(bindingOf([30, 30], 1, 60), "critical path")
  })

  it("says so of fractions, too, whose sum depends on their order", () => {
    assert.deepStrictEqual(Plan.lowerBound({ durations: [0.1, 0.1, 0.1], workers: 3 }), {
      duration: 0.1,
      binding: "longest query"
    })
    const [first, second, third] = [0.1, 0.2, 0.3]
    assert.strictEqual(bindingOf([first, second, third], 1, third + second + first), "critical path")
    assert.strictEqual(bindingOf([first, second, third], 1, third + second), "total work")
  })

  it("reads any iterable once", () => {
    assert.strictEqual(lowerBound({ durations: new Set([1, 2, 3]).values(), workers: 1 }), 6)
  })

  it.prop(
    "is the longest duration or the share of each that works, whichever is more",
    [durations, workers, workers],
    ([durations, workers, processors]) => {
      const bound = lowerBound({ durations, workers, processors })
      const share = sum(durations) / Math.min(workers, processors)
      assert.isAtLeast(bound, Math.max(0, ...durations))
      assert.isAtLeast(bound, share)
      assert.isTrue(bound === share || durations.includes(bound))
    },
    { arbitrary }
  )

  it.prop(
    "never grows with more workers or processors",
    [durations, workers, workers],
    ([durations, workers, processors]) => {
      const bound = lowerBound({ durations, workers, processors })
      assert.isAtMost(lowerBound({ durations, workers: workers + 1, processors }), bound)
      assert.isAtMost(lowerBound({ durations, workers, processors: processors + 1 }), bound)
      assert.isAtMost(lowerBound({ durations, workers }), bound)
    },
    { arbitrary }
  )

  it.prop(
    "scales with the unit of the durations and does not depend on their order",
    [durations, workers],
    ([durations, workers]) => {
      const bound = lowerBound({ durations, workers })
      // A power of two, so that the scaled numbers are as exact as these.
      assert.strictEqual(lowerBound({ durations: durations.map((duration) => duration * 1024), workers }), bound * 1024)
      assert.strictEqual(lowerBound({ durations: durations.toReversed(), workers }), bound)
    },
    { arbitrary }
  )

  it.prop(
    "is not above what a scheduler reaches, nor below half of it",
    [durations, workers],
    ([durations, workers]) => {
      const reached = listSchedule(durations, workers)
      const bound = lowerBound({ durations, workers })
      assert.isAtMost(bound, reached)
      // List scheduling is within 2 - 1 / workers of the bound.
      assert.isAtMost(reached, bound * 2)
    },
    { arbitrary }
  )
})
