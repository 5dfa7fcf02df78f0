/** What `--report` writes of real runs. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Result, Schema } from "effect"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ReportDocument } from "querypool"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { databaseUrl, querypool, run, start } from "./Command.ts"

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(ReportDocument.Document))
const read = (path: string): ReportDocument.Document => Result.getOrThrow(decode(readFileSync(path, "utf8")))

/** A folder of its own, until the scope closes. */
const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "querypool-report-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true }))
)

/** Runs queries with a report in JSON; gives its only run, and how the command ended. */
const reported = (sql: string, args: ReadonlyArray<string> = [], options?: Parameters<typeof run>[2]) =>
  Effect.gen(function* () {
    const path = join(yield* folder, "report.json")
    const ended = yield* run(sql, [...args, "--report", path], options)
    const { runs, ...head } = read(path)
    assert.lengthOf(runs, 1)
    const [first] = runs
    if (first === undefined) return assert.fail("there is no run")
    const queryOf = (name: string) => first.queries.find((query) => query.name === name) ?? assert.fail(name)
    return { ended, head, run: first, queryOf }
  })

const kindsOf = ({ segments }: Pick<ReportDocument.Part, "segments">) => segments.map(({ kind }) => kind)

layer(Pg.layer("Report"), { excludeTestServices: true })("a report", (it) => {
  it.effect("tells of each query how it ended, where it stands, what it needed and what it did when", () =>
    Effect.gen(function* () {
      const sql = [
        "-- name: load",
        "-- tag: team=finance",
        "select generate_series(1, 7) as i; -- seven",
        "select 1;",
        "-- name: report",
        "-- needs: load",
        "select 2;",
        "-- name: broken",
        "-- needs: load",
        "select 1,",
        "  nothing;",
        "-- name: after",
        "-- needs: broken",
        "select 3"
      ].join("\n")
      const { ended, head, queryOf, run: all } = yield* reported(sql)
      assert.strictEqual(ended.code, 1)
      assert.match(head.generator, /^querypool \d+\.\d+\.\d+/)
      assert.deepStrictEqual(
        all.queries.map(({ because, name, needs, outcome }) => ({ because, name, needs, outcome })),
        [
          { because: undefined, name: "load", needs: [], outcome: "succeeded" },
          { because: undefined, name: "report", needs: ["load"], outcome: "succeeded" },
          { because: undefined, name: "broken", needs: ["load"], outcome: "failed" },
          { because: "broken", name: "after", needs: ["broken"], outcome: "skipped" }
        ]
      )
      const load = queryOf("load")
      assert.deepStrictEqual(load.tags, { team: "finance" })
      assert.deepStrictEqual(load.source, {
        file: "<stdin>",
        line: 1,
        sql: "select generate_series(1, 7) as i; -- seven\nselect 1"
      })
      assert.deepStrictEqual(kindsOf(load), ["waiting", "running"])
      assert.strictEqual(kindsOf(queryOf("report"))[0], "needing")
      assert.deepStrictEqual(kindsOf(queryOf("after")).at(-1) === "running", false)
      assert.deepInclude(queryOf("broken").error, {
        reason: "Rejected",
        sqlState: "42703",
        message: 'column "nothing" does not exist',
        outcome: "notApplied",
        place: { file: "<stdin>", line: 11, column: 3 },
        excerpt: "  nothing;\n  ^"
      })
      assert.isFalse(all.interrupted)
      assert.isAtLeast(all.makespanMillis, load.ranMillis)
      assert.isAtMost(all.lowerBoundMillis, all.makespanMillis + 0.001)
      assert.isAbove(Date.parse(all.startedAt), Date.UTC(2025, 0))
    }).pipe(Effect.scoped)
  )

  it.effect("tells of the parts of a query, and of what planned them", () =>
    Effect.gen(function* () {
      const sql = "-- name: rows\n-- partition: column=id parts=4\nselect id from generate_series(1, 4000) as id"
      const { ended, queryOf } = yield* reported(sql)
      assert.strictEqual(ended.code, 0)
      const { parts, rows } = queryOf("rows")
      assert.strictEqual(rows, 4000)
      assert.strictEqual(parts[0]?.name, "rows [plan]")
      const own = parts.slice(1)
      assert.isNotEmpty(own)
      assert.strictEqual(
        own.reduce((sum, part) => sum + part.rows, 0),
        4000
      )
      for (const part of own) {
        assert.strictEqual(part.outcome, "succeeded")
        assert.include(kindsOf(part), "running")
      }
    }).pipe(Effect.scoped)
  )

  it.effect("tells of attempts that failed, and of a query that was told to stop", () =>
    Effect.gen(function* () {
      const sql = [
        "-- name: late",
        "-- timeout: 300ms",
        "select pg_sleep(30);",
        "-- name: again",
        "-- retry: 1",
        "-- read-only",
        "do $$ begin raise exception 'busy' using errcode = '40001'; end $$"
      ].join("\n")
      const { queryOf } = yield* reported(sql)
      const late = queryOf("late")
      assert.deepInclude(late.error, { reason: "TimedOut" })
      assert.strictEqual(late.cancel?.how, "idle")
      assert.strictEqual(kindsOf(late).at(-1), "cancelling")
      const again = queryOf("again")
      assert.strictEqual(again.attempts, 2)
      assert.deepStrictEqual(
        again.failedAttempts.map(({ attempt, error }) => [attempt, error.reason]),
        [[1, "SerializationFailure"]]
      )
      assert.include(kindsOf(again), "retrying")
    }).pipe(Effect.scoped)
  )

  it.effect("tells from when until when a snapshot was held", () =>
    Effect.gen(function* () {
      const { run: all } = yield* reported("select 1", ["--snapshot"])
      assert.isFalse(all.snapshot?.lost)
      assert.isAbove(all.snapshot?.toMillis ?? 0, all.snapshot?.fromMillis ?? 0)
    }).pipe(Effect.scoped)
  )

  it.effect("has no password in any of its forms, nor the value of a parameter", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const paths = ["r.html", "r.json", "r.svg"].map((name) => join(at, name))
      const args = [...paths.flatMap((path) => ["--report", path]), "--param", "pin=hush-4711"]
      const ended = yield* run("select :pin as pin; select 1 / 0", args)
      assert.strictEqual(ended.code, 1)
      const { password } = new URL(yield* databaseUrl)
      assert.isAbove(password.length, 5)
      for (const path of paths) {
        const text = readFileSync(path, "utf8")
        assert.isAbove(text.length, 500)
        assert.notInclude(text, password)
        assert.notInclude(text, "postgres://")
        assert.notInclude(text, "hush-4711")
      }
      assert.deepStrictEqual(readdirSync(at).toSorted(), ["r.html", "r.json", "r.svg"])
    }).pipe(Effect.scoped)
  )

  it.effect("is written of what was done when it is interrupted", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "report.json")
      const { observer } = yield* Pg.Pg
      const running = yield* start(["run", "-", "--report", path], {
        stdin: "-- name: sleeps\nselect pg_sleep(60);\n-- name: quick\nselect 1",
        env: { DATABASE_URL: yield* databaseUrl }
      })
      yield* waitUntil(
        "the query runs",
        Effect.map(observer.backends, (backends) => backends.some(({ query }) => query.includes("pg_sleep(60)")))
      )
      const ended = yield* Effect.forkChild(running.ended)
      running.signal("SIGINT")
      assert.strictEqual((yield* Fiber.join(ended)).code, 130)
      const [only] = read(path).runs
      assert.isTrue(only?.interrupted)
      assert.strictEqual(only?.queries[0]?.outcome, "cancelled")
      assert.include(kindsOf(only.queries[0] ?? assert.fail()), "cancelling")
    }).pipe(Effect.scoped)
  )

  it.effect("has a run for each target, also for one that cannot be reached", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const url = new URL(yield* databaseUrl)
      url.searchParams.set("sslmode", "disable")
      const missing = new URL(url)
      missing.port = "1"
      writeFileSync(join(at, "targets.txt"), `berlin = ${url.href}\nparis = ${missing.href}\n`)
      const path = join(at, "report.json")
      const ended = yield* querypool(["run", "-", "--targets", join(at, "targets.txt"), "--report", path], {
        stdin: "-- name: one\nselect 1"
      })
      assert.strictEqual(ended.code, 1)
      const runs = read(path).runs.toSorted((a, b) => (a.name ?? "").localeCompare(b.name ?? ""))
      assert.deepStrictEqual(
        runs.map(({ database, name, queries, unreachable }) => ({
          database,
          name,
          outcomes: queries.map(({ outcome }) => outcome),
          reached: unreachable === undefined
        })),
        [
          { database: `${url.hostname}:${url.port}`, name: "berlin", outcomes: ["succeeded"], reached: true },
          { database: `${url.hostname}:1`, name: "paris", outcomes: ["skipped"], reached: false }
        ]
      )
      assert.notInclude(readFileSync(path, "utf8"), url.password)
    }).pipe(Effect.scoped)
  )

  describe("that cannot be written", () => {
    it.effect("is refused by one line before anything is run", () =>
      Effect.gen(function* () {
        const at = yield* folder
        mkdirSync(join(at, "folder.html"))
        const cases = [
          [join(at, "missing", "r.html"), `there is no folder ${join(at, "missing")}: create it first`],
          [join(at, "folder.html"), "that is a folder: name a file in it"],
          ["/proc/report.html", undefined],
          [join(at, "report.txt"), "expected a name that ends in .html, .json or .svg"]
        ] as const
        for (const [path, why] of cases) {
          const { code, stderr, stdout } = yield* run("create table never_made ()", ["--report", path])
          assert.deepStrictEqual({ code, stdout }, { code: 2, stdout: "" })
          if (why === undefined) assert.match(stderr, /^querypool: --report \/proc\/report\.html: .+\n$/)
          else assert.strictEqual(stderr, `querypool: --report ${path}: ${why}\n`)
        }
        const { observer } = yield* Pg.Pg
        assert.deepStrictEqual(yield* observer.rows("select 1 from pg_class where relname = 'never_made'"), [])
        assert.deepStrictEqual(readdirSync(at), ["folder.html"])
      }).pipe(Effect.scoped)
    )

    it.effect("is said in one line when its folder has gone by then, and the results are there all the same", () =>
      Effect.gen(function* () {
        const at = join(yield* folder, "gone")
        mkdirSync(at)
        const { observer } = yield* Pg.Pg
        const path = join(at, "r.html")
        yield* observer.rows("select pg_advisory_lock(4711)")
        const running = yield* start(["run", "-", "--report", path], {
          stdin: "-- name: waits\nselect pg_advisory_xact_lock(4711)",
          env: { DATABASE_URL: yield* databaseUrl }
        })
        yield* waitUntil(
          "the query waits",
          Effect.map(observer.backends, (backends) => backends.some(({ wait }) => wait === "Lock:advisory"))
        )
        rmSync(at, { recursive: true })
        yield* observer.rows("select pg_advisory_unlock(4711)")
        const { code, stderr, stdout } = yield* running.ended
        assert.include(stdout, "waits  1 row")
        assert.strictEqual(stderr, `querypool: --report ${path}: there is no folder ${at}: create it first\n`)
        assert.strictEqual(code, 1)
      }).pipe(Effect.scoped)
    )

    it.effect("leaves the one before as it was", () =>
      Effect.gen(function* () {
        const at = yield* folder
        const path = join(at, "r.svg")
        writeFileSync(path, "before")
        const { mtimeMs } = statSync(path)
        const { code } = yield* run("select from", ["--report", path, "--deadline", "soon"])
        assert.strictEqual(code, 2)
        assert.strictEqual(statSync(path).mtimeMs, mtimeMs)
        yield* run("select 1", ["--report", path])
        assert.match(readFileSync(path, "utf8"), /^<svg/)
        assert.deepStrictEqual(readdirSync(at), ["r.svg"])
      }).pipe(Effect.scoped)
    )
  })
})
