/**
 * `querypool run`: the queries of .sql files, many at a time.
 *
 * @internal
 */
import { Clock, Effect, Option } from "effect"
import { Command } from "effect/cli"
import { EmbeddedPostgres } from "../embedded/EmbeddedPostgres.ts"
import { UsageError } from "./CliFailure.ts"
import type { Database } from "./Database.ts"
import { findDatabase } from "./Database.ts"
import { runOn } from "./DatabaseRun.ts"
import { planOf } from "./FilePlan.ts"
import type * as FileRun from "./FileRun.ts"
import { ofProcess } from "./Output.ts"
import { outFlags, whereOf } from "./OutFlags.ts"
import { outFolders } from "./OutFolders.ts"
import { keptFor, outputFlags } from "./OutputFlags.ts"
import { checkPlace, placeFlags } from "./PlaceFlags.ts"
import { planFlags } from "./PlanFlags.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { readQueries } from "./QueryFiles.ts"
import { checkModes } from "./QueryOptions.ts"
import { recordings } from "./report/Recording.ts"
import { reportFiles, writeReports } from "./report/ReportFiles.ts"
import { runFlags, runOptions } from "./RunFlags.ts"
import { description, examples, summary } from "./RunHelp.ts"
import { forPeople, forPrograms } from "./RunOutput.ts"
import * as RunProgress from "./RunProgress.ts"
import { drained } from "./Signals.ts"
import { readValues, withParameters } from "./SqlParameters.ts"
import { targetsForPeople, targetsForPrograms } from "./TargetOutput.ts"
import * as TargetRun from "./TargetRun.ts"
import { readTargets } from "./TargetsFile.ts"
import { tellAll } from "./Teller.ts"
import { follow } from "./UnderWay.ts"

/** @internal */
export const runCommand = Command.make(
  "run",
  { ...planFlags, ...placeFlags, ...runFlags, ...outputFlags, ...outFlags },
  Effect.fnUntraced(function* (input) {
    const { embedded, json, quiet, targets, total, url } = input
    yield* checkPlace(input)
    const how = yield* runOptions(input)
    const all = yield* readQueries(input.paths)
    const selected = yield* planOf(all, input.select)
    const queries = yield* withParameters(selected.queries, yield* readValues(input.param))
    const filePlan = { ...selected, queries }
    yield* checkModes(filePlan.queries, how)
    const files = yield* reportFiles(input.report)
    const where = yield* whereOf(input)
    const output = { ...(yield* ofProcess), toFiles: where !== undefined }
    const options: FileRun.Options = {
      ...how,
      ...keptFor(input, output),
      concurrency: Math.min(input.concurrency, atOnce(filePlan.queries)),
      order: input.order
    }
    const records = files.length === 0 ? undefined : recordings(filePlan, options, yield* Clock.Clock)
    const reported = <E, R>(run: Effect.Effect<void, E, R>) =>
      records === undefined ? run : Effect.onExit(run, () => writeReports(files, records.runs))
    const among = all.map(({ name }) => name)
    const outs = where === undefined ? undefined : yield* outFolders(where, filePlan.queries, among, how)
    const over = outs === undefined ? Effect.void : Effect.andThen(drained, outs.over)
    if (Option.isSome(targets)) {
      const found = yield* readTargets(targets.value, process.env)
      const ofTargets = yield* outs?.ofTargets(found, targets.value) ?? Effect.undefined
      const ofAll = { ...options, total: Option.getOrUndefined(total), outOf: ofTargets }
      const shape = { targets: found.length, queries: queries.length, total: ofAll.total }
      const progress = yield* RunProgress.make(input, output, shape)
      const told = followed((json ? targetsForPrograms : targetsForPeople)(output, quiet), progress)
      const teller = records === undefined ? told : records.ofTargets(told, found)
      const { progressEvery } = progress
      return yield* Effect.andThen(reported(TargetRun.run(found, filePlan, { ...ofAll, progressEvery }, teller)), over)
    }
    const out = yield* outs?.ofRun ?? Effect.undefined
    const progress = yield* RunProgress.make(input, output, undefined)
    const { progressEvery } = progress
    const tellers = [progress.run, { happened: follow() }, (json ? forPrograms : forPeople)(output, quiet)]
    const run = (database: Database) => {
      const teller = tellAll(...tellers, records?.ofDatabase(database) ?? {})
      return reported(
        Effect.catchTag(
          runOn(database, filePlan, { ...options, out, progressEvery }, teller),
          "Unreachable",
          ({ message }) => Effect.fail(new UsageError({ message }))
        )
      )
    }
    if (embedded) {
      const onEmbedded = Effect.flatMap(EmbeddedPostgres, (server) =>
        run({ config: { url: server.url }, label: "the embedded PostgreSQL" })
      ).pipe(
        Effect.provide(EmbeddedPostgres.layer()),
        Effect.catchTag("EmbeddedPostgresError", ({ message }) => Effect.fail(new UsageError({ message })))
      )
      return yield* Effect.andThen(onEmbedded, over)
    }
    return yield* Effect.andThen(run(yield* findDatabase(Option.getOrUndefined(url), process.env)), over)
  }, Effect.scoped)
).pipe(Command.withDescription(description), Command.withShortDescription(summary), Command.withExamples(examples))

/** How many queries and parts of queries there are to run at once. */
const atOnce = (queries: ReadonlyArray<FileQuery>): number =>
  queries.reduce((sum, { settings }) => sum + (settings.partition?.parts ?? 1), 0)

/** Shows how far they are, and has what runs be known to whoever leaves before it has ended. */
const followed = (teller: TargetRun.TargetsTeller, progress: RunProgress.RunProgress): TargetRun.TargetsTeller => ({
  begun: (name) => {
    const told = teller.begun(name)
    return { ...told, ...tellAll(progress.target(name), { happened: follow(name) }, told) }
  },
  over: (...how) => {
    progress.over()
    teller.over(...how)
  }
})
