import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { ReportDocument } from "querypool"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { databaseUrl, outcomesOf, querypool, run, runJson, start } from "./Command.ts"
import { inOut } from "./OutFolder.ts"

/** Files below a folder, but for what is the run's own. */
const filesIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith(".querypool"))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted()

layer(Pg.layer("Out"), { excludeTestServices: true })("a run with --out", (it) => {
  it.effect("writes a file for each query with a result, and tells what is in it", () =>
    inOut((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table made (i int)")
        const sql = `
          -- name: daily/orders
          select i, null as "nothing", '' as "empty" from generate_series(1, 3) as i;
          -- name: none
          select 1 as a where false;
          -- name: makes
          insert into made values (1), (2);
          -- name: takes
          set work_mem = '5MB'; begin isolation level serializable; delete from made where i = 2 returning i; commit;
          -- name: fails
          select 1 / (i - 2) from generate_series(1, 3) as i;
          -- name: cleans
          vacuum made;`
        const { code, document, stderr } = yield* runJson(sql, ["--out", out, "--concurrency", "1"])
        assert.deepStrictEqual(outcomesOf(document), {
          "daily/orders": "succeeded",
          none: "succeeded",
          makes: "succeeded",
          takes: "succeeded",
          fails: "failed",
          cleans: "succeeded"
        })
        assert.deepStrictEqual(filesIn(out), ["daily/orders.csv", "none.csv", "takes.csv"])
        const orders = readFileSync(join(out, "daily/orders.csv"), "utf8")
        assert.strictEqual(orders, 'i,nothing,empty\n1,,""\n2,,""\n3,,""\n')
        assert.strictEqual(readFileSync(join(out, "none.csv"), "utf8"), "a\n")
        assert.strictEqual(readFileSync(join(out, "takes.csv"), "utf8"), "i\n2\n")
        assert.deepStrictEqual(
          document.queries.map(({ command, rowCount, ...others }) => ({
            command,
            rowCount,
            file: "file" in others && others.file
          })),
          [
            { command: "SELECT 3", rowCount: 3, file: join(out, "daily/orders.csv") },
            { command: "SELECT 0", rowCount: 0, file: join(out, "none.csv") },
            { command: "INSERT 0 2", rowCount: 0, file: null },
            { command: "COMMIT", rowCount: 1, file: join(out, "takes.csv") },
            { command: null, rowCount: 0, file: null },
            { command: "VACUUM", rowCount: 0, file: null }
          ]
        )
        assert.strictEqual(stderr, "")
        assert.strictEqual(code, 1)
      })
    )
  )

  it.effect("shows people a table of the files that fits their screen", () =>
    inOut((out) =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* run(
          "-- name: a\nselect generate_series(1, 1000);\n-- name: b\n-- needs: c\nselect 1;\n-- name: c\nselect 1 / 0;",
          ["--out", out, "--format", "ndjson"]
        )
        const lines = stdout.replaceAll(/\d+\.\d\d |\d+(\.\d+)? m?s/g, "_").split("\n")
        assert.match(lines[0] ?? "", /^query +rows +bytes +seconds +file$/)
        assert.match(stdout, /^a +1,000 +\d+,\d+ +\d+\.\d\d +\S+out\/a\.ndjson$/m)
        assert.match(stdout, /^b +skipped because c$/m)
        assert.match(stdout, /^c +\d+\.\d\d +failed$/m)
        assert.match(stderr, /^c failed: division by zero/)
        assert.strictEqual(code, 1)
      })
    )
  )

  it.effect("writes each format by its name", () =>
    inOut((out) =>
      Effect.gen(function* () {
        for (const format of ["ndjson", "json", "parquet"]) {
          const { code, stderr } = yield* run("-- name: a\nselect 1 as n", ["--out", out, "--format", format])
          assert.strictEqual(code, 0, stderr)
        }
        yield* run("-- name: a\nselect 1 as n, 'x' as t, null as nothing", ["--out", out, "--delimiter", "\\t"])
        assert.strictEqual(readFileSync(join(out, "a.csv"), "utf8"), "n\tt\tnothing\n1\tx\t\n")
        assert.deepStrictEqual(filesIn(out), ["a.csv", "a.json", "a.ndjson", "a.parquet"])
        assert.strictEqual(readFileSync(join(out, "a.ndjson"), "utf8"), '{"n":1}\n')
        assert.deepStrictEqual(JSON.parse(readFileSync(join(out, "a.json"), "utf8")), [{ n: 1 }])
        assert.strictEqual(readFileSync(join(out, "a.parquet")).subarray(0, 4).toString(), "PAR1")
      })
    )
  )

  it.effect("gives each target a folder by its name", () =>
    inOut((out, folder) =>
      Effect.gen(function* () {
        const url = yield* databaseUrl
        const targets = join(folder, "targets.txt")
        writeFileSync(targets, `one = ${url}\ntwo = ${url}\n`)
        const ended = yield* querypool(["run", "-", "--targets", targets, "--out", out], { stdin: "select 1 as n" })
        assert.strictEqual(ended.code, 0, ended.stderr)
        assert.deepStrictEqual(filesIn(out), ["one/stdin.csv", "two/stdin.csv"])
        assert.match(ended.stdout, /^ {2}stdin +1 +4 +\d+\.\d\d +\S+out\/one\/stdin\.csv$/m)
        writeFileSync(targets, `.. = ${url}\n`)
        const refused = yield* querypool(["run", "-", "--targets", targets, "--out", out], { stdin: "select 1 as n" })
        assert.match(refused.stderr, /target "\.\." gives its name to no folder of --out: it leaves the folder/)
        assert.strictEqual(refused.code, 2)
      })
    )
  )

  it.effect("refuses what cannot be a file before anything runs", () =>
    inOut((out, folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table untouched (i int)")
        const write = "-- name: writes\ninsert into untouched values (1);\n"
        const refused = Effect.fnUntraced(function* (sql: string, args: ReadonlyArray<string>, message: RegExp) {
          const ended = yield* run(write + sql, args)
          assert.match(ended.stderr, message)
          assert.strictEqual(ended.stderr.trimEnd().split("\n").length, 1)
          assert.strictEqual(ended.stdout, "")
          assert.strictEqual(ended.code, 2)
        })
        for (const [name, why] of [
          ["../x", /leaves the folder/],
          ["/etc/x", /absolute path/],
          ["con", /name of a device/],
          [".querypool/x", /the run's own/],
          ["x".repeat(252), /longer than 255 bytes/],
          ["a//b", /is empty/]
        ] as const) {
          yield* refused(`-- name: ${name}\nselect 1;`, ["--out", out], why)
        }
        yield* refused("-- name: a\nselect 1;\n-- name: A\nselect 2;", ["--out", out], /"A" and "a" .* cannot both be/)
        yield* refused("-- name: é\nselect 1;\n-- name: e\u0301\nselect 2;", ["--out", out], /cannot both be/)
        yield* refused("-- name: a\nselect 1; select 2;", ["--out", out], /:4: query "a" has another statement/)
        yield* refused("-- name: a\nselect 1;", ["--format", "json"], /--format is for the files of --out/)
        yield* refused("-- name: a\nselect 1;", ["--out", out, "--delimiter", "ab"], /Expected --delimiter to be one/)
        writeFileSync(join(folder, "file"), "mine")
        yield* refused("-- name: a\nselect 1;", ["--out", join(folder, "file")], /it is a file/)
        yield* refused("-- name: a\nselect 1;", ["--out", join(folder, "file", "x")], /part of it is a file/)
        assert.strictEqual(readFileSync(join(folder, "file"), "utf8"), "mine")
        assert.strictEqual(yield* observer.value("select count(*)::int from untouched"), 0)
      })
    )
  )

  it.effect("feeds one file with all parts of a query", () =>
    inOut((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table big as select i, md5(i::text) as t from generate_series(1, 50000) as i")
        yield* observer.rows("create index on big (i)")
        const sql = "-- name: big\n-- partition: column=i parts=8\nselect * from big"
        const { code, document, stderr } = yield* runJson(sql, ["--out", out, "--no-header", "--delimiter", ";"])
        assert.strictEqual(stderr, "")
        assert.strictEqual(code, 0)
        assert.strictEqual(document.queries[0]?.rowCount, 50_000)
        const lines = readFileSync(join(out, "big.csv"), "utf8").trimEnd().split("\n")
        const numbers = lines.map((line) => Number(line.split(";")[0])).toSorted((a, b) => a - b)
        assert.deepStrictEqual(
          numbers,
          Array.from({ length: 50_000 }, (_, index) => index + 1)
        )
        assert.deepStrictEqual(filesIn(out), ["big.csv"])
      })
    )
  )

  it.effect("puts a file in its place when the query has committed, and not when it could not", () =>
    inOut((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table late (i int unique deferrable initially deferred)")
        const sql = "-- name: late\n-- transaction\ninsert into late values (1) returning i;"
        const first = yield* run(sql, ["--out", out])
        assert.strictEqual(first.code, 0, first.stderr)
        const second = yield* runJson("-- name: late\n-- transaction\ninsert into late values (1), (2) returning i;", [
          "--out",
          out
        ])
        assert.strictEqual(second.code, 1)
        assert.strictEqual(readFileSync(join(out, "late.csv"), "utf8"), "i\n1\n")
        assert.deepStrictEqual(filesIn(out), ["late.csv"])
      })
    )
  )

  it.effect("leaves others whole when one file cannot be kept, and says what is kept on the server", () =>
    inOut((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const url = yield* databaseUrl
        yield* observer.rows("create table vanished (i int)")
        yield* observer.rows("select pg_advisory_lock(77)")
        const running = yield* start(["run", "-", "--json", "--out", out], {
          env: { DATABASE_URL: url },
          stdin: `-- name: gone/a
            -- transaction
            insert into vanished select 1 from pg_sleep(0), pg_advisory_lock(77) returning i;
            -- name: b
            select 2 as b;`
        })
        yield* waitUntil(
          "both are under way",
          Effect.sync(() => existsSync(join(out, "b.csv")) && readdirSync(join(out, "gone")).length === 1)
        )
        rmSync(join(out, "gone"), { recursive: true })
        yield* observer.rows("select pg_advisory_unlock(77)")
        const { code, stdout } = yield* running.ended
        const document = JSON.parse(stdout)
        assert.strictEqual(document.queries[0].error.reason, "NoFolder")
        assert.match(
          document.queries[0].error.message,
          /^Cannot write .*gone\/a\.csv: there is no folder .*: create it first$/
        )
        assert.strictEqual(document.queries[0].error.outcome, "partial")
        assert.strictEqual(yield* observer.value("select count(*)::int from vanished"), 1)
        assert.strictEqual(readFileSync(join(out, "b.csv"), "utf8"), "b\n2\n")
        assert.strictEqual(code, 1)
      }).pipe(Effect.scoped)
    )
  )

  it.effect("tells of a write that has lost its file what is left on the server, and so does its report", () =>
    inOut((out, folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table ends (d date)")
        const value = "values ('infinity'::date) returning d"
        const sql = `
          -- name: reads
          select 'infinity'::date as d;
          -- name: writes
          insert into ends ${value};
          -- name: takes_back
          -- transaction
          insert into ends ${value};`
        const report = join(folder, "report.json")
        const { code, stderr } = yield* run(sql, ["--out", out, "--format", "parquet", "-c", "1", "--report", report])
        const said = stderr.split("\n\n").map((text) => text.split("\n").slice(1))
        assert.deepStrictEqual(said, [
          [],
          ["  outcome: partial: what it wrote stays applied, and its rows are in no file"],
          [],
          []
        ])
        assert.match(stderr, /^reads failed: Cannot write .*column "d" has infinity, .* at <stdin>:3:11$/m)
        const document: ReportDocument.Document = JSON.parse(readFileSync(report, "utf8"))
        assert.deepStrictEqual(
          document.runs[0]?.queries.map(({ error }) => [error?.reason, error?.outcome]),
          [
            ["NotEncodable", "partial"],
            ["NotEncodable", "partial"],
            ["NotEncodable", "notApplied"]
          ]
        )
        assert.strictEqual(yield* observer.value("select count(*)::int from ends"), 1)
        assert.strictEqual(code, 1)
      })
    )
  )
})
