/**
 * The processes of an embedded server of the test's own: stopped, killed with SIGKILL, and started again on the same
 * data and port.
 *
 * The guard of an embedded server knows only the postmaster that it started. One that was started here is stopped when
 * the scope closes, which has to be before the embedded server's. Should this process be killed in between, it ends by
 * itself within a minute of the guard's removing its folder.
 */
import { PgConnection } from "@effect/sql-pg"
import { Effect } from "effect"
import type { Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { execFile, spawn } from "node:child_process"
import { chownSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import type { EmbeddedPostgres } from "querypool/embedded"
import { prepareInstallation, serverAccount, serverEnvironment } from "../../src/embedded/Installation.ts"
import { waitUntil } from "./waitUntil.ts"

/** "fast" ends every session with 57P01; "immediate" leaves at once, and the next start recovers. */
export type StopMode = "fast" | "immediate"

type WaitError = Effect.Error<ReturnType<typeof waitUntil<never, never>>>

export interface ServerProcess {
  /** The folder of its data. */
  readonly data: string
  /** Of the postmaster that runs now, or ran last. */
  readonly postmaster: () => number
  /** Stops the server, "fast" unless said otherwise, and waits until all of its processes have ended. */
  readonly stop: (mode?: StopMode) => Effect.Effect<void, WaitError>
  /** Kills the postmaster with SIGKILL; its backends notice, each in its own time. */
  readonly kill: Effect.Effect<void, WaitError>
  /** Kills one process with SIGKILL: of a backend, then the server ends every session (57P02) and recovers. */
  readonly killBackend: (pid: number) => Effect.Effect<void>
  /** Starts the server again once every process of the last one has ended, and waits until it lets somebody in. */
  readonly start: Effect.Effect<void, WaitError>
  /** Waits until somebody is let in. */
  readonly ready: Effect.Effect<void, WaitError>
}

/** The processes of an embedded server, which stays what it was made for: gone when its own scope closes. */
export const make = Effect.fnUntraced(function* (
  server: EmbeddedPostgres["Service"]
): Effect.fn.Return<ServerProcess, SqlError, Scope.Scope> {
  const ask = Effect.fnUntraced(function* (sql: string) {
    const connection = yield* PgConnection.make({ url: server.url, applicationName: "server process" })
    const [row] = yield* connection.queryValues(sql)
    return String(row?.[0])
  }, Effect.scoped)
  const data = yield* ask("show data_directory")
  const { postgres } = yield* Effect.promise(() => prepareInstallation())
  let postmaster = server.processId
  let family: ReadonlyArray<number> = []
  let startedHere = false

  const signalPostmaster = (signal: NodeJS.Signals) =>
    Effect.promise(async () => {
      family = [postmaster, ...(await childrenOf(postmaster))]
      send(postmaster, signal)
    })
  const postmasterGone = waitUntil(
    "the postmaster is gone",
    Effect.sync(() => !isAlive(postmaster))
  )
  const familyGone = waitUntil(
    "every process of the server has ended",
    Effect.sync(() => !family.some(isAlive))
  )
  const ready = waitUntil("the server lets somebody in", Effect.isSuccess(ask("select 1")))
  const stop = (mode: StopMode = "fast") => Effect.andThen(signalPostmaster(stopSignals[mode]), familyGone)
  const start = Effect.gen(function* () {
    yield* familyGone
    const child = spawn(postgres, ["-D", data], {
      ...serverAccount(),
      env: serverEnvironment(),
      cwd: "/",
      stdio: "ignore"
    })
    postmaster = child.pid ?? NaN
    startedHere = true
    yield* ready
  })

  yield* Effect.addFinalizer(() => (startedHere && isAlive(postmaster) ? Effect.orDie(stop("immediate")) : Effect.void))
  return {
    data,
    postmaster: () => postmaster,
    stop,
    kill: Effect.andThen(signalPostmaster("SIGKILL"), postmasterGone),
    killBackend: (pid) => Effect.sync(() => send(pid, "SIGKILL")),
    start,
    ready
  }
})

/** Makes a standby of a server: one that waits for a primary which never comes, and lets others read meanwhile. */
export const degrade = Effect.fnUntraced(function* (
  embedded: EmbeddedPostgres["Service"]
): Effect.fn.Return<void, SqlError | WaitError, Scope.Scope> {
  const server = yield* make(embedded)
  yield* server.stop()
  const { gid, uid } = serverAccount()
  const signal = join(server.data, "standby.signal")
  writeFileSync(signal, "")
  if (uid !== undefined && gid !== undefined) chownSync(signal, uid, gid)
  yield* server.start
})

const stopSignals: Readonly<Record<StopMode, NodeJS.Signals>> = { fast: "SIGINT", immediate: "SIGQUIT" }

const childrenOf = async (parent: number): Promise<ReadonlyArray<number>> => {
  const { stdout } = await promisify(execFile)("ps", ["-axo", "pid=,ppid="])
  return stdout
    .split("\n")
    .map((line) => line.trim().split(/ +/).map(Number))
    .flatMap(([pid, ppid]) => (pid !== undefined && ppid === parent ? [pid] : []))
}

const send = (pid: number, signal: NodeJS.Signals | 0): void => {
  // 0 and negative ids would be whole groups of processes.
  if (!(pid > 0)) throw new Error(`Expected the id of a process, got ${pid}`)
  process.kill(pid, signal)
}

const isAlive = (pid: number): boolean => {
  try {
    send(pid, 0)
    return true
  } catch {
    return false
  }
}
