import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { chmod, readdir, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { cacheFolder } from "../../support/cacheFolder.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { databaseUrl, documentOf, outcomesOf, querypool, run, runJson, start } from "./Command.ts"

/** A server that takes connections and says nothing; gives its port. */
const silentServer = Effect.acquireRelease(
  Effect.callback<ReturnType<typeof createServer>>((resume) => {
    const made = createServer((socket) => {
      socket.on("error", () => {}).resume()
    })
    made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
  }),
  (made) => Effect.callback<void>((resume) => void made.close(() => resume(Effect.void)))
)

const portOf = (server: ReturnType<typeof createServer>): number => {
  const address = server.address()
  return address !== null && typeof address === "object" ? address.port : 0
}

const connectionsOf = (server: ReturnType<typeof createServer>) =>
  Effect.callback<number>((resume) => {
    server.getConnections((error, count) => resume(error === null ? Effect.succeed(count) : Effect.die(error)))
  })

layer(Pg.layer("main"), { excludeTestServices: true })("a run that is stopped", (it) => {
  // None of them keeps a processor busy, which others of the machine may need to be seen in time.
  const sql = `
    -- name: fast
    select 'fast' as word;
    -- name: sleeps
    select pg_sleep(600);
    -- name: loops
    do $$ begin loop perform pg_sleep(0.001); end loop; end $$;
    -- name: writes
    insert into account select generate_series(1, 1000000000) + 1000000, 'x' || pg_sleep(0.001)::text, 0;
    -- name: late
    select 'late';`

  const underWay = Effect.gen(function* () {
    const { observer } = yield* Pg.Pg
    for (const word of ["pg_sleep(600)", "loop perform", "insert into account"]) {
      yield* observer.seen(`${word} runs`, ({ query, state }) => state === "active" && query.includes(word))
    }
  })

  it.effect.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "by %s leaves nothing running on the server, and a whole document",
    (signal) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const args = ["run", "-", "--json", "--concurrency", "3"]
        const running = yield* start(args, { stdin: sql, env: { DATABASE_URL: yield* databaseUrl } })
        yield* underWay
        running.signal(signal)
        const ended = yield* running.ended
        yield* observer.gone
        assert.strictEqual(yield* observer.value("select count(*)::int from account where id > 1000000"), 0)
        assert.deepStrictEqual(outcomesOf(documentOf(ended)), {
          fast: "succeeded",
          sleeps: "cancelled",
          loops: "cancelled",
          writes: "cancelled",
          late: "skipped"
        })
        // Which of the confirmed ends it is depends on the moment, and on how busy the machine is.
        const cancelled = ended.stderr
          .trimEnd()
          .split("\n")
          .map((line) => /^(\w+) cancelled: .* m?s$/.exec(line)?.[1])
        assert.deepStrictEqual(cancelled.toSorted(), ["loops", "sleeps", "writes"])
        assert.strictEqual(ended.code, 130)
      }).pipe(Effect.scoped)
  )

  it.effect("by kill -9, when it can ask for nothing any more, leaves nothing running on the server either", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const running = yield* start(["run", "-", "--concurrency", "3"], {
        stdin: sql,
        env: { DATABASE_URL: yield* databaseUrl }
      })
      yield* underWay
      running.signal("SIGKILL")
      yield* observer.gone
      assert.strictEqual(yield* observer.value("select count(*)::int from account where id > 1000000"), 0)
    }).pipe(Effect.scoped)
  )

  /** Whose first result comes when the others run, and the lock is released. */
  const withHeldResult = `-- name: held\nselect pg_advisory_xact_lock(1);\n${sql}`

  it.effect("by a reader who leaves, as head does, stops on the server too, and is no failure", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(1)
      const running = yield* start(["run", "-"], { stdin: withHeldResult, env: { DATABASE_URL: yield* databaseUrl } })
      yield* underWay
      running.stopReading()
      yield* observer.release(1)
      const { code, stderr } = yield* running.ended
      yield* observer.gone
      // One more where another began when the first had ended, before anybody noticed that the reader has left.
      assert.match(stderr, /^(.* cancelled: .*\n){1,4}$/)
      assert.strictEqual(code, 130)
    }).pipe(Effect.scoped)
  )

  it.effect("by a full disk stops on the server too, and says so in one line", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const expected = {
        code: 1,
        stderr: "querypool: standard output cannot be written: ENOSPC: no space left on device, write\n"
      }
      const env = { DATABASE_URL: yield* databaseUrl }
      for (const args of [[], ["--json"]]) {
        yield* observer.hold(1)
        const running = yield* start(["run", "-", ...args], { stdin: withHeldResult, env, into: "/dev/full" })
        yield* underWay
        yield* observer.release(1)
        const { code, stderr } = yield* running.ended
        yield* observer.gone
        const others = stderr.replaceAll(/^.* cancelled: .*\n/gm, "")
        assert.deepStrictEqual({ code, stderr: others }, expected)
      }
      // All is done by the time that the last of it cannot be written.
      const { code, stderr } = yield* run("select 1", ["--json"], { into: "/dev/full" })
      assert.deepStrictEqual({ code, stderr }, expected)
    }).pipe(Effect.scoped)
  )

  // More than a pipe holds, and told at the very end.
  const manyRows = "-- name: many\nselect repeat('x', 1000) as x from generate_series(1, 3000)"

  it.effect("when a query failed has written all of its output, however much of that waits to be read", () =>
    Effect.gen(function* () {
      const { code, document } = yield* runJson(`-- name: bad\nselect 1 / 0;\n${manyRows}`, ["--max-rows", "3000"])
      assert.lengthOf(document.queries[1]?.rows ?? [], 3000)
      assert.strictEqual(code, 1)
    })
  )

  it.effect("has written all of its output, however much of that waits to be read", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const running = yield* start(["run", "-", "--json", "--max-rows", "3000"], {
        stdin: `-- name: sleeps\nselect pg_sleep(600);\n${manyRows};\n-- name: next\n-- needs: many\nselect pg_sleep(601)`,
        env: { DATABASE_URL: yield* databaseUrl }
      })
      for (const word of ["sleep(600)", "sleep(601)"]) {
        yield* observer.seen(`${word} runs`, ({ query, wait }) => wait === "Timeout:PgSleep" && query.includes(word))
      }
      running.signal("SIGINT")
      const ended = yield* running.ended
      const document = documentOf(ended)
      assert.deepStrictEqual(outcomesOf(document), { sleeps: "cancelled", many: "succeeded", next: "cancelled" })
      assert.lengthOf(document.queries[1]?.rows ?? [], 3000)
      assert.strictEqual(ended.code, 130)
    }).pipe(Effect.scoped)
  )
})

