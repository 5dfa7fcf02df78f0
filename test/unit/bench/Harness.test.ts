import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { measure, rotated, statistics } from "../../../bench/Harness.ts"
import type { Answer, Subject } from "../../../bench/Suite.ts"

const seconds = { name: "case", unit: "s", value: (measured: number) => measured }

/** A subject that measures the given figures, one per round, and writes its name into `turns`. */
const scripted = (
  name: string,
  figures: ReadonlyArray<number>,
  answer: (turn: number) => Answer = () => ({ rows: 1 }),
  turns: Array<string> = []
): Subject => {
  let turn = 0
  return {
    name,
    round: Effect.sync(() => {
      turns.push(name)
      const measured = figures[turn]
      assert(measured !== undefined, `${name} was asked for a round more than ${figures.length}`)
      return { measured, answer: answer(turn++) }
    })
  }
}

describe("measure", () => {
  it.effect("refuses a case whose subjects differ, before any timing", () =>
    Effect.gen(function* () {
      const turns: Array<string> = []
      const subjects = [
        scripted("a", [1, 1, 1], () => ({ rows: 1 }), turns),
        scripted("b", [1, 1, 1], () => ({ rows: 2 }), turns)
      ]
      const error = yield* Effect.flip(measure("suite", seconds, subjects, { rounds: 1 }))
      assert.strictEqual(error.message, 'suite, case: the subjects disagree\n  a: {"rows":1}\n  b: {"rows":2}')
      assert.deepStrictEqual(turns, ["a", "b"])
    })
  )

  it.effect("fails when a subject's answer changes in a later round", () =>
    Effect.gen(function* () {
      const subjects = [
        scripted("a", [1, 1, 1, 1, 1]),
        scripted("b", [1, 1, 1, 1, 1], (turn) => ({ rows: turn < 3 ? 1 : 0 }))
      ]
      const error = yield* Effect.flip(measure("suite", seconds, subjects, { rounds: 2 }))
      assert.include(error.message, 'b in a later round: {"rows":0}')
    })
  )

  it.effect("counts neither the comparison nor the first time of a turn", () =>
    Effect.gen(function* () {
      const subjects = [scripted("a", [1000, 900, 5, 800, 1, 700, 3]), scripted("b", [0, 0, 20, 0, 20, 0, 30])]
      const perSecond = { name: "case", unit: "lookups/s", value: (measured: number) => 60 / measured }
      assert.deepStrictEqual(yield* measure("suite", perSecond, subjects, { rounds: 3 }), [
        { suite: "suite", case: "case", subject: "a", unit: "lookups/s", median: 20, min: 12, max: 60 },
        { suite: "suite", case: "case", subject: "b", unit: "lookups/s", median: 3, min: 2, max: 3 }
      ])
    })
  )

  it.effect("takes the only round of a case that is measured once, and still compares its answers", () =>
    Effect.gen(function* () {
      const once = { ...seconds, once: true } as const
      assert.deepStrictEqual(yield* measure("suite", once, [scripted("a", [7]), scripted("b", [9])], { rounds: 3 }), [
        { suite: "suite", case: "case", subject: "a", unit: "s", median: 7, min: 7, max: 7 },
        { suite: "suite", case: "case", subject: "b", unit: "s", median: 9, min: 9, max: 9 }
      ])
      const wrong = scripted("b", [9], () => ({ rows: 2 }))
      assert.include(
        (yield* Effect.flip(measure("suite", once, [scripted("a", [7]), wrong], { rounds: 3 }))).message,
        "the subjects disagree"
      )
    })
  )

  it.effect("gives every subject one turn a round, twice in a row, and starts each round one subject later", () =>
    Effect.gen(function* () {
      const turns: Array<string> = []
      const subjects = ["a", "b", "c"].map((name) => scripted(name, [1, 1, 1, 1, 1, 1, 1], undefined, turns))
      yield* measure("suite", seconds, subjects, { rounds: 3 })
      assert.deepStrictEqual(turns.join("").match(/^...|.{6}/g), ["abc", "aabbcc", "bbccaa", "ccaabb"])
    })
  )
})

describe("rotated", () => {
  it("keeps every item, whatever the round", () => {
    assert.deepStrictEqual(rotated([1, 2, 3], 4), [2, 3, 1])
    assert.deepStrictEqual(rotated([1], 7), [1])
    assert.deepStrictEqual(rotated([], 7), [])
  })
})

describe("statistics", () => {
  it("takes the value in the middle of an odd number of values, by size and not by place", () => {
    assert.deepStrictEqual(statistics([10, 9, 100]), { median: 10, min: 9, max: 100 })
    assert.deepStrictEqual(statistics([7]), { median: 7, min: 7, max: 7 })
  })

  it("takes the mean of the two in the middle of an even number of values", () => {
    assert.deepStrictEqual(statistics([4, 1, 100, 2]), { median: 3, min: 1, max: 100 })
  })

  it("leaves the values as they were", () => {
    const values = [3, 1, 2]
    statistics(values)
    assert.deepStrictEqual(values, [3, 1, 2])
  })

  it("has nothing to say of no values", () => {
    assert.throws(() => statistics([]), "Expected at least one value")
  })
})
