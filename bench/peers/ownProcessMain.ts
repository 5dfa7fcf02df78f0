/** `node ownProcessMain.ts lookups|rows|export|tasks way count`: goes the way once, and prints what it took as a line of JSON. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Effect, Schema } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { collectGarbage } from "../Harness.ts"
import { elapsedSeconds } from "../Job.ts"
import { BenchError, failAs } from "../Suite.ts"
import type { Way } from "../Tally.ts"
import { exportWays } from "./exportWays.ts"
import { lookupWays } from "./lookupWays.ts"
import { SpentJson } from "./ownProcess.ts"
import { rowWays } from "./rowWays.ts"
import { taskWays } from "./taskWays.ts"

const server = Config.all({
  host: Config.String("PGHOST"),
  port: Config.Int("PGPORT"),
  username: Config.String("PGUSER"),
  password: Config.Redacted("PGPASSWORD"),
  database: Config.String("PGDATABASE")
})

const ways: Readonly<Record<string, Readonly<Record<string, Way>>>> = {
  lookups: lookupWays,
  rows: rowWays,
  export: exportWays,
  tasks: taskWays
}

const [kind = "", name = "", count = ""] = process.argv.slice(2)

const kibibyte = 1024

/** Of this program alone: where the system tells only of the process, that was its parent's before this one was started. */
const peak = (): number => {
  const status = "/proc/self/status"
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(existsSync(status) ? readFileSync(status, "utf8") : "") ?? []
  return (kibibytes === undefined ? process.resourceUsage().maxRSS : Number(kibibytes)) * kibibyte
}

const kept = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

const main = Effect.gen(function* () {
  const way = ways[kind]?.[name]
  if (way === undefined) return yield* new BenchError({ message: `Unknown: ${kind} ${name}` })
  const { check, work } = yield* way(yield* server, Number(count))
  const keptBefore = kept()
  const before = process.cpuUsage()
  const [seconds, found] = yield* elapsedSeconds(work)
  const { system, user } = process.cpuUsage(before)
  const peakBytes = peak()
  const keptBytes = kept() - keptBefore
  const { rows, sum } = check === undefined ? found : yield* check(found)
  const spent = { rows, sum, seconds, cpuSeconds: (system + user) / 1e6, peakBytes, keptBytes }
  yield* Console.log(yield* Schema.encodeEffect(SpentJson)(spent))
})

main.pipe(failAs(`${kind} ${name}`), Effect.scoped, NodeRuntime.runMain)
