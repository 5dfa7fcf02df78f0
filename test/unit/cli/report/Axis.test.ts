import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { scaleLinear, scaleUtc } from "d3-scale"
import { ticksOf } from "../../../../src/cli/report/page/Axis.ts"
import { widthOf } from "../../../../src/cli/report/page/Lettering.ts"
import { steps } from "../../../../src/cli/report/Ticks.ts"

const between = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))

const textsOf = (from: number, to: number, width = 1000) => ticksOf({ from, to, width }, steps).map(({ text }) => text)

const day = 86_400_000

describe("the axis of time", () => {
  it.prop(
    "has ticks far enough apart for their labels, and at least two of them, whatever is zoomed into",
    [between(-2, 9), between(0, 1), between(600, 2000)],
    ([exponent, start, width]) => {
      const span = 10 ** exponent
      const from = start * 10 ** 8
      const ticks = ticksOf({ from, to: from + span, width }, steps)
      assert.isAtLeast(ticks.length, 2)
      for (const [index, { x }] of ticks.entries()) {
        assert.isAtLeast(x, -1e-6 * width)
        assert.isAtMost(x, width * (1 + 1e-6))
        if (index > 0) assert.isAtLeast(x - (ticks[index - 1]?.x ?? 0), 76 - 1e-6)
      }
    },
    { arbitrary: { runs: 500, seed: 1, size: 50 } }
  )

  it("has labels that do not touch, however long they are and late in a run", () => {
    for (let span = 0.01; span < 300 * day; span *= 1.7) {
      for (const from of [0, 0.0123, 59_000, 50 * 60_000, 3.3 * day, 29.9 * day]) {
        for (let width = 300; width < 2000; width += 83) {
          let end = -Infinity
          for (const { anchor, text, x } of ticksOf({ from, to: from + span, width }, steps)) {
            const left = x - widthOf(text) * (anchor === "end" ? 1 : 0.5)
            assert.isAbove(left, end + 3, `${text} from ${from} for ${span} on ${width}`)
            end = left + widthOf(text)
          }
        }
      }
    }
  })

  it("knows the steps that d3 takes for milliseconds, for minutes and for hours", () => {
    const ofLinear = scaleLinear().domain([0, 180]).ticks(10)
    const ofTime = scaleUtc()
      .domain([0, 40 * 60_000])
      .ticks(10)
      .map(Number)
    for (const [first = 0, second = 0] of [ofLinear, ofTime]) assert.include(steps, second - first)
    assert.includeMembers([...steps], [0.001, 1, 15_000, 60_000, 3_600_000, 86_400_000])
    assert.deepStrictEqual(
      steps.toSorted((a, b) => a - b),
      steps
    )
  })

  it("says times as finely as they are apart", () => {
    assert.deepStrictEqual(textsOf(0, 0.004).slice(0, 3), ["0", "0.001 ms", "0.002 ms"])
    assert.deepStrictEqual(textsOf(0, 120).slice(0, 3), ["0", "10 ms", "20 ms"])
    assert.deepStrictEqual(textsOf(900, 1_100).slice(4, 7), ["980 ms", "1.00 s", "1.02 s"])
    assert.deepStrictEqual(textsOf(0, 300_000).slice(0, 3), ["0", "30 s", "1:00"])
    assert.deepStrictEqual(textsOf(3_599_000, 3_600_000).at(-1), "1:00:00.0")
    assert.deepStrictEqual(textsOf(0, 8 * 3_600_000).slice(0, 3), ["0", "1:00:00", "2:00:00"])
    assert.deepStrictEqual(textsOf(0, 3 * day).slice(0, 5), ["0", "6:00:00", "12:00:00", "18:00:00", "1 d"])
    assert.deepStrictEqual(textsOf(3.5 * day, 6 * day).slice(0, 3), ["3 d 12:00:00", "3 d 18:00:00", "4 d"])
    assert.deepStrictEqual(textsOf(0, 40 * day).slice(0, 3), ["0", "5 d", "10 d"])
    assert.deepStrictEqual(textsOf(2 * day, 2 * day + 10_000)[1], "2 d 0:00:02")
  })
})
