import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { parseSqlFile } from "../../../src/cli/SqlFile.ts"

const parse = (text: string) => parseSqlFile({ file: "queries/a.sql", defaultName: "a", text })

const queriesOf = (text: string) =>
  Result.getOrThrow(parse(text)).queries.map(({ name, line, statements }) => [
    `${line} ${name}`,
    ...statements.map((statement) => `${statement.line}:${statement.column} ${statement.text}`)
  ])

const messageOf = (text: string): string => {
  const parsed = parse(text)
  return Result.isFailure(parsed) ? parsed.failure.message : "no error"
}

describe("a file without a `-- name:` line", () => {
  it("is one query with the default name", () => {
    const text = "-- all\n\nselect 1;\n  select 2;\n"
    assert.deepStrictEqual(queriesOf(text), [["3 a", "3:1 select 1", "4:3 select 2"]])
    const parsed = Result.getOrThrow(parse(text))
    assert.strictEqual(parsed.text, text)
    assert.deepStrictEqual(
      [parsed.file, ...parsed.queries.map((query) => query.file)],
      ["queries/a.sql", "queries/a.sql"]
    )
  })
  it.each([
    ["in a string", "select '\n-- name: x\n'"],
    ["in a dollar quote", "do $$\n-- name: x\n$$"],
    ["in a block comment", "/*\n-- name: x\n*/ select 1"],
    ["in a quoted identifier", 'select "\n-- name: x\n"'],
    ["in parentheses", "create table t (\n-- name: x\nname text)"],
    ["in a function's body", "create function f() returns int begin atomic;\n-- name: x\nselect 1; end"],
    ["behind a statement", "select 1; -- name: x"],
    ["behind a block comment", "/* a */ -- name: x\nselect 1"],
    ["as pg_dump writes it", "-- Name: t; Type: TABLE\nselect 1"],
    [
      "as other words before the colon",
      "-- the name: x\n-- Name: x\n--- name: x\n-- name\n-- named\n--:\n-- http://x\nselect 1"
    ]
  ])("is one that has the words %s", (_, text) => {
    assert.deepStrictEqual(
      Result.getOrThrow(parse(text)).queries.map((query) => query.name),
      ["a"]
    )
  })
})

describe("a file with `-- name:` lines", () => {
  it("is one query for each", () => {
    const text =
      "-- Authors.\n/* All rights. */\n-- name: first\nselect 1;\nselect 2;\n\n-- name: second\n-- note: it is slow\nselect 3"
    assert.deepStrictEqual(queriesOf(text), [
      ["3 first", "4:1 select 1", "5:1 select 2"],
      ["7 second", "9:1 select 3"]
    ])
  })
  it("needs no semicolon before the next one", () => {
    assert.deepStrictEqual(queriesOf("-- name: x\nselect 1\n-- name: y\nselect 2"), [
      ["1 x", "2:1 select 1"],
      ["3 y", "4:1 select 2"]
    ])
  })
  it("keeps its other queries when one never closes a parenthesis", () => {
    assert.deepStrictEqual(queriesOf("-- name: x\nselect (1;\n-- name: y\nselect 2"), [
      ["1 x", "2:1 select (1;"],
      ["3 y", "4:1 select 2"]
    ])
  })
  it.each([
    ["-- name: x", "x"],
    ["--name:x", "x"],
    ["--  name :  x  ", "x"],
    ["\t-- name: x\r", "x"],
    ["\ufeff-- name: x", "x"],
    ["-- name: ListAuthors :many", "ListAuthors"],
    ["-- name: save-author<!", "save-author<!"],
    ["-- name: größe/日本.1", "größe/日本.1"],
    ["-- name: constructor", "constructor"]
  ])("takes %j as a header", (header, name) => {
    assert.deepStrictEqual(
      Result.getOrThrow(parse(`${header}\nselect 1`)).queries.map((query) => query.name),
      [name]
    )
  })
})

