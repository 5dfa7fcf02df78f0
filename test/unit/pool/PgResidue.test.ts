import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import type { Residue } from "../../../src/pool/PgResidue.ts"
import { verdictOf } from "../../../src/pool/PgResidue.ts"

const residueOf = (sql: string): Residue => verdictOf(sql).residue

const verdicts: Readonly<Record<ReturnType<typeof residueOf>, ReadonlyArray<string>>> = {
  none: [
    "select 1",
    "SELECT 1",
    "\n\t select 1",
    "-- a comment\nselect 1",
    "-- ended by a carriage return\rselect 1",
    "/* one */ /* two **/ select 1",
    "/* outer /* inner */ set */ select 1",
    "((select 1))",
    "; select 1",
    "insert into temperature values (1)",
    "insert into t select * from x",
    "update t set a = 1",
    "delete from t",
    "merge into t using x on true when matched then delete",
    "with x as (select 1) select * from x",
    "values (1)",
    "table t",
    "show all",
    "notify c",
    "savepoint a",
    "release savepoint a",
    "rollback to savepoint a",
    "commit and chain",
    "rollback and chain",
    "commit prepared 'x'",
    "truncate t",
    "alter table t add column a int",
    "drop table t",
    "select pg_advisory_xact_lock(1)",
    "select pg_advisory_unlock(1)",
    "select temp from weather",
    "select my_set_config_x()"
  ],
  begin: ["begin", "BEGIN ISOLATION LEVEL SERIALIZABLE", "start transaction read only", "/* x */ begin"],
  end: [
    "commit",
    "COMMIT",
    " commit ; ",
    "commit work",
    "end",
    "end transaction",
    "rollback",
    "ROLLBACK WORK;",
    "abort"
  ],
  unfit: [
    "discard all",
    "DISCARD PLANS",
    "deallocate all",
    "deallocate x",
    "select setseed(0.5)",
    'select "setseed"(0.5)'
  ],
  session: [
    "set work_mem = '1MB'",
    "reset all",
    "create temp table t (a int)",
    "create table t (a int)",
    "prepare x as select 1",
    "prepare transaction 'x'",
    "execute x",
    "explain analyze create temp table t as select 1",
    "listen c",
    "declare c cursor with hold for select 1",
    "do $$ begin end $$",
    "call p()",
    "lock table t",
    "load 'x'",
    "copy t from stdin",
    "select set_config('a', 'b', false)",
    "select SET_CONFIG ('a', 'b', false)",
    "select \"set_config\"('a', 'b', false)",
    "select pg_catalog.set_config('a', 'b', false)",
    "select set_config /* here */ ('a', 'b', false)",
    "with x as (select pg_advisory_lock(1)) select * from x",
    "select pg_advisory_lock_shared(1)",
    "select pg_try_advisory_lock(1)",
    "select pg_try_advisory_lock_shared(1)",
    "select dblink_connect('x')",
    "select U&\"set\\005Fconfig\"('a', 'b', false)",
    "select 1 into temp t",
    "select 1 into /* x */ temp t",
    "select 1 into -- x\n temp t",
    "select 1 into temporary table t",
    "select 1 into local temp t",
    "select 1 into\n  pg_temp.t",
    "insert into pg_temp.t values (1)",
    // What is not understood is not trusted.
    "",
    "-- nothing but a comment",
    "/* outer /* inner */ select */ set work_mem = '1MB'",
    "/* never closed select 1",
    "-- ended by a carriage return\rset work_mem = '1MB' -- \n select 1",
    "%",
    "1"
  ]
}

describe("residueOf", () => {
  for (const [residue, statements] of Object.entries(verdicts)) {
    it.each(statements)(`finds "${residue}" in: %s`, (sql) => {
      assert.strictEqual(residueOf(sql), residue)
      // The second answer comes from memory.
      assert.strictEqual(residueOf(sql), residue)
    })
  }

  it.each([
    "commit",
    "END work",
    "abort and chain",
    "rollback",
    "ROLLBACK /* to */ WORK -- to",
    "rollback transaction and chain",
    "prepare transaction 'x'",
    "-- first\nprepare /* why */ transaction 'x'",
    "/* outer /* inner */ select */ commit",
    "; commit prepared 'x'"
  ])("finds that a transaction ends with: %s", (sql) => {
    assert.isTrue(verdictOf(sql).ends)
  })

  it.each([
    "select 1 -- commit",
    "commits",
    "prepare x as select 1 -- prepare transaction",
    "rollback to savepoint a",
    "rollback /* all */ work -- of it\n to a",
    "rollback transaction to savepoint a",
    "rollback prepared 'x'",
    "savepoint a",
    "/* never closed commit"
  ])("finds that none ends with: %s", (sql) => {
    assert.isFalse(verdictOf(sql).ends)
  })

  it("looks at a text once, however much white space, and however many comments, stand before nothing", () => {
    for (const before of [" ", "\n", "\t ", "(", ";", "-- x\n", "/* x */", "/**/ ", "/*", "/* * "]) {
      assert.strictEqual(residueOf(before.repeat(20_000) + "1"), "session")
      assert.strictEqual(residueOf(before.repeat(200) + "'"), "session")
    }
  })

  it.prop(
    "trusts no statement whose first word is not known to be harmless, whatever stands before it",
    [
      Arbitrary.array(
        Arbitrary.schema(Schema.Literals([" ", "\n", "(", "-- select\n", "/* select */", "/* a * / b */", ";"])),
        {
          maxLength: 6
        }
      ),
      Schema.Literals(["set", "create", "listen", "do", "call", "prepare", "grantx", "selected"])
    ],
    ([before, word]) => residueOf(`${before.join("")}${word} x`) === "session"
  )
})
