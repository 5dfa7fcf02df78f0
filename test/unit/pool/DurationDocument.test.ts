import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import type { Entries, Runs } from "../../../src/pool/DurationDocument.ts"
import { decode, encode, expectedMillis, join, merge, none, ofRun } from "../../../src/pool/DurationDocument.ts"
import { mostNames } from "../../../src/query/Learning.ts"

/** What is known after runs of which each took so long for each name. */
const afterRuns = (...runs: ReadonlyArray<Readonly<Record<string, number>>>): Entries =>
  runs.reduce<Entries>((known, run) => merge(known, ofRun(new Map(Object.entries(run)))), none)

/** What is known of a name after runs that took so long. */
const after = (...millis: ReadonlyArray<number>): Runs =>
  afterRuns(...millis.map((a) => ({ a }))).get("a") ?? assert.fail("no run at all")

const expectedAfter = (...millis: ReadonlyArray<number>): number => expectedMillis(after(...millis))

const entriesOf = (count: number, from = 0): Entries =>
  ofRun(new Map(Array.from({ length: count }, (_, index) => [`query ${from + index}`, index])))

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
  it("is one figure a run, of the last five", () => {
    assert.deepStrictEqual(after(1, 2, 3), [1, 2, 3])
    assert.deepStrictEqual(after(1, 2, 3, 4, 5, 6), [2, 3, 4, 5, 6])
    assert.deepStrictEqual(join([1, 2, 3], [4, 5, 6]), [2, 3, 4, 5, 6])
  })

  it("is kept to the microsecond, and never below zero, should the clock go back", () => {
    assert.deepStrictEqual(after(1.23456), [1.235])
    assert.deepStrictEqual(after(-5), [0])
  })
})

describe("two histories", () => {
  it("are joined name by name, what was learned of last being last", () => {
    const merged = merge(afterRuns({ a: 1, b: 5 }, { a: 2 }, { b: 6 }), afterRuns({ a: 9, c: 7 }))
    assert.deepStrictEqual(
      [...merged],
      [
        ["b", [5, 6]],
        ["a", [1, 2, 9]],
        ["c", [7]]
      ]
    )
  })

  it("of too many names keep those that were learned of last", () => {
    const merged = merge(entriesOf(mostNames), entriesOf(10, mostNames))
    assert.strictEqual(merged.size, mostNames)
    assert.isFalse(merged.has("query 9"))
    assert.isTrue(merged.has("query 10"))
    assert.isTrue(merged.has(`query ${mostNames + 9}`))
  })

  it("keep a name that is learned of again, however old it is", () => {
    const again = merge(entriesOf(mostNames), afterRuns({ "query 0": 1 }))
    const merged = merge(again, entriesOf(10, mostNames))
    assert.isTrue(merged.has("query 0"))
    assert.isFalse(merged.has("query 1"))
  })
})

describe("a document", () => {
  const millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
  it.prop("is read as it was written", [Schema.Array(Schema.Tuple([Schema.String, millis]))], ([queries]) => {
    const entries = queries.reduce((known, query) => merge(known, ofRun(new Map([query]))), none)
    assert.deepStrictEqual(readBack(entries), [...entries])
  })

  it("takes any name", () => {
    const odd: Entries = new Map([
      ["__proto__", [1]],
      ["", [2]],
      ["toString", [3]]
    ])
    assert.deepStrictEqual(readBack(odd), [...odd])
  })

  it("says of itself what it is", () => {
    assert.strictEqual(
      encode(afterRuns({ old: 7, new: 12.5 }, { new: 13 })),
      `{"format":"querypool durations","version":1,"queries":[["old",[7]],["new",[12.5,13]]]}`
    )
  })

  it("of too many names or runs, as somebody else may have written it, is cut to the last", () => {
    const queries = Array.from({ length: mostNames + 5 }, (_, index) => [`q${index}`, [1, 2, 3, 4, 5, 6]])
    const entries = Result.getOrThrow(decode(written({ queries })))
    assert.strictEqual(entries.size, mostNames)
    assert.isFalse(entries.has("q4"))
    assert.deepStrictEqual(entries.get("q5"), [2, 3, 4, 5, 6])
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
      [["a", []]],
      [["a", 3]],
      [["a", ["3"]]],
      [["a", [-3]]],
      [["a", [3], 4]],
      [[1, [3]]]
    ]) {
      assert.strictEqual(failureOf(written({ queries })), "is damaged")
    }
    assert.strictEqual(failureOf(written({ queries: [["a", [3]]] }).replace("[3]", "[1e999]")), "is damaged")
  })

  it("of another version, or of somebody else, is refused", () => {
    assert.strictEqual(failureOf(written({ version: 2, queries: {} })), "is of another version (2)")
    for (const text of ["null", "[]", "{}", `"durations"`, `{"format":"others","version":1,"queries":[]}`]) {
      assert.strictEqual(failureOf(text), "is damaged, or not of querypool")
    }
  })
})

const readBack = (entries: Entries) => [...Result.getOrThrow(decode(encode(entries)))]
