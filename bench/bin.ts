/** `npm run -s bench -- [suite…]`: measures, prints and keeps figures. See README.md. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer, Runtime, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { BenchDatabase, BenchServer } from "./Database.ts"
import { measure } from "./Harness.ts"
import { describeMachine } from "./Machine.ts"
import { Python } from "./peers/python.ts"
import { save, writeReadme } from "./Results.ts"
import type { Effort, Suite } from "./Suite.ts"
import { background } from "./suites/background.ts"
import { cancel } from "./suites/cancel.ts"
import { eventLoop } from "./suites/eventLoop.ts"
import { exports } from "./suites/export.ts"
import { lookups } from "./suites/lookups.ts"
import { million } from "./suites/million.ts"
import { rows } from "./suites/rows.ts"
import { partition } from "./suites/partition.ts"
import { six } from "./suites/six.ts"
import { targets } from "./suites/targets.ts"
import { skew } from "./suites/skew.ts"
import { telemetry } from "./suites/telemetry.ts"
import { terminalTable } from "./Table.ts"

const suites: ReadonlyArray<Suite> = [
  lookups,
  million,
  rows,
  six,
  eventLoop,
  cancel,
  skew,
  partition,
  targets,
  exports,
  telemetry,
  background
]

class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { message: Schema.String }) {
  override readonly [Runtime.errorExitCode] = 2
}

const choose = (names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Suite>, UsageError> => {
  const known = suites.map((suite) => suite.name)
  const unknown = names.filter((name) => !known.includes(name))
  return unknown.length > 0
    ? Effect.fail(new UsageError({ message: `Unknown suite: ${unknown.join(", ")}. Known: ${known.join(", ")}` }))
    : Effect.succeed(names.length === 0 ? suites : suites.filter((suite) => names.includes(suite.name)))
}

/** Runs the cases of a suite on a database of its own. */
const runSuite = Effect.fnUntraced(
  function* (suite: Suite, effort: Effort, keep: boolean) {
    yield* Console.error(`${suite.name}: loading`)
    const cases = yield* suite.cases(effort)
    const rounds = cases.every(({ once }) => once === true) ? 1 : effort.rounds
    const results = yield* Effect.forEach(cases, (case_) =>
      Effect.scoped(Effect.flatMap(case_.subjects, (subjects) => measure(suite.name, case_, subjects, effort)))
    )
    const measurements = results.flat()
    if (keep) {
      const machine = yield* describeMachine
      yield* save(suite.name, { about: suite.about(effort), rounds, machine, results: measurements })
    }
    return measurements
  },
  Effect.scoped,
  Effect.provide(BenchDatabase.layer, { local: true })
)

const quickEffort: Effort = { quick: true, scale: 1, rounds: 1 }

const flag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

// Among more branches, the sixth query's `limit 1000` would be free to choose, and subjects could rightly differ.
const maxScale = 1000

const bench = Command.make(
  "bench",
  {
    names: Argument.String("suite").pipe(
      Argument.withDescription(`${suites.map((suite) => suite.name).join(", ")}; all of them by default`),
      Argument.variadic()
    ),
    quick: flag("quick", "One short round of little work, to see that everything runs"),
    json: flag("json", "Print the figures as JSON"),
    save: flag("save", "Keep the figures in bench/results"),
    table: flag("table", "Measure nothing; write the kept figures into README.md"),
    scale: Flag.Int("scale").pipe(
      Flag.withDescription(`Scale of the pgbench tables, 1 to ${maxScale}`),
      Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxScale }))),
      Flag.withDefault(10)
    ),
    rounds: Flag.Int("rounds").pipe(
      Flag.withDescription("How many rounds count"),
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
      Flag.withDefault(5)
    )
  },
  Effect.fn("bench")(
    function* ({ json, names, quick, rounds, save, scale, table }) {
      if (table) return yield* Console.error(`README.md: wrote ${(yield* writeReadme).join(", ") || "nothing"}`)
      if (quick && save)
        return yield* new UsageError({ message: "--quick --save: figures of a quick run mean nothing" })
      const chosen = yield* choose(names)
      const effort: Effort = quick ? quickEffort : { quick, scale, rounds }
      const results = yield* Effect.forEach(chosen, (suite) => runSuite(suite, effort, save)).pipe(
        Effect.provide(Layer.merge(BenchServer.layer, Python.layer))
      )
      yield* Console.log(json ? JSON.stringify(results.flat(), null, 2) : results.map(terminalTable).join("\n"))
    },
    Effect.tapError((error) => Console.error(error.message)),
    Effect.mapError((error) => Object.assign(error, { [Runtime.errorReported]: false }))
  )
).pipe(Command.withDescription("Compare querypool with its peers, on equal results only"))

bench.pipe(Command.run({ version: "0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
