/**
 * Which database the command line talks to, found the way psql finds it.
 *
 * `--url`, else DATABASE_URL, else the PG* variables. The variables also fill in what a URL leaves open, and a password
 * that neither gives is looked up in the password file. Where psql, told nothing at all, would try a local socket in
 * the name of the operating system's user, this asks to be told.
 *
 * @internal
 */
import { Effect, Redacted } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import pgpass from "pgpass"
import * as PgEndpoint from "../pool/PgEndpoint.ts"
import type { Config } from "../pool/PgQueryPool.ts"
import { UsageError } from "./CliFailure.ts"

type Environment = Readonly<Record<string, string | undefined>>

const usage = (message: string) => new UsageError({ message })

const choices = [
  "No database given. Say which with one of",
  "  --url postgres://user:password@host:5432/database",
  "  DATABASE_URL=postgres://…",
  "  PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD and the password file, as psql reads them",
  "  --embedded, which starts a throw-away PostgreSQL"
].join("\n")

/** Any one of these says that a database is meant. */
const telling = ["PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER"]

const isSet = (value: string | undefined): value is string => value !== undefined && value !== ""

/**
 * Where a database is, as the pool takes it, and how to call that in a message.
 *
 * @internal
 */
export interface Database {
  readonly config: Config
  readonly label: string
}

/**
 * The database that flags and environment name.
 *
 * @internal
 */
export const findDatabase = (
  flag: Redacted.Redacted | undefined,
  env: Environment
): Effect.Effect<Database, UsageError> => {
  const given = flag === undefined ? env["DATABASE_URL"] : Redacted.value(flag)
  if (isSet(given)) return databaseAt(flag === undefined ? "DATABASE_URL" : "--url", Redacted.make(given), env)
  if (flag !== undefined) return Effect.fail(usage("--url: expected postgres://user:password@host:port/database"))
  // Which services there are would have to be read first.
  const isTold = isSet(env["PGSERVICE"]) || telling.some((name) => isSet(env[name]))
  return isTold ? databaseAt("PG* variables", Redacted.make("postgres://"), env) : Effect.fail(usage(choices))
}

/**
 * The database of a URL. `origin` is where that was given, for messages.
 *
 * @internal
 */
export const databaseAt = Effect.fnUntraced(function* (
  origin: string,
  given: Redacted.Redacted,
  env: Environment
): Effect.fn.Return<Database, UsageError> {
  if (isSet(env["PGSERVICE"])) {
    return yield* usage("PGSERVICE: service files are not read. Name the database by a URL, or by PGHOST, PGUSER, …")
  }
  // Checked as it was given first, so that what is said of it is not about what is filled in below.
  yield* endpointOf(origin, Redacted.value(given))
  const url = fillIn(new URL(Redacted.value(given)), env)
  const endpoint = yield* endpointOf("PG* variables", url.toString())
  const username = endpoint.username ?? (yield* ownName(origin))
  const database = endpoint.database ?? (env["PGDATABASE"] || username)
  const password =
    endpoint.password ??
    (isSet(env["PGPASSWORD"]) ? Redacted.make(env["PGPASSWORD"]) : undefined) ??
    (yield* fromPasswordFile({
      host: hostInPasswordFile(endpoint.host),
      port: endpoint.port,
      database,
      user: username
    }))
  return {
    config: { url: Redacted.make(url.toString()), username, database, password },
    label: endpoint.path ?? `${endpoint.host}:${endpoint.port}`
  }
})

/** A container may run as a user that the system has no name for. */
const ownName = (origin: string): Effect.Effect<string, UsageError> =>
  Effect.try({
    try: () => Os.userInfo().username,
    catch: () =>
      usage(`${origin}: no user is given, and this process's own has no name. Give one in the URL or in PGUSER`)
  })

/** `user:12/34@host`: read as a URL, this is the port 12 of a host, and that much of the password would be shown. */
const cutPassword = /^[^:]*:\/\/[^@/?#]*:[^@/?#]*[/?#][^=]*@/

const endpointOf = (origin: string, url: string): Effect.Effect<PgEndpoint.PgEndpoint, UsageError> => {
  if (cutPassword.test(url)) {
    return Effect.fail(usage(`${origin}: / ? # and @ in a name or password must be written as %2F %3F %23 and %40`))
  }
  return Effect.mapError(Effect.fromResult(PgEndpoint.make({ url: Redacted.make(url) })), ({ message }) =>
    usage(`${origin}: ${message}`)
  )
}

/** What the URL leaves open, from the variables that libpq reads (manual, "Environment Variables"). */
const fillIn = (url: URL, env: Environment): URL => {
  const parameters = url.searchParams
  const open = (parameter: string, value: string | undefined): void => {
    if (isSet(value) && !isSet(parameters.get(parameter) ?? undefined)) parameters.set(parameter, value)
  }
  const port = url.port === "" ? env["PGPORT"] : undefined
  if (url.hostname === "") open("host", env["PGHOST"] || env["PGHOSTADDR"] || localSocketFolder(port || "5432"))
  open("port", port)
  if (url.username === "") open("user", env["PGUSER"])
  open("sslmode", env["PGSSLMODE"] || "prefer")
  open("sslrootcert", env["PGSSLROOTCERT"])
  open("sslcert", env["PGSSLCERT"])
  open("sslkey", env["PGSSLKEY"])
  open("application_name", env["PGAPPNAME"])
  open("options", env["PGOPTIONS"])
  open("connect_timeout", env["PGCONNECT_TIMEOUT"])
  return url
}

/** Where packages of PostgreSQL put the socket. */
const socketFolders = ["/var/run/postgresql", "/tmp"]

const localSocketFolder = (port: string): string | undefined =>
  socketFolders.find((folder) => Fs.existsSync(`${folder}/.s.PGSQL.${port}`))

/** The file calls a socket in its usual place `localhost` (manual, "The Password File"). */
const hostInPasswordFile = (host: string): string => (socketFolders.includes(host) ? "localhost" : host)

const fromPasswordFile = (connection: Parameters<typeof pgpass>[0]): Effect.Effect<Redacted.Redacted | undefined> =>
  Effect.callback((resume) => {
    pgpass(connection, (password) =>
      resume(Effect.succeed(password === undefined ? undefined : Redacted.make(password)))
    )
  })
