import { assert, describe, it } from "@effect/vitest"
import { duration } from "../../../src/cli/Amounts.ts"

describe("a duration", () => {
  it.each([
    [0, "0.0 ms"],
    [0.44, "0.4 ms"],
    [9.94, "9.9 ms"],
    [12.4, "12 ms"],
    [999, "999 ms"],
    [1234, "1.23 s"],
    [12_340, "12.3 s"],
    [119_900, "119.9 s"],
    [120_000, "2 min 0 s"],
    [725_000, "12 min 5 s"],
    [3_599_400, "59 min 59 s"],
    [7_265_000, "2 h 1 min"],
    [172_740_000, "47 h 59 min"],
    [1_285_200_000, "14 d 21 h"]
  ])("of %f milliseconds is %s", (millis, text) => {
    assert.strictEqual(duration(millis), text)
  })

  it("has no more digits at the end of a unit than in it", () => {
    assert.deepStrictEqual([9.96, 999.7, 9_996, 119_960, 3_599_600, 172_771_000, 172_799_000].map(duration), [
      "10 ms",
      "1.00 s",
      "10.0 s",
      "2 min 0 s",
      "1 h 0 min",
      "2 d 0 h",
      "2 d 0 h"
    ])
  })
})
