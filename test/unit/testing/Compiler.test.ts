import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type * as Statement from "effect/sql/Statement"
import { TestQueryPool } from "querypool/testing"

const statements: ReadonlyArray<(sql: SqlClient) => Statement.Statement<unknown>> = [
  (sql) => sql`select ${1}, ${"a"}, ${null} from ${sql("a table")} where ${sql("t.c")} = ${2}`,
  (sql) =>
    sql`insert into t ${sql.insert([
      { a: 1, b: "x" },
      { a: 2, b: "y" }
    ])}`,
  (sql) => sql`insert into t ${sql.insert({ a: 1 }).returning("*")}`,
  (sql) => sql`update t set ${sql.update({ id: 1, a: 2 }, ["id"])} where id = ${1}`,
  (sql) =>
    sql`update t set a = d.a from ${sql.updateValues(
      [
        { id: 1, a: 2 },
        { id: 2, a: 3 }
      ],
      "d"
    )}`,
  (sql) => sql`update t set a = d.a from ${sql.updateValues([{ id: 1, a: 2 }], "d").returning("a")}`,
  (sql) => sql`select * from t where ${sql.and([sql`a = ${1}`, sql.or([sql`b = ${2}`, sql.in("c", [3, 4])])])}`,
  (sql) => sql`select ${sql.literal("now()")} order by ${sql.csv(["a", "b"])}`
]

describe("the client of a scripted pool", () => {
  it.effect("writes statements as that of the pool on PostgreSQL does", () =>
    Effect.gen(function* () {
      const compiler = PgClient.makeCompiler()
      const { ledger, sql } = yield* TestQueryPool.make(() => [])
      for (const statement of statements) {
        yield* statement(sql)
        const expected = compiler.compile(statement(sql), false)
        const sent = ledger.statements.at(-1)
        assert.deepStrictEqual([sent?.sql, sent?.parameters], [expected[0], expected[1]])
      }
      assert.lengthOf(ledger.statements, statements.length)
    })
  )
})
