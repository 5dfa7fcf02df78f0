import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Partition from "../../../src/query/Partition.ts"
import { tablesOf } from "../../../src/query/PartitionColumn.ts"

const find = {
  name: "accounts",
  schema: Schema.Struct({ id: Schema.Finite }),
  statement: () => ({ sql: "table account", params: [] })
}

const make = (options: object) => () => Partition.byRange(find, { column: "id", ...options } as Partition.ByRange)

describe("a query in parts", () => {
  it.each([0, -1, 1.5, Number.NaN, 10_001])("has from 1 to 10,000 of them, and not %s", (parts) => {
    const message = `Expected \`parts\` to be an integer from 1 to 10000, got ${parts}`
    assert.throws(() => Partition.byRange(find, { column: "id", parts }), RangeError, message)
    assert.throws(() => Partition.byBlocks({ ...find, table: "account" }, { parts }), RangeError, message)
  })

  it("is cut into so many, or before values, of which there are not too many", () => {
    assert.throws(make({}), RangeError, "Expected either `parts` or `bounds`")
    assert.throws(make({ parts: 2, bounds: [1] }), RangeError, "Expected either `parts` or `bounds`")
    assert.throws(make({ bounds: [new Date(NaN)] }), RangeError, "Expected `bounds` to be values, got an invalid Date")
    const many = Array.from({ length: 10_000 }, (_, index) => index)
    assert.throws(make({ bounds: many }), RangeError, "Expected at most 9999 `bounds`, got 10000")
    assert.doesNotThrow(make({ bounds: many.slice(1) }))
  })
})

const scan = (alias: string, relation: string, output?: string) => ({
  "Node Type": "Seq Scan",
  "Total Cost": 1,
  Schema: "public",
  Alias: alias,
  "Relation Name": relation,
  ...(output === undefined ? {} : { Output: [output] })
})

const node = (type: string, output: string | undefined, ...Plans: Array<ReturnType<typeof scan>>) => ({
  "Node Type": type,
  "Total Cost": 1,
  ...(output === undefined ? {} : { Output: [output] }),
  Plans
})

const table = (relation: string, column: string) => ({ schema: "public", relation, column })

describe("tablesOf", () => {
  it("reads names in quotes", () => {
    assert.deepStrictEqual(tablesOf(scan('my "t"', "t", '"my ""t""".order_id')), [table("t", "order_id")])
    assert.deepStrictEqual(tablesOf(scan("t.x", "t", '"t.x"."The ""id"""')), [table("t", 'The "id"')])
    assert.deepStrictEqual(tablesOf(scan("é$1", "t", "é$1.ä")), [table("t", "ä")])
  })

  it("finds the leaves of a partitioned table, and no other table of a similar name", () => {
    const join = node("Hash Join", "a.id", scan("a_1", "leaf1"), scan("a_22", "leaf22"), scan("a_b", "other"))
    assert.deepStrictEqual(tablesOf(join), [table("leaf1", "id"), table("leaf22", "id")])
    assert.deepStrictEqual(tablesOf(node("Hash Join", "a.id", scan("a", "t"), scan("a_1", "other"))), [
      table("t", "id")
    ])
  })

  it("takes a union for its tables, if all are known", () => {
    const two = node("Append", undefined, scan("a", "a", "a.id"), scan("b", "b", "b.n"))
    assert.deepStrictEqual(tablesOf(two), [table("a", "id"), table("b", "n")])
    assert.deepStrictEqual(tablesOf(node("Append", undefined, scan("a", "a", "a.id"), scan("b", "b", "(b.n + 1)"))), [])
  })

  it("knows of none where the column is calculated, limited, or comes out of a subquery", () => {
    assert.deepStrictEqual(tablesOf(scan("t", "t", "(t.id + 1)")), [])
    assert.deepStrictEqual(tablesOf(scan("t", "t", "(t.id)::bigint")), [])
    assert.deepStrictEqual(tablesOf(node("Limit", "t.id", scan("t", "t", "t.id"))), [])
    assert.deepStrictEqual(tablesOf(node("Subquery Scan", "part.id", scan("t", "t", "t.id"))), [])
    assert.deepStrictEqual(tablesOf({ "Node Type": "Result", "Total Cost": 0, Output: ["1"] }), [])
  })
})
