import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { databaseUrl, documentOf, firstRowsOf, outcomesOf, run, runJson, start } from "./Command.ts"

const makeCounter = Effect.gen(function* () {
  const { observer } = yield* Pg.Pg
  yield* observer.rows("drop table if exists counter")
  yield* observer.rows("create table counter (value int)")
  yield* observer.rows("insert into counter values (0)")
  return { observer, count: observer.rows("update counter set value = value + 1") }
})

const value = (name: string) => `-- name: ${name}\nselect value from counter;\n`

const leader = "select pid from pg_stat_activity where application_name = $1"

layer(Pg.layer("Snapshot"), { excludeTestServices: true })("a run with --snapshot", (it) => {
  it.effect("shows all queries one moment, though others write between them", () =>
    Effect.gen(function* () {
      const { count, observer } = yield* makeCounter
      yield* observer.hold(1)
      const sql =
        `${value("before")}-- name: waits\nselect pg_advisory_xact_lock(1);\n${value("after")}` +
        "-- name: in_parts\n-- partition: column=value parts=2\nselect value from counter"
      const runWith = (args: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const command = ["run", "-", "--json", "--concurrency", "1", ...args]
          const running = yield* start(command, { stdin: sql, env: { DATABASE_URL: yield* databaseUrl } })
          yield* observer.seen("the second query waits", ({ wait }) => wait === "Lock:advisory")
          yield* count
          yield* observer.release(1)
          const ended = yield* running.ended
          yield* observer.hold(1)
          assert.strictEqual(ended.code, 0)
          return documentOf(ended)
        })
      const one = yield* runWith(["--snapshot"])
      assert.deepInclude(firstRowsOf(one), { before: { value: 0 }, after: { value: 0 }, in_parts: { value: 0 } })
      assert.isFalse(one.snapshot?.lost)
      assert.isAbove(one.snapshot?.heldSeconds ?? 0, 0)
      const two = yield* runWith([])
      assert.deepInclude(firstRowsOf(two), { before: { value: 1 }, after: { value: 2 }, in_parts: { value: 2 } })
      assert.notProperty(two, "snapshot")
      yield* observer.release(1)
    }).pipe(Effect.scoped)
  )

  it.effect("lets nothing be written, and says how long the snapshot was held", () =>
    Effect.gen(function* () {
      const { observer } = yield* makeCounter
      const sql = `${value("reads")}
        -- name: writes
        update counter set value = 100;
        -- name: begins
        begin; select 1;
        -- name: only
        -- read-only
        -- retry: 2
        select 2;`
      const [{ code, document }, people] = yield* Effect.all([runJson(sql, ["--snapshot"]), run(sql, ["--snapshot"])], {
        concurrency: 2
      })
      const outcomes = { reads: "succeeded", writes: "failed", begins: "succeeded", only: "succeeded" }
      assert.deepStrictEqual(outcomesOf(document), outcomes)
      assert.deepInclude(document.queries[1]?.error, { sqlState: "25006", outcome: "notApplied", connection: "usable" })
      assert.strictEqual(code, 1)
      assert.match(people.stdout, /\nSnapshot held \d[\d.]* m?s\n$/)
      // That its COMMIT is missing, where it may have none, would be bad advice.
      assert.notInclude(people.stderr, "Add COMMIT")
      assert.strictEqual(yield* observer.value("select value from counter"), 0)
    })
  )

  it.effect("fails what has not begun when its connection is lost, and says that and what to do", () =>
    Effect.gen(function* () {
      const { observer } = yield* makeCounter
      const { applicationName } = yield* Pg.Pg
      yield* observer.hold(2)
      const running = yield* start(["run", "-", "--concurrency", "1", "--snapshot"], {
        stdin: `-- name: joined\nselect pg_advisory_xact_lock(2);\n${value("late")}`,
        env: { DATABASE_URL: yield* databaseUrl }
      })
      yield* observer.seen("the first query waits", ({ wait }) => wait === "Lock:advisory")
      const leaders = observer.rows(leader, [`${applicationName} snapshot`])
      for (const { pid } of yield* leaders) yield* observer.terminate(Number(pid))
      yield* waitUntil(
        "the leader is gone",
        Effect.map(leaders, (rows) => rows.length === 0)
      )
      yield* observer.release(2)
      const { code, stderr, stdout } = yield* running.ended
      assert.match(
        stderr,
        /^late failed: the snapshot of the run is lost: the .*\n {2}hint: run all of it again, on a new snapshot\n\n$/
      )
      assert.match(stdout, /^joined {2}succeeded /m)
      assert.match(stdout, /\nSnapshot lost after \d[\d.]* m?s\n$/)
      assert.strictEqual(code, 1)
    }).pipe(Effect.scoped)
  )
})
