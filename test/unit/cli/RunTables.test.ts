import { assert, describe, it } from "@effect/vitest"
import { books, insert, skipped, toPeople } from "./Told.ts"

describe("people are shown", () => {
  it("of a query its name, its rows and what was cut, and in the end how all of them went", () => {
    assert.deepStrictEqual(toPeople([books, insert, skipped]).split("\n"), [
      "books  1,001 rows in 12 ms",
      "id  title",
      "──  ─────",
      " 1  Emma",
      "12  NULL",
      "… and 999 more rows (--max-rows)",
      "",
      "insert  INSERT 0 3 in 12 ms",
      "",
      "query   outcome     rows  waited    ran",
      "──────  ─────────  ─────  ──────  ─────",
      "books   succeeded  1,001  0.3 ms  12 ms",
      "insert  succeeded         0.3 ms  12 ms",
      "late    skipped           80.0 s",
      "",
      "3 queries: 2 succeeded, 1 skipped in 1.23 s, 2 at a time",
      "Lower bound 12 ms: longest query books",
      ""
    ])
  })

  it("of one that was run in parts, how many these were", () => {
    const cut = { ...books, result: { ...books.result, rows: [], parts: 8 } }
    assert.include(toPeople([cut]), "books  1,001 rows in 12 ms, 8 parts\n")
    assert.include(toPeople([cut, insert]), "books   succeeded, 8 parts  1,001  0.3 ms  12 ms\n")
  })

  it("when a result is not the only one of its query", () => {
    const several = { ...books, result: { ...books.result, resultSets: 3 } }
    assert.match(toPeople([several]), /^books {2}1,001 rows in 12 ms, the last of 3 results\n/)
  })

  it("of rows without columns, and of columns without rows, in one line", () => {
    const bare = { ...books, result: { ...books.result, columns: [], rows: [{}], rowCount: 1 } }
    const empty = { ...books, result: { ...books.result, rows: [], rowCount: 0 } }
    assert.strictEqual(toPeople([bare]), "books  1 row in 12 ms\n\n")
    assert.strictEqual(toPeople([empty]), "books  0 rows in 12 ms\n\n")
  })
})
