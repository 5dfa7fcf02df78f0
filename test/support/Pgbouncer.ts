/**
 * pgbouncer, as Debian and others package it, in front of a server: a process of its own with a folder of its own, both
 * gone when the scope closes.
 */
import { PgConnection } from "@effect/sql-pg"
import type { Scope } from "effect"
import { Effect, Redacted } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import type { EmbeddedPostgres } from "querypool/embedded"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { serverAccount } from "../../src/embedded/Installation.ts"
import { waitUntil } from "./waitUntil.ts"

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Where it is, unless it is not installed. Debian puts it where only root looks by itself. */
export const program = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"]
  .map((folder) => join(folder, "pgbouncer"))
  .find(isProgram)

/** pgbouncer takes no port 0. */
const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === "string") throw new Error("The system gave no port")
  return address.port
})

type WaitError = Effect.Error<ReturnType<typeof waitUntil<never, never>>>

/** Starts it in front of a server, and waits until it lets somebody in; gives the URL that leads through it. */
export const start = Effect.fnUntraced(function* (
  server: EmbeddedPostgres["Service"],
  options: {
    readonly mode: "session" | "transaction"
    /** How many sessions of the server it may open. */
    readonly sessions: number
  }
): Effect.fn.Return<Redacted.Redacted, WaitError, Scope.Scope> {
  if (program === undefined) return yield* Effect.die("pgbouncer is not installed")
  const port = yield* freePort
  const { gid, uid } = serverAccount()
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "querypool-pgbouncer-"))),
    (made) => Effect.sync(() => rmSync(made, { recursive: true }))
  )
  const write = (name: string, lines: ReadonlyArray<string>): string => {
    const path = join(folder, name)
    writeFileSync(path, lines.map((line) => `${line}\n`).join(""), { mode: 0o600 })
    if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid)
    return path
  }
  // For `nobody`, whom root starts it as: it refuses to run as root itself.
  chmodSync(folder, 0o755)
  const users = write("users", [`"${server.username}" "${Redacted.value(server.password)}"`])
  const settings = write("pgbouncer.ini", [
    "[databases]",
    `* = host=${server.host} port=${server.port}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${port}`,
    "unix_socket_dir =",
    "auth_type = scram-sha-256",
    `auth_file = ${users}`,
    `pool_mode = ${options.mode}`,
    `default_pool_size = ${options.sessions}`,
    "max_client_conn = 200"
  ])
  const bouncer = program
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(bouncer, [settings], { ...serverAccount(), cwd: "/", env: {}, stdio: "ignore" })
      const ended = new Promise((resolve) => child.once("exit", resolve).once("error", resolve))
      return { child, ended }
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      })
  )
  const url = new URL(Redacted.value(server.url))
  url.port = String(port)
  const through = Redacted.make(url.href)
  yield* waitUntil("pgbouncer lets somebody in", Effect.isSuccess(Effect.scoped(PgConnection.make({ url: through }))))
  return through
})
