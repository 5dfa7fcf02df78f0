import { assert, describe, it } from "@effect/vitest"
import { commentOf, takesTags } from "../../../src/pool/SqlComment.ts"

describe("a comment of tags", () => {
  it.each([
    // The examples of the specification.
    [{ route: "/polls 1000" }, " /*route='%2Fpolls%201000'*/"],
    [{ "name''": "DROP TABLE USERS'" }, " /*name\\'\\'='DROP%20TABLE%20USERS\\''*/"],
    [{ "route parameter": "/param first" }, " /*route%20parameter='%2Fparam%20first'*/"],
    [{ b: "2", a: "1" }, " /*a='1',b='2'*/"],
    [{ a: undefined, b: "" }, " /*b=''*/"],
    [{ a: undefined }, ""],
    [{ a: "*/ /* -- \ud800" }, " /*a='*%2F%20%2F*%20--%20%EF%BF%BD'*/"]
  ])("of %j is %s", (tags, comment) => {
    assert.strictEqual(commentOf(tags), comment)
  })

  it.each([
    ["select 1", true],
    ["select '--', \"/*\", $$ -- $$, e'\\'--'", true],
    ["select a - -1", true],
    ["select 1 -- one", false],
    ["select /* one */ 1", false],
    ["select 1 --", false],
    ["select 'no end --", false]
  ])("stands behind %s: %s", (sql, takes) => {
    assert.strictEqual(takesTags(sql), takes)
  })
})
