import { assert, describe, it } from "vitest"
import { givesRows, onlyReads } from "../../../src/cli/StatementKind.ts"

describe("the kind of a statement", () => {
  it("is one with rows where the server gives some", () => {
    for (const text of [
      "select 1",
      "  (select 1) union select 2",
      "values (1)",
      "table t",
      "with a as (insert into t values (1) returning x) select * from a",
      "with a as (select 1) delete from t returning *",
      "insert into t values (1) returning id",
      "show work_mem",
      "explain select 1",
      "fetch 3 from c",
      "select 'into'"
    ]) {
      assert.isTrue(givesRows(text), text)
    }
    for (const text of [
      "select 1 into t",
      "insert into t select 1",
      "with a as (select 1) insert into t select * from a",
      "with a as (delete from t returning *) update u set x = 1",
      "insert into t values ('returning')",
      "call p()",
      "vacuum",
      "begin",
      "create table t as select 1",
      ""
    ]) {
      assert.isFalse(givesRows(text), text)
    }
  })

  it("is one that only reads where its text leaves no doubt", () => {
    for (const text of ["select 1", "with a as (select 1) select * from a", "set work_mem = '5MB'", "table t"]) {
      assert.isTrue(onlyReads(text), text)
    }
    for (const text of [
      "insert into t values (1)",
      "with a as (delete from t returning *) select * from a",
      "select 1 into t",
      "select * from t for update",
      "explain analyze delete from t",
      "call p()",
      "begin",
      "do 'begin end'"
    ]) {
      assert.isFalse(onlyReads(text), text)
    }
  })
})
