import { assert, describe, it } from "@effect/vitest"
import { draw } from "../../../../src/cli/report/page/Drawing.ts"
import { lanesOf } from "../../../../src/cli/report/page/Lanes.ts"
import { cut, widthOf } from "../../../../src/cli/report/page/Lettering.ts"
import { runOf } from "../../../support/ReportSamples.ts"
import { unpacked } from "./Samples.ts"

describe("a text of which there is room for so much", () => {
  it("is whole where it fits, and ends in an ellipsis that fits where it does not", () => {
    for (const text of [
      "",
      "illness",
      "WWWW",
      "totals/of_2026",
      "漢字漢字漢字",
      "👍👍👍👍",
      "e\u0301e\u0301e\u0301e\u0301"
    ]) {
      assert.strictEqual(cut(text, widthOf(text)), text)
      for (let room = 12; room < widthOf(text); room++) {
        const shown = cut(text, room)
        assert.isTrue(shown.endsWith("…") && text.startsWith(shown.slice(0, -1)), `${text} in ${room} is ${shown}`)
        assert.isAtMost(widthOf(shown), room)
        assert.isTrue(shown.isWellFormed())
        // Not less than there is room for.
        const [next = ""] = text.slice(shown.length - 1)
        assert.isAbove(widthOf(shown) + widthOf(next), room - 11)
      }
    }
  })

  it("is as wide as its letters are", () => {
    assert.isAbove(widthOf("漢字"), widthOf("ab"))
    assert.isAbove(widthOf("WM"), widthOf("il"))
    assert.strictEqual(widthOf("e\u0301"), widthOf("e"))
  })
})

it("names stay within their bars, whatever letters they are of", () => {
  const names = [
    "WWWWWWWWWWWWWWWWWWWW",
    "漢字漢字漢字漢字漢字漢字",
    "mmmmmm/mmmmmmmmmmmmmm",
    "x".repeat(90),
    "👍".repeat(30)
  ]
  const run = unpacked(
    runOf(
      Array.from({ length: 60 }, (_, id) => ({ name: `${names[id % names.length]}${id}`, millis: 3 + (id % 17) })),
      { concurrency: 4 }
    )
  )
  const { lanes } = lanesOf(run)
  const view = { from: 0, to: run.makespanMillis, width: 1200 }
  const { labels, paths } = draw(lanes, view)
  assert.isAbove(labels.length, 40)
  const bars = Array.from((paths.get("succeeded") ?? "").matchAll(/M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)/g), (found) =>
    found.slice(1).map(Number)
  )
  for (const { text, x, y } of labels.filter(({ ink }) => ink === "succeeded")) {
    const bar = bars.find(
      ([left = 0, top = 0, width = 0, height = 0]) => x > left && x < left + width && y > top && y < top + height
    )
    const [left = 0, , width = 0] = bar ?? assert.fail(`${text} stands on no bar`)
    assert.isAtMost(x + widthOf(text), left + width)
  }
})
