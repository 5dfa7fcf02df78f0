import { assert, layer } from "@effect/vitest"
import { Effect, identity } from "effect"
import * as FileRun from "../../../src/cli/FileRun.ts"
import { shorten } from "../../../src/cli/Table.ts"
import { tellAll } from "../../../src/cli/Teller.ts"
import { filePlanOf, noRows } from "../../support/fileRuns.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { databaseUrl, documentOf, firstRowsOf, outcomesOf, run, runJson, start } from "./Command.ts"

const isWaiting = (word: string) => (backend: Pg.Backend) =>
  backend.wait === "Lock:advisory" && backend.query.includes(word)

const write = (name: string) => `insert into seen (name) values ('${name}')`

const isAtGate = ({ wait }: Pg.Backend) => wait === "Lock:advisory"

layer(Pg.layer("FileRun"), { excludeTestServices: true })("a run of queries from files", (it) => {
  it.effect("gives each query a clean session, whatever the one before did to it", () =>
    Effect.gen(function* () {
      const look = `select current_setting('work_mem') as memory, current_setting('search_path') as path,
        current_user as user, to_regclass('pg_temp.mine') as temporary,
        (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
        (select count(*) from pg_prepared_statements where from_sql) as prepared,
        (select count(*) from pg_listening_channels()) as channels`
      const { code, document } = yield* runJson(
        `-- name: before
        ${look};
        -- name: settings
        set work_mem = '77MB'; set search_path = nowhere; select set_config('work_mem', '88MB', false);
        -- name: after_settings
        ${look};
        -- name: objects
        create temp table mine (id int); prepare p as select 1; listen news; select pg_advisory_lock(42);
        -- name: after_objects
        ${look};
        -- name: role
        set role pg_monitor; select 1;
        -- name: after_role
        ${look};
        -- name: authorization
        set session authorization pg_monitor; select 1;
        -- name: after_authorization
        ${look};
        -- name: discard
        discard all; select 1;
        -- name: after_discard
        ${look};
        -- name: left_open
        begin; set local work_mem = '99MB'; create temp table mine (id int); select 1;
        -- name: after_left_open
        ${look};`,
        ["--concurrency", "1"]
      )
      const { before, ...others } = firstRowsOf(document)
      for (const [name, row] of Object.entries(others)) {
        if (name.startsWith("after_")) assert.deepStrictEqual(row, before, name)
      }
      assert.strictEqual(code, 0)
    })
  )

  it.effect("commits each statement by itself, and a query as a whole with --single-transaction", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table written (by text)")
      const written = observer.value("select string_agg(by, ' ' order by by) from written")
      const sql = `
        -- name: fails_late
        insert into written values ('first'); select 1 / 0; insert into written values ('third');
        -- name: commits
        begin; insert into written values ('committed'); commit;
        -- name: rolls_back
        begin; insert into written values ('rolled'); rollback;
        -- name: forgets
        begin; insert into written values ('forgotten'); savepoint a; rollback to a;
        -- name: goes_back
        begin; savepoint "and chain"; rollback work to savepoint "and chain" /* and on */;
        -- name: goes_on
        begin; commit and chain -- and on
        ;
        -- name: goes_no_further
        begin; commit and no chain;
        -- name: vacuums
        vacuum written;`
      const each = yield* run(sql)
      assert.strictEqual(yield* written, "committed first")
      assert.match(each.stderr, /^fails_late failed: division by zero \(22012\) at <stdin>:3:\d+$/m)
      // Those that forget it are warned, and nobody else.
      const leftOpen =
        "WARNING: the query ended inside the transaction it began, which is rolled back. Add COMMIT or ROLLBACK"
      assert.deepStrictEqual(
        each.stderr.match(/^.* WARNING: .*$/gm),
        ["forgets", "goes_back", "goes_on"].map((name) => `${name} ${leftOpen}`)
      )

      yield* observer.rows("truncate written")
      const together = yield* runJson(
        `-- name: fails_late
        insert into written values ('first'); select 1 / 0;
        -- name: succeeds
        insert into written values ('second'); insert into written values ('third');
        -- name: cannot
        vacuum written;`,
        ["--single-transaction"]
      )
      assert.strictEqual(yield* written, "second third")
      assert.deepStrictEqual(outcomesOf(together.document), {
        fails_late: "failed",
        succeeds: "succeeded",
        cannot: "failed"
      })
      assert.strictEqual(together.code, 1)
    })
  )

  it.effect("gives the last result of a query's statements, and says that there were more", () =>
    Effect.gen(function* () {
      const sql = `
        -- name: two
        select 1 as a; select 2 as b, 3 as b; set work_mem = '5MB';
        -- name: same_text_again
        select 1 as a; select 2 as b, 3 as b; select 1 as a;
        -- name: called
        create procedure five(inout x int) language plpgsql as $$ begin x := 5; end $$; call five(1);
        -- name: fetched
        begin; declare c cursor for select generate_series(1, 9) as n; fetch 3 from c; commit;
        -- name: explained
        explain (costs off) select 1;
        -- name: written
        create temp table t (n int); insert into t select generate_series(1, 3);
        -- name: nothing
        select;`
      const { document } = yield* runJson(sql)
      assert.deepStrictEqual(firstRowsOf(document), {
        two: { b: 2, b_2: 3 },
        same_text_again: { a: 1 },
        called: { x: 5 },
        fetched: { n: 1 },
        explained: { "QUERY PLAN": "Result" },
        written: undefined,
        nothing: {}
      })
      assert.deepStrictEqual(
        document.queries.map(({ rowCount }) => rowCount),
        [1, 1, 1, 3, 1, 0, 1]
      )
    })
  )

  it.effect("runs a query in parts, side by side, with one result", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const { code, document, stderr } = yield* runJson(
        `-- name: whole
        select id, owner, id * 1.5 as half from account where id <= 100;
        -- name: cut
        -- needs: whole
        -- partition: column=id parts=4
        select id, owner, id * 1.5 as half from account where id <= 100; -- all of it
        -- name: empty
        -- partition: column=id parts=4
        select id from account where id < 0`,
        ["--concurrency", "3"]
      )
      const [whole, cut, empty] = document.queries
      assert.strictEqual(stderr, "")
      assert.deepInclude(cut, {
        outcome: "succeeded",
        command: "SELECT 100",
        rowCount: 100,
        parts: 4,
        truncated: false
      })
      assert.deepStrictEqual(
        cut?.rows.toSorted((a, b) => Number(a["id"]) - Number(b["id"])),
        whole?.rows
      )
      assert.deepInclude(empty, { outcome: "succeeded", rowCount: 0, parts: 1 })
      assert.strictEqual(code, 0)
      const shown = yield* run(
        "-- name: cut\n-- partition: column=id parts=2\ntable account;\n-- name: other\nselect 1",
        ["--max-rows", "1"]
      )
      assert.match(shown.stdout, /^cut  1,000 rows in .*, 2 parts$/m)
      assert.match(shown.stdout, /^… and 999 more rows/m)
      assert.match(shown.stdout, /^cut    succeeded, 2 parts  1,000 /m)
      yield* observer.gone
    })
  )

  it.effect("runs the parts of the only query side by side, at one moment", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table watched as select i as id from generate_series(1, 100) i")
      yield* observer.rows("select pg_stat_force_next_flush()")
      // Its parts are planned by the statistics then, and the plan does not wait for the lock.
      yield* observer.rows("analyze watched")
      yield* observer.hold(4)
      const url = yield* databaseUrl
      const sql =
        "-- partition: column=id parts=4\nselect id from watched where (select pg_advisory_xact_lock_shared(4)) is not null"
      const running = yield* start(["run", "-", "--json"], { stdin: sql, env: { DATABASE_URL: url } })
      yield* waitUntil(
        "all parts run",
        Effect.map(observer.backends, (all) => all.filter(isWaiting("watched")).length === 4),
        5
      )
      yield* observer.rows("delete from watched")
      yield* observer.release(4)
      const ended = yield* running.ended
      assert.deepInclude(documentOf(ended).queries[0], { outcome: "succeeded", rowCount: 100, parts: 4 })
      yield* observer.rows("drop table watched")
    }).pipe(Effect.scoped)
  )

  it.effect(
    "fails a query in parts as a whole, with the place in its file, in its time, and cancelled on the server",
    () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const { code, document } = yield* runJson(`
        -- name: late
        -- partition: column=id parts=3
        select id,
          1 / (id - 900) as one
        from account;
        -- name: typo
        -- partition: column=id parts=3
        select id
          from account where idd > 3;
        -- name: no_column
        -- partition: column=ids parts=3
        table account;
        -- name: slow
        -- partition: column=id parts=3
        -- timeout: 200ms
        select id, pg_sleep(60) from account;
        -- name: after
        -- needs: slow
        select 1`)
        const errors = document.queries.map(({ error, name }) => [
          name,
          error?.reason,
          error?.message,
          error?.line,
          error?.column
        ])
        assert.deepStrictEqual(errors, [
          ["late", "Rejected", "division by zero", 4, 9],
          ["typo", "Rejected", 'column "idd" does not exist', 10, 30],
          ["no_column", "Rejected", "column part.ids does not exist", 13, 9],
          ["slow", "TimedOut", "exceeded its timeout of 200 ms", 17, 9],
          ["after", undefined, undefined, undefined, undefined]
        ])
        assert.strictEqual(document.queries[4]?.because, "slow")
        assert.strictEqual(code, 1)
        yield* observer.gone
      })
  )

  it.effect("plans a query in parts again, as often as its header says, when that has lost its connection", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(4)
      const url = yield* databaseUrl
      const sql =
        "-- partition: column=name parts=2\n-- retry: 1\n" +
        "select 'n' || id as name from account cross join (select pg_advisory_xact_lock_shared(4)) as gate"
      const running = yield* start(["run", "-", "--json"], { stdin: sql, env: { DATABASE_URL: url } })
      const { pid } = yield* observer.seen("the plan waits", isAtGate)
      yield* observer.terminate(pid)
      yield* observer.seen("it waits again", (backend) => isAtGate(backend) && backend.pid !== pid)
      yield* observer.release(4)
      const ended = yield* running.ended
      assert.deepInclude(documentOf(ended).queries[0], { outcome: "succeeded", rowCount: 1_000, parts: 2 })
    }).pipe(Effect.scoped)
  )

  it.effect("keeps every other result when one fails, and tells them in the order given", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(1)
      const url = yield* databaseUrl
      const sql = `
        -- name: slow
        select pg_advisory_xact_lock(1);
        -- name: bad
        select nothing;
        -- name: fast
        select 1;`
      const running = yield* start(["run", "-", "--json"], { stdin: sql, env: { DATABASE_URL: url } })
      yield* observer.seen("the slow query waits", ({ wait }) => wait === "Lock:advisory")
      yield* observer.seen("another connection is done", ({ state }) => state === "idle")
      assert.strictEqual(running.soFar().stdout, "")
      yield* observer.release(1)
      const ended = yield* running.ended
      const document = documentOf(ended)
      assert.deepStrictEqual(
        document.queries.map(({ name, outcome }) => `${name} ${outcome}`),
        ["slow succeeded", "bad failed", "fast succeeded"]
      )
      assert.deepInclude(document.queries[1], {
        error: {
          reason: "Rejected",
          sqlState: "42703",
          message: 'column "nothing" does not exist',
          outcome: "notApplied",
          connection: "usable",
          line: 5,
          column: 16
        }
      })
      assert.strictEqual(ended.code, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("stops the others at the first failure with --on-error stop, on the server too", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(2)
      const { code, document } = yield* runJson(
        `-- name: waits
        select pg_advisory_xact_lock(2);
        -- name: fails_when_it_does
        do $$ begin
          while not exists (select from pg_locks where locktype = 'advisory' and objid = 2 and not granted) loop
            perform pg_sleep(0.01);
          end loop;
          raise exception 'enough';
        end $$;
        -- name: never
        select 1;`,
        ["--on-error", "stop", "--concurrency", "2"]
      )
      assert.deepStrictEqual(outcomesOf(document), {
        waits: "cancelled",
        fails_when_it_does: "failed",
        never: "skipped"
      })
      assert.deepInclude(document.queries[2], { attempts: 0, ranSeconds: 0 })
      assert.strictEqual(code, 1)
      yield* observer.gone
      yield* observer.release(2)
    })
  )

  it.effect("runs each query after those that it needs, and goes on with what does not need one that failed", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table seen (name text, at int generated always as identity)")
      const sql = `
        -- name: report
        -- needs: users, orders
        ${write("report")}; select string_agg(name, ' ' order by at) as before from seen;
        -- name: summary
        -- needs: report, broken
        ${write("summary")};
        -- name: last
        -- needs: summary
        ${write("last")};
        -- name: orders
        -- needs: load
        ${write("orders")};
        -- name: users
        -- needs: load
        ${write("users")};
        -- name: broken
        -- needs: users
        select 1 / 0;
        -- name: load
        ${write("load")};`
      const { code, document } = yield* runJson(sql, ["--concurrency", "3"])
      assert.deepStrictEqual(outcomesOf(document), {
        report: "succeeded",
        summary: "skipped",
        last: "skipped",
        orders: "succeeded",
        users: "succeeded",
        broken: "failed",
        load: "succeeded"
      })
      assert.match(String(document.queries[0]?.rows[0]?.["before"]), /^load (users orders|orders users) report$/)
      assert.strictEqual(yield* observer.value("select count(*)::int from seen"), 4)
      assert.deepStrictEqual(
        document.queries.map(({ because }) => because),
        [undefined, "broken", "broken", undefined, undefined, undefined, undefined]
      )
      assert.deepInclude(document.queries[1], { attempts: 0, ranSeconds: 0, rows: [] })
      assert.include(["longest query", "critical path", "total work"], document.binding)
      assert.strictEqual(document.criticalPath[0], "load")
      assert.isAtMost(document.lowerBoundSeconds, document.makespanSeconds)
      assert.strictEqual(code, 1)
    })
  )

  it.effect("has a lower bound by what its queries needed, and says so", () =>
    Effect.gen(function* () {
      const sql = `
        -- name: second
        -- needs: first
        select pg_sleep(0.2);
        -- name: first
        select pg_sleep(0.2);
        -- name: aside
        select pg_sleep(0.3)`
      const [{ code, document }, { stdout }] = yield* Effect.all([runJson(sql), run(sql)], { concurrency: 2 })
      assert.strictEqual(document.binding, "critical path")
      assert.deepStrictEqual(document.criticalPath, ["first", "second"])
      assert.isAtLeast(document.lowerBoundSeconds, 0.4)
      assert.isAtMost(document.lowerBoundSeconds, document.makespanSeconds)
      assert.match(stdout, /\nLower bound \d+ ms: critical path first -> second\n$/)
      assert.strictEqual(code, 0)
    })
  )

  it.effect("tells with --on-error stop those that needed the one that failed from the others", () =>
    Effect.gen(function* () {
      const sql = `
        -- name: fails
        select 1 / 0;
        -- name: after
        -- needs: fails
        select 1;
        -- name: other
        select 1;`
      const args = ["--on-error", "stop", "--concurrency", "1"]
      const [{ code, document }, { stdout }] = yield* Effect.all([runJson(sql, args), run(sql, args)], {
        concurrency: 2
      })
      assert.deepStrictEqual(
        document.queries.map(({ because, name, outcome }) => [name, outcome, because]),
        [
          ["fails", "failed", undefined],
          ["after", "skipped", "fails"],
          ["other", "skipped", undefined]
        ]
      )
      assert.match(stdout, /^after {2}skipped because fails /m)
      assert.match(stdout, /^3 queries: 1 failed, 2 skipped, 1 because fails in /m)
      assert.strictEqual(code, 1)
    })
  )

  it.effect("fails no query but the one whose backend is ended, with a reason", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(3)
      const url = yield* databaseUrl
      const sql = `
        -- name: ended
        select 'ended', pg_advisory_xact_lock(3);
        -- name: untouched
        select 'untouched', pg_advisory_xact_lock(3);
        -- name: later
        select 'later';`
      const args = ["run", "-", "--json", "--concurrency", "2"]
      const running = yield* start(args, { stdin: sql, env: { DATABASE_URL: url } })
      yield* observer.seen("the other waits", isWaiting("untouched"))
      const { pid } = yield* observer.seen("the victim waits", isWaiting("ended"))
      yield* observer.terminate(pid)
      yield* observer.release(3)
      const { queries } = documentOf(yield* running.ended)
      assert.deepStrictEqual(
        queries.map(({ error, outcome }) => error?.reason ?? outcome),
        ["ConnectionLost", "succeeded", "succeeded"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("runs 3,000 queries of one file", () =>
    Effect.gen(function* () {
      const sql = Array.from({ length: 3000 }, (_, index) => `-- name: q${index}\nselect ${index} as n;\n`).join("")
      const { code, document } = yield* runJson(sql)
      assert.deepStrictEqual(
        document.queries.map(({ rows }) => rows[0]?.["n"]),
        Array.from({ length: 3000 }, (_, index) => index)
      )
      assert.strictEqual(code, 0)
    })
  )

  it.effect("holds no more rows than it shows, of however many", () =>
    Effect.gen(function* () {
      // More than 64 MB of rows, which is all that the heap may have.
      const sql = "select g, repeat('x', 200) as x from generate_series(1, 300000) g"
      const { code, stdout } = yield* run(sql, ["--max-rows", "1"], { node: ["--max-old-space-size=64"] })
      assert.match(stdout, /^stdin {2}300,000 rows in /)
      assert.match(stdout, /^… and 299,999 more rows \(--max-rows\)$/m)
      assert.strictEqual(code, 0)
    })
  )

  it.effect("shows as many rows as it is told to", () =>
    Effect.gen(function* () {
      const sql = "select g from generate_series(1, 1001) g"
      const [table, document, none] = yield* Effect.all([run(sql), runJson(sql), runJson(sql, ["--max-rows", "0"])], {
        concurrency: 2
      })
      assert.match(table.stdout, /\n20\n… and 981 more rows \(--max-rows\)\n/)
      assert.lengthOf(document.document.queries[0]?.rows ?? [], 1000)
      assert.deepInclude(document.document.queries[0], { rowCount: 1001, truncated: true })
      assert.deepInclude(none.document.queries[0], { rows: [], rowCount: 1001, truncated: true })
    })
  )

  it.effect("keeps of each value what is shown of it", () =>
    Effect.gen(function* () {
      const text = "select repeat('x', 1000000) as long, 'short' as short, null as nothing from generate_series(1, 3)"
      const lengthsWith = Effect.fnUntraced(function* (keep: FileRun.Options["keep"]) {
        let lengths: ReadonlyArray<ReadonlyArray<number | undefined>> = []
        yield* FileRun.run(
          yield* filePlanOf(text),
          { ...noRows, concurrency: 1, maxRows: 2, keep },
          tellAll({
            ended: ({ result }) => {
              lengths = result.rows.map((row) => Object.values(row).map((value) => value?.length))
            }
          })
        )
        return lengths
      })
      const row = [1_000_000, 5, undefined]
      assert.deepStrictEqual(yield* lengthsWith(identity), [row, row])
      const short = [16 * 80 + 1, 5, undefined]
      const onTerminal = { width: 80, color: false }
      assert.deepStrictEqual(yield* lengthsWith((value) => shorten(value, onTerminal)), [short, short])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, results: "text" })))
  )
})
