import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { closeSync, constants, openSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { databaseUrl, querypool, run, start } from "./Command.ts"
import { counted, inOut, journalOf } from "./OutFolder.ts"

const anew = /^There is no unfinished run of these queries in .*\/out: starting anew$/m

layer(Pg.layer("Over"), { excludeTestServices: true })("a run with --out is over", (it) => {
  it.effect("when all that it printed has been read, and not before", () =>
    inOut((out, folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const url = yield* databaseUrl
        yield* observer.rows("create table told (i int)")
        // Together more than a pipe holds.
        const names = Array.from({ length: 30 }, (_, index) => `${`${"d".repeat(200)}/`.repeat(8)}${index}`)
        const sql = `${names.map((name) => `-- name: ${name}\nselect 1;`).join("\n")}
          -- name: writes\ninsert into told values (1);`
        const args = ["run", "-", "--json", "--out", out]
        const pipe = join(folder, "pipe")
        execFileSync("mkfifo", [pipe])
        const unread = openSync(pipe, constants.O_RDWR)
        const running = yield* start(args, { env: { DATABASE_URL: url }, stdin: sql, into: pipe })
        yield* waitUntil(
          "all have ended",
          Effect.sync(() => journalOf(out).match(/"ended"/g)?.length === names.length + 1)
        )
        yield* observer.gone
        running.signal("SIGKILL")
        yield* running.ended
        closeSync(unread)
        assert.notInclude(journalOf(out), '"over"')

        const second = yield* run(sql, ["--out", out, "--resume"])
        assert.strictEqual(second.stderr, "")
        assert.strictEqual(second.code, 0)
        assert.strictEqual(second.stdout.match(/kept: /g)?.length, names.length + 1)
        assert.strictEqual(yield* counted("told"), 1)
        const third = yield* run(sql, ["--out", out, "--resume"])
        assert.match(third.stderr, anew)
        assert.strictEqual(yield* counted("told"), 2)
      }).pipe(Effect.scoped)
    )
  )

  it.effect("when it is over on all targets: none starts anew before", () =>
    inOut((out, folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const url = yield* databaseUrl
        yield* observer.rows("create table at_targets (i int)")
        const targets = join(folder, "targets.txt")
        const args = ["run", "-", "--targets", targets, "--out", out, "--resume"]
        const once = querypool(args, { stdin: "-- name: writes\ninsert into at_targets values (1)" })
        writeFileSync(targets, `one = ${url}\ntwo = postgres://127.0.0.1:1/none\n`)
        const first = yield* once
        assert.match(first.stderr, anew)
        assert.strictEqual(first.code, 1)
        writeFileSync(targets, `one = ${url}\ntwo = ${url}\n`)
        const second = yield* once
        assert.strictEqual(second.stderr, "")
        assert.strictEqual(second.code, 0)
        assert.strictEqual(yield* counted("at_targets"), 2)
        const third = yield* once
        assert.match(third.stderr, anew)
        assert.strictEqual(yield* counted("at_targets"), 4)

        // The first is unfinished, and what the second did belongs to the run before, which is over.
        writeFileSync(targets, `one = ${url}\ntwo = postgres://127.0.0.1:1/none\n`)
        yield* once
        writeFileSync(targets, `one = ${url}\ntwo = ${url}\n`)
        yield* once
        assert.strictEqual(yield* counted("at_targets"), 6)
      })
    )
  )

  it.effect("or as it was, where the next cannot begin", () =>
    inOut((out) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table begun (i int)")
        const sql =
          "-- name: writes\ninsert into begun values (1);\n-- name: fails\nselect 1 / count(*) from begun where i = 2"
        assert.strictEqual((yield* run(sql, ["--out", out])).code, 1)
        const before = journalOf(out)
        const nowhere = { env: { DATABASE_URL: "postgres://127.0.0.1:1/none" } }
        const second = yield* run(sql, ["--out", out], nowhere)
        assert.match(second.stderr, /^querypool: Cannot connect to 127\.0\.0\.1:1/m)
        assert.strictEqual(second.code, 2)
        assert.strictEqual(journalOf(out), before)
        yield* observer.rows("insert into begun values (2)")
        assert.strictEqual((yield* run(sql, ["--out", out, "--resume"])).code, 0)
        assert.strictEqual(yield* counted("begun where i = 1"), 1)
      })
    )
  )
})
