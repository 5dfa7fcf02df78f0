/**
 * A server that cannot outlive the process that owns it.
 *
 * The owner spawns a guard, a shell in a session of its own, and the guard alone makes the folder and spawns the
 * server: there is no moment at which a server exists without its guard. The guard's standard input is a pipe whose
 * other end only the owner holds. However the owner ends, the pipe closes, and the guard stops the server and removes
 * the folder. An orderly stop does the same, after a line that asks for a fast shutdown.
 *
 *     the owner writes                  the guard
 *     a statement, the settings,        makes the folder, takes the lease, copies the cluster,
 *     an empty line                     runs the statement, starts the server; says so when the server has ended
 *     one more line                     SIGINT: fast shutdown
 *     the end of the pipe               SIGQUIT: immediate shutdown; removes the folder and exits
 *
 * Failures: a server and its folder stay behind only when the guard is killed too. The lease tells so without any
 * process id, which could be another process by now, or belong to another container: it is a FIFO that guard and owner
 * keep open for reading, and opening it for writing fails exactly if neither lives. Who starts a server next sweeps the
 * folders whose lease nobody holds.
 */
import { execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { closeSync, constants, openSync } from "node:fs"
import { lstat, open, readdir, readFile, rm, stat } from "node:fs/promises"
import { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { type Installation, isOpenToServers, serverAccount, serverEnvironment } from "./Installation.ts"

/** A guard and the server it keeps. */
interface ServerGuard {
  readonly folder: string
  /** Waits until the server accepts connections; answers its process id. */
  readonly ready: (signal: AbortSignal) => Promise<number>
  /** The last lines of the server's log. */
  readonly log: () => Promise<string>
  /** Stops the server, waits until it is gone and removes its folder. */
  readonly stop: () => Promise<void>
}

const prefix = "querypool-postgres-"

// Copying the cluster and starting take 0.1 s on an idle machine and seconds on a busy one.
const readyMillis = 60_000

// A server with fsync off that has 128 MB of changed pages to write needs a fraction of it.
const shutdownMillis = 5_000

// How often a shutdown is asked for; see below why once is not enough.
const repeatMillis = 100

// The guard takes milliseconds from making a folder to taking its lease.
const leaselessMillis = 60_000

// PostgreSQL starts in about 25 ms, to which this adds a tenth on average.
const pollMillis = 5

const logLines = 20

// Signals are ignored so that one sent to every process (a service manager's stop) leaves the cleaning to the guard;
// without PIPE its first word after the owner's death would kill it. The server gets neither the pipe nor the lease.
// The lease gets its name once it is held, so that no sweep finds it free before. A shell starts what runs in its
// background with INT and QUIT ignored: until the server has its own handlers a signal is lost, so they are repeated.
// A server that was killed leaves its pid file and shared memory, of which systems have little (macOS 32 segments).
// The next start frees that as soon as the last backend has ended; as a standby it fails right after, before recovery.
const script = `
trap '' HUP INT TERM PIPE
umask 077
exec 3<&0
folder=$1 cluster=$2 postgres=$3
prepare() {
  mkdir "$folder" && mkfifo "$folder/new" || return
  exec 2>>"$folder/log" 4<>"$folder/new"
  mv "$folder/new" "$folder/lease" && cp -R "$cluster" "$folder/data" && IFS= read -r statement || return
  printf '%s\\n' "$statement" |
    "$postgres" --single -F -c log_checkpoints=off -D "$folder/data" postgres >/dev/null || return
  while IFS= read -r setting && [ -n "$setting" ]; do
    printf '%s\\n' "$setting"
  done >>"$folder/data/postgresql.conf"
}
if prepare; then
  "$postgres" -D "$folder/data" </dev/null >>"$folder/log" 3<&- 4<&- &
  server=$!
  (while read -r line; do kill -INT "$server"; done <&3; while kill -QUIT "$server"; do sleep .1; done) &
  stopper=$!
  wait "$server"
  kill -KILL "$stopper"
fi
echo ended
while read -r line; do :; done
tries=0
while [ -e "$folder/data/postmaster.pid" ] && [ "$tries" -lt 50 ]; do
  : >"$folder/data/standby.signal"
  "$postgres" --single -D "$folder/data" postgres </dev/null >/dev/null
  tries=$((tries + 1))
  sleep .1
done
rm -rf "$folder"
`

/** Starts a guard, and thereby a server: synchronously, so that nothing can come between it and its release. */
export const spawnGuard = (
  { cluster, postgres }: Installation,
  parent: string,
  statement: string,
  settings: ReadonlyArray<string>
): ServerGuard => {
  const folder = join(parent, prefix + randomBytes(6).toString("hex"))
  const child = spawn("/bin/sh", ["-c", script, "querypool-guard", folder, cluster, postgres], {
    ...serverAccount(),
    env: serverEnvironment(),
    cwd: "/",
    detached: true
  })
  let complaint = ""
  let lease: number | undefined
  let hasEnded = false
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve())
    child.once("error", (error) => {
      complaint += error.message
      resolve()
    })
  })
  const ended = Promise.race([new Promise((resolve) => child.stdout.once("data", resolve)), exited]).then(() => {
    hasEnded = true
  })
  child.stderr.on("data", (chunk) => (complaint += chunk))
  // A guard that was killed makes writing fail, and an error event without a listener would end this process.
  child.stdin.on("error", () => {})
  child.stdin.write([statement, ...settings, "", ""].join("\n"))

  // A server that nobody stops must not keep this process from ending, since its end is what stops the server.
  const keepAlive = (keep: boolean): void => {
    for (const handle of [child, ...child.stdio]) {
      if (handle === child || handle instanceof Socket) handle[keep ? "ref" : "unref"]()
    }
  }

  const ready = async (signal: AbortSignal): Promise<number> => {
    const deadline = performance.now() + readyMillis
    while (performance.now() < deadline) {
      const { pid, isReady } = await readPostmaster(folder)
      if (isReady) {
        lease = openSync(join(folder, "lease"), constants.O_RDONLY | constants.O_NONBLOCK)
        keepAlive(false)
        return pid
      }
      if (hasEnded) throw new Error("it ended before it was ready.")
      await sleep(pollMillis, undefined, { signal })
    }
    throw new Error(`it was not ready within ${readyMillis / 1000} seconds.`)
  }

  const log = async (): Promise<string> => {
    const text = await readFile(join(folder, "log"), "utf8").catch(() => complaint)
    return text.trimEnd().split("\n").slice(-logLines).join("\n")
  }

  const stop = async (): Promise<void> => {
    keepAlive(true)
    const ask = (): boolean => child.stdin.write("\n")
    const asking = setInterval(ask, repeatMillis)
    ask()
    await within(ended, shutdownMillis)
    clearInterval(asking)
    child.stdin.end()
    await within(exited, shutdownMillis)
    // Nothing is left for this unless the guard was killed, or waits for a server that obeys no signal but KILL.
    await removeServer(folder)
    await within(exited, shutdownMillis)
    if (lease !== undefined) closeSync(lease)
  }

  let stopping: Promise<void> | undefined
  return { folder, ready, log, stop: () => (stopping ??= stop()) }
}

