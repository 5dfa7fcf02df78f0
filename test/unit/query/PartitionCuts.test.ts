import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { KnownValue, Source } from "../../../src/query/PartitionCuts.ts"
import { cutsOf } from "../../../src/query/PartitionCuts.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** A table's column of small integers, or of NULL where it is 0. */
const column = Schema.Array(integer(0, 30)).check(Schema.isMaxLength(120))
const columns = Schema.NonEmptyArray(column).check(Schema.isMaxLength(3))
const parts = integer(1, 9)
/** How often a value has to come to count as common, and how many bounds there are. */
const target = integer(2, 12)
const arbitrary = { runs: 500, seed: 20_260_104, size: 40 }

const ascending = (a: number, b: number): number => a - b

const counted = (rows: ReadonlyArray<number>): ReadonlyMap<number, number> =>
  new Map([...Map.groupBy(rows, (value) => value)].map(([value, equal]) => [value, equal.length]))

/** What ANALYZE would keep of a column if it looked at each row. */
const analyzed = (rows: ReadonlyArray<number>, target: number) => {
  const present = rows.filter((value) => value > 0).toSorted(ascending)
  const common = [...counted(present)].filter(([, count]) => count > present.length / target)
  const others = present.filter((value) => !common.some(([one]) => one === value))
  const bounds =
    others.length < 2
      ? []
      : Array.from({ length: target + 1 }, (_, i) => others[Math.round((i * (others.length - 1)) / target)] ?? 0)
  return { nulls: rows.length === 0 ? 0 : 1 - present.length / rows.length, common, bounds }
}

/** The arguments of `cutsOf` for some columns. */
const known = (columns: ReadonlyArray<ReadonlyArray<number>>, target: number) => {
  const statistics = columns.map((rows) => ({ rows: rows.length, ...analyzed(rows, target) }))
  const sources = statistics.map(({ nulls, rows }): Source => ({ rows, nulls }))
  const all = statistics.flatMap(({ bounds, common, rows }, source) => [
    ...bounds.map((value) => ({ value, source, frequency: undefined })),
    ...common.map(([value, count]) => ({ value, source, frequency: count / rows }))
  ])
  const distinct = [...new Set(all.map(({ value }) => value))].toSorted(ascending)
  const values = all
    .toSorted((a, b) => a.value - b.value)
    .map((one): KnownValue => ({ ...one, value: String(one.value), rank: distinct.indexOf(one.value) }))
  return { sources, values, distinct }
}

/** How many rows each part has, with its NULLs in the first. */
const sizes = (rows: ReadonlyArray<number>, cuts: ReadonlyArray<number>): ReadonlyArray<number> =>
  [-Infinity, ...cuts].map(
    (from, part) => rows.filter((value) => value >= from && value < (cuts[part] ?? Infinity)).length
  )

/** The least that the largest of so many runs of neighbours can be, by trying them all. */
const leastLargest = (weights: ReadonlyArray<number>, parts: number): number => {
  const best = new Map<string, number>()
  const from = (start: number, left: number): number => {
    if (start === weights.length) return 0
    if (left === 0) return Infinity
    const key = `${start} ${left}`
    let least = best.get(key)
    if (least === undefined) {
      least = Infinity
      let size = 0
      for (let end = start + 1; end <= weights.length; end++) {
        size += weights[end - 1] ?? 0
        least = Math.min(least, Math.max(size, from(end, left - 1)))
      }
      best.set(key, least)
    }
    return least
  }
  return from(0, parts)
}

