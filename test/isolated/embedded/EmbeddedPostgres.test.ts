import { assert, describe, it } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Exit, Fiber, Layer, Redacted, Scope } from "effect"
import { SqlError } from "effect/sql"
import { EmbeddedPostgres, StartFailed } from "querypool/embedded"
import { once } from "node:events"
import { lstat, readdir, readFile } from "node:fs/promises"
import { createServer, Server } from "node:net"
import { join } from "node:path"
import { waitUntil } from "../../support/waitUntil.ts"
import { foldersIn, isAlive, processesIn, temporaryFolder, withEnvironment } from "./OwnerProcess.ts"

/** A temporary folder of this test's own, checked to be empty at its end. */
const ownTemporaryFolder = Effect.tap(temporaryFolder, (TMPDIR) => withEnvironment({ TMPDIR }))

const start = (settings?: Readonly<Record<string, string | number | boolean>>) =>
  Effect.map(Layer.build(EmbeddedPostgres.layer({ settings })), Context.get(EmbeddedPostgres))

const query = Effect.fnUntraced(function* (server: EmbeddedPostgres["Service"], sql: string) {
  const connection = yield* PgConnection.make({ url: server.url })
  return yield* connection.queryValues(sql)
}, Effect.scoped)

const listeners = () => {
  const emitter: NodeJS.EventEmitter = process
  return emitter.eventNames().map((name) => [name, emitter.rawListeners(name)])
}

/** A port that somebody else listens on. */
const occupiedPort = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    return server
  }),
  (server) => Effect.sync(() => server.close())
).pipe(
  Effect.map((server) => {
    const address = server.address()
    return address !== null && typeof address === "object" ? address.port : 0
  })
)

describe("EmbeddedPostgres", () => {
  it.effect("starts a server that answers its superuser, also under a test's clock", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const server = yield* start()
      const [row] = yield* query(
        server,
        "select current_user::text, current_database()::text, current_setting('server_version'), inet_server_port()"
      )
      assert.deepStrictEqual(row, [server.username, server.database, server.version, server.port])
      assert.match(server.version, /^18\.\d+$/)
      assert.strictEqual(
        Redacted.value(server.url),
        `postgres://${server.username}:${Redacted.value(server.password)}@${server.host}:${server.port}/${server.database}`
      )
    })
  )

  it.effect("is local and volatile, as far as the settings that are passed do not say otherwise", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const server = yield* start({ synchronous_commit: "local" })
      const shown = yield* query(
        server,
        `select name, setting from pg_settings where name in
          ('fsync', 'full_page_writes', 'synchronous_commit', 'listen_addresses', 'unix_socket_directories') order by name`
      )
      assert.deepStrictEqual(shown, [
        ["fsync", "off"],
        ["full_page_writes", "off"],
        ["listen_addresses", "127.0.0.1"],
        ["synchronous_commit", "local"],
        ["unix_socket_directories", ""]
      ])
    })
  )

  it.effect("passes settings of every kind as they are, and lets ALTER SYSTEM change them", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const prefix = "it's a \\back\\slash\nand a line "
      const server = yield* start({
        work_mem: "64MB",
        max_connections: 23,
        enable_seqscan: false,
        "app.label": "x",
        log_line_prefix: prefix
      })
      const show = `select current_setting('work_mem'), current_setting('max_connections'),
        current_setting('enable_seqscan'), current_setting('app.label'), current_setting('log_line_prefix')`
      assert.deepStrictEqual(yield* query(server, show), [["64MB", "23", "off", "x", prefix]])
      yield* query(server, "alter system set work_mem = '65MB'")
      yield* query(server, "select pg_reload_conf()")
      yield* waitUntil(
        "the new setting holds",
        Effect.map(query(server, "show work_mem"), ([row]) => row?.[0] === "65MB")
      )
    })
  )

  it.effect("sorts by code point, knows Unicode and speaks UTC on every machine", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const server = yield* start()
      const [row] = yield* query(
        server,
        `select string_agg(x, '' order by x), upper('é'), current_setting('timezone')
          from unnest(array['b', 'é', 'B', '_', 'a', 'A']) x`
      )
      assert.deepStrictEqual(row, ["AB_abé", "É", "UTC"])
    })
  )

  it.effect("runs two servers side by side, and stops each with its own scope", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* ownTemporaryFolder
      const scope = yield* Scope.make()
      const [one, other] = yield* Effect.all([Scope.provide(start(), scope), start()], { concurrency: 2 })
      assert.notStrictEqual(one.port, other.port)
      assert.notStrictEqual(Redacted.value(one.password), Redacted.value(other.password))
      assert.lengthOf(yield* foldersIn(TMPDIR), 2)

      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(one.processId))
      assert.lengthOf(yield* foldersIn(TMPDIR), 1)
      assert.deepStrictEqual(yield* query(other, "select 1"), [[1]])
    })
  )

  it.effect("is gone, process and folder, as soon as its scope has closed, though a session was busy", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* ownTemporaryFolder
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(start(), scope)
      const busy = yield* Effect.forkChild(query(server, "select pg_sleep(600)"))
      yield* waitUntil(
        "the session is busy",
        Effect.map(
          query(server, "select count(*)::int from pg_stat_activity where wait_event = 'PgSleep'"),
          ([row]) => row?.[0] === 1
        )
      )
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(server.processId))
      assert.isEmpty(yield* processesIn(TMPDIR))
      assert.isEmpty(yield* foldersIn(TMPDIR))
      assert.isTrue(Exit.isFailure(yield* Fiber.await(busy)))
    })
  )

  it.effect("leaves nothing behind when its start is interrupted", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* ownTemporaryFolder
      const starting = yield* Effect.forkChild(Effect.scoped(start()))
      yield* waitUntil(
        "its folder is there",
        Effect.map(foldersIn(TMPDIR), (all) => all.length === 1),
        1
      )
      yield* Fiber.interrupt(starting)
      assert.isEmpty(yield* processesIn(TMPDIR))
      assert.isEmpty(yield* foldersIn(TMPDIR))
    })
  )

  it.effect("listens for no signal and no end of the process", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const before = listeners()
      yield* start()
      assert.deepStrictEqual(listeners(), before)
    })
  )
})

