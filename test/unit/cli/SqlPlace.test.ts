import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { excerpt, locate, startOf } from "../../../src/cli/SqlPlace.ts"
import { splitStatements } from "../../../src/cli/SqlSplitter.ts"

/** The two lines for the only `¦` of a text, which itself is left out. */
const shownAt = (marked: string, width?: number): ReadonlyArray<string> => {
  const offset = marked.indexOf("¦")
  return excerpt(marked.slice(0, offset) + marked.slice(offset + 1), { offset }, width).split("\n")
}

const locateIn = (text: string, index: number, position: number) => {
  const statement = Result.getOrThrow(splitStatements(text))[index]
  if (statement === undefined) throw new Error(`no statement ${index}`)
  const { offset, line, column } = locate(text, statement, position)
  return [text.slice(offset, offset + 3), line, column]
}

describe("locate", () => {
  it("gives the place in the file of a position in a statement", () => {
    const text = "\ufeff-- a\r\nselect 1; select 2,\r\n  wro, 3"
    assert.deepStrictEqual(locateIn(text, 0, 1), ["sel", 2, 1])
    assert.deepStrictEqual(locateIn(text, 1, 8), ["2,\r", 2, 18])
    assert.deepStrictEqual(locateIn(text, 1, 14), ["wro", 3, 3])
  })
  it("counts positions in characters, as the server does", () => {
    assert.deepStrictEqual(locateIn("a; select '😀日e\u0301', wro", 1, 16), ["wro", 1, 19])
  })
  it("stays in the statement", () => {
    assert.deepStrictEqual(locateIn("a; bcd; e", 1, 0), ["bcd", 1, 4])
    assert.deepStrictEqual(locateIn("a; bcd; e", 1, 99), ["; e", 1, 7])
    assert.deepStrictEqual(locateIn("a; bcd; e", 1, Number.NaN), ["bcd", 1, 4])
  })
})

describe("excerpt", () => {
  it("shows the line and a caret under the place", () => {
    assert.deepStrictEqual(shownAt("a\nselect ¦b\nc"), ["select b", "       ^"])
    assert.deepStrictEqual(shownAt("a\r\nselect ¦b\r\nc"), ["select b", "       ^"])
    assert.deepStrictEqual(shownAt("a\rselect ¦b\rc"), ["select b", "       ^"])
  })
  it("shows the start and the end of a line and of the text", () => {
    assert.deepStrictEqual(shownAt("¦a\nb"), ["a", "^"])
    assert.deepStrictEqual(shownAt("a¦\nb"), ["a", " ^"])
    assert.deepStrictEqual(shownAt("a\nb¦"), ["b", " ^"])
    assert.deepStrictEqual(shownAt("¦"), ["", "^"])
    assert.deepStrictEqual(shownAt("a\n¦\nb"), ["", "^"])
  })
  it("does not show a byte order mark", () => {
    assert.deepStrictEqual(excerpt("\ufeffab", startOf("\ufeffab")), "ab\n^")
    assert.deepStrictEqual(shownAt("\ufeffa¦b"), ["ab", " ^"])
  })
  it("keeps tabs, so that the caret lines up at any tab width", () => {
    assert.deepStrictEqual(shownAt("\ta\t¦b"), ["\ta\tb", "\t \t^"])
  })
  it("gives wide characters two cells, and combining ones none", () => {
    assert.deepStrictEqual(shownAt("日本'한'、¦b"), ["日本'한'、b", "          ^"])
    assert.deepStrictEqual(shownAt("'😀',¦b"), ["'😀',b", "     ^"])
    assert.deepStrictEqual(shownAt("e\u0301\u200b¦b"), ["e\u0301\u200bb", " ^"])
    assert.deepStrictEqual(shownAt("éｱж¦b"), ["éｱжb", "   ^"])
  })
  it("shows no character that would act on the terminal", () => {
    assert.deepStrictEqual(shownAt("\u001b[31m\u202e\u009b\ud800¦b"), ["�[31m���b", "        ^"])
  })
  it("cuts a long line around the place", () => {
    const left = "abcdefghij".repeat(9)
    assert.deepStrictEqual(shownAt(`¦${left}`, 20), ["abcdefghijabcd...", "^"])
    assert.deepStrictEqual(shownAt(`${left}¦`, 20), ["...hijabcdefghij".padStart(16), " ".repeat(16) + "^"])
    assert.deepStrictEqual(shownAt(`${left}¦${left}`, 20), ["...defghijabcdefg...", "          ^"])
  })
  it("cuts a line that leaves no room for the caret behind it", () => {
    assert.deepStrictEqual(shownAt(`${"a".repeat(20)}¦`, 20), ["..." + "a".repeat(13), " ".repeat(16) + "^"])
  })
  it("does not cut a line that fits", () => {
    assert.deepStrictEqual(shownAt(`${"a".repeat(19)}¦b`, 20), ["a".repeat(19) + "b", " ".repeat(19) + "^"])
    assert.deepStrictEqual(shownAt(`¦${"a".repeat(80)}`)[0], "a".repeat(80))
    assert.notInclude(shownAt(`¦${"a".repeat(20)}`, 1)[0], "...")
  })
  it("shows a place in a line of megabytes", () => {
    const long = "ab ".repeat(1_000_000)
    assert.deepStrictEqual(shownAt(`${long}¦${long}`, 20), ["... ab ab ab ab a...", "          ^"])
  })

  const character = Arbitrary.schema(
    Schema.Literals(["a", "b", " ", "\t", "日", "😀", "e\u0301", "\u001b", "\ud800", "\n", "\r"])
  )
  it.prop(
    "is never wider than asked, and points to the character of the place",
    [Arbitrary.array(character, { maxLength: 60 }), Arbitrary.array(character, { maxLength: 60 })],
    ([before, after]) => {
      const left = before.join("")
      const lines = excerpt(`${left}#${after.join("")}`, { offset: left.length }, 24).split("\n")
      const [source = "", caret = ""] = lines
      assert.strictEqual(lines.length, 2)
      assert.isAtMost(terminalCells(source), 24)
      assert.isAtMost(terminalCells(caret), 24)
      assert.match(caret, /^[ \t]*\^$/)
      assert.strictEqual(terminalCells(source.slice(0, source.indexOf("#"))), terminalCells(caret) - 1)
    },
    { arbitrary: { seed: 7, runs: 1_000, size: 60 } }
  )
})

/** The cells that the characters of the property above take on a terminal with tab stops at every eighth cell. */
const terminalCells = (line: string): number => {
  let cells = 0
  for (const character of line) {
    if (character === "\t") cells += 8 - (cells % 8)
    else if (character === "日" || character === "😀") cells += 2
    else if (character !== "\u0301") cells++
  }
  return cells
}