describe("cutsOf", () => {
  const unique = Array.from({ length: 1_001 }, (_, n) => n + 1)

  it("cuts a column without duplicates into equal parts", () => {
    const { sources, values } = known([unique], 100)
    assert.deepStrictEqual(cutsOf(sources, values, 4), ["251", "501", "751"])
    assert.deepStrictEqual(cutsOf(sources, values, 1), [])
    const many = cutsOf(sources, values, 50).map(Number)
    assert.lengthOf(many, 49)
    assert.isAtMost(Math.max(...sizes(unique, many)), 21)
  })

  it("gives a value that is more than a share a part of its own", () => {
    const rows = [...unique, ...Array.from({ length: 1_000 }, () => 500.5)]
    const { sources, values } = known([rows], 100)
    const cuts = cutsOf(sources, values, 4).map(Number)
    assert.lengthOf(cuts, 3)
    assert.includeMembers(cuts, [500.5, 501])
    assert.strictEqual(Math.max(...sizes(rows, cuts)), 1_000)
  })

  it("has no more parts than there are values", () => {
    const { sources, values } = known([[1, 1, 2, 2, 2, 3]], 12)
    assert.deepStrictEqual(cutsOf(sources, values, 8), ["2", "3"])
    assert.deepStrictEqual(cutsOf([], [], 8), [])
    assert.deepStrictEqual(cutsOf([{ rows: 10, nulls: 1 }], [], 8), [])
    const one: KnownValue = { value: "a", rank: 0, source: 0, frequency: 1 }
    assert.deepStrictEqual(cutsOf([{ rows: 10, nulls: 0 }], [one], 8), [])
  })

  it("leaves no part to values of which there are no rows any more", () => {
    const values = ["a", "b", "c"].map((value, rank): KnownValue => ({ value, rank, source: 0, frequency: 0 }))
    assert.deepStrictEqual(cutsOf([{ rows: 10, nulls: 0 }], values, 3), [])
    const last = values.map((one) => (one.rank === 0 ? { ...one, frequency: 1 } : one))
    assert.deepStrictEqual(cutsOf([{ rows: 10, nulls: 0 }], last, 3), [])
  })

  it("takes the tables of a union together, whatever the order of their values", () => {
    const odd = unique.filter((n) => n % 2 === 1)
    const late = unique.map((n) => n + 2_000)
    const { sources, values } = known([odd, late], 50)
    const cuts = cutsOf(sources, values, 3).map(Number)
    const rows = [...odd, ...late]
    assert.lengthOf(cuts, 2)
    assert.isAtMost(Math.max(...sizes(rows, cuts)), rows.length / 3 + 2 * (rows.length / 50))
  })

  it("counts NULLs with the first part", () => {
    const rows = [...unique, ...Array.from({ length: 1_001 }, () => 0)]
    const { sources, values } = known([rows], 100)
    const [first = ""] = cutsOf(sources, values, 3)
    assert.isAtMost(Number(first), 31)
  })

  it("takes a moment for a thousand tables", () => {
    const bounds = Array.from({ length: 101 }, (_, n) => n)
    const values = bounds.flatMap((n) =>
      Array.from({ length: 1_000 }, (_, source): KnownValue => {
        const rank = n * 1_000 + source
        return { value: String(rank), rank, source, frequency: undefined }
      })
    )
    const sources = Array.from({ length: 1_000 }, (): Source => ({ rows: 1_000_000, nulls: 0 }))
    const cuts = cutsOf(sources, values, 4).map(Number)
    assert.lengthOf(cuts, 3)
    cuts.forEach((cut, index) => assert.closeTo(cut, ((index + 1) * 101_000) / 4, 1_000))
  })

  it.prop(
    "cuts before known values, in their order, and into no more parts than asked for",
    [columns, parts, target],
    ([columns, parts, target]) => {
      const { distinct, sources, values } = known(columns, target)
      const cuts = cutsOf(sources, values, parts).map(Number)
      assert.isBelow(cuts.length, parts)
      assert.deepStrictEqual(cuts, [...new Set(cuts)].toSorted(ascending))
      for (const cut of cuts) assert.include(distinct.slice(1), cut)
    },
    { arbitrary }
  )

  it.prop(
    "makes the largest part as small as it can be, where all is known",
    [column, parts],
    ([rows, parts]) => {
      const present = rows.filter((value) => value > 0)
      const counts = [...counted(present)].toSorted(([a], [b]) => a - b)
      const values = counts.map(([value, count], rank): KnownValue => ({
        value: String(value),
        rank,
        source: 0,
        frequency: count / rows.length
      }))
      const nulls = rows.length - present.length
      const sources = [{ rows: rows.length, nulls: rows.length === 0 ? 0 : nulls / rows.length }]
      const cuts = cutsOf(sources, values, parts).map(Number)
      const weights = counts.map(([, count], index) => (index === 0 ? count + nulls : count))
      const largest = Math.max(0, ...sizes(present.length === 0 ? [] : rows, cuts))
      assert.closeTo(largest, leastLargest(weights, parts), 1e-6)
      if (cuts.length > 0) for (const size of sizes(rows, cuts)) assert.isAbove(size, 0)
    },
    { arbitrary }
  )

  it.prop(
    "makes no part larger than the best there is by more than the statistics are coarse",
    [columns, parts, target],
    ([columns, parts, target]) => {
      const rows = columns.flat()
      const { sources, values } = known(columns, target)
      const cuts = cutsOf(sources, values, parts).map(Number)
      const counts = [...counted(rows)].toSorted(([a], [b]) => a - b).map(([, count]) => count)
      // Each table's bounds may be off by a bucket at either end of a part, and a value that is just not common is as
      // large as a bucket; NULLs stand in the first part, together with the least value.
      const coarse = columns.reduce((sum, column) => sum + 3 * Math.ceil(column.length / target), 0)
      const nulls = rows.filter((value) => value === 0).length
      const least = leastLargest(counts, parts)
      assert.isAtMost(Math.max(0, ...sizes(rows, cuts)), least + coarse + nulls)
    },
    { arbitrary }
  )
})
