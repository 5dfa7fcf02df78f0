import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { inFileSystem, mayMount, remount } from "../../support/fileSystem.ts"
import { inFolder } from "../../support/inFolder.ts"
import * as Pg from "../../support/Pg.ts"
import { databaseUrl, outcomesOf, querypool, run, runJson, start } from "./Command.ts"

const counted = (table: string) =>
  Effect.flatMap(Pg.Pg, ({ observer }) => observer.value(`select count(*)::int from ${table}`))

const gate = (key: number) =>
  Effect.gen(function* () {
    const { observer } = yield* Pg.Pg
    yield* observer.hold(key)
    return {
      reached: observer.seen("one waits at the gate", ({ wait }) => wait === "Lock:advisory"),
      open: observer.release(key)
    }
  })

/** Takes what is left of a small file system. */
const fill = (folder: string): void => {
  const { bavail, bsize } = statfsSync(folder)
  writeFileSync(join(folder, "filler"), Buffer.alloc(bavail * bsize))
}

const begin = Effect.fnUntraced(function* (out: string, sql: string, args: ReadonlyArray<string> = []) {
  const env = { DATABASE_URL: yield* databaseUrl }
  return yield* start(["run", "-", "--out", out, "--concurrency", "1", ...args], { env, stdin: sql })
})

/** With a line for the journal that is longer than a block of the disk. */
const longName = "x".repeat(5000)

const noSpace = "no space is left after \\d+ bytes: free some, or choose another disk"