describe("the password", () => {
  it.effect("is asked for", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const { url: _, ...server } = yield* start()
      const password = Redacted.make("guess")
      const error = yield* Effect.flip(Effect.scoped(PgConnection.make({ ...server, password })))
      assert.instanceOf(error.reason, SqlError.AuthenticationError)
    })
  )

  it.effect("stands in no process title, log or file, and the folder is closed to others", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* ownTemporaryFolder
      const server = yield* start({ log_statement: "all", log_connections: true })
      yield* query(server, "select 1")
      const secret = Redacted.value(server.password)
      for (const { command } of yield* processesIn(TMPDIR)) assert.notInclude(command, secret)
      const [folder = ""] = yield* foldersIn(TMPDIR)
      assert.strictEqual((yield* Effect.promise(() => lstat(folder))).mode & 0o777, 0o700)
      const files = (yield* Effect.promise(() => readdir(folder, { recursive: true, withFileTypes: true }))).filter(
        (entry) => entry.isFile()
      )
      assert.isAbove(files.length, 900)
      for (const { parentPath, name } of files) {
        // A file of a running server can go away between the two.
        const content = yield* Effect.promise(() => readFile(join(parentPath, name)).catch(() => Buffer.of()))
        assert.isFalse(content.includes(secret), name)
      }
      assert.notInclude(`${server}${JSON.stringify(server)}`, secret)
    })
  )
})

describe("a start that fails", () => {
  it.effect("shows what the server logged, and a hint, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* ownTemporaryFolder
      const { message, reason } = yield* Effect.flip(Effect.scoped(start({ work_mem: "a lot" })))
      assert.instanceOf(reason, StartFailed)
      assert.strictEqual(
        message.replaceAll(/\S+ \S+ UTC \[\d+\]|"\S+conf"|remove \S+,/g, "…"),
        [
          "The embedded PostgreSQL did not start: it ended before it was ready.",
          "The last lines of its log:",
          '  … LOG:  invalid value for parameter "work_mem": "a lot"',
          "  … FATAL:  configuration file … contains errors",
          "Hint: correct the setting that the log names, or … which the next start makes anew."
        ].join("\n")
      )
      assert.isEmpty(yield* foldersIn(TMPDIR))
    })
  )

  it.effect("says that a setting's name is none", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const { message } = yield* Effect.flip(Effect.scoped(start({ "work mem\n": 1 })))
      assert.strictEqual(
        message,
        'The embedded PostgreSQL did not start: expected the name of a setting, such as "work_mem", got "work mem\\n".\n' +
          "Hint: write it as in postgresql.conf."
      )
    })
  )

  it.effect("names the port that was asked for and is taken", () =>
    Effect.gen(function* () {
      yield* ownTemporaryFolder
      const port = yield* occupiedPort
      const { message } = yield* Effect.flip(Effect.scoped(start({ port })))
      assert.include(message, 'could not bind IPv4 address "127.0.0.1": Address already in use')
      assert.include(message, `Is another postmaster already running on port ${port}?`)
    })
  )

  it.effect("is tried again on another port when a port that was free has been taken", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* ownTemporaryFolder
      const port = yield* occupiedPort
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const { address } = Server.prototype
          Server.prototype.address = () => {
            Server.prototype.address = address
            return { address: "127.0.0.1", family: "IPv4", port }
          }
          return address
        }),
        (address) => Effect.sync(() => (Server.prototype.address = address))
      )
      const server = yield* start()
      assert.notStrictEqual(server.port, port)
      assert.deepStrictEqual(yield* query(server, "select 1"), [[1]])
      assert.lengthOf(yield* foldersIn(TMPDIR), 1)
    })
  )
})
