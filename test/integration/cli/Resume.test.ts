import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { inFolder } from "../../support/inFolder.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { databaseUrl, outcomesOf, run, runJson, start } from "./Command.ts"
import { journalOf, journalPath } from "./OutFolder.ts"

const tagsOf = (out: string) =>
  journalOf(out)
    .trimEnd()
    .split("\n")
    .map((line): string => JSON.parse(line)["_tag"])

const atGate = ({ wait }: Pg.Backend) => wait === "Lock:advisory"

const twoReads = (last: string) => `-- name: a\nselect clock_timestamp() as t;\n-- name: b\nselect ${last};`

const withWriter = (n: number) => `-- name: a\nselect ${n} as n;\n-- name: b\nselect 5 as five;
  -- name: w\ninsert into lost values ('w') returning name;\n-- name: fails\nselect 1 / 0;`

layer(Pg.layer("Resume"), { excludeTestServices: true })("a run with --resume", (it) => {
  it.effect("goes on where a run was killed, and refuses what may have been applied", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const url = yield* databaseUrl
        yield* observer.rows("create table resumed (name text)")
        yield* observer.rows("select pg_advisory_lock(5)")
        const sql = `
          -- name: read
          select clock_timestamp() as at;
          -- name: done
          insert into resumed values ('done');
          -- name: broken
          select 1 / count(*) from resumed where name = 'repaired';
          -- name: in_flight
          insert into resumed select 'in_flight' from pg_advisory_lock(5) returning name;
          -- name: again
          -- idempotent
          insert into resumed select 'again' from pg_advisory_lock(5) returning name;
          -- name: reading
          select 1 as one from pg_advisory_lock(5);
          -- name: later
          -- needs: reading, done
          select 2 as two;`
        const args = ["--out", out, "--concurrency", "3"]
        const running = yield* start(["run", "-", ...args], { env: { DATABASE_URL: url }, stdin: sql })
        yield* waitUntil(
          "three wait at the gate",
          Effect.map(observer.backends, (all) => all.filter(atGate).length === 3)
        )
        running.signal("SIGKILL")
        yield* running.ended
        assert.isTrue(readdirSync(out).some((name) => name.endsWith(".partial")))
        yield* waitUntil(
          "none is there",
          Effect.map(observer.backends, (all) => !all.some(atGate))
        )
        const first = readFileSync(join(out, "read.csv"), "utf8")
        yield* observer.rows("select pg_advisory_unlock(5)")
        yield* observer.rows("insert into resumed values ('repaired')")

        const second = yield* runJson(sql, [...args, "--resume"])
        assert.deepStrictEqual(outcomesOf(second.document), {
          read: "succeeded",
          done: "succeeded",
          broken: "succeeded",
          in_flight: "failed",
          again: "succeeded",
          reading: "succeeded",
          later: "succeeded"
        })
        assert.match(second.document.queries[3]?.error?.message ?? "", /^it is not known whether it was applied/)
        assert.strictEqual(second.code, 1)
        assert.strictEqual(readFileSync(join(out, "read.csv"), "utf8"), first)
        assert.strictEqual(yield* observer.value("select count(*)::int from resumed where name = 'done'"), 1)
        assert.isFalse(readdirSync(out).some((name) => name.endsWith(".partial")))
        assert.notInclude(tagsOf(out), "over")

        // It is refused for as long as nobody has looked.
        assert.strictEqual((yield* run(sql, [...args, "--resume"])).code, 1)
        const anew = yield* run(sql, args)
        assert.match(anew.stderr, /^The run in .* was not finished: starting anew, where --resume would have gone on/)
        assert.strictEqual(anew.code, 0)
        assert.strictEqual(tagsOf(out).at(-1), "over")
        const over = yield* run("-- name: read\nselect 3 as three", [...args, "--resume"])
        assert.match(over.stderr, /^There is no unfinished run of these queries in .*: starting anew$/m)
        assert.strictEqual(readFileSync(join(out, "read.csv"), "utf8"), "three\n3\n")
      }).pipe(Effect.scoped)
    )
  )

  it.effect("ignores a last line that was not written to its end, and no other", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        yield* run(twoReads("1 / 0"), ["--out", out])
        const first = readFileSync(join(out, "a.csv"), "utf8")
        appendFileSync(journalPath(out), '{"_tag":"ended","key":"')
        const second = yield* run(twoReads("1"), ["--out", out, "--resume"])
        assert.strictEqual(second.code, 0, second.stderr)
        assert.strictEqual(readFileSync(join(out, "a.csv"), "utf8"), first)
        assert.deepStrictEqual(tagsOf(out), ["begun", "ended", "ended", "resumed", "ended", "over"])

        const lines = journalOf(out).split("\n")
        writeFileSync(journalPath(out), [lines[0], "garbage", ...lines.slice(1, 3), ""].join("\n"))
        const third = yield* run(twoReads("1"), ["--out", out, "--resume"])
        assert.match(third.stderr, /^querypool: --resume cannot go on: .*journal.ndjson: line 2 is none of a journal's/)
        assert.strictEqual(third.code, 2)
      })
    )
  )

  it.effect("runs again what has another text, and what has lost its file unless it writes", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table lost (name text)")
        yield* run(withWriter(1), ["--out", out])
        rmSync(join(out, "b.csv"))
        rmSync(join(out, "w.csv"))
        const second = yield* runJson(withWriter(2), ["--out", out, "--resume"])
        assert.strictEqual(readFileSync(join(out, "a.csv"), "utf8"), "n\n2\n")
        assert.strictEqual(readFileSync(join(out, "b.csv"), "utf8"), "five\n5\n")
        assert.match(second.document.queries[2]?.error?.message ?? "", /^it was applied, and its file is not there/)
        assert.strictEqual(yield* observer.value("select count(*)::int from lost"), 1)
      })
    )
  )

  it.effect("lets one run at a time into a folder, and takes no notice of a lock whose process is gone", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const url = yield* databaseUrl
        yield* observer.rows("select pg_advisory_lock(6)")
        const env = { DATABASE_URL: url }
        const running = yield* start(["run", "-", "--out", out], { env, stdin: "select 1 from pg_advisory_lock(6)" })
        yield* waitUntil(
          "it waits at the gate",
          Effect.map(observer.backends, (all) => all.some(atGate))
        )
        const second = yield* run("select 1", ["--out", out])
        assert.match(second.stderr, /cannot be used: another run \(process \d+\) uses it\. Wait for it/)
        assert.strictEqual(second.code, 2)
        yield* observer.rows("select pg_advisory_unlock(6)")
        assert.strictEqual((yield* running.ended).code, 0)

        const lock = join(out, ".querypool", "lock.1-abc")
        // Process 1 is there, and began at another time.
        const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
        writeFileSync(lock, JSON.stringify({ pid: 1, host: hostname(), startedAt: "123456789", boot }))
        const third = yield* run("select 1", ["--out", out])
        assert.strictEqual(third.code, 0, third.stderr)
        writeFileSync(lock, JSON.stringify({ pid: 1, host: "elsewhere" }))
        const fourth = yield* run("select 1", ["--out", out])
        assert.match(fourth.stderr, /a run on elsewhere \(process 1\) uses it\. Wait for it, or remove .*lock.1-abc if/)
        assert.strictEqual(fourth.code, 2)
        assert.deepStrictEqual(readdirSync(join(out, ".querypool")).toSorted(), ["journal.ndjson", "lock.1-abc"])
      }).pipe(Effect.scoped)
    )
  )

  it.effect("lets one of many into a folder that find the lock of a process that is gone", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const env = { DATABASE_URL: yield* databaseUrl }
        yield* run("select 1 / 0", ["--out", out])
        const gone = yield* Effect.scoped(Effect.tap(start(["--version"]), ({ ended }) => ended))
        writeFileSync(
          join(out, ".querypool", `lock.${gone.pid}-abc`),
          JSON.stringify({ pid: gone.pid, host: hostname() })
        )
        yield* observer.hold(7)
        const args = ["run", "-", "--out", out]
        const stdin = "select 1 from pg_advisory_lock(7)"
        const all = yield* Effect.forEach([1, 2, 3, 4], () => start(args, { env, stdin }))
        let ended = 0
        for (const { ended: end } of all) yield* Effect.forkScoped(Effect.tap(end, () => Effect.sync(() => ended++)))
        yield* waitUntil(
          "one is in, and all others have given up",
          Effect.map(observer.backends, (backends) => {
            assert.isAtMost(backends.filter(atGate).length, 1)
            return ended === all.length - 1 && backends.some(atGate)
          })
        )
        yield* observer.release(7)
        const ends = yield* Effect.forEach(all, (each) => each.ended)
        assert.deepStrictEqual(ends.map(({ code }) => code).toSorted(), [0, 2, 2, 2])
        for (const { stderr } of ends.filter(({ code }) => code === 2)) {
          assert.match(stderr, /^querypool: --out \S+ cannot be used: another run \(process \d+\) uses it\. .*\n$/)
        }
        assert.deepStrictEqual(readdirSync(join(out, ".querypool")), ["journal.ndjson"])
      }).pipe(Effect.scoped)
    )
  )
})
