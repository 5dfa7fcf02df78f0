import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Pg from "../../support/Pg.ts"
import type { Document } from "./Command.ts"
import { outcomesOf, run, runJson } from "./Command.ts"

/** Why each query failed, or how it ended otherwise, and after how many attempts. */
const endsOf = (document: Document) =>
  Object.fromEntries(
    document.queries.map(({ attempts, error, name, outcome }) => [name, `${error?.reason ?? outcome} ${attempts}`])
  )

/** Fails with a conflict until it has been tried so often: what a sequence counts is not rolled back. */
const failsUntil = (attempt: number, sequence: string) => `
  do $$ begin
    if nextval('${sequence}') < ${attempt} then raise exception 'once more' using errcode = '40001'; end if;
  end $$;`

layer(Pg.layer("QueryOptions"), { excludeTestServices: true })("the headers and flags of a run", (it) => {
  it.effect("retry what may pass, as a whole, as often as they say", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      for (const name of ["a", "b", "c", "d", "e"]) yield* observer.rows(`create sequence ${name}`)
      yield* observer.rows("create table written (by text)")
      const sql = `
        -- name: recovers
        -- retry: 2
        -- transaction
        insert into written values ('recovers'); ${failsUntil(3, "a")}
        -- name: gives_up
        -- retry: 1
        -- transaction
        insert into written values ('gives_up'); ${failsUntil(3, "b")}
        -- name: by_flag
        -- idempotent
        ${failsUntil(2, "c")}
        -- name: never
        -- retry: 0
        -- transaction
        ${failsUntil(2, "d")}
        -- name: half_done
        insert into written values ('half_done'); ${failsUntil(2, "e")}
        -- name: wrong
        -- transaction
        select 1 / 0;`
      const { code, document, stderr } = yield* runJson(sql, ["--retries", "1"])
      assert.deepStrictEqual(endsOf(document), {
        recovers: "succeeded 3",
        gives_up: "SerializationFailure 2",
        by_flag: "succeeded 2",
        never: "SerializationFailure 1",
        half_done: "SerializationFailure 1",
        wrong: "Rejected 1"
      })
      assert.deepStrictEqual(yield* observer.rows("select by from written order by by"), [
        { by: "half_done" },
        { by: "recovers" }
      ])
      assert.deepStrictEqual(
        stderr
          .replaceAll(/in \d[\d.]* m?s/g, "in T")
          .trimEnd()
          .split("\n")
          .toSorted(),
        ["by_flag", "gives_up", "recovers", "recovers"].map(
          (name, index) => `${name} retrying in T: attempt ${index === 3 ? 2 : 1} failed, once more (40001)`
        )
      )
      assert.strictEqual(code, 1)
    })
  )

  it.effect("forget what an attempt gave that failed", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create sequence f")
      const { stdout } = yield* run(`-- retry: 1\n-- transaction\nselect 1 as a; ${failsUntil(2, "f")}`)
      // It would say "the last of 2 results".
      assert.match(stdout, /^stdin {2}1 row in [^,]*\n/)
    })
  )

  it.effect("bound the time of a query, of its wait, and of all of them, and the server stops", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const ofFile = yield* runJson(
        `-- timeout: 1 hour\n-- name: a\n-- timeout: 1s\nselect pg_sleep(600);\n-- name: b\nselect 1;`,
        ["--timeout", "1ms"]
      )
      assert.deepStrictEqual(endsOf(ofFile.document), { a: "TimedOut 1", b: "succeeded 1" })
      assert.strictEqual(ofFile.document.queries[0]?.error?.message, "exceeded its timeout of 1000 ms")
      yield* observer.gone

      const two = "-- name: a\nselect pg_sleep(600);\n-- name: b\nselect pg_sleep(600)"
      const ofRun = yield* runJson(two, ["--deadline", "100ms", "--concurrency", "1"])
      assert.deepStrictEqual(endsOf(ofRun.document), { a: "TimedOut 1", b: "TimedOut 0" })
      assert.strictEqual(ofRun.document.queries[0]?.error?.message, "exceeded its deadline of 100 ms")
      yield* observer.gone

      const ofQueue = yield* runJson(`-- name: a\nselect pg_sleep(1);\n-- name: b\nselect 1`, [
        "--queue-timeout",
        "100ms",
        "--concurrency",
        "1"
      ])
      assert.deepStrictEqual(endsOf(ofQueue.document), { a: "succeeded 1", b: "QueueTimeout 0" })
    })
  )

  it.effect("let the server refuse what would write", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table kept (id int)")
      const refused = { reason: "Rejected", sqlState: "25006", outcome: "notApplied", connection: "usable" }
      const ofFile = yield* runJson(`
        -- name: reads
        -- read-only
        select 1;
        -- name: writes
        -- read-only
        insert into kept values (1);
        -- name: begins
        -- read-only
        begin; insert into kept values (2); commit;
        -- name: free
        insert into kept values (3), (4);`)
      assert.deepStrictEqual(outcomesOf(ofFile.document), {
        reads: "succeeded",
        writes: "failed",
        begins: "failed",
        free: "succeeded"
      })
      const [reads, writes, , free] = ofFile.document.queries
      assert.deepInclude(writes?.error, refused)
      assert.deepStrictEqual([reads?.command, writes?.command, free?.command], ["SELECT 1", null, "INSERT 0 2"])

      const ofAll = yield* runJson("insert into kept values (5)", ["--read-only"])
      assert.deepInclude(ofAll.document.queries[0]?.error, refused)
      assert.strictEqual(yield* observer.value("select string_agg(id::text, ' ') from kept"), "3 4")
    })
  )

  it.effect("are told of in words where something of a failed query stays", () =>
    Effect.gen(function* () {
      const { stderr } = yield* run("create table stays (id int); select 1 / 0")
      assert.match(stderr, /^ {2}outcome: partial: the statements that completed before stay applied$/m)
      const rolledBack = yield* run("-- transaction\ncreate table goes (id int); select 1 / 0")
      assert.notInclude(rolledBack.stderr, "outcome")
    })
  )
})
