import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import os, { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished, vi } from "vitest"
import { sayable } from "../../../src/cli/CliFailure.ts"
import { findDatabase } from "../../../src/cli/Database.ts"
import * as PgEndpoint from "../../../src/pool/PgEndpoint.ts"

type Environment = Parameters<typeof findDatabase>[1]

/** Where the pool would connect to, for `--url` and the environment. */
const found = (url: string | undefined, env: Environment = {}) =>
  Effect.gen(function* () {
    const { config, label } = yield* findDatabase(url === undefined ? undefined : Redacted.make(url), env)
    const endpoint = yield* Effect.fromResult(PgEndpoint.make(config))
    const { database, encryption, host, path, port, username } = endpoint
    const password = Redacted.isRedacted(config.password) ? Redacted.value(config.password) : undefined
    return { label, host, port, path, database, username, password, encryption, endpoint }
  })

const refusal = (url: string | undefined, env: Environment = {}) =>
  Effect.map(Effect.flip(found(url, env)), (error) => error.message)

/** With a password file that has this line. */
const withPasswordFile = <A, E, R>(line: string, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "querypool-"))
      writeFileSync(join(folder, "pgpass"), `${line}\n`, { mode: 0o600 })
      process.env["PGPASSFILE"] = join(folder, "pgpass")
      return folder
    }),
    () => effect,
    (folder) =>
      Effect.sync(() => {
        delete process.env["PGPASSFILE"]
        rmSync(folder, { recursive: true })
      })
  )

describe("the database", () => {
  it.effect("is asked for a user where none is given and this process's own has no name", () =>
    Effect.gen(function* () {
      const nameless = vi.spyOn(os, "userInfo").mockImplementation(() => {
        throw new Error("uv_os_get_passwd returned ENOENT")
      })
      onTestFinished(() => {
        nameless.mockRestore()
        syncBuiltinESMExports()
      })
      syncBuiltinESMExports()
      assert.strictEqual(
        yield* refusal("postgres://h.test/db"),
        "--url: no user is given, and this process's own has no name. Give one in the URL or in PGUSER"
      )
      assert.strictEqual((yield* found("postgres://h.test/db", { PGUSER: "me" })).username, "me")
    })
  )

  it.effect("is that of --url, else of DATABASE_URL, else of the PG* variables", () =>
    Effect.gen(function* () {
      const variables = { PGHOST: "variables.test" }
      const env = { ...variables, DATABASE_URL: "postgres://environment.test/db" }
      assert.strictEqual((yield* found("postgres://flag.test/db", env)).host, "flag.test")
      assert.strictEqual((yield* found(undefined, env)).host, "environment.test")
      assert.strictEqual((yield* found(undefined, { ...env, DATABASE_URL: "" })).host, "variables.test")
    })
  )

  it.effect("gets from the variables what its URL leaves open, and nothing else", () =>
    Effect.gen(function* () {
      const env = {
        PGHOST: "h.test",
        PGPORT: "6000",
        PGDATABASE: "d",
        PGUSER: "u",
        PGPASSWORD: "p",
        PGSSLMODE: "disable",
        PGAPPNAME: "reports",
        PGOPTIONS: "-c work_mem=9MB",
        PGCONNECT_TIMEOUT: "3"
      }
      const open = yield* found("postgres://", env)
      assert.deepInclude(open, { label: "h.test:6000", database: "d", username: "u", password: "p" })
      assert.deepInclude(open.endpoint, {
        encryption: { mode: "disable" },
        applicationName: "reports",
        startupOptions: "-c work_mem=9MB",
        connectTimeoutSeconds: 3
      })
      const full = yield* found("postgres://me:mine@g.test:7000/e?sslmode=require&application_name=x", env)
      assert.deepInclude(full, { label: "g.test:7000", database: "e", username: "me", password: "mine" })
      assert.deepInclude(full.endpoint, { applicationName: "x" })
      assert.strictEqual(full.encryption.mode, "require")
    })
  )

  it.effect("has any name, user and password that PostgreSQL takes", () =>
    Effect.gen(function* () {
      const name = "p@:/?#[]!$&'()*+,;=% \"<>\\^`{|}~ü€"
      const expected = { database: name, username: name, password: name }
      const env = { PGHOST: "h.test", PGDATABASE: name, PGUSER: name, PGPASSWORD: name }
      assert.deepInclude(yield* found(undefined, env), expected)
      const encoded = encodeURIComponent(name)
      const credentials = { database: "db", username: name, password: name }
      assert.deepInclude(yield* found(`postgres://${encoded}:${encoded}@h.test/db`), credentials)
      assert.deepInclude(yield* found(`postgres://h.test/db?user=${encoded}&password=${encoded}`), credentials)
    })
  )

  it.effect("is named after its user where nothing names it, and is encrypted where the server can", () =>
    Effect.gen(function* () {
      const empty = { PGDATABASE: "", PGSSLMODE: "", PGPORT: "" }
      const { database, encryption } = yield* found(undefined, { PGHOST: "h.test", PGUSER: "me", ...empty })
      assert.strictEqual(database, "me")
      assert.strictEqual(encryption.mode, "prefer")
    })
  )

  it.effect("is reached by a socket where the host is a folder", () =>
    Effect.gen(function* () {
      const expected = { path: "/run/sockets/.s.PGSQL.6000", label: "/run/sockets/.s.PGSQL.6000" }
      assert.deepInclude(yield* found(undefined, { PGHOST: "/run/sockets", PGPORT: "6000" }), expected)
      assert.deepInclude(yield* found("postgres:///db?host=/run/sockets&port=6000"), expected)
    })
  )
})