describe("refuses, with the line and what to do,", () => {
  const cases: ReadonlyArray<readonly [what: string, text: string, message: string]> = [
    [
      "a file without a statement",
      " -- nothing\n;",
      "queries/a.sql:1:1: no statement in this file: write one, or remove the file"
    ],
    [
      "statements before the first header",
      "-- a\n  select 1;\n-- name: x\nselect 2",
      "queries/a.sql:2:3: statements before the first `-- name:` line: give them a `-- name:` line of their own"
    ],
    [
      "a header without a name",
      "\n -- name:\nselect 1",
      "queries/a.sql:2:2: query without a name: write one word after `-- name:`"
    ],
    [
      "a header with only a suffix",
      "-- name: :many\nselect 1",
      "queries/a.sql:1:1: query without a name: write one word after `-- name:`"
    ],
    [
      "a name of two words",
      "-- name: top ten\nselect 1",
      'queries/a.sql:1:1: invalid query name "top ten": write one word without commas and colons after `-- name:`'
    ],
    [
      "a name with two suffixes",
      "-- name: x :many :one\nselect 1",
      'queries/a.sql:1:1: invalid query name "x :many :one": write one word without commas and colons after `-- name:`'
    ],
    [
      "a name that runs into its suffix",
      "-- name: x:many\nselect 1",
      'queries/a.sql:1:1: invalid query name "x:many": write one word without commas and colons after `-- name:`'
    ],
    [
      "a name with a comma",
      "-- name: x, y\nselect 1",
      'queries/a.sql:1:1: invalid query name "x, y": write one word without commas and colons after `-- name:`'
    ],
    [
      "a name that would act on the terminal",
      "-- name: \u001b[31m\nselect 1",
      'queries/a.sql:1:1: invalid query name "�[31m": write one word without commas and colons after `-- name:`'
    ],
    [
      "a second query of the same name",
      "-- name: x\nselect 1;\n-- name: y\nselect 2;\n-- name: x :one\nselect 3",
      'queries/a.sql:5:1: duplicate query name "x": an earlier query of this file has it, rename one of them'
    ],
    [
      "a query without a statement",
      "-- name: x\n-- soon\n;\n-- name: y\nselect 1",
      'queries/a.sql:1:1: query "x" without a statement: write one under its `-- name:` line, or remove the line'
    ],
    [
      "a last query without a statement",
      "-- name: x\nselect 1;\n-- name: y",
      'queries/a.sql:3:1: query "y" without a statement: write one under its `-- name:` line, or remove the line'
    ],
    [
      "what cannot be split",
      "-- name: x\nselect 1;\nselect 'a",
      "queries/a.sql:3:8: unterminated string: the quote opened here is never closed, add the missing ' (a quote inside a string is '')"
    ]
  ]
  it.each(cases)("%s", (_, text, message) => assert.strictEqual(messageOf(text), message))

  it("a long name, and shows its start alone", () => {
    const message = messageOf(`-- name: ${"x".repeat(1_000_000)},\nselect 1`)
    assert.include(message, `"${"x".repeat(60)}…"`)
    assert.isBelow(message.length, 200)
  })
})

const lines = Schema.Literals([
  "-- name: x\n",
  "-- name: y :many\n",
  "--name:\n",
  "select 1;\n",
  "select '",
  "(",
  "/* a */",
  "-- b\n",
  "\ufeff",
  "$$",
  "\n"
])
const isNeverSilent = (text: string): void => {
  const parsed = parse(text)
  if (Result.isFailure(parsed)) return assert.match(parsed.failure.message, /^queries\/a\.sql:\d+:\d+: ./)
  const { queries } = parsed.success
  assert.isAbove(queries.length, 0)
  assert.strictEqual(new Set(queries.map((query) => query.name)).size, queries.length)
  for (const query of queries) assert.isAbove(query.statements.length, 0)
}

describe("for any file", () => {
  const options = { arbitrary: { seed: 7, runs: 1_000, size: 20 } }
  it.prop(
    "made of headers and statements, gives queries with statements or an error",
    [Arbitrary.array(Arbitrary.schema(lines), { maxLength: 16 })],
    ([parts]) => isNeverSilent(parts.join("")),
    options
  )
})
