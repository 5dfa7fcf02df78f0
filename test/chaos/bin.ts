/**
 * `npm run -s chaos -- --rounds 100 --seed 7`: chaos on a throw-away server, longer than the tests have time for.
 *
 * Round n has the seed `seed + n - 1`. One that goes wrong is printed with its seed, and `--rounds 1 --seed <its seed>`
 * plays it again, as far as timing allows. The command fails when anything was wrong.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Clock, Console, Context, Duration, Effect, FileSystem, Layer, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { EmbeddedPostgres } from "querypool/embedded"
import os from "node:os"
import { fileURLToPath } from "node:url"
import * as Server from "../support/Server.ts"
import * as Commits from "./Commits.ts"
import * as Frozen from "./Frozen.ts"
import * as Interrupts from "./Interrupts.ts"
import type { Stage } from "./Round.ts"
import * as Round from "./Round.ts"
import { schema } from "./Work.ts"

class WentWrong extends Schema.TaggedError<WentWrong>()("WentWrong", { message: Schema.String }) {}

const makeStage = Effect.gen(function* () {
  const context = yield* Layer.build(EmbeddedPostgres.layer({ settings: { max_connections: 200 } }))
  const { url } = Context.get(context, EmbeddedPostgres)
  const server = yield* Server.make(url)
  for (const statement of schema) yield* server.rows(statement)
  return { url, server } satisfies Stage
})

const timed = <A extends object, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(effect), ([duration, result]) => ({
    seconds: Math.round(Duration.toSeconds(duration)),
    ...result
  }))

/** All rounds together. What goes wrong is printed as it happens. */
const runRounds = Effect.fnUntraced(function* (stage: Stage, seed: number, rounds: number) {
  const results: Array<Round.RoundResult> = []
  for (let index = 0; index < rounds; index++) {
    const { describe, ...result } = yield* Round.run(stage, seed + index)
    results.push({ ...result, describe: undefined })
    if (describe === undefined) continue
    yield* Console.error(`--seed ${result.seed} --rounds 1:\n  ${result.wrong.join("\n  ")}\n${describe}`)
  }
  return {
    rounds,
    queries: results.reduce((sum, { queries }) => sum + queries, 0),
    retries: results.reduce((sum, { retries }) => sum + retries, 0),
    outcomes: Round.tally(results.flatMap(({ outcomes }) => Object.entries(outcomes))),
    faults: Round.tally(results.flatMap(({ faults }) => Object.entries(faults))),
    wrong: results.flatMap(({ seed: ofRound, wrong }) => wrong.map((text) => `seed ${ofRound}: ${text}`))
  }
})

const wrongOfCommits = (
  { cuts, commits, misreported, outcomes, twice }: Commits.CommitsResult,
  idempotent: boolean
) => [
  ...(cuts < commits ? [`only ${cuts} of ${commits} commits were cut`] : []),
  ...(twice > 0 ? [`${twice} transactions were written twice`] : []),
  ...(misreported > 0 ? [`${misreported} transactions are not what was said of them`] : []),
  ...(idempotent && outcomes["Succeeded"] !== commits ? ["idempotent transactions failed"] : [])
]

const wrongOfInterrupts = (result: Interrupts.InterruptsResult) => [
  ...(result.busyBackends > 0 ? [`${result.busyBackends} backends were left busy`] : []),
  ...(result.innocent.failed > 0 ? [`${result.innocent.failed} innocent queries failed`] : []),
  ...(result.slotsInUse > 0 ? [`${result.slotsInUse} slots were not given back`] : []),
  ...(result.kept > 0 ? [`${result.kept} interrupted transactions were kept`] : []),
  ...result.unexpected
]

const wrongOfFrozen = ({ outcomes, slotsInUse, afterwards }: Frozen.FrozenResult) => [
  ...Object.keys(outcomes).filter((end) => !end.startsWith("Failed TimedOut")),
  ...Object.keys(afterwards).filter((end) => end !== "Succeeded"),
  ...(slotsInUse > 0 ? [`${slotsInUse} slots were not given back`] : [])
]

const machineOf = Effect.fnUntraced(function* ({ server }: Stage) {
  const [row] = yield* server.rows("select current_setting('server_version') as version")
  const cpus = os.cpus()
  return {
    day: new Date(yield* Clock.currentTimeMillis).toISOString().slice(0, 10),
    cpu: cpus[0]?.model ?? "unknown",
    cores: cpus.length,
    node: process.versions.node,
    postgres: String(row?.["version"])
  }
})

const count = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withDescription(description),
    Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
    Flag.withDefault(0)
  )

const file = fileURLToPath(new URL("../../bench/results/chaos.json", import.meta.url))

const chaos = Command.make(
  "chaos",
  {
    rounds: count("rounds", "Rounds of mixed queries with faults of every kind"),
    commits: count("commits", "Transactions whose COMMIT is cut, of each of four sorts"),
    interrupts: count("interrupts", "Queries that are interrupted, beside innocent ones"),
    thaws: count("thaws", "How often the server is frozen and comes back"),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Of the first round"), Flag.withDefault(1)),
    save: Flag.Boolean("save").pipe(
      Flag.withDescription("Keep the figures in bench/results/chaos.json"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("chaos")(function* ({ commits, interrupts, rounds, save, seed, thaws }) {
    const stage = yield* makeStage
    const wrong: Array<string> = []
    const sections: Record<string, unknown> = {}
    if (rounds > 0) {
      const result = yield* timed(runRounds(stage, seed, rounds))
      sections["rounds"] = result
      wrong.push(...result.wrong)
    }
    if (commits > 0) {
      for (const cut of ["answer", "statement"] as const) {
        for (const idempotent of [false, true]) {
          const result = yield* timed(Commits.run(stage, { seed, commits, cut, idempotent }))
          sections[`COMMIT cut: ${cut}, ${idempotent ? "idempotent upsert" : "insert"}`] = result
          wrong.push(...wrongOfCommits(result, idempotent))
        }
      }
    }
    if (interrupts > 0) {
      const result = yield* timed(Interrupts.run(stage, { seed, interrupts }))
      sections["interrupts"] = result
      wrong.push(...wrongOfInterrupts(result))
    }
    if (thaws > 0) {
      const result = yield* timed(Frozen.run(stage, { seed, thaws }))
      sections["frozen server"] = result
      wrong.push(...wrongOfFrozen(result))
    }
    const text = JSON.stringify({ seed, machine: yield* machineOf(stage), ...sections }, null, 2)
    yield* Console.log(text)
    if (save) yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.writeFileString(file, `${text}\n`))
    if (wrong.length > 0) return yield* new WentWrong({ message: wrong.join("\n") })
  }, Effect.scoped)
).pipe(Command.withDescription("Let things go wrong, and see that nothing is lost, left or written twice"))

chaos.pipe(Command.run({ version: "0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