describe("a command that waits", () => {
  it.live("for standard input shows nobody its arguments, and stops when told to", () =>
    Effect.gen(function* () {
      const running = yield* start(["run", "-", "--url", "postgres://me:s3cr3t@127.0.0.1:1/db"], { stdin: "open" })
      const seenByOthers = () => execFileSync("ps", ["-o", "args=", "-p", String(running.pid)], { encoding: "utf8" })
      yield* waitUntil(
        "its arguments are hidden",
        Effect.sync(() => seenByOthers().trim() === "querypool")
      )
      // More than a pipe holds: it is written when it is read.
      const read = new Promise((resolve) => running.stdin.write("-- comment\n".repeat(100_000), resolve))
      yield* Effect.promise(() => read)
      running.signal("SIGINT")
      const ended = yield* running.ended
      assert.deepStrictEqual(ended, { stdout: "", stderr: "", code: 130 })
    }).pipe(Effect.scoped)
  )

  it.live("for a server that never answers stops when told to, and by itself in the time that the URL gives it", () =>
    Effect.gen(function* () {
      const server = yield* silentServer
      const url = `postgres://me:s3cr3t@127.0.0.1:${portOf(server)}/db`
      const told = yield* start(["run", "-", "--json", "--url", `${url}?connect_timeout=600`], { stdin: "select 1" })
      yield* waitUntil(
        "it has connected",
        Effect.map(connectionsOf(server), (count) => count === 1)
      )
      told.signal("SIGINT")
      assert.deepStrictEqual(yield* told.ended, { stdout: "", stderr: "", code: 130 })

      assert.deepStrictEqual(
        yield* querypool(["run", "-", "--url", `${url}?connect_timeout=1`], { stdin: "select 1" }),
        {
          stdout: "",
          stderr: `querypool: Cannot connect to 127.0.0.1:${portOf(server)}: Connection timed out\n`,
          code: 2
        }
      )
    }).pipe(Effect.scoped)
  )
})

describe("the command", () => {
  it.live("is compiled once for each user, in a folder that others cannot write", () =>
    Effect.gen(function* () {
      const { folder } = yield* cacheFolder
      const compiled = join(folder, "querypool", "compiled")
      const env = { XDG_CACHE_HOME: folder, HOME: folder, NODE_COMPILE_CACHE: undefined }
      assert.strictEqual((yield* querypool(["--version"], { env })).code, 0)
      const [first = assert.fail("nothing was kept"), ...others] = yield* Effect.promise(() => readdir(compiled))
      assert.isEmpty(others)
      assert.isAbove((yield* Effect.promise(() => readdir(join(compiled, first)))).length, 100)
      yield* Effect.promise(() => chmod(join(folder, "querypool"), 0o777))
      yield* Effect.promise(() => rm(compiled, { recursive: true }))
      assert.strictEqual((yield* querypool(["--version"], { env })).code, 0)
      assert.isEmpty(yield* Effect.promise(() => readdir(join(folder, "querypool"))))
    }).pipe(Effect.scoped)
  )
})