describe("the password file", () => {
  const env = { PGHOST: "h.test", PGUSER: "me", PGDATABASE: "db" }

  it.effect("gives the password that neither URL nor variables give", () =>
    withPasswordFile(
      "h.test:5432:db:me:from\\:file",
      Effect.gen(function* () {
        assert.strictEqual((yield* found(undefined, env)).password, "from:file")
        assert.strictEqual((yield* found("postgres://me:mine@h.test/db")).password, "mine")
        assert.strictEqual((yield* found(undefined, { ...env, PGPASSWORD: "p" })).password, "p")
        assert.isUndefined((yield* found(undefined, { ...env, PGUSER: "you" })).password)
      })
    )
  )

  it.effect("calls a socket in its usual place localhost", () =>
    withPasswordFile(
      "localhost:5432:db:me:s",
      Effect.gen(function* () {
        assert.strictEqual((yield* found(undefined, { ...env, PGHOST: "/tmp" })).password, "s")
        assert.isUndefined((yield* found(undefined, { ...env, PGHOST: "/run/sockets" })).password)
      })
    )
  )
})

describe("where no database can be told", () => {
  it.effect("lists the choices when nothing names one", () =>
    Effect.gen(function* () {
      const message = yield* refusal(undefined)
      for (const choice of ["--url postgres://", "DATABASE_URL=", "PGHOST", "password file", "--embedded"]) {
        assert.include(message, choice)
      }
      assert.strictEqual(yield* refusal(undefined, { PGPASSWORD: "p", PGSSLMODE: "require" }), message)
    })
  )

  it.effect("says which of them is wrong, and how", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* refusal(""), "--url: expected postgres://user:password@host:port/database")
      assert.match(yield* refusal("mysql://h/db"), /^--url: Expected a connection URL that starts with postgres:\/\//)
      assert.match(yield* refusal(undefined, { DATABASE_URL: "h" }), /^DATABASE_URL: The connection URL is not a URL/)
      assert.match(yield* refusal(undefined, { PGHOST: "h", PGPORT: "0" }), /^PG\* variables: Expected a port/)
      assert.match(yield* refusal("postgres://h", { PGSSLMODE: "x" }), /^PG\* variables: Expected sslmode/)
      assert.match(yield* refusal("postgres://h", { PGSERVICE: "s" }), /^PGSERVICE: service files are not read/)
    })
  )

  it.effect("says what to do about a password that breaks its URL", () =>
    Effect.gen(function* () {
      for (const password of ["12/34", "12#34", "12?34", "a/b", "a#b"]) {
        assert.match(yield* refusal(`postgres://me:${password}@h.test/db`), /^--url: .* must be written as %2F/)
      }
      assert.strictEqual((yield* found("postgres://h.test/db?password=a@b")).password, "a@b")
      assert.strictEqual((yield* found("postgres://h.test/my@db")).database, "my@db")
    })
  )

  it.effect.each([
    "s3cr3t",
    "me:s3cr3t@h",
    "//me:s3cr3t@h",
    "mysql://me:s3cr3t@h/db",
    "postgres//me:s3cr3t@h/db",
    "postgres://me:s3cr3t@h:99999/db",
    "postgres://me:s3cr3t@[::1/db",
    "postgres://me:s3cr3t/x@h/db",
    "postgres://me:12/s3cr3t@h/db",
    "postgres://me:s3cr3t%ff@h:0/db",
    "postgres://h:0/db?password=s3cr3t",
    "postgres://h/db?sslmode=require;password=s3cr3t",
    "postgres://h/db?connect_timeout=1;password=s3cr3t",
    "host=h password=s3cr3t"
  ])("does not say the password of %s", (url) =>
    Effect.map(refusal(url), (message) => assert.notInclude(sayable(message), "s3cr3t"))
  )
})
