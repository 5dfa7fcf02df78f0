/**
 * Fails a test that leaves something behind. What a test finds when it begins (a layer that its suite shares) may be
 * there when it ends; nothing else may.
 *
 * Detected, by identity of kind and by number:
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
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, afterEach, beforeEach } from "vitest"

/** What async_hooks calls what a test must not leave behind, and what we call it. */
const kinds: Readonly<Record<string, string>> = {
  "effect/Fiber": "suspended fiber",
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
export type Allowance = Readonly<Record<string, number>>

/** What else a test must not leave behind. */
export interface Check {
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

const count = (): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const kind of alive.values()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

const folders = (): ReadonlyArray<string> =>
  readdirSync(temporaryFolder).filter((name) => name.startsWith("querypool-"))

/** What is there when a test begins. */
export const takeStock = () => {
  for (const check of checks) check.begin()
  return { counts: count(), folders: new Set(folders()) }
}

/** What has been added since. */
export const findLeaks = async (before: ReturnType<typeof takeStock>): Promise<ReadonlyArray<string>> => {
  const found = await Promise.all(Array.from(checks, (check) => check.end()))
  const leaks = found.flatMap((one) => one.leaks)
  for (const [kind, now] of count()) {
    const allowed = found.reduce((total, one) => total + (one.allowed[kind] ?? 0), before.counts.get(kind) ?? 0)
    if (now > allowed) leaks.push(`${now - allowed} × ${kind}`)
  }
  for (const folder of folders()) if (!before.folders.has(folder)) leaks.push(`folder ${folder}`)
  return leaks
}

// A closed socket's end reaches the server, and a handle's end its hook, a moment later.
const patienceMillis = 3_000
const pollMillis = 5

/** What has been added since and does not go away. */
export const findLastingLeaks = async (before: ReturnType<typeof takeStock>): Promise<ReadonlyArray<string>> => {
  const deadline = performance.now() + patienceMillis
  let leaks = await findLeaks(before)
  while (leaks.length > 0 && performance.now() < deadline) {
    await sleep(pollMillis)
    leaks = await findLeaks(before)
  }
  return leaks
}

let before = takeStock()

beforeEach(() => {
  before = takeStock()
})

afterEach(async () => {
  const leaks = await findLastingLeaks(before)
  if (leaks.length > 0) throw new Error(`The test left behind: ${leaks.join(", ")}`)
})
