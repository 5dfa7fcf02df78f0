import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, layer } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Duration, Effect, Fiber, Layer, Path, Redacted } from "effect"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { databaseAt } from "../../../src/cli/Database.ts"
import * as TargetRun from "../../../src/cli/TargetRun.ts"
import { QueryError } from "../../../src/query/QueryError.ts"
import { cacheFolder } from "../../support/cacheFolder.ts"
import * as Faults from "../../support/Faults.ts"
import { filePlanOf, freezingAt, noRows } from "../../support/fileRuns.ts"
import { template } from "../../support/globalSetup.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import type { Document, Ended } from "./Command.ts"
import { databaseUrl, outcomesOf, querypool, start } from "./Command.ts"

/** The URL of a database of its own beside the file's, until the scope closes. */
const clone = (suffix: string) =>
  Effect.gen(function* () {
    const { observer } = yield* Pg.Pg
    const url = new URL(yield* databaseUrl)
    const name = `${url.pathname.slice(1)}_${suffix}`
    yield* Effect.acquireRelease(observer.rows(`create database ${name} template ${template}`), () =>
      Effect.orDie(observer.rows(`drop database ${name} with (force)`))
    )
    url.pathname = `/${name}`
    url.searchParams.set("sslmode", "disable")
    return url
  })

const throughProxy = Effect.fnUntraced(function* (url: URL) {
  const faults = yield* Faults.make({ host: url.hostname, port: Number(url.port) })
  return { faults, through: to(url, faults.host, faults.port) }
})

const to = (url: URL, host: string, port: number): URL => {
  const other = new URL(url)
  other.hostname = host
  other.port = String(port)
  return other
}

/** A file of these targets, until the scope closes. */
const fileOf = (targets: Readonly<Record<string, URL | string>>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "querypool-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ),
    (folder) => {
      const path = join(folder, "targets.txt")
      writeFileSync(
        path,
        Object.entries(targets).reduce((text, [name, url]) => `${text}${name} = ${String(url)}\n`, "")
      )
      return path
    }
  )

interface Documents {
  readonly targets: ReadonlyArray<Document & { readonly name: string; readonly error?: { readonly message: string } }>
}

const documentsOf = ({ stdout }: Pick<Ended, "stdout">): Readonly<Record<string, Documents["targets"][number]>> => {
  const { targets }: Documents = JSON.parse(stdout)
  return Object.fromEntries(targets.map((target) => [target.name, target]))
}

const nowhere = "postgres://me:s3cr3t-of-nobody@127.0.0.1:1/db"

const slow = "-- name: slow\nselect 'the slow one', pg_advisory_xact_lock(1)"

