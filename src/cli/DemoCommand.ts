/**
 * `querypool demo`: six queries on a real PostgreSQL, one after the other and many at a time.
 *
 * @internal
 */
import { Console, Data, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { SqlError } from "effect/sql/SqlError"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { EmbeddedPostgres } from "../embedded/EmbeddedPostgres.ts"
import * as PgQueryPool from "../pool/PgQueryPool.ts"
import * as Plan from "../query/Plan.ts"
import * as Query from "../query/Query.ts"
import { QueryError } from "../query/QueryError.ts"
import * as QueryPool from "../query/QueryPool.ts"
import type { QueryReport, Report } from "../query/Report.ts"
import type * as ReportDocument from "../query/ReportDocument.ts"
import * as Timeline from "../query/Timeline.ts"
import { duration, seconds } from "./Amounts.ts"
import { UsageError } from "./CliFailure.ts"
import { messageOf } from "./Failure.ts"
import { integer } from "./IntegerFlag.ts"
import { outputFlags } from "./OutputFlags.ts"
import { loadPgbench, maxScale } from "./pgbench.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { readQueries } from "./QueryFiles.ts"
import { sourceOf } from "./report/Recording.ts"
import { reportFiles, writeReports } from "./report/ReportFiles.ts"
import { runDocumentOf } from "./report/RunDocuments.ts"
import { stderrScreen, stdoutScreen } from "./Screens.ts"
import { switchFlag } from "./SwitchFlag.ts"
import type { Screen } from "./Table.ts"
import { draw, style } from "./Table.ts"

const queryFolder = fileURLToPath(new URL("../../examples/pgbench/", import.meta.url))

/** Each number of workers is measured so often, after one run that is not counted, and the median is shown. */
const rounds = 3

const numbersOfWorkers = (text: string): Option.Option<ReadonlyArray<number>> =>
  /^[1-9]\d{0,2}(,[1-9]\d{0,2})*$/.test(text) ? Option.some(text.split(",").map(Number)) : Option.none()

/** @internal */
export const demoCommand = Command.make(
  "demo",
  {
    scale: integer("scale", 1, maxScale).pipe(
      Flag.withDescription("Size: 100,000 accounts and 15 MB for each (default 10)"),
      Flag.withDefault(10)
    ),
    workers: Flag.String("workers").pipe(
      Flag.withMetavar("integers"),
      Flag.filterMap(numbersOfWorkers, () => "integers from 1 to 999 separated by commas, such as 5,3,2"),
      Flag.withDescription("Workers to compare with a serial run (default 5,3,2)"),
      Flag.withDefault([5, 3, 2])
    ),
    json: switchFlag("json", "Print one JSON document"),
    report: outputFlags.report
  },
  Effect.fnUntraced(function* ({ json, report, scale, workers }) {
    const files = yield* reportFiles(report)
    const server = EmbeddedPostgres.layer({
      settings: {
        // With its own parallel plans PostgreSQL uses every processor for a single query already.
        max_parallel_workers_per_gather: 0,
        shared_buffers: `${Math.min(2048, 128 + 16 * scale)}MB`,
        max_connections: Math.max(...workers) + 20
      }
    })
    const { demo, documents } = yield* Effect.flatMap(EmbeddedPostgres, ({ url, version }) =>
      Effect.map(
        Effect.provide(measure(scale, workers), PgQueryPool.layer({ url, maxConnections: Math.max(1, ...workers) })),
        ({ documents, ...measured }) => ({
          documents,
          demo: { postgres: version, cpus: availableParallelism(), scale, ...measured }
        })
      )
    ).pipe(
      Effect.provide(server),
      Effect.catchTag(["EmbeddedPostgresError", "SqlError"], (error) =>
        Effect.fail(new UsageError({ message: error.message }))
      )
    )
    yield* Console.log(json ? JSON.stringify(demo, undefined, 2) : render(demo, stdoutScreen()))
    yield* writeReports(files, documents)
  })
).pipe(
  Command.withDescription("Run six queries on a throw-away PostgreSQL, serially and by several workers"),
  Command.withShortDescription("Run six queries serially and by several workers")
)

/** The throw-away server is not there any more, or its disk is full. */
class DemoFailed extends Data.TaggedError("DemoFailed")<{ readonly message: string }> {}

interface Demo {
  readonly postgres: string
  readonly cpus: number
  readonly scale: number
  readonly queries: ReadonlyArray<{ readonly name: string; readonly rows: number; readonly seconds: number }>
  readonly runs: ReadonlyArray<{
    readonly workers: number
    readonly seconds: number
    readonly speedup: number
    readonly lowerBoundSeconds: number
    readonly efficiency: number
  }>
}

/** Where it is in the package, and not on this machine. */
const demoSourceOf = (query: FileQuery | undefined): ReturnType<typeof sourceOf> => {
  if (query === undefined) return { tags: {} }
  const { source, tags } = sourceOf(query)
  return { tags, source: source && { ...source, file: `examples/pgbench/${query.name}.sql` } }
}

const progress = (message: string) => Effect.suspend(() => Console.error(style(stderrScreen(), "dim", message)))

const measure = Effect.fnUntraced(function* (
  scale: number,
  workers: ReadonlyArray<number>
): Effect.fn.Return<
  Pick<Demo, "queries" | "runs"> & { readonly documents: ReadonlyArray<ReportDocument.Run> },
  DemoFailed | SqlError | UsageError,
  | Effect.Services<ReturnType<typeof loadPgbench>>
  | Effect.Services<ReturnType<typeof readQueries>>
  | QueryPool.QueryPool
> {
  yield* progress(`Loading ${(scale * 100_000).toLocaleString("en")} accounts into a throw-away PostgreSQL …`)
  yield* loadPgbench(scale)
  const sources = yield* readQueries([queryFolder])
  const queries = sources.map(({ name, statements }) =>
    Query.make(name, (sql) => Effect.forEach(statements, (statement) => sql.unsafe(statement.text), { discard: true }))
  )
  const median = (concurrency: number) =>
    Effect.gen(function* () {
      yield* progress(
        `Running ${queries.length} queries, ${concurrency === 1 ? "one by one" : `${concurrency} workers`} …`
      )
      const measured: Array<{ readonly report: Report; readonly timeline: Timeline.Timeline }> = []
      for (let round = 0; round <= rounds; round++) {
        const events = Timeline.collector()
        const report = yield* QueryPool.report(queries, { concurrency, onEvent: events.add })
        for (const { error, name } of report.queries) {
          if (error instanceof QueryError) {
            return yield* new DemoFailed({ message: `${name} failed: ${messageOf(error)}` })
          }
          if (error !== undefined) return yield* Effect.die(error)
        }
        if (round > 0) measured.push({ report, timeline: events.timeline() })
      }
      return middle(measured, ({ report }) => report.makespanMillis)
    })

  const serial = yield* median(1)
  const durations = serial.report.queries.map((query: QueryReport) => query.ranMillis)
  const runs: Array<Demo["runs"][number]> = []
  const documents: Array<ReportDocument.Run> = []
  for (const count of new Set([1, ...workers])) {
    const { report, timeline } = count === 1 ? serial : yield* median(count)
    const processors = availableParallelism()
    const { binding, duration: lowerBound } = Plan.lowerBound({ durations, workers: count, processors })
    const efficiency = lowerBound / report.makespanMillis
    documents.push({
      ...runDocumentOf(timeline, {
        name: count === 1 ? "one by one" : `${count} workers`,
        database: "a throw-away PostgreSQL",
        interrupted: false,
        sourceOf: (id) => demoSourceOf(sources[id]),
        // One that fails ends the demonstration.
        failureOf: (_, error) => ({ reason: "Defect", message: String(error), outcome: "unknown" })
      }),
      lowerBoundMillis: lowerBound,
      binding,
      processors,
      efficiency
    })
    runs.push({
      workers: count,
      seconds: seconds(report.makespanMillis),
      speedup: rounded(serial.report.makespanMillis / report.makespanMillis),
      lowerBoundSeconds: seconds(lowerBound),
      efficiency: rounded(efficiency)
    })
  }
  return {
    documents,
    queries: serial.report.queries.map(({ name, ranMillis, rows }) => ({ name, rows, seconds: seconds(ranMillis) })),
    runs
  }
})

const middle = <A>(values: ReadonlyArray<A>, by: (value: A) => number): A => {
  const sorted = values.toSorted((a, b) => by(a) - by(b))
  const found = sorted[Math.floor(sorted.length / 2)]
  if (found === undefined) throw new RangeError("There is no middle of nothing")
  return found
}

const rounded = (ratio: number): number => Math.round(ratio * 100) / 100

const render = (demo: Demo, screen: Screen): string => {
  const queries = draw(
    [
      { name: "query", align: "left" },
      { name: "rows", align: "right" },
      { name: "took", align: "right" }
    ],
    demo.queries.map((query) => [query.name, query.rows.toLocaleString("en"), duration(query.seconds * 1000)]),
    screen
  )
  const runs = draw(
    ["workers", "seconds", "speed-up", "lower bound", "efficiency"].map((name) => ({ name, align: "right" as const })),
    demo.runs.map((run) => [
      run.workers === 1 ? "serial" : String(run.workers),
      run.seconds.toFixed(3),
      `${run.speedup.toFixed(2)} x`,
      run.lowerBoundSeconds.toFixed(3),
      `${(run.efficiency * 100).toFixed(0)} %`
    ]),
    screen
  )
  return [
    `PostgreSQL ${demo.postgres}, scale ${demo.scale}, ${demo.cpus} processors, no parallel plans, median of ${rounds} runs`,
    "",
    queries,
    "",
    runs,
    "",
    verdict(demo)
  ].join("\n")
}

/** What bounds the widest run: its longest query, its workers, or the processors. */
const verdict = ({ cpus, queries, runs }: Demo): string => {
  const most = Math.max(...runs.map((run) => run.workers))
  const total = queries.reduce((sum, query) => sum + query.seconds, 0)
  const longest = queries.reduce((a, b) => (b.seconds > a.seconds ? b : a))
  if (longest.seconds >= total / Math.min(most, cpus)) {
    return `The longest query (${longest.name}) bounds the result: no number of workers can be faster than it.`
  }
  return most <= cpus
    ? `The number of workers bounds the result: this machine has ${cpus} processors for more.`
    : `The ${cpus} processors of this machine bound the result: more workers than that have nothing to run on.`
}
