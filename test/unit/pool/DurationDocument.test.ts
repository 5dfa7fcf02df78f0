import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import type { Entries, Entry } from "../../../src/pool/DurationDocument.ts"
import { decode, encode, entryOf, expectedMillis, join, merge, none } from "../../../src/pool/DurationDocument.ts"
import { mostNames } from "../../../src/query/Learning.ts"

/** What is known after runs that took so long, one query in each, a second apart. */
const after = (...millis: ReadonlyArray<number>): Entry =>
  millis.reduce<Entry | undefined>(
    (known, meanMillis, index) => join(known, entryOf({ times: 1, meanMillis, at: index * 1000 })),
    undefined
  ) ?? assert.fail("no run at all")

const expectedAfter = (...millis: ReadonlyArray<number>): number => expectedMillis(after(...millis))

const entriesOf = (count: number, from = 0): Entries =>
  new Map(
    Array.from({ length: count }, (_, index) => [
      `query ${from + index}`,
      entryOf({ times: 1, meanMillis: index, at: from + index })
    ])
  )

const failureOf = (text: string): string =>
  Result.match(decode(text), { onSuccess: () => assert.fail(`it was read: ${text}`), onFailure: (problem) => problem })

const written = (document: object): string => JSON.stringify({ format: "querypool durations", version: 1, ...document })

describe("what is expected of a query", () => {
  it("is the median of its last five runs", () => {
    assert.strictEqual(expectedAfter(10), 10)
    assert.strictEqual(expectedAfter(10, 30), 20)
    assert.strictEqual(expectedAfter(10, 30, 20), 20)
    assert.strictEqual(expectedAfter(900, 10, 30, 20, 40, 50), 30)
  })

  it("is not moved by one run, or two of five, that met a lock or a cold cache", () => {
    assert.strictEqual(expectedAfter(10, 11, 9000, 10, 12), 11)
    assert.strictEqual(expectedAfter(10, 8000, 11, 9000, 12), 12)
  })

  it("follows a query that takes longer for good within three runs", () => {
    assert.strictEqual(expectedAfter(10, 10, 10, 10, 10, 90, 90), 10)
    assert.strictEqual(expectedAfter(10, 10, 10, 10, 10, 90, 90, 90), 90)
  })

  it.prop(
    "is between the shortest and the longest of its last runs, and grows with them",
    [Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })))],
    ([runs]) => {
      const last = runs.slice(-5)
      const expected = expectedAfter(...runs)
      assert.isAtLeast(expected, Math.min(...last))
      assert.isAtMost(expected, Math.max(...last))
      assert.strictEqual(expectedAfter(...runs.map((millis) => millis + 1)), expected + 1)
    }
  )
})

describe("what is known of a query", () => {
  it("grows by one figure a run, however many queries it had, and keeps five", () => {
    const known = [1, 2, 3, 4, 5, 6].reduce<Entry | undefined>(
      (entry, meanMillis) => join(entry, entryOf({ times: 1000, meanMillis, at: meanMillis })),
      undefined
    )
    assert.deepStrictEqual(known, { runs: [2, 3, 4, 5, 6], times: 6000, seenAt: 6 })
  })

  it("is kept to the microsecond, and never below zero, should the clock go back", () => {
    assert.deepStrictEqual(after(1.23456).runs, [1.235])
    assert.deepStrictEqual(after(-5).runs, [0])
  })
})

describe("two histories", () => {
  it("are joined name by name", () => {
    const known = new Map([
      ["a", after(1, 2)],
      ["b", after(5)]
    ])
    const merged = merge(known, new Map([["a", entryOf({ times: 3, meanMillis: 9, at: 5000 })]]))
    assert.deepStrictEqual(Object.fromEntries(merged), {
      a: { runs: [1, 2, 9], times: 5, seenAt: 5000 },
      b: after(5)
    })
  })

  it("of too many names keep those that were seen last", () => {
    const merged = merge(entriesOf(mostNames), entriesOf(10, mostNames))
    assert.strictEqual(merged.size, mostNames)
    assert.isFalse(merged.has("query 9"))
    assert.isTrue(merged.has("query 10"))
    assert.isTrue(merged.has(`query ${mostNames + 9}`))
  })

  it("keep a name that is seen again, however old it is", () => {
    const again = new Map([["query 0", entryOf({ times: 1, meanMillis: 1, at: 1e9 })]])
    const merged = merge(merge(entriesOf(mostNames), again), entriesOf(10, mostNames))
    assert.isTrue(merged.has("query 0"))
    assert.isFalse(merged.has("query 1"))
  })
})

describe("a document", () => {
  const millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
  it.prop("is read as it was written", [Schema.Array(Schema.Tuple([Schema.String, millis, millis]))], ([queries]) => {
    const entries = queries.reduce(
      (known, [name, meanMillis, at]) => merge(known, new Map([[name, entryOf({ times: 1, meanMillis, at })]])),
      none
    )
    assert.deepStrictEqual(sorted(Result.getOrThrow(decode(encode(entries)))), sorted(entries))
  })

  it("takes any name", () => {
    const odd = new Map([
      ["__proto__", after(1)],
      ["", after(2)],
      ["toString", after(3)]
    ])
    assert.deepStrictEqual(sorted(Result.getOrThrow(decode(encode(odd)))), sorted(odd))
  })

  it("says of itself what it is, and has the oldest first", () => {
    const entries = new Map([
      ["new", entryOf({ times: 2, meanMillis: 12.5, at: 300 })],
      ["old", entryOf({ times: 1, meanMillis: 7, at: 200 })]
    ])
    assert.strictEqual(
      encode(entries),
      `{"format":"querypool durations","version":1,"queries":[["old",1,200,7],["new",2,300,12.5]]}`
    )
  })

  it("of too many names, as somebody else may have written it, is cut to those seen last", () => {
    const queries = Array.from({ length: mostNames + 5 }, (_, index) => [`q${index}`, 1, index, 3])
    const entries = Result.getOrThrow(decode(written({ queries })))
    assert.strictEqual(entries.size, mostNames)
    assert.isFalse(entries.has("q4"))
  })

  it("that is damaged is refused", () => {
    const whole = encode(entriesOf(3))
    for (let length = 0; length < whole.length; length++) {
      assert.strictEqual(failureOf(whole.slice(0, length)), "is damaged, or not of querypool")
    }
    for (const queries of [
      undefined,
      {},
      [["a"]],
      [["a", 1, 2]],
      [["a", 1, 2, "3"]],
      [["a", 1, 2, -3]],
      [[1, 1, 2, 3]]
    ]) {
      assert.strictEqual(failureOf(written({ queries })), "is damaged")
    }
    assert.strictEqual(failureOf(written({ queries: [["a", 1, 2, 3]] }).replace(",3]", ",1e999]")), "is damaged")
  })

  it("of another version, or of somebody else, is refused", () => {
    assert.strictEqual(failureOf(written({ version: 2, queries: {} })), "is of another version (2)")
    for (const text of ["null", "[]", "{}", `"durations"`, `{"format":"others","version":1,"queries":[]}`]) {
      assert.strictEqual(failureOf(text), "is damaged, or not of querypool")
    }
  })
})

const sorted = (entries: Entries) => [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1))