layer(Pg.layer("TargetRun"), { excludeTestServices: true })("a run with --targets", (it) => {
  it.effect("runs the queries on each database, and tells of each what became of it", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const [a, b] = [yield* clone("a"), yield* clone("b")]
      yield* observer.rows("create role target_reader login password 's3cr3t-of-target'")
      yield* Effect.addFinalizer(() => Effect.orDie(observer.rows("drop role target_reader")))
      const wrong = new URL(b)
      wrong.username = "target_reader"
      wrong.password = "s3cr3t-that-is-wrong"
      const targets = yield* fileOf({ a, "b is": b, down: nowhere, wrong })
      const stdin = `
        -- name: where
        select current_database() as database;
        -- name: moves
        create table moved (id int);
        -- name: only_in_a
        -- needs: moves
        select 1 / (current_database() like '%_a')::int as one;
        -- name: after
        -- needs: only_in_a
        select 2 as two;`
      const args = ["run", "-", "--targets", targets]
      const json = yield* querypool([...args, "--json"], { stdin })
      const documents = documentsOf(json)
      assert.deepStrictEqual(Object.keys(documents).toSorted(), ["a", "b is", "down", "wrong"])
      const all = { where: "succeeded", moves: "succeeded", only_in_a: "succeeded", after: "succeeded" }
      const none = { where: "skipped", moves: "skipped", only_in_a: "skipped", after: "skipped" }
      const outcomes = Object.fromEntries(Object.entries(documents).map(([name, run]) => [name, outcomesOf(run)]))
      assert.deepStrictEqual(outcomes, {
        a: all,
        "b is": { ...all, only_in_a: "failed", after: "skipped" },
        down: none,
        wrong: none
      })
      for (const [name, url] of [
        ["a", a],
        ["b is", b]
      ] as const) {
        assert.deepStrictEqual(documents[name]?.queries[0]?.rows, [{ database: url.pathname.slice(1) }])
        assert.notProperty(documents[name], "error")
      }
      assert.deepStrictEqual(documents["down"]?.error, {
        message: "Cannot connect to 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1"
      })
      assert.match(documents["wrong"]?.error?.message ?? "", /password authentication failed for user "target_reader"$/)
      assert.strictEqual(json.code, 1)

      // The table is there already.
      const people = yield* querypool(args, { stdin })
      assert.match(
        people.stdout,
        /^a {2}4 queries: 1 succeeded, 1 failed, 2 skipped because moves in \d.*\n {2}where {2}1 row/m
      )
      assert.match(people.stdout, /^down {4}unreachable {10}0 {7}0 {8}4 /m)
      assert.match(people.stdout, /\n4 targets: 2 failed, 2 unreachable in \d[\d.]* m?s\n$/)
      assert.match(people.stderr, /^b is: moves failed: relation "moved" already exists \(42P07\)/m)
      assert.match(people.stderr, /^down: Cannot connect to 127\.0\.0\.1:1: /m)
      for (const { stderr, stdout } of [json, people]) assert.notInclude(stdout + stderr, "s3cr3t")
    }).pipe(Effect.scoped)
  )

  it.effect("succeeds when every query on every database does, each in a snapshot of its own", () =>
    Effect.gen(function* () {
      const targets = yield* fileOf({ a: yield* clone("a"), b: yield* clone("b") })
      const args = ["run", "-", "--targets", targets, "--json", "--snapshot", "--total", "1"]
      const ended = yield* querypool(args, { stdin: "-- name: x\nselect 1;\n-- name: y\nselect 2" })
      const documents = documentsOf(ended)
      for (const name of ["a", "b"]) {
        assert.deepStrictEqual(outcomesOf(documents[name] ?? assert.fail(name)), { x: "succeeded", y: "succeeded" })
        assert.isFalse(documents[name]?.snapshot?.lost)
      }
      assert.strictEqual(ended.stderr, "")
      assert.strictEqual(ended.code, 0)
    }).pipe(Effect.scoped)
  )

  it.effect(
    "tells of those that have ended while the network of another is frozen, and of that one when it is back",
    () =>
      Effect.gen(function* () {
        const [a, b, c] = [yield* clone("a"), yield* clone("b"), yield* clone("c")]
        const { faults, through } = yield* throughProxy(b)
        const freeze = yield* faults.inject(Faults.freeze(), {
          before: Faults.fromServer("CommandComplete", { statement: "the slow one" })
        })
        const targets = yield* fileOf({ a, b: through, c, down: nowhere })
        const running = yield* start(["run", "-", "--targets", targets], { stdin: slow })
        yield* freeze.fired
        yield* waitUntil(
          "the others have ended",
          Effect.sync(() => {
            const { stderr, stdout } = running.soFar()
            assert.notMatch(stdout, /^b |^target /m)
            return /^a {2}1 query/m.test(stdout) && /^c {2}1 query/m.test(stdout) && /^down: /m.test(stderr)
          })
        )
        yield* freeze.lift
        const { code, stdout } = yield* running.ended
        assert.match(stdout, /^b {2}1 query: 1 succeeded in /m)
        assert.match(stdout, /^4 targets: 3 succeeded, 1 unreachable in /m)
        assert.strictEqual(code, 1)
      }).pipe(Effect.scoped)
  )

  it.effect("gives up on a target whose network is frozen when its queries time out", () =>
    Effect.gen(function* () {
      const [a, b] = [yield* clone("a"), yield* clone("b")]
      const { host, port } = yield* freezingAt("the slow one", { host: a.hostname, port: Number(a.port) })
      const targets = yield* fileOf({ a: to(a, host, port), b })
      // The one slot of the total is the frozen target's until then.
      const ended = yield* querypool(
        ["run", "-", "--targets", targets, "--json", "--total", "1", "--timeout", "300ms"],
        {
          stdin: slow
        }
      )
      const documents = documentsOf(ended)
      assert.strictEqual(documents["a"]?.queries[0]?.error?.reason, "TimedOut")
      assert.strictEqual(documents["b"]?.queries[0]?.outcome, "succeeded")
      assert.match(ended.stderr, /^a: slow cancel unconfirmed: /)
      assert.strictEqual(ended.code, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("tries a target again that cannot be reached, as often as its queries, and says so", () =>
    Effect.gen(function* () {
      const { faults, through } = yield* throughProxy(yield* clone("a"))
      const targets = yield* fileOf({ a: through })
      const starting = Faults.answer({ code: "57P03", message: "the database system is starting up" })
      const cannot = `Cannot connect to ${faults.host}:${faults.port}: the database system is starting up`
      const args = ["run", "-", "--targets", targets, "--json"]
      yield* faults.inject(starting, { times: 2 })
      const again = yield* querypool([...args, "--retries", "2"], { stdin: "select 1" })
      assert.strictEqual(documentsOf(again)["a"]?.queries[0]?.outcome, "succeeded")
      const line = `a: ${cannot}. Retrying in T\n`
      assert.strictEqual(again.stderr.replaceAll(/in \d[\d.]* ms$/gm, "in T"), line + line)
      assert.strictEqual(again.code, 0)

      yield* faults.inject(starting, { times: 1 })
      const never = yield* querypool(args, { stdin: "select 1" })
      assert.strictEqual(documentsOf(never)["a"]?.error?.message, cannot)
      assert.strictEqual(never.stderr, `a: ${cannot}\n`)
      assert.strictEqual(never.code, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("is cancelled on all of its servers by Ctrl-C, also those that it has not come to", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const [a, b, c] = [yield* clone("a"), yield* clone("b"), yield* clone("c")]
      const targets = yield* fileOf({ a, b, c })
      const args = ["run", "-", "--targets", targets, "--json", "--total", "2"]
      const running = yield* start(args, { stdin: "-- name: sleeps\nselect pg_sleep(600)" })
      yield* waitUntil(
        "two sleep",
        Effect.map(observer.backends, (all) => all.filter(({ wait }) => wait === "Timeout:PgSleep").length === 2)
      )
      running.signal("SIGINT")
      const ended = yield* running.ended
      yield* observer.gone
      const documents = documentsOf(ended)
      const outcomes = ["a", "b", "c"].map((name) => documents[name]?.queries[0]?.outcome)
      assert.deepStrictEqual(outcomes, ["cancelled", "cancelled", "skipped"])
      assert.deepStrictEqual(
        ended.stderr
          .replaceAll(/in \d.*/g, "in T")
          .split("\n")
          .toSorted(),
        ["", ...["a", "b"].map((name) => `${name}: sleeps cancelled: the server stopped it in T`)]
      )
      assert.strictEqual(ended.code, 130)
    }).pipe(Effect.scoped)
  )

  it.effect("teaches how long its queries take on each database, by way of one history", () =>
    Effect.gen(function* () {
      const { file, folder } = yield* cacheFolder
      mkdirSync(join(folder, "querypool"), { mode: 0o700 })
      writeFileSync(file, "not ours")
      const targets = yield* fileOf({ a: yield* clone("a"), b: yield* clone("b"), c: yield* clone("c") })
      const args = ["run", "-", "--targets", targets, "--json", "--order", "longest-first"]
      const { code, stderr } = yield* querypool(args, {
        stdin: "-- name: connect\nselect 1",
        env: { XDG_CACHE_HOME: folder }
      })
      assert.strictEqual(code, 0)
      // Each that has one of its own would warn, and the last one would write what it has learned alone.
      assert.lengthOf(stderr.match(/is damaged, or not of querypool/g) ?? [], 1)
      const { queries }: { readonly queries: ReadonlyArray<unknown> } = JSON.parse(readFileSync(file, "utf8"))
      assert.lengthOf(queries, 4)
    }).pipe(Effect.scoped)
  )

  it.effect("is refused with the file's line before anything is run", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const a = yield* clone("a")
      const targets = yield* fileOf({ a, b: "postgres://me:s3cr3t-of-b@h:0/db" })
      const ended = yield* querypool(["run", "-", "--targets", targets], { stdin: "create table never (id int)" })
      assert.deepStrictEqual(ended, {
        code: 2,
        stdout: "",
        stderr: `querypool: ${targets}:2: Expected a port from 1 to 65535\n`
      })
      assert.deepStrictEqual(yield* observer.backends, [])
    }).pipe(Effect.scoped)
  )
})

/** What happened in a run on targets, so far. */
interface Seen {
  running: number
  most: number
  /** How each query ended, and on which target, in that order. */
  readonly ends: Array<string>
}

/** Runs queries on targets in this process; gives how they end. */
const inProcess = Effect.fnUntraced(
  function* (
    sql: string,
    urls: Readonly<Record<string, URL>>,
    options: Partial<TargetRun.Options>,
    seen: Seen = { running: 0, most: 0, ends: [] }
  ) {
    const filePlan = yield* filePlanOf(sql)
    const targets = yield* Effect.forEach(Object.entries(urls), ([name, url]) =>
      Effect.map(databaseAt(name, Redacted.make(url.href), {}), (database) => ({ name, ...database }))
    )
    const teller: TargetRun.TargetsTeller = {
      begun: (name) => ({
        unreached: () => {},
        happened: (event) => {
          if (event._tag === "Started") seen.most = Math.max(seen.most, ++seen.running)
          if (event._tag === "Ended" && event.outcome === "Succeeded") seen.running--
        },
        ended: ({ report }) => {
          const { error } = report
          seen.ends.push(`${name} ${report.name} ${error instanceof QueryError ? error.reason._tag : report.outcome}`)
        },
        unreachable: (message) => void seen.ends.push(`${name} ${message}`),
        over: () => {}
      }),
      over: () => {}
    }
    yield* cacheFolder
    yield* Effect.exit(TargetRun.run(targets, filePlan, { ...noRows, total: undefined, ...options }, teller))
    return seen.ends
  },
  Effect.scoped,
  Effect.provide(Layer.merge(NodeFileSystem.layer, Path.layer))
)

/** Makes whoever asks for lock 5 on these databases wait until it is let go. */
const hold = (urls: ReadonlyArray<URL>) =>
  Effect.map(
    Effect.forEach(urls, (url) =>
      Effect.tap(PgConnection.make({ url: Redacted.make(url.href), applicationName: "holder" }), (holder) =>
        holder.query("select pg_advisory_lock(5)")
      )
    ),
    (holders) => Effect.forEach(holders, (holder) => holder.query("select pg_advisory_unlock(5)"), { discard: true })
  )

/** A query in parts, each of which asks for lock 5. */
const cut = (name: string) => `
  -- name: ${name}
  -- partition: column=id parts=4
  select id from watched where (select pg_advisory_xact_lock_shared(5)) is not null;`

layer(Pg.layer("TargetTotal"), { excludeTestServices: true })("the total of a run on many databases", (it) => {
  it.effect("bounds how many queries run at once over all of them, and all of it is used", () =>
    Effect.gen(function* () {
      const urls = { a: yield* clone("a"), b: yield* clone("b"), c: yield* clone("c") }
      const sql = [0, 1, 2, 3].map((n) => `-- name: q${n}\nselect pg_advisory_xact_lock_shared(5)`).join(";\n")
      /** How many run at once where nothing but the total and the concurrency keeps them from it. */
      const mostWith = Effect.fnUntraced(function* (total: number | undefined, expected: number) {
        const release = yield* hold(Object.values(urls))
        const seen: Seen = { running: 0, most: 0, ends: [] }
        const run = yield* Effect.forkChild(inProcess(sql, urls, { total, concurrency: 3 }, seen))
        yield* waitUntil(
          `${expected} run`,
          Effect.sync(() => seen.running === expected)
        )
        yield* release
        const ends = yield* Fiber.join(run)
        assert.lengthOf(ends, 12)
        assert.isTrue(ends.every((end) => end.endsWith("Succeeded")))
        return seen.most
      })
      assert.strictEqual(yield* mostWith(4, 4), 4)
      assert.strictEqual(yield* mostWith(undefined, 9), 9)
    }).pipe(Effect.scoped)
  )

  it.effect("leaves to others what is more than the concurrency of a target that hangs, in however many parts", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const [a, b] = [yield* clone("a"), yield* clone("b")]
      const { faults, through } = yield* throughProxy(b)
      for (const url of [a, b]) {
        const maker = yield* PgConnection.make({ url: Redacted.make(url.href), applicationName: "maker" })
        yield* maker.query("create table watched as select i as id from generate_series(1, 100) i")
        yield* maker.query("select pg_stat_force_next_flush()")
        // Planned by the statistics, so that no plan waits for the lock.
        yield* maker.query("analyze watched")
      }
      const release = yield* hold([a])
      const freeze = yield* faults.inject(Faults.freeze())
      const seen: Seen = { running: 0, most: 0, ends: [] }
      const run = yield* Effect.forkChild(
        inProcess(cut("x") + cut("y"), { a, b: through }, { total: 3, concurrency: 2 }, seen)
      )
      yield* waitUntil(
        "the one hangs",
        Effect.map(observer.backends, (all) => all.filter(({ wait }) => wait === "Lock:advisory").length === 2)
      )
      yield* freeze.lift
      yield* waitUntil(
        "the other has ended",
        Effect.sync(() => seen.ends.length === 2)
      )
      assert.deepStrictEqual(seen.ends, ["b x Succeeded", "b y Succeeded"])
      yield* release
      assert.deepStrictEqual((yield* Fiber.join(run)).slice(2), ["a x Succeeded", "a y Succeeded"])
    }).pipe(Effect.scoped)
  )

  it.effect("tells of each query, also where the run of a target has a defect", () =>
    Effect.gen(function* () {
      const urls = { a: yield* clone("a"), b: yield* clone("b") }
      const two = "-- name: first\nselect 1;\n-- name: second\nselect 2"
      const ends = yield* inProcess(two, urls, { retries: NaN })
      assert.deepStrictEqual(ends.toSorted(), [
        "a first Skipped",
        "a second Skipped",
        "b first Skipped",
        "b second Skipped"
      ])
    }).pipe(Effect.scoped)
  )

  it.effect("makes a query wait for its slot as for one of its run, for no longer than it may", () =>
    Effect.gen(function* () {
      const urls = { a: yield* clone("a") }
      const two = "-- name: first\nselect pg_sleep(0.5);\n-- name: second\nselect pg_sleep(0.5)"
      const queueTimeout = Duration.millis(100)
      const ends = yield* inProcess(two, urls, { total: 1, queueTimeout })
      assert.deepStrictEqual(ends, ["a first Succeeded", "a second QueueTimeout"])
      const both = yield* inProcess(two, urls, { total: 2, queueTimeout })
      assert.deepStrictEqual(both, ["a first Succeeded", "a second Succeeded"])
    }).pipe(Effect.scoped)
  )
})
