import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parquetReadObjects } from "hyparquet"
import { TypeOid } from "../../../src/internal/TypeOid.ts"
import * as Parquet from "../../../src/sink/Parquet.ts"
import { longestText } from "../../../src/sink/ParquetType.ts"
import * as PgText from "../../../src/sink/PgText.ts"
import { dataRows } from "../../support/dataRows.ts"

/** The beginning of a row of one value, which is said to be so long. */
const rowWith = (valueBytes: number): Buffer => {
  const head = Buffer.alloc(11)
  head[0] = 0x44
  head.writeInt32BE(4 + 2 + 4 + valueBytes, 1)
  head.writeInt16BE(1, 5)
  head.writeInt32BE(valueBytes, 7)
  return head
}

const column = { name: "body", typeOid: TypeOid.text, typeModifier: -1 }

describe("a text that is too long for Parquet", () => {
  const row = rowWith(longestText + 1)
  const end = row.length + longestText + 1

  it.effect("is a failure that names its column and says what to do", () =>
    Effect.gen(function* () {
      const encoder = yield* Parquet.make().encoder([column])
      const error = yield* Effect.flip(Effect.try({ try: () => encoder.add(row, 0, end), catch: String }))
      assert.include(error, `column "body" has a text of ${longestText + 1} bytes, which a Parquet text cannot hold`)
      assert.include(error, "cut it in the query")
    })
  )

  it.effect("is left out where that is asked for", () =>
    Effect.gen(function* () {
      const encoder = yield* Parquet.make({ unheld: "null" }).encoder([column])
      assert.strictEqual(encoder.add(row, 0, end), 1)
      const file = Uint8Array.from(Buffer.concat([...encoder.take(), ...encoder.end()])).buffer
      assert.deepStrictEqual(yield* Effect.promise(() => parquetReadObjects({ file })), [{ body: null }])
    })
  )
})

it.effect("Parquet ends a row group at some megabytes, whatever its rows", () =>
  Effect.gen(function* () {
    const encoder = yield* Parquet.make({ compression: "none" }).encoder([column])
    const row = dataRows([["x".repeat(4 * 1024 * 1024)]])
    const given: Array<number> = []
    for (let count = 0; count < 9; count++) {
      encoder.add(row, 0, row.length)
      given.push(encoder.take().length)
    }
    assert.deepStrictEqual(given, [0, 0, 0, 1, 0, 0, 0, 1, 0])
  })
)

it.effect("Parquet has no bounds of documents, which would be as long as these", () =>
  Effect.gen(function* () {
    const encoder = yield* Parquet.make({ compression: "none" }).encoder([{ ...column, typeOid: TypeOid.jsonb }])
    const row = dataRows([[`"${"x".repeat(100_000)}"`]])
    encoder.add(row, 0, row.length)
    assert.isBelow(Buffer.concat([...encoder.take(), ...encoder.end()]).length, 102_000)
  })
)

it("a decimal of another scale than its type's is none", () => {
  assert.deepStrictEqual(
    ["1.50", "-0.01", "1.5", "1", "1.500"].map((text) => PgText.decimal(Buffer.from(text), 0, text.length, 2)),
    [150, -1, undefined, undefined, undefined]
  )
})

it("the bytes of a long bytea are those of its digits, wherever these are cut", () => {
  const bytes = Buffer.alloc(
    20 * 1024 * 1024 + 1,
    Uint8Array.from({ length: 251 }, (_, index) => index)
  )
  const text = Buffer.concat([Buffer.from("x\\x"), Buffer.from(bytes.toString("hex")), Buffer.from("ff")])
  const found = PgText.hex(text, 1, text.length - 2)
  assert.isTrue(found !== undefined && bytes.equals(found))
})

it.effect("Parquet of rows without columns is refused", () =>
  Effect.gen(function* () {
    const { reason } = yield* Effect.flip(Parquet.make().encoder([]))
    assert.strictEqual(reason.message, "Parquet has no rows without columns: select something")
  })
)
