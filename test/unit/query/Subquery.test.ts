import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { around, built, faultOf, placeIn, textOf } from "../../../src/query/Subquery.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"

describe("a statement inside another one", () => {
  it.each([
    "select 1",
    " /* why */ -- how\n SELECT 1 -- done",
    "values (1), (2)",
    "table account",
    "(select 1) union (select 2)",
    "((select 1))",
    "with a as (select 1) select * from a",
    "with recursive a (n) as (select 1 union all select n + 1 from a), b as (select 2) select * from a",
    "with values as (select 1), update as (select 2) select * from values, update",
    "with a as materialized (select 1) (select * from a)",
    "with a as (select 1) table a",
    "(with a as (select 1) select * from a)",
    "select ';' as \"a;b\", $$;$$, E'\\';' -- ;",
    "select ')' /* ) */ where $1 = $2",
    "select * from account for update"
  ])("may be %s", (text) => {
    assert.isUndefined(faultOf(text))
  })

  it.each([
    ["select 1;", "it ends in a semicolon. Leave that out"],
    ["select 1; -- done\n ", "it ends in a semicolon. Leave that out"],
    ["select 1 ; /* done */ ;; ", "it ends in a semicolon. Leave that out"],
    ["; select 1", "it is more than one statement, where one is expected"],
    ["select 1; select 2", "it is more than one statement, where one is expected"],
    ["insert into a values (1)", "INSERT is no SELECT, VALUES, TABLE or WITH … SELECT"],
    ["explain select 1", "EXPLAIN is no SELECT, VALUES, TABLE or WITH … SELECT"],
    ["with a as (select 1) delete from b", "WITH … DELETE is no SELECT, VALUES, TABLE or WITH … SELECT"],
    ["select 1) as a, (select 2", "it closes a parenthesis that it does not open"],
    ["select (1", "it opens a parenthesis that it does not close"],
    ["select 'a", "a string, a quoted name or a comment in it has no end"],
    ['select "a', "a string, a quoted name or a comment in it has no end"],
    ["select 1 /* a", "a string, a quoted name or a comment in it has no end"],
    ["", "it is empty"],
    [" -- nothing\n", "it is empty"]
  ])("may not be %s", (text, fault) => {
    assert.strictEqual(faultOf(text), fault)
  })

  it("is looked at without a stack, however many semicolons it ends in", () => {
    assert.strictEqual(faultOf(`select 1${";".repeat(100_000)}`), "it ends in a semicolon. Leave that out")
  })

  it.effect("keeps its parameters before those around it", () =>
    Effect.gen(function* () {
      const { sql } = yield* TestQueryPool.make()
      const expected = {
        text: "select * from (\nselect $1 as a, $2 as b\n) as part where a < $3",
        parameters: [7, "x", 8]
      }
      const wheres = [
        sql`select ${7} as a, ${"x"} as b`,
        sql.unsafe("select $1 as a, $2 as b", [7, "x"]),
        { sql: "select $1 as a, $2 as b", parameters: [7, "x"] },
        { sql: "select $1 as a, $2 as b", params: [7, "x"] }
      ].map((statement) => around(textOf(statement), (rows, next) => `select * from ${rows} where a < $${next}`, [8]))
      for (const made of wheres) assert.deepStrictEqual(made, expected)
    })
  )

  it.effect("is where `each` reads it, with the parameters of both", () =>
    Effect.gen(function* () {
      const { sql } = yield* TestQueryPool.make()
      const rows = { text: "select * from account where owner = $1 and $1 <> $2", parameters: ["a", "b"] }
      assert.deepStrictEqual(
        built(
          sql,
          (sql, part) => sql`select ${1} as one, count(*) as n from ${part} where ${sql.in("id", [2, 3])}`,
          rows
        ),
        {
          text: `select $3 as one, count(*) as n from (\n${rows.text}\n) as part where "id" IN ($4,$5)`,
          parameters: ["a", "b", 1, 2, 3]
        }
      )
      const none = { text: "table account", parameters: [] }
      assert.deepStrictEqual(
        built(sql, (sql, part) => sql`select $$ $& $$ from ${part} where id = ${1}`, none),
        { text: "select $$ $& $$ from (\ntable account\n) as part where id = $1", parameters: [1] }
      )
      const twice = built(sql, (sql, part) => sql`select from ${part} where exists (select from ${part})`, rows)
      assert.strictEqual(typeof twice === "string" ? 0 : twice.text.split(rows.text).length, 3)
    })
  )

  it.effect("is refused by an `each` that does not read it, or that numbers its parameters itself", () =>
    Effect.gen(function* () {
      const { sql } = yield* TestQueryPool.make()
      const rows = { text: "table account", parameters: [] }
      assert.match(
        String(built(sql, (sql) => sql`select count(*) from account`, rows)),
        /^`each` does not read its part/
      )
      assert.match(
        String(built(sql, (sql, part) => sql`select ${sql.unsafe("$1::int", [1])} from ${part}`, rows)),
        /^parameters given to `sql.unsafe` cannot be numbered anew/
      )
    })
  )

  it("finds its own line again in an error of what is around it", () => {
    const text = "select 😀,\r\n  idd\nfrom account"
    const place = (found: string, column: number) => placeIn(text, { offset: 99, line: 9, column, text: found })
    assert.deepStrictEqual(place("  idd", 3), { offset: 14, line: 2, column: 3, text: "  idd" })
    assert.deepStrictEqual(place("select 😀,", 8), { offset: 8, line: 1, column: 8, text: "select 😀," })
    assert.deepStrictEqual(place("from account", 6), { offset: 23, line: 3, column: 6, text: "from account" })
    assert.isUndefined(place(") as part where part.x < $1", 18))
  })

  it("finds the very line where several are alike, or none", () => {
    const text = "select id\nfrom account\nunion all\nselect id\nfrom account"
    const { text: outer } = around({ text, parameters: [] }, (rows) => `select *\nfrom\n${rows}\nwhere true`)
    outer.split("\n").forEach((found, index) => {
      const place = placeIn(text, { offset: 1, line: index + 1, column: 8, text: found })
      assert.strictEqual(place?.line, index >= 1 && index <= 5 ? index : undefined, found)
      assert.strictEqual(place === undefined ? "" : text.slice(place.offset - 8).split("\n")[0], place?.text ?? "")
    })
    assert.isUndefined(placeIn(text, { offset: 1, line: 40, column: 1, text: "select id" }))
  })
})