layer(Pg.layer("OutFaults"), { excludeTestServices: true })("a run with --out", (it) => {
  it.effect.skipIf(!mayMount)("leaves out what the full disk has no room for, and goes on when there is some", () =>
    inFileSystem("size=2m", (out) =>
      Effect.gen(function* () {
        const sql = `-- name: large\nselect repeat('x', 1000) from generate_series(1, 5000);
          -- name: small\nselect 1 as n;`
        const first = yield* run(sql, ["--out", out, "--concurrency", "1"])
        assert.match(
          first.stderr,
          /^(large cancelled: .*\n)?large failed: Cannot write \S+\/large\.csv: no space is left after \d+ bytes: free some, or choose another disk\n\n$/
        )
        assert.strictEqual(first.code, 1)
        assert.deepStrictEqual(readdirSync(out).toSorted(), [".querypool", "small.csv"])
        assert.strictEqual(readFileSync(join(out, "small.csv"), "utf8"), "n\n1\n")
        remount(out, "size=16m")
        const second = yield* runJson(sql, ["--out", out, "--resume"])
        assert.deepStrictEqual(outcomesOf(second.document), { large: "succeeded", small: "succeeded" })
      })
    )
  )

  it.effect.skipIf(!mayMount)("runs nothing where the disk is full or read-only before", () =>
    inFileSystem("size=1m", (out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table unwritten (i int)")
        const write = run("insert into unwritten values (1)", ["--out", out])
        yield* run("select 1", ["--out", out])
        const before = readFileSync(join(out, ".querypool", "journal.ndjson"), "utf8")
        fill(out)
        const full = yield* write
        assert.match(full.stderr, /^querypool: --out \S+ cannot be used: no space is left .*[Ff]ree some.*\n$/)
        assert.strictEqual(full.code, 2)
        assert.strictEqual(readFileSync(join(out, ".querypool", "journal.ndjson"), "utf8"), before)
        assert.deepStrictEqual(readdirSync(join(out, ".querypool")), ["journal.ndjson"])
        remount(out, "ro")
        const readOnly = yield* write
        assert.match(readOnly.stderr, /^querypool: --out \S+ cannot be used: (its|the) file system is read-only.*\n$/)
        assert.strictEqual(readOnly.code, 2)
        assert.strictEqual(yield* counted("unwritten"), 0)
      })
    )
  )

  it.effect.skipIf(process.getuid?.() === 0)("runs nothing in a folder that may not be written to", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const out = join(folder, "out")
        mkdirSync(out)
        chmodSync(out, 0o500)
        const { code, stderr } = yield* run("select 1", ["--out", out])
        assert.match(
          stderr,
          /^querypool: --out \S+ cannot be used: it may not be written to\. Change its rights, .*\n$/
        )
        assert.strictEqual(code, 2)
      })
    )
  )

  it.effect.skipIf(!mayMount)("writes nothing that its journal has no room for, and says so", () =>
    inFileSystem("size=1m", (out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table unnoted (i int)")
        const { open, reached } = yield* gate(11)
        const sql = `-- name: gate\nselect 1 from pg_advisory_lock(11);
          -- name: ${longName}\ninsert into unnoted values (1);
          -- name: last\nselect 2 as two`
        const running = yield* begin(out, sql)
        yield* reached
        fill(out)
        yield* open
        const { code, stderr } = yield* running.ended
        assert.match(
          stderr.replaceAll(longName, "long").replaceAll(out, "out"),
          new RegExp(
            `^gate failed: Cannot write out/gate\\.csv: ${noSpace}\n\n` +
              `long failed: Cannot write out/\\.querypool/journal\\.ndjson: ${noSpace}\n\n` +
              `last failed: Cannot write out/last\\.csv: ${noSpace}\n\n` +
              `querypool: Cannot write out/\\.querypool/journal\\.ndjson: ${noSpace}\\. What was done is done, ` +
              "but --resume does not know all of it\n$"
          )
        )
        assert.strictEqual(code, 1)
        assert.strictEqual(yield* counted("unnoted"), 0)
        rmSync(join(out, "filler"))
        // It may be sent, as it was not.
        const resumed = yield* runJson(sql, ["--out", out, "--resume"])
        assert.deepStrictEqual(
          resumed.document.queries.map(({ outcome }) => outcome),
          ["succeeded", "succeeded", "succeeded"]
        )
      }).pipe(Effect.scoped)
    )
  )

  it.effect("says that its folder has vanished, of what has no file as well", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const out = join(folder, "out")
        const { open, reached } = yield* gate(12)
        const running = yield* begin(
          out,
          `-- name: gate\nselect 1 from pg_advisory_lock(12);
           -- name: sets\nset work_mem = '5MB'`
        )
        yield* reached
        rmSync(out, { recursive: true })
        yield* open
        const { code, stderr } = yield* running.ended
        assert.strictEqual(
          stderr.replaceAll(out, "out"),
          "gate failed: Cannot write out/gate.csv: there is no folder out: create it first\n\n" +
            "querypool: Cannot write out/.querypool/journal.ndjson: it has been removed. What was done is done, " +
            "but --resume does not know all of it\n"
        )
        assert.strictEqual(code, 1)
      }).pipe(Effect.scoped)
    )
  )

  it.effect("goes on with --resume after Ctrl-C, and after its reader has left", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table stopped (name text)")
        const sql = `-- name: first\ninsert into stopped values ('first');
          -- name: second\ninsert into stopped select 'second' from pg_advisory_lock(13);
          -- name: third\nselect 3 as three;`
        const { open, reached } = yield* gate(13)
        const running = yield* begin(out, sql)
        yield* reached
        running.signal("SIGINT")
        const stopped = yield* running.ended
        assert.strictEqual(stopped.code, 130)
        assert.match(stopped.stderr, /^second cancelled: the server stopped it in .*\n$/)
        assert.deepStrictEqual(readdirSync(out), [".querypool"])

        const again = yield* begin(out, sql, ["--resume"])
        yield* reached
        again.stopReading()
        yield* open
        const unread = yield* again.ended
        assert.strictEqual(unread.code, 130)
        assert.strictEqual(unread.stderr, "")
        const last = yield* runJson(sql, ["--out", out, "--resume"])
        assert.strictEqual(last.code, 0)
        assert.strictEqual(last.stderr, "")
        assert.strictEqual(yield* counted("stopped where name = 'first'"), 1)
        assert.strictEqual(yield* counted("stopped where name = 'second'"), 1)
        assert.strictEqual(readFileSync(join(out, "third.csv"), "utf8"), "three\n3\n")
      }).pipe(Effect.scoped)
    )
  )

  it.effect("takes away what a killed process left of a file, and nothing of one that runs", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        mkdirSync(join(out, "deep"))
        const { pid } = yield* Effect.scoped(Effect.tap(start(["--version"]), ({ ended }) => ended))
        for (const of of [pid, process.pid]) {
          writeFileSync(join(out, `.a.csv.${of}-0123ab.partial`), "half")
          writeFileSync(join(out, "deep", `.b.csv.${of}-0123ab.partial`), "half")
        }
        yield* run("-- name: a\nselect 1;\n-- name: deep/b\nselect 2", ["--out", out])
        const left = `${process.pid}-0123ab.partial`
        assert.deepStrictEqual(readdirSync(out).toSorted(), [`.a.csv.${left}`, ".querypool", "a.csv", "deep"])
        assert.deepStrictEqual(readdirSync(join(out, "deep")).toSorted(), [`.b.csv.${left}`, "b.csv"])
      })
    )
  )

  it.effect("says which package a format needs, once and before anything runs", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        const hook = `import { registerHooks } from "node:module"
          registerHooks({ resolve: (name, context, next) => {
            if (name === "hyparquet-writer") throw Object.assign(new Error("none"), { code: "ERR_MODULE_NOT_FOUND" })
            return next(name, context)
          } })`
        const { code, stderr } = yield* run(
          "-- name: a\nselect 1;\n-- name: b\nselect 2",
          ["--out", out, "--format", "parquet"],
          { node: ["--import", `data:text/javascript,${encodeURIComponent(hook)}`] }
        )
        assert.strictEqual(
          stderr,
          "querypool: --format parquet: the format parquet needs the package hyparquet-writer: npm install hyparquet-writer\n"
        )
        assert.strictEqual(code, 2)
        assert.deepStrictEqual(readdirSync(out), [])
      })
    )
  )

  it.effect("starts anew without a journal that nobody can read, and says so", () =>
    inFolder((out) =>
      Effect.gen(function* () {
        yield* run("select 1 / 0", ["--out", out])
        writeFileSync(join(out, ".querypool", "journal.ndjson"), "\0\0\0\nnothing\n{}\n")
        const args = ["run", "-", "--out", out]
        const options = { env: { DATABASE_URL: yield* databaseUrl }, stdin: "select 1" }
        const resumed = yield* querypool([...args, "--resume"], options)
        assert.match(resumed.stderr, /^querypool: --resume cannot go on: \S+: line 1 is none of a journal's\. .*\n$/)
        assert.strictEqual(resumed.code, 2)
        const anew = yield* querypool(args, options)
        assert.match(anew.stderr, /^\S+: line 1 is none of a journal's: starting anew without what it knew\n$/)
        assert.strictEqual(anew.code, 0)
        assert.strictEqual((yield* querypool([...args, "--resume"], options)).code, 0)
      })
    )
  )
})