/** Where servers live: root's must be below folders that `nobody` can enter, and in one that it can write. */
export const serverFolders = async (): Promise<string> => {
  const folder = tmpdir()
  if (serverAccount().uid === undefined) return folder
  const isOpen = ((await stat(folder)).mode & 0o002) !== 0 && (await isOpenToServers(folder))
  return isOpen ? folder : "/tmp"
}

/** Stops and removes the servers that no living process owns or guards. */
export const sweepAbandonedServers = async (parent: string): Promise<void> => {
  const names = await readdir(parent).catch(() => [])
  const folders = names.filter((name) => name.startsWith(prefix)).map((name) => join(parent, name))
  // Another process may be sweeping the same folder, and nobody's leftovers are a reason not to start.
  await Promise.all(folders.map((folder) => sweep(folder).catch(() => {})))
}

const sweep = async (folder: string): Promise<void> => {
  const { uid, mtimeMs } = await lstat(folder)
  // Anybody can make a folder of that name where everybody can write.
  if (uid !== (serverAccount().uid ?? process.getuid?.())) return
  const state = await leaseOf(folder)
  if (state === "free" || (state === "missing" && mtimeMs < Date.now() - leaselessMillis)) await removeServer(folder)
}

const leaseOf = async (folder: string): Promise<"held" | "free" | "missing"> => {
  try {
    await (await open(join(folder, "lease"), constants.O_WRONLY | constants.O_NONBLOCK)).close()
    return "held"
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined
    return code === "ENXIO" ? "free" : code === "ENOENT" ? "missing" : "held"
  }
}

const removeServer = async (folder: string): Promise<void> => {
  const { pid } = await readPostmaster(folder)
  for (const signal of ["SIGQUIT", "SIGKILL"] as const) {
    const deadline = performance.now() + shutdownMillis
    while ((await isServerOf(folder, pid)) && performance.now() < deadline) {
      sendSignal(pid, signal)
      await sleep(pollMillis)
    }
  }
  // A copy that its killed guard began may still be adding files.
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 })
}

/** Whether a process is the server of this folder: its id may have been given to another since it was written down. */
const isServerOf = async (folder: string, pid: number): Promise<boolean> => {
  const command =
    process.platform === "linux"
      ? readFile(`/proc/${pid}/cmdline`, "utf8")
      : promisify(execFile)("ps", ["-ww", "-o", "command=", "-p", `${pid}`]).then(({ stdout }) => stdout)
  return (await command.catch(() => "")).includes(folder)
}

const sendSignal = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch {
    // It has just ended.
  }
}

/** PostgreSQL's own pid file: the first line is the process id (negated while it runs alone), the eighth its status. */
const readPostmaster = async (folder: string): Promise<{ readonly pid: number; readonly isReady: boolean }> => {
  const lines = (await readFile(join(folder, "data", "postmaster.pid"), "utf8").catch(() => "")).split("\n")
  return { pid: Math.abs(Number(lines[0])), isReady: lines[7]?.startsWith("ready") === true }
}

const within = (promise: Promise<unknown>, millis: number): Promise<unknown> =>
  Promise.race([promise, sleep(millis, undefined, { ref: false })])
