/**
 * `querypool plan`: in which order the queries of .sql files would run, without running or connecting.
 *
 * @internal
 */
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { estimates } from "../query/Learning.ts"
import * as Plan from "../query/Plan.ts"
import { UsageError } from "./CliFailure.ts"
import * as Durations from "./Durations.ts"
import { planOf, withEstimates } from "./FilePlan.ts"
import { planFlags } from "./PlanFlags.ts"
import { factsOf, toTable } from "./PlanOutput.ts"
import { readQueries } from "./QueryFiles.ts"
import { stdoutScreen } from "./Screens.ts"
import { switchFlag } from "./SwitchFlag.ts"

const flags = {
  ...planFlags,
  mermaid: switchFlag("mermaid", "Print the text of a picture, for Mermaid"),
  json: switchFlag("json", "Print one JSON document")
}

const summary = "Show the order in which the queries of .sql files would run"

const description = `${summary}

  Nothing is run, and no database is asked. The table has a wave for each step
  of queries that could run at once, and of each query what it needs, how long
  it is expected to take, if that is known, how long it and all that need it
  take from there, and its place in the order in which they would start.

  A header line \`-- needs: a, b\` under a query's name, or at the top of a file
  for all of its queries, names queries of any of the files. --select chooses
  queries by their names or tags, and may be given again for more.`

/** @internal */
export const planCommand = Command.make(
  "plan",
  flags,
  Effect.fnUntraced(function* ({ concurrency, json, mermaid, order, paths, select }) {
    if (json && mermaid) {
      return yield* new UsageError({ message: "--json and --mermaid print two different things. Give one of them" })
    }
    const checked = yield* planOf(yield* readQueries(paths), select)
    const learned = yield* Effect.provide(estimates(checked.queries), Durations.layer(checked.queries))
    const filePlan = yield* withEstimates(checked, learned)
    if (mermaid) return yield* Console.log(Plan.toMermaid(filePlan.plan))
    const facts = factsOf(filePlan, Math.min(concurrency, filePlan.queries.length), order)
    yield* Console.log(json ? JSON.stringify(facts, undefined, 2) : toTable(facts, stdoutScreen()))
  })
).pipe(
  Command.withDescription(description),
  Command.withShortDescription(summary),
  Command.withExamples([
    { command: "querypool plan queries/ --concurrency 3", description: "A folder of queries, three at a time" },
    { command: "querypool plan queries/ --mermaid > plan.mmd", description: "A picture of what needs what" }
  ])
)
