import { assert, describe, it } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { chown, mkdir, readFile, utimes } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { sweepAbandonedServers } from "../../../src/embedded/ServerGuard.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import {
  foldersIn,
  isAlive,
  killGuards,
  processesIn,
  spawnOwner,
  startOwner,
  temporaryFolder,
  waitUntilNothingIsLeft
} from "./OwnerProcess.ts"

/** The ids of the segments of System V shared memory. */
const sharedMemory = Effect.promise(async () => {
  const { stdout } = await promisify(execFile)("ipcs", ["-m"])
  return stdout.split("\n").map((line) => line.split(/ +/)[1])
})

describe("a server whose owner ends", () => {
  it.effect.each([
    ["plainly", "SIGINT"],
    ["plainly", "SIGTERM"],
    ["plainly", "SIGKILL"],
    ["orderly", "SIGINT"],
    ["orderly", "SIGTERM"]
  ] as const)("ends with it and leaves no folder: %s, %s", ([manner, signal]) =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const owner = yield* startOwner(manner, { TMPDIR })
      assert.lengthOf(yield* foldersIn(TMPDIR), 1)
      assert.isTrue(isAlive(owner.processId))
      yield* owner.signalGroup(signal)
      yield* owner.exited
      yield* waitUntilNothingIsLeft(TMPDIR)
      assert.isFalse(isAlive(owner.processId))
    })
  )

  it.effect("ends with it though a child of the owner lives on", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const owner = yield* startOwner("parental", { TMPDIR })
      const child = owner.child ?? NaN
      yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(child, "SIGKILL")))
      yield* owner.signalGroup("SIGKILL")
      yield* waitUntilNothingIsLeft(TMPDIR)
      assert.isTrue(isAlive(child))
    })
  )

  it.effect("does not keep the owner from ending, and is stopped and removed when nobody closes it", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const owner = yield* startOwner("forgetful", { TMPDIR })
      yield* owner.exited
      yield* waitUntilNothingIsLeft(TMPDIR)
    })
  )

  it.effect.each(["", "lease", "data", "data/postgresql.conf", "data/base", "data/postmaster.pid"])(
    "does not outlive an owner that is killed during the start, when %j has just appeared",
    (path) =>
      Effect.gen(function* () {
        const TMPDIR = yield* temporaryFolder
        const { child } = yield* spawnOwner("plainly", { TMPDIR })
        const hasAppeared = Effect.map(foldersIn(TMPDIR), ([folder]) => folder && existsSync(join(folder, path)))
        yield* waitUntil("the start is that far", Effect.map(hasAppeared, Boolean), 1)
        child.kill("SIGKILL")
        yield* waitUntilNothingIsLeft(TMPDIR)
      })
  )
})

describe("the sweep of the next start", () => {
  it.effect("removes what a killed owner and its killed guard left, and only that", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const abandoned = yield* startOwner("plainly", { TMPDIR })
      const [abandonedFolder = ""] = yield* foldersIn(TMPDIR)
      yield* killGuards(abandonedFolder)
      const unguarded = yield* startOwner("orderly", { TMPDIR })
      const [unguardedFolder = ""] = (yield* foldersIn(TMPDIR)).filter((folder) => folder !== abandonedFolder)
      yield* killGuards(unguardedFolder)
      const guarded = yield* startOwner("orderly", { TMPDIR })

      yield* abandoned.signalGroup("SIGKILL")
      yield* abandoned.exited
      assert.isTrue(isAlive(abandoned.processId))
      assert.lengthOf(yield* foldersIn(TMPDIR), 3)

      const next = yield* startOwner("orderly", { TMPDIR })
      assert.isEmpty(yield* processesIn(abandonedFolder))
      assert.isFalse(existsSync(abandonedFolder))
      assert.lengthOf(yield* foldersIn(TMPDIR), 3)
      for (const { url } of [unguarded, guarded, next]) {
        const connection = yield* PgConnection.make({ url: Redacted.make(url) })
        assert.deepStrictEqual(yield* connection.queryValues("select 1"), [[1]])
      }

      for (const owner of [unguarded, guarded, next]) yield* owner.signalGroup("SIGTERM")
      yield* waitUntilNothingIsLeft(TMPDIR)
    })
  )

  it.effect("removes a folder without a lease only when no start can be under way in it", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const folder = join(TMPDIR, "querypool-postgres-planted")
      yield* Effect.promise(async () => {
        await mkdir(folder)
        if (process.getuid?.() === 0) await chown(folder, 65534, 65534)
        await sweepAbandonedServers(TMPDIR)
      })
      assert.isTrue(existsSync(folder))
      yield* Effect.promise(async () => {
        await utimes(folder, 0, 0)
        await sweepAbandonedServers(TMPDIR)
      })
      assert.isFalse(existsSync(folder))
    })
  )
})

describe("a server that is killed itself", () => {
  it.effect("leaves a folder and shared memory that go with its owner", () =>
    Effect.gen(function* () {
      const TMPDIR = yield* temporaryFolder
      const owner = yield* startOwner("orderly", { TMPDIR })
      const [folder = ""] = yield* foldersIn(TMPDIR)
      const pidFile = yield* Effect.promise(() => readFile(join(folder, "data", "postmaster.pid"), "utf8"))
      const segment = pidFile.split("\n")[6]?.trim().split(/ +/)[1] ?? ""
      assert.include(yield* sharedMemory, segment)

      process.kill(owner.processId, "SIGKILL")
      yield* waitUntil(
        "the server is gone",
        Effect.map(processesIn(folder), (all) => !all.some(({ pid }) => pid === owner.processId))
      )
      assert.lengthOf(yield* foldersIn(TMPDIR), 1)
      assert.include(yield* sharedMemory, segment)

      yield* owner.signalGroup("SIGTERM")
      yield* owner.exited
      yield* waitUntilNothingIsLeft(TMPDIR)
      assert.notInclude(yield* sharedMemory, segment)
    })
  )
})
