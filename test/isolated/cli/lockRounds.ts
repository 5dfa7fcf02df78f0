/**
 * Takes the lock of a folder again and again, each time beside one that a process has left which is gone, and writes
 * what came of it: how often it had the folder, and how often it was not the only one.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Result } from "effect"
import { closeSync, openSync, rmSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { lock } from "../../../src/cli/FolderLock.ts"

const [folder = "", rounds = "0", gone = "0"] = process.argv.slice(2)
let had = 0
let shared = 0

/** Makes a file that was not there. */
const isMade = (path: string): boolean => {
  try {
    closeSync(openSync(path, "wx"))
    return true
  } catch {
    return false
  }
}

const once = (round: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const stale = JSON.stringify({ pid: Number(gone), host: hostname() })
      const name = `lock.${gone}-${process.pid.toString(16)}${round.toString(16)}`
      writeFileSync(join(folder, name), stale)
      const taken = yield* Effect.result(lock(folder, folder))
      if (Result.isFailure(taken)) {
        if (!taken.failure.message.includes("another run")) return yield* taken.failure
        return
      }
      had++
      const mine = join(folder, "mine")
      if (!isMade(mine)) {
        shared++
        return
      }
      for (let turn = 0; turn < 20; turn++) yield* Effect.promise(() => new Promise((done) => setImmediate(done)))
      rmSync(mine)
    })
  )

await Effect.runPromise(
  Effect.forEach(
    Array.from({ length: Number(rounds) }, (_, round) => round),
    once,
    { discard: true }
  ).pipe(Effect.provide(NodeServices.layer))
)
process.stdout.write(JSON.stringify({ had, shared }))
