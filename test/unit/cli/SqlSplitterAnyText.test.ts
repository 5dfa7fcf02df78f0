import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { splitStatements } from "../../../src/cli/SqlSplitter.ts"

const textsOf = (text: string): ReadonlyArray<string> =>
  Result.getOrThrow(splitStatements(text)).map((statement) => statement.text)

// Nothing in a list of these, each behind its comma, depends on what stands before or after it.
const fragments = [
  "1",
  "'a;b'",
  "'it''s;'",
  "'\\'",
  "E'\\';'",
  "E'a\\\\'",
  "E'a'\n'\\';'",
  "e'''\\''",
  "B'0;1'",
  "X';'",
  "N'é;'",
  "U&'\\0441;'",
  '"a;""b"',
  'U&"d\\0061;"',
  "$$;'$$",
  "$a$ ; $$ ; $b$ ; $a$",
  "$é$;$é$",
  "a$1$b",
  "$1",
  "1.5e3",
  "(;)",
  "(a; (b;) ';)' $$)$$ /*)*/ --)\n)",
  "1 +-1",
  "a @-b",
  "5*/* ; */2",
  "a->>'b'",
  "case when a then 1. end",
  "begin",
  "atomic",
  "end",
  "😀",
  "from stdin"
] as const
const separators = [" ", "\n", "\r\n", "\t", " -- ; ' $$ /*\n", " /* ; /* ' */ $$ */ "] as const
const gaps = [";", " ; ", ";;", ";\n", "\r\n;", "; -- ; ' /*\n", ";\n-- a\r\n -- b\n"] as const

const fragment = Arbitrary.all([
  Arbitrary.schema(Schema.Literals(fragments)),
  Arbitrary.schema(Schema.Literals(separators))
])
const statement = Arbitrary.array(fragment, { maxLength: 8 }).pipe(
  Arbitrary.map((parts) => `select${parts.map(([part, space]) => `${space}${part},`).join("")} x`)
)
const gap = Arbitrary.schema(Schema.Literals(gaps))

const soupParts = [
  ...fragments,
  ...gaps,
  "'",
  '"',
  "$",
  "$$",
  "$a$",
  "\\",
  "\\'",
  "E'",
  "--",
  "/*",
  "*/",
  "(",
  ")",
  "\n",
  "\r",
  "\ufeff",
  "\0",
  " ",
  "create function",
  "begin atomic",
  "copy",
  "to stdout",
  "\ud800",
  "\udc00",
  "-- name: a\n"
] as const
const soup = Arbitrary.array(Arbitrary.schema(Schema.Literals(soupParts)), { maxLength: 24 }).pipe(
  Arbitrary.map((parts) => parts.join(""))
)

// UTF-16 code units of all kinds, halves of pairs among them; most of them ASCII, where SQL's own characters are.
const codeUnit = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff }))).pipe(
  Arbitrary.map((code) => String.fromCharCode(code % 4 === 0 ? code : code % 128))
)
const anyText = Arbitrary.array(codeUnit, { maxLength: 200 }).pipe(Arbitrary.map((units) => units.join("")))

/** Lines and columns by another way than the one tested. */
const lineAndColumn = (text: string, offset: number) => {
  const lines = text.slice(text.startsWith("\ufeff") ? 1 : 0, offset).split(/\r\n|\r|\n/)
  return { line: lines.length, column: Array.from(lines.at(-1) ?? "").length + 1 }
}

const holdsForAnyText = (text: string): void => {
  const split = splitStatements(text)
  if (Result.isFailure(split)) {
    const { offset, line, column } = split.failure
    assert.isTrue(offset < text.length)
    assert.deepStrictEqual({ line, column }, lineAndColumn(text, offset))
    return
  }
  let end = 0
  for (const { text: one, offset, line, column } of split.success) {
    assert.strictEqual(text.slice(offset, offset + one.length), one)
    assert.deepStrictEqual({ line, column }, lineAndColumn(text, offset))
    // The space, because a byte order mark is one only at the very start.
    assert.deepStrictEqual(textsOf(` ${one}`), [one])
    assert.deepStrictEqual(textsOf(text.slice(end, offset)), [])
    end = offset + one.length
  }
  assert.deepStrictEqual(textsOf(text.slice(end)), [])
}

describe("for any text", () => {
  const options = { arbitrary: { seed: 7, runs: 2_000, size: 100 } }

  it.prop(
    "finds the statements that were joined, whatever they hold",
    [Arbitrary.array(Arbitrary.all([statement, gap]), { maxLength: 12 })],
    ([parts]) => {
      const text = parts.map(([one, after]) => one + after).join("")
      assert.deepStrictEqual(
        textsOf(text),
        parts.map(([one]) => one)
      )
    },
    { arbitrary: { seed: 7, runs: 500, size: 12 } }
  )
  it.prop(
    "made of SQL's tokens, loses nothing but white space, comments and semicolons",
    [soup],
    ([text]) => {
      holdsForAnyText(text)
    },
    options
  )
  it.prop(
    "made of any characters, loses nothing but white space, comments and semicolons",
    [anyText],
    ([text]) => {
      holdsForAnyText(text)
    },
    options
  )

  it("reads comments and parentheses of any depth", () => {
    const depth = 10_000
    const comment = "/*".repeat(depth) + ";" + "*/".repeat(depth)
    const parens = "(".repeat(depth) + ";" + ")".repeat(depth)
    assert.deepStrictEqual(textsOf(`a ${comment}; b ${parens}; c`), [`a ${comment}`, `b ${parens}`, "c"])
  })
  it("reads tokens of megabytes", () => {
    const length = 4_000_000
    const long = ["'", '"', "$$", "E'", "-- ", "/*", "a", "1", "\n", "$a"].map((start) => start + "a".repeat(length))
    assert.deepStrictEqual(
      long.map((text) => Result.isFailure(splitStatements(text))),
      [true, true, true, true, false, true, false, false, false, false]
    )
    assert.deepStrictEqual(textsOf(`'${"''".repeat(length)}'; E'${"\\'".repeat(length)}'; b`).length, 3)
  })
})
