import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { execFileSync } from "node:child_process"
import { availableParallelism } from "node:os"
import { waitUntil } from "../../support/waitUntil.ts"
import { querypool, start } from "./Command.ts"

const Demo = Schema.Struct({
  postgres: Schema.String,
  cpus: Schema.Int,
  scale: Schema.Int,
  queries: Schema.Array(Schema.Struct({ name: Schema.String, rows: Schema.Int, seconds: Schema.Finite })),
  runs: Schema.Array(
    Schema.Struct({
      workers: Schema.Int,
      seconds: Schema.Finite,
      speedup: Schema.Finite,
      lowerBoundSeconds: Schema.Finite,
      efficiency: Schema.Finite
    })
  )
})

const childOf = (pid: number, program: string): number => {
  const children = execFileSync("ps", ["-o", "pid=,comm=", "--ppid", String(pid)], { encoding: "utf8" })
  const [line = assert.fail(`${pid} has no ${program}`)] = children.split("\n").filter((one) => one.endsWith(program))
  return parseInt(line, 10)
}

describe("the demo", () => {
  it.live("measures six queries, serially and with each number of workers", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* querypool(["demo", "--scale", "1", "--workers", "3,2,2,1", "--json"])
      const demo = yield* Schema.decodeEffect(Schema.fromJsonString(Demo))(stdout, { onExcessProperty: "error" })
      assert.deepStrictEqual(
        demo.queries.map(({ name, rows }) => [name, rows]),
        [
          ["01-tellers", 10],
          ["02-accounts-per-branch", 1],
          ["03-branches", 1],
          ["04-branches-in-accounts", 1],
          ["05-thousand-accounts", 1000],
          ["06-accounts-per-branch-limited", 1]
        ]
      )
      assert.deepInclude(demo, { cpus: availableParallelism(), scale: 1 })
      assert.match(demo.postgres, /^\d+\.\d+$/)
      assert.deepStrictEqual(
        demo.runs.map(({ workers }) => workers),
        [1, 3, 2]
      )
      assert.strictEqual(demo.runs[0]?.speedup, 1)
      for (const { efficiency, lowerBoundSeconds, seconds, speedup } of demo.runs) {
        assert.closeTo(efficiency, lowerBoundSeconds / seconds, 0.01)
        assert.closeTo(speedup, (demo.runs[0]?.seconds ?? 0) / seconds, 0.01)
      }
      assert.match(stderr, /^Loading 100,000 accounts into a throw-away PostgreSQL …\n(Running 6 queries, .* …\n){3}$/)
      assert.strictEqual(code, 0)
    })
  )

  it.live("shows people what was measured, on what, and what bounds it", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* querypool(["demo", "--scale", "1", "--workers", "2"])
      const [title = "", , ...rest] = stdout.split("\n")
      assert.match(title, /^PostgreSQL \d+\.\d+, scale 1, \d+ processors, no parallel plans, median of 3 runs$/)
      assert.match(rest[0] ?? "", /^query +rows +took$/)
      assert.match(stdout, /\n05-thousand-accounts +1,000 +[\d.]+ ms\n/)
      assert.match(stdout, /\n +serial +\d+\.\d{3} +1\.00 x +\d+\.\d{3} +\d+ %\n +2 +/)
      assert.match(stdout, /\n\nThe .+\.\n$/)
      assert.strictEqual(code, 0)
    })
  )

  it.live("says what became of its server in a line, and takes no blame for it", () =>
    Effect.gen(function* () {
      const running = yield* start(["demo", "--scale", "10"])
      yield* waitUntil(
        "its queries run",
        Effect.sync(() => running.soFar().stderr.includes("Running"))
      )
      const server = childOf(childOf(running.pid, "sh"), "postgres")
      process.kill(server, "SIGINT")
      const { code, stderr, stdout } = yield* running.ended
      assert.match(stderr, /\nquerypool: .*\n$/)
      assert.notMatch(stderr, /fault of querypool|^ {4}at /m)
      assert.deepStrictEqual({ code, stdout }, { code: 1, stdout: "" })
    }).pipe(Effect.scoped)
  )

  it.live("leaves nothing behind when it is interrupted", () =>
    Effect.gen(function* () {
      const running = yield* start(["demo", "--scale", "50"])
      yield* waitUntil(
        "it loads",
        Effect.sync(() => running.soFar().stderr.startsWith("Loading"))
      )
      running.signal("SIGINT")
      const { code, stdout } = yield* running.ended
      assert.deepStrictEqual({ code, stdout }, { code: 130, stdout: "" })
    }).pipe(Effect.scoped)
  )
})
