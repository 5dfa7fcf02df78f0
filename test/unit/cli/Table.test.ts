import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { CliOutput } from "effect/cli"
import { type Column, draw, shorten } from "../../../src/cli/Table.ts"

const columns = (...names: ReadonlyArray<string>): ReadonlyArray<Column> =>
  names.map((name) => ({ name, align: name.startsWith("#") ? "right" : "left" }))

const onPipe = { width: undefined, color: false }
const onTerminal = (width: number) => ({ width, color: false })

const widthsOf = (table: string): ReadonlyArray<number> => table.split("\n").map((line) => CliOutput.displayWidth(line))

describe("a table in a pipe", () => {
  it("has a header, a rule as wide as each column, and numbers to the right", () => {
    assert.deepStrictEqual(
      draw(
        columns("name", "#count"),
        [
          ["a", "1"],
          ["longer", "1000000"]
        ],
        onPipe
      ).split("\n"),
      [
        //
        "name     #count",
        "──────  ───────",
        "a             1",
        "longer  1000000"
      ]
    )
  })

  it("cuts nothing, however long", () => {
    const long = "x".repeat(1_000_000)
    assert.strictEqual(draw(columns("a"), [[long]], onPipe).split("\n")[2], long)
  })

  it("draws 100,000 rows without taking the square of their time", () => {
    const rows = Array.from({ length: 100_000 }, (_, index) => [String(index), "é"])
    assert.lengthOf(draw(columns("#n", "e"), rows, onPipe).split("\n"), 100_002)
  })

  it.each(["हिन्दी", "한", "a\u200bb", "☕️", "👩‍👩‍👧‍👦", "🇩🇪", "1️⃣", "e\u0301"])(
    "keeps %s whole and the next column in its place",
    (text) => {
      const [, , first = "", second = ""] = draw(
        columns("a", "b"),
        [
          [text, "|"],
          ["xxxxxxxx", "|"]
        ],
        onPipe
      ).split("\n")
      assert.include(first, text)
      assert.strictEqual(CliOutput.displayWidth(first), CliOutput.displayWidth(second))
    }
  )
})

describe("a table on a terminal", () => {
  it("takes the room from the widest columns, and says where something is missing", () => {
    const row = ["1", "lorem ipsum dolor sit amet", "漢字漢字漢字漢字", "2026-11-22"]
    assert.deepStrictEqual(draw(columns("#id", "text", "kanji", "day"), [row], onTerminal(40)).split("\n"), [
      "#id  text         kanji       day",
      "───  ───────────  ──────────  ──────────",
      "  1  lorem ipsu…  漢字漢字…   2026-11-22"
    ])
  })

  it("never cuts a character in two", () => {
    const family = "👩‍👩‍👧‍👦"
    const [, , line] = draw(columns("a"), [[family.repeat(10)]], onTerminal(8)).split("\n")
    assert.strictEqual(line, `${family.repeat(3)}…`)
  })

  it("becomes a list of records when there are too many columns", () => {
    const names = Array.from({ length: 1600 }, (_, index) => `column ${index}`)
    const rows = [names.map((_, index) => String(index)), names.map(() => "x".repeat(200))]
    const lines = draw(columns(...names), rows, onTerminal(80)).split("\n")
    assert.lengthOf(lines, 2 + 2 * 1600)
    assert.deepStrictEqual(lines.slice(0, 2), ["── 1 ──", "column 0     0"])
    assert.deepStrictEqual(lines.slice(1601, 1603), ["── 2 ──", `column 0     ${"x".repeat(66)}…`])
  })

  it("leaves the values of a record as much room as their names, and their colours whole", () => {
    const nothing = "\u001b[2mNULL\u001b[22m"
    for (const width of [14, 20, 33, 40]) {
      const names = ["a".repeat(40), ..."bcdefghijklm"]
      const lines = draw(columns(...names), [names.map(() => nothing)], { width, color: true }).split("\n")
      assert.lengthOf(lines, 14)
      for (const line of lines.slice(1)) assert.isTrue(line.endsWith(nothing), `${width}: ${line}`)
      for (const lineWidth of widthsOf(lines.join("\n"))) assert.isAtMost(lineWidth, width)
    }
  })

  const cells = Arbitrary.array(
    Arbitrary.schema(Schema.Literals(["", "x", "lorem ipsum", "漢字", "👩‍👩‍👧‍👦", "e\u0301", "0123456789".repeat(4)])),
    { minLength: 4, maxLength: 24 }
  )
  it.prop(
    "is never wider than the terminal",
    [cells, Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 20, maximum: 200 })))],
    ([all, width]) => {
      const [a, b, ...rest] = all
      const rows = Array.from({ length: Math.floor(rest.length / 2) }, (_, index) => [
        rest[2 * index] ?? "",
        rest[2 * index + 1] ?? ""
      ])
      for (const lineWidth of widthsOf(draw(columns(a ?? "", b ?? ""), rows, onTerminal(width)))) {
        assert.isAtMost(lineWidth, width)
      }
    }
  )

  it("draws a cell of a million characters at once", () => {
    const wide = draw(columns("a", "b"), [["x".repeat(1_000_000), "漢".repeat(100_000)]], onTerminal(40))
    assert.deepStrictEqual(new Set(widthsOf(wide)), new Set([22, 40]))
  })
})

describe("a value that waits for its table", () => {
  const texts = Arbitrary.array(Arbitrary.schema(Schema.Literals(["x", "é", "日", "👩‍👩‍👧‍👦", "e\u0301", " "])), {
    minLength: 50,
    maxLength: 400
  })
  it.prop("is shown as if all of it had been kept", [texts], ([parts]) => {
    const screen = onTerminal(20)
    const text = parts.join("")
    assert.strictEqual(draw(columns("a"), [[shorten(text, screen)]], screen), draw(columns("a"), [[text]], screen))
  })

  it("is no longer than what can be shown, and says where it was cut", () => {
    const kept = shorten("\u200b".repeat(1_000_000), onTerminal(80))
    assert.isBelow(kept.length, 2_000)
    assert.isTrue(kept.endsWith("…"))
    // 1,279 characters stand before the emoji, which must not be cut in the middle.
    assert.isTrue(shorten(`${"x".repeat(1_279)}😀${"x".repeat(9)}`, onTerminal(80)).isWellFormed())
  })

  it("is whole where nothing is cut", () => {
    const text = "x".repeat(1_000_000)
    assert.strictEqual(shorten(text, onPipe), text)
    assert.strictEqual(shorten("short", onTerminal(80)), "short")
  })
})
