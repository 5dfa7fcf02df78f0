import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TypeOid } from "../../../src/internal/TypeOid.ts"
import type { Format } from "../../../src/sink/Encoder.ts"
import * as Json from "../../../src/sink/Json.ts"
import { dataRows } from "../../support/dataRows.ts"

const file = (
  format: Format,
  types: ReadonlyArray<number>,
  rows: ReadonlyArray<ReadonlyArray<string | null>>
): string =>
  Effect.runSync(
    Effect.map(
      format.encoder(types.map((typeOid, index) => ({ name: `c${index}`, typeOid, typeModifier: -1 }))),
      (encoder) => {
        const bytes = dataRows(rows)
        assert.strictEqual(encoder.add(bytes, 0, bytes.length), rows.length)
        return Buffer.concat(encoder.end()).toString()
      }
    )
  )

const cell = (typeOid: number, text: string | null): string =>
  file(Json.ndjson, [typeOid], [[text]])
    .replace(/^\{"c0":/, "")
    .replace(/\}\n$/, "")

describe("JSON", () => {
  it("is a row a line", () => {
    const rows = [
      ["1", null],
      ["2", "x"]
    ]
    const types = [TypeOid.int4, TypeOid.text]
    assert.strictEqual(file(Json.ndjson, types, rows), '{"c0":1,"c1":null}\n{"c0":2,"c1":"x"}\n')
    assert.strictEqual(file(Json.json, types, rows), '[\n{"c0":1,"c1":null},\n{"c0":2,"c1":"x"}\n]\n')
  })

  it("is valid without rows and without columns", () => {
    assert.strictEqual(file(Json.ndjson, [TypeOid.int4], []), "")
    assert.strictEqual(file(Json.json, [TypeOid.int4], []), "[]\n")
    assert.strictEqual(file(Json.ndjson, [], [[], []]), "{}\n{}\n")
  })

  it.each([
    [TypeOid.int8, "9007199254740991", "9007199254740991"],
    [TypeOid.int8, "9007199254740992", '"9007199254740992"'],
    [TypeOid.int8, "-9223372036854775808", '"-9223372036854775808"'],
    [TypeOid.numeric, "1.50", "1.50"],
    [TypeOid.numeric, "0.1234567890123456", '"0.1234567890123456"'],
    [TypeOid.numeric, "NaN", '"NaN"'],
    [TypeOid.numeric, `0.${"0".repeat(400)}1`, `"0.${"0".repeat(400)}1"`],
    [TypeOid.numeric, `0.${"0".repeat(400)}`, `0.${"0".repeat(400)}`],
    [TypeOid.float8, "-0", "-0"],
    [TypeOid.float8, "1e-07", "1e-07"],
    [TypeOid.float8, "-Infinity", '"-Infinity"'],
    [TypeOid.bool, "t", "true"],
    [TypeOid.bool, "f", "false"],
    [TypeOid.date, "infinity", '"infinity"'],
    [TypeOid.text, 'a"b\\c\n\t\u0001\u007f😀', '"a\\"b\\\\c\\n\\t\\u0001\u007f😀"']
  ])("of type %i has %s as %s", (typeOid, text, expected) => {
    assert.strictEqual(cell(typeOid, text), expected)
  })

  it("passes on JSON as it is, in one line", () => {
    assert.strictEqual(
      cell(TypeOid.json, '{"a":\r\n 1.50,\n"a":12345678901234567890}'),
      '{"a":   1.50, "a":12345678901234567890}'
    )
    const deep = "[".repeat(50_000) + "]".repeat(50_000)
    assert.strictEqual(cell(TypeOid.jsonb, deep), deep)
  })

  it("makes arrays of arrays, and text of those with bounds of their own", () => {
    assert.strictEqual(cell(1007, "{{1,NULL},{3,4}}"), "[[1,null],[3,4]]")
    assert.strictEqual(cell(1009, '{"NULL",NULL,"","a,b","a\\"b\\\\"}'), '["NULL",null,"","a,b","a\\"b\\\\"]')
    assert.strictEqual(cell(1000, "{t,f,NULL}"), "[true,false,null]")
    assert.strictEqual(cell(3807, '{"{\\"a\\": \\"b,}\\"}","null"}'), '[{"a": "b,}"},null]')
    assert.strictEqual(cell(1007, "[0:1]={1,2}"), '"[0:1]={1,2}"')
  })

  it("has room for whatever a row becomes", () => {
    const control = "\u0001".repeat(300_000)
    assert.strictEqual(cell(TypeOid.text, control), `"${"\\u0001".repeat(300_000)}"`)
    // Rows that come at once, of which each is short.
    const short = "\u0001".repeat(3000)
    assert.strictEqual(
      file(
        Json.ndjson,
        [TypeOid.text],
        Array.from({ length: 40 }, () => [short])
      ),
      `{"c0":"${"\\u0001".repeat(3000)}"}\n`.repeat(40)
    )
    const bools = `{${Array.from({ length: 200_000 }, () => "t").join(",")}}`
    assert.strictEqual(cell(1000, bools), `[${Array.from({ length: 200_000 }, () => "true").join(",")}]`)
  })
})
