import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Steps } from "../../../src/query/PartitionSteps.ts"
import { decimals, doubles, integers, uuids } from "../../../src/query/PartitionSteps.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const parts = integer(1, 20)
const arbitrary = { runs: 500, seed: 20_260_105 }

const least63 = -(2n ** 63n)
const greatest63 = 2n ** 63n - 1n

const uuidOf = (number: bigint): string =>
  [...number.toString(16).padStart(32, "0")]
    .map((digit, at) => ([8, 12, 16, 20].includes(at) ? `-${digit}` : digit))
    .join("")

/** Whole numbers of any size, from four numbers that fit a double. */
const wide = Schema.Tuple([
  integer(-1_000_000, 1_000_000),
  integer(0, 1_000_000),
  integer(0, 40),
  integer(0, 1_000_000)
])
const rangeOf = ([low, length, power, more]: typeof wide.Type) => {
  const least = BigInt(low) * 10n ** BigInt(power)
  return [least, least + BigInt(length) * 10n ** BigInt(power) + BigInt(more)] as const
}

/** Whether the parts between the cuts are as long as each other, give or take `by`. */
const areEqual = (bounds: ReadonlyArray<bigint>, by: bigint): boolean => {
  const lengths = bounds.slice(1).map((to, index) => to - (bounds[index] ?? 0n))
  const least = lengths.reduce((a, b) => (a < b ? a : b), lengths[0] ?? 0n)
  return lengths.every((length) => length - least <= by)
}

describe("steps", () => {
  it("of integers are exact from the least bigint to the greatest", () => {
    assert.deepStrictEqual(integers("1", "8", 4), ["3", "5", "7"])
    assert.deepStrictEqual(integers("1", "3", 8), ["2", "3"])
    assert.deepStrictEqual(integers("7", "7", 8), [])
    assert.deepStrictEqual(integers("-5", "4", 2), ["0"])
    assert.deepStrictEqual(integers(String(least63), String(greatest63), 4), [
      "-4611686018427387904",
      "0",
      "4611686018427387904"
    ])
  })

  it("of decimals split two numbers that differ in their last digit", () => {
    assert.deepStrictEqual(decimals("0", "1", 2), ["0.5000"])
    assert.deepStrictEqual(decimals("-1.5", "1.5", 3).map(Number), [-0.5, 0.5])
    assert.deepStrictEqual(decimals("3.14", "3.14", 4), [])
    const close = decimals(`${"9".repeat(30)}.1`, `${"9".repeat(30)}.2`, 4)
    assert.deepStrictEqual(
      close,
      ["125000", "150000", "175000"].map((end) => `${"9".repeat(30)}.${end.slice(0, 5)}`)
    )
    assert.deepStrictEqual(decimals("-0.03", "-0.01", 2), ["-0.020000"])
  })

  it("of doubles do not overflow, and split neighbours no further", () => {
    assert.deepStrictEqual(doubles("-1.7976931348623157e+308", "1.7976931348623157e+308", 2), ["0"])
    assert.deepStrictEqual(doubles("0", "10", 4), ["2.5", "5", "7.5"])
    assert.deepStrictEqual(doubles("1", "1.0000000000000002", 8).length, 1)
    assert.deepStrictEqual(doubles("5e-324", "5e-324", 8), [])
  })

  it("of UUIDs are steps of 128 bits", () => {
    assert.deepStrictEqual(uuids("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", 4), [
      "40000000-0000-0000-0000-000000000000",
      "80000000-0000-0000-0000-000000000000",
      "c0000000-0000-0000-0000-000000000000"
    ])
    assert.deepStrictEqual(uuids(uuidOf(1n), uuidOf(2n), 4), [uuidOf(2n)])
  })

  const exact: ReadonlyArray<readonly [string, Steps, (number: bigint) => string, (text: string) => bigint]> = [
    ["integers", integers, String, BigInt],
    ["UUIDs", uuids, uuidOf, (text) => BigInt(`0x${text.replaceAll("-", "")}`)]
  ]
  for (const [name, steps, textOf, numberOf] of exact) {
    it.prop(
      `of ${name} are equal, ascending, and within the range`,
      [wide, parts],
      ([wide, parts]) => {
        const [from, to] = rangeOf(wide)
        const [least, greatest] =
          name === "UUIDs" ? [from < 0n ? -from : from, (from < 0n ? -from : from) + to - from] : [from, to]
        const cuts = steps(textOf(least), textOf(greatest), parts).map(numberOf)
        assert.lengthOf(cuts, Number(BigInt(parts) < greatest - least + 1n ? BigInt(parts) : greatest - least + 1n) - 1)
        assert.isTrue(areEqual([least, ...cuts, greatest + 1n], 1n))
        for (const cut of cuts) assert.isTrue(cut > least && cut <= greatest)
      },
      { arbitrary }
    )
  }

  it.prop(
    "of decimals are equal, ascending, and within the range",
    [wide, parts, integer(0, 30)],
    ([wide, parts, digits]) => {
      const shifted = (number: bigint): string => {
        const text = String(number < 0n ? -number : number).padStart(digits + 1, "0")
        return `${number < 0n ? "-" : ""}${digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`}`
      }
      const [least, greatest] = rangeOf(wide)
      const cuts = decimals(shifted(least), shifted(greatest), parts)
      assert.lengthOf(cuts, least === greatest ? 0 : parts - 1)
      const places = (cuts[0] ?? "").split(".")[1]?.length ?? digits
      const numbers = cuts.map((cut) => BigInt(cut.replace(".", "")))
      const scale = 10n ** BigInt(places - digits)
      assert.isTrue(areEqual([least * scale, ...numbers, greatest * scale + 1n], 1n))
      for (const number of numbers) assert.isTrue(number > least * scale && number <= greatest * scale)
    },
    { arbitrary }
  )

  it.prop(
    "of doubles are ascending, and within the range",
    [Schema.Finite, Schema.Finite, parts],
    ([one, other, parts]) => {
      const [least, greatest] = [Math.min(one, other), Math.max(one, other)]
      const cuts = doubles(String(least), String(greatest), parts).map(Number)
      assert.isBelow(cuts.length, parts)
      cuts.forEach((cut, index) => {
        assert.isAbove(cut, cuts[index - 1] ?? least)
        assert.isAtMost(cut, greatest)
      })
    },
    { arbitrary }
  )
})
