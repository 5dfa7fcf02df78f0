import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { piecesOf } from "../../../src/query/PartitionBlocks.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const tables = Schema.Array(Schema.Union([integer(0, 3), integer(0, 200)])).check(Schema.isMaxLength(8))
const arbitrary = { runs: 1_000, seed: 20_260_106 }

describe("piecesOf", () => {
  it("cuts a table into parts of the same length, the last of them open", () => {
    assert.deepStrictEqual(piecesOf([10], 4), [
      [{ table: 0, from: 0, to: 2 }],
      [{ table: 0, from: 2, to: 5 }],
      [{ table: 0, from: 5, to: 7 }],
      [{ table: 0, from: 7, to: undefined }]
    ])
  })

  it("lets a part reach over several tables, and reads the empty ones too", () => {
    assert.deepStrictEqual(piecesOf([1, 0, 5], 2), [
      [
        { table: 0, from: 0, to: undefined },
        { table: 1, from: 0, to: undefined },
        { table: 2, from: 0, to: 2 }
      ],
      [{ table: 2, from: 2, to: undefined }]
    ])
    assert.deepStrictEqual(piecesOf([4, 4], 2), [
      [{ table: 0, from: 0, to: undefined }],
      [{ table: 1, from: 0, to: undefined }]
    ])
  })

  it("has one part where there is no block", () => {
    assert.deepStrictEqual(piecesOf([0], 8), [[{ table: 0, from: 0, to: undefined }]])
    assert.deepStrictEqual(piecesOf([], 8), [[]])
  })

  it.prop(
    "covers each table once from its first block to its open end, in parts of the same length",
    [tables, integer(1, 20)],
    ([blocks, parts]) => {
      const pieces = piecesOf(blocks, parts)
      const total = blocks.reduce((sum, size) => sum + size, 0)
      assert.lengthOf(pieces, Math.max(1, Math.min(parts, total)))
      blocks.forEach((_, table) => {
        const own = pieces.flat().filter((piece) => piece.table === table)
        assert.strictEqual(own[0]?.from, 0)
        own.forEach((piece, index) => assert.strictEqual(piece.to, own[index + 1]?.from))
      })
      for (const part of pieces) {
        const length = part.reduce((sum, { from, table, to }) => sum + (to ?? blocks[table] ?? 0) - from, 0)
        assert.isAtMost(length, Math.ceil(total / pieces.length))
        assert.isAtLeast(length, Math.floor(total / pieces.length))
      }
    },
    { arbitrary }
  )
})
