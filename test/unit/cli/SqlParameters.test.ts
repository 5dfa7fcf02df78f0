import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import type { FileQuery } from "../../../src/cli/QueryFiles.ts"
import { parseSqlFile } from "../../../src/cli/SqlFile.ts"
import { readValues, sentOf, withParameters } from "../../../src/cli/SqlParameters.ts"

const queriesOf = (text: string): ReadonlyArray<FileQuery> => {
  const source = Result.getOrThrow(parseSqlFile({ file: "a.sql", defaultName: "a", text }))
  return source.queries.map((query) => ({ ...query, source }))
}

const bound = (text: string, ...flags: ReadonlyArray<string>) =>
  Effect.flatMap(readValues(flags), (values) => withParameters(queriesOf(text), values)).pipe(
    Effect.map((queries) => queries.flatMap(({ statements }) => statements.map(sentOf)))
  )

const refusal = (text: string, ...flags: ReadonlyArray<string>) =>
  Effect.map(Effect.flip(bound(text, ...flags)), ({ message }) => message)

describe("a parameter", () => {
  it.effect("is sent beside the text, as one for all places of its name, with every position kept", () =>
    Effect.gen(function* () {
      const [sent] = yield* bound("select * from t where a > :since and b < :n or c = :since", "since=x", "n=1=2")
      assert.deepStrictEqual(sent, {
        text: "select * from t where a > $2     and b < $1 or c = $2    ",
        parameters: ["1=2", "x"]
      })
    })
  )

  it.effect("is none where the colon is part of SQL, in a string, a name or a comment", () =>
    Effect.gen(function* () {
      for (const text of [
        "select a::int, '12'::text, (1)::int8, \"b\"::text",
        'select a[1:n], a[i:j], a[f(1):n], a[:"n"], a[ :"n"]',
        "select json_object('a':b, k:'v', \"n\":1, f(1):b)",
        "select ':x', E'\\':x', $$ :x $$, $t$ :x $t$, \"a :x\"",
        "select 1 /* :x */ + 2",
        "select '{\"a\": \":x\"}'::jsonb -> 'b'",
        "call f(a := 1)"
      ]) {
        assert.deepStrictEqual(yield* bound(text), [{ text, parameters: [] }])
      }
      assert.deepStrictEqual(yield* bound("select a[:lo : :hi], -:n::int, f(:n)", "lo=1", "hi=2", "n=3"), [
        { text: "select a[$2  : $3 ], -$1::int, f($1)", parameters: ["3", "1", "2"] }
      ])
    })
  )

  it.effect("has a number of its own in each statement", () =>
    Effect.gen(function* () {
      const sent = yield* bound("select :b;\nselect :a, :b", "a=1", "b=2")
      assert.deepStrictEqual(
        sent.map(({ parameters }) => parameters),
        [["2"], ["1", "2"]]
      )
    })
  )
})

describe("bad input", () => {
  it.effect("is a parameter without a value", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* refusal("select 1,\n  :since", "until=2"),
        'a.sql:2:3: query "a" has a parameter :since. Give its value: --param since=value'
      )
    })
  )

  it.effect("is a value that nobody asks for", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* refusal("select :since", "since=1", "sinec=2"),
        '--param sinec: no query has a parameter :sinec. Did you mean "since"?'
      )
      assert.strictEqual(yield* refusal("select 1", "x=2"), "--param x: no query has a parameter :x. None has any")
      assert.strictEqual(
        yield* refusal("select :a, :b", "a=1", "b=2", "limit=3"),
        "--param limit: no query has a parameter :limit. There are: :a, :b"
      )
    })
  )

  it.effect("is psql's way to put a value into the text", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* refusal("select :'since'", "since=1"),
        "a.sql:1:8: :'since' is psql's way of putting a value into the text. Write :since, which is bound"
      )
      assert.strictEqual(
        yield* refusal('select a as :"name"', "name=1"),
        'a.sql:1:13: :"name" is psql\'s way of putting a value into the text. Write :name, which is bound'
      )
    })
  )

  it.effect("is a number, which has no value, where it is not of something prepared or created", () =>
    Effect.gen(function* () {
      const said =
        'a.sql:1:12: query "a" has a parameter $12, which nothing gives a value. ' +
        "Give it a name: :name, and --param name=value"
      assert.strictEqual(yield* refusal("select :a, $12", "a=1"), said)
      const text =
        " /* $1 */ Prepare p (int) as select $1;\ncreate function f(int) returns int return $1;\nselect '$1', a$1"
      assert.lengthOf(yield* bound(text), 3)
    })
  )

  it.effect("is a flag without a name or a value, and a name that is given twice; no value is shown", () =>
    Effect.gen(function* () {
      const expected = "expected name=value, such as since=2026-01-01, with a name of letters, digits and _"
      assert.strictEqual(yield* refusal("select 1", "since"), `--param "since": ${expected}`)
      assert.strictEqual(yield* refusal("select 1", "a-b=secret"), `--param "a-b=…": ${expected}`)
      assert.strictEqual(yield* refusal("select 1", "=secret"), `--param "=…": ${expected}`)
      assert.strictEqual(yield* refusal("select :a", "a=1", "a=2"), "--param a is given twice. Give it once")
    })
  )
})
