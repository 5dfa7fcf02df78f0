import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { keepFirst } from "../../../src/cli/FileParts.ts"

const integer = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

describe("the rows of parts", () => {
  it.prop(
    "are the first of all in the end, and never more, in whatever order their parts end",
    [Schema.Array(Schema.Tuple([integer(8), integer(1_000)])).check(Schema.isMaxLength(9)), integer(20)],
    ([lengths, maxRows]) => {
      const given = lengths.map(([length], part) =>
        Array.from({ length: Math.min(length, maxRows) }, (_, row) => ({ place: `${part} ${row}` }))
      )
      const parts: Array<{ rows: ReadonlyArray<Readonly<Record<string, string>>> }> = []
      const ends = lengths.map(([, end], part) => ({ end, part })).toSorted((a, b) => a.end - b.end)
      for (const { part } of ends) {
        parts[part] = { rows: given[part] ?? [] }
        keepFirst(parts, maxRows)
        assert.isAtMost(parts.flatMap(({ rows }) => rows).length, maxRows)
      }
      assert.deepStrictEqual(
        parts.flatMap(({ rows }) => rows),
        given.flat().slice(0, maxRows)
      )
    },
    { arbitrary: { runs: 500, seed: 20_260_107 } }
  )
})
