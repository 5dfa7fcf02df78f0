/**
 * Fails a test that leaves something behind. What a test finds when it begins (a layer that its suite shares) may be
 * there when it ends; nothing else may.
 *
 * Detected:
 * - a fiber that is suspended: effect gives each one an AsyncResource of type `effect/Fiber` for as long as it waits;
 * - a socket, a server, a pipe, a child process, a worker, also one that does not keep the process alive;
 * - a folder or file in the temporary folder whose name starts with `querypool-`: each test file gets a temporary folder
 *   of its own, so that those of other files do not disturb;
 * - what others add with `alsoCheck`: `Pg.ts` adds backends on the server and pools whose layer was not closed.
 *
 * Not detected: a fiber that nothing can wake any more and that the garbage collector has taken; timers; memory; a
 * second idle connection or reaper of a pool that the whole suite shares.
 */
import { createHook } from "node:async_hooks"
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setImmediate, setTimeout as sleep } from "node:timers/promises"
import { afterAll, afterEach, beforeEach } from "vitest"

const fiber = "suspended fiber"

/** What async_hooks calls what a test must not leave behind, and what we call it. */
const kinds: Readonly<Record<string, string>> = {
  "effect/Fiber": fiber,
  TCPWRAP: "socket",
  PIPEWRAP: "pipe",
  TCPSERVERWRAP: "server",
  PIPESERVERWRAP: "server on a path",
  PROCESSWRAP: "child process",
  WORKER: "worker"
}

const alive = new Map<number, string>()

createHook({
  init(id, type) {
    const kind = kinds[type]
    if (kind !== undefined) alive.set(id, kind)
  },
  destroy(id) {
    alive.delete(id)
  },
  // Promises are many and none of the above.
  trackPromises: false
}).enable()

const temporaryFolder = mkdtempSync(join(tmpdir(), "querypool-test-"))
const outerTemporaryFolder = process.env["TMPDIR"]
// Servers that root starts run as another user, who has to get at their folders.
chmodSync(temporaryFolder, 0o1777)
process.env["TMPDIR"] = temporaryFolder

afterAll(() => {
  rmSync(temporaryFolder, { recursive: true, force: true })
  if (outerTemporaryFolder === undefined) delete process.env["TMPDIR"]
  else process.env["TMPDIR"] = outerTemporaryFolder
})

/** How many of each kind may be there beside those that were there before. */
type Allowance = Readonly<Record<string, number>>

/** What else a test must not leave behind. */
interface Check {
  /** Called when a test begins. */
  readonly begin: () => void
  /** Says what was left, and what is allowed for. */
  readonly end: () => Promise<{ readonly leaks: ReadonlyArray<string>; readonly allowed: Allowance }>
}

const checks = new Set<Check>()

/** Adds a check to those after each test of this file; gives what takes it away again. */
export const alsoCheck = (check: Check): (() => void) => {
  checks.add(check)
  return () => checks.delete(check)
}

const folders = (): ReadonlyArray<string> =>
  readdirSync(temporaryFolder).filter((name) => name.startsWith("querypool-"))

const numberOfFibers = (): number => alive.values().reduce((count, kind) => (kind === fiber ? count + 1 : count), 0)

/** Hooks are told of an end at the next turn of the event loop: until then, what has ended counts as alive. */
const endsAreTold = setImmediate

/** What is there when a test begins. */
export const takeStock = async () => {
  for (const check of checks) check.begin()
  await endsAreTold()
  return { ids: new Set(alive.keys()), fibers: numberOfFibers(), folders: new Set(folders()) }
}

/** What has been added since. */
export const findLeaks = async (before: Awaited<ReturnType<typeof takeStock>>): Promise<ReadonlyArray<string>> => {
  const found = await Promise.all(Array.from(checks, (check) => check.end()))
  const leaks = found.flatMap((one) => one.leaks)
  await endsAreTold()
  // A fiber has another resource each time it waits, so only their number says anything.
  const added = new Map([[fiber, numberOfFibers() - before.fibers]])
  for (const [id, kind] of alive) {
    if (kind !== fiber && !before.ids.has(id)) added.set(kind, (added.get(kind) ?? 0) + 1)
  }
  for (const [kind, count] of added) {
    const excess = found.reduce((rest, one) => rest - (one.allowed[kind] ?? 0), count)
    if (excess > 0) leaks.push(`${excess} × ${kind}`)
  }
  for (const folder of folders()) if (!before.folders.has(folder)) leaks.push(`folder ${folder}`)
  return leaks
}

// A closed socket's end reaches the server, and a handle's end its hook, a moment later.
const patienceMillis = 3_000
const pollMillis = 5

/** What has been added since and does not go away. */
export const findLastingLeaks = async (
  before: Awaited<ReturnType<typeof takeStock>>
): Promise<ReadonlyArray<string>> => {
  const deadline = performance.now() + patienceMillis
  let leaks = await findLeaks(before)
  while (leaks.length > 0 && performance.now() < deadline) {
    await sleep(pollMillis)
    leaks = await findLeaks(before)
  }
  return leaks
}

let before: Awaited<ReturnType<typeof takeStock>>

beforeEach(async () => {
  before = await takeStock()
})

afterEach(async () => {
  const leaks = await findLastingLeaks(before)
  if (leaks.length > 0) throw new Error(`The test left behind: ${leaks.join(", ")}`)
})
