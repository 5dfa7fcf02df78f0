import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TypeOid } from "../../../src/internal/TypeOid.ts"
import type { CsvOptions } from "../../../src/sink/Csv.ts"
import * as Csv from "../../../src/sink/Csv.ts"
import { dataRows } from "../../support/dataRows.ts"

const column = (name: string, typeOid: number = TypeOid.text) => ({ name, typeOid, typeModifier: -1 })

const file = (
  rows: ReadonlyArray<ReadonlyArray<string | null>>,
  options: CsvOptions = {},
  columns = [column("a"), column("b")]
) =>
  Effect.runSync(
    Effect.map(Csv.make(options).encoder(columns), (encoder) => {
      const bytes = dataRows(rows)
      assert.strictEqual(encoder.add(bytes, 0, bytes.length), rows.length)
      return Buffer.concat(encoder.end()).toString()
    })
  )

describe("CSV", () => {
  it("tells NULL from an empty text", () => {
    assert.strictEqual(file([[null, ""]]), 'a,b\n,""\n')
    assert.strictEqual(
      file([[null, "", "-"]], { null: "-" }, [column("a"), column("b"), column("c")]),
      'a,b,c\n-,"","-"\n'
    )
  })

  it("quotes what would be read otherwise, and nothing else", () => {
    assert.strictEqual(file([["a,b", 'say "yes"']]), 'a,b\n"a,b","say ""yes"""\n')
    assert.strictEqual(file([["a\nb", "a\rb"]]), 'a,b\n"a\nb","a\rb"\n')
    assert.strictEqual(file([["\\.", "\ufeff"]]), 'a,b\n"\\.","\ufeff"\n')
    assert.strictEqual(file([[" x ", "'\\"]]), "a,b\n x ,'\\\n")
    assert.strictEqual(file([], {}, [column('a"'), column("\ufeffb"), column("")]), '"a""","\ufeffb",""\n')
  })

  it("has the delimiter, the line ends and the header that were asked for", () => {
    assert.strictEqual(file([["a;b", "a,b"]], { delimiter: ";", lineEnd: "\r\n" }), 'a;b\r\n"a;b";a,b\r\n')
    assert.strictEqual(file([["1", "2"]], { header: false }), "1,2\n")
    assert.strictEqual(
      file([["1:0", null]], { delimiter: ":" }, [column("a", TypeOid.time), column("b")]),
      'a:b\n"1:0":\n'
    )
  })

  it("puts an apostrophe before formulas if asked to, but not before numbers and dates", () => {
    const columns = [column("=a"), column("b", TypeOid.int4)]
    assert.strictEqual(file([["=1+1", "-1"]], {}, columns), "=a,b\n=1+1,-1\n")
    assert.strictEqual(
      file(
        [
          ["=1+1", "-1"],
          ["\tx", null],
          ["a=1", "2"],
          ["", "3"]
        ],
        { guardFormulas: true },
        columns
      ),
      '"\'=a",b\n"\'=1+1",-1\n"\'\tx",\na=1,2\n"",3\n'
    )
  })

  it("guards the names of all columns, and signs of full width as well", () => {
    const columns = [column("=a", TypeOid.int4), column("b"), column("－", TypeOid.float8)]
    const rows = [
      ["1", "＝1", "2"],
      ["3", "＠", "-4"],
      ["5", "ａ", "6"],
      ["7", "\ufeff", "8"]
    ]
    assert.strictEqual(
      file(rows, { guardFormulas: true }, columns),
      '"\'=a",b,"\'－"\n1,"\'＝1",2\n3,"\'＠",-4\n5,ａ,6\n7,"\ufeff",8\n'
    )
    assert.strictEqual(file(rows.slice(0, 2), {}, columns), "=a,b,－\n1,＝1,2\n3,＠,-4\n")
  })

  it("quotes long texts like short ones", () => {
    const long = "x".repeat(1000)
    assert.strictEqual(file([[long, `${long}"`]]), `a,b\n${long},"${long}"""\n`)
  })

  it("gives what is ready in chunks, however long a row is", () => {
    const encoder = Effect.runSync(Csv.make({ header: false }).encoder([column("a")]))
    const row = dataRows([["x".repeat(999)]])
    const large = dataRows([['"'.repeat(1_000_000)]])
    const chunks: Array<Uint8Array> = []
    for (let count = 0; count < 1000; count++) {
      encoder.add(row, 0, row.length)
      chunks.push(...encoder.take())
    }
    assert.isAtLeast(chunks.length, 3)
    for (const chunk of chunks) assert.isAtLeast(chunk.length, 256 * 1024)
    encoder.add(large, 0, large.length)
    chunks.push(...encoder.end())
    assert.strictEqual(
      Buffer.concat(chunks).toString(),
      `${`${"x".repeat(999)}\n`.repeat(1000)}"${'"'.repeat(2_000_000)}"\n`
    )
  })

  it.each([
    [{ delimiter: ",," }, 'Expected `delimiter` to be one ASCII character that is no quote, got ",,"'],
    [{ delimiter: '"' }, "Expected `delimiter`"],
    [{ delimiter: "\n" }, "Expected `delimiter`"],
    [{ delimiter: "é" }, "Expected `delimiter`"],
    [{ null: "a,b" }, 'Expected `null` to have no delimiter, quote or end of line in it, got "a,b"'],
    [{ null: "\n" }, "Expected `null`"]
  ] satisfies ReadonlyArray<[CsvOptions, string]>)("refuses %j", (options, message) => {
    assert.throws(() => Csv.make(options), message)
  })
})
