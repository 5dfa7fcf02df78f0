/**
 * Takes note of a run of queries from files, for its report.
 *
 * It keeps of each query what it did when: some hundred bytes, and the text of its errors.
 *
 * @internal
 */
import type { Clock } from "effect"
import { QueryError } from "../../query/QueryError.ts"
import type * as ReportDocument from "../../query/ReportDocument.ts"
import * as Timeline from "../../query/Timeline.ts"
import { sayable } from "../CliFailure.ts"
import type { Database } from "../Database.ts"
import { hintOf, messageOf, outcomeOf, placeOf, reasonOf } from "../Failure.ts"
import type { FilePlan } from "../FilePlan.ts"
import type * as FileRun from "../FileRun.ts"
import type { FileQuery } from "../QueryFiles.ts"
import { excerpt } from "../SqlPlace.ts"
import type { TargetsTeller } from "../TargetRun.ts"
import type { Target } from "../TargetsFile.ts"
import type { Finished, Teller } from "../Teller.ts"
import { tellAll } from "../Teller.ts"
import type { About } from "./RunDocuments.ts"
import { runDocumentOf } from "./RunDocuments.ts"

/** As it stands in its file, from the first of its statements to the end of the last. */
const sqlOf = ({ source, statements }: FileQuery): string => {
  const [first, last] = [statements[0], statements.at(-1)]
  return first === undefined || last === undefined
    ? ""
    : source.text.slice(first.offset, last.offset + last.text.length)
}

/**
 * Where a query stands, and what it is tagged with.
 *
 * @internal
 */
export const sourceOf = (query: FileQuery): ReturnType<About["sourceOf"]> => ({
  source: { file: query.file, line: query.line, sql: sqlOf(query) },
  tags: query.settings.tags ?? {}
})

const failureOf = (error: unknown, finished?: Finished): ReportDocument.Failure => {
  if (!(error instanceof QueryError)) {
    return { reason: reasonOf(error), message: messageOf(error), outcome: "unknown" }
  }
  const { outcome, reason } = error
  const hint = hintOf(error, finished)
  return {
    reason: reason._tag,
    ...("sqlState" in reason && reason.sqlState !== undefined ? { sqlState: reason.sqlState } : {}),
    message: reason.message,
    ...("detail" in reason && reason.detail !== undefined ? { detail: reason.detail } : {}),
    ...(hint === undefined ? {} : { hint }),
    outcome
  }
}

/** With the place, and what is left on the server, which only its last attempt tells. */
const placedFailureOf = (finished: Finished): ReportDocument.Failure => {
  const { error } = finished.report
  const failure = { ...failureOf(error, finished), outcome: outcomeOf(finished) }
  const place = placeOf(finished)
  if (place === undefined) return failure
  const { column, line } = place
  const { query } = finished.result
  const isPointed =
    error instanceof QueryError && error.reason._tag === "Rejected" && error.reason.position !== undefined
  return {
    ...failure,
    place: { file: query.file, line, column },
    ...(isPointed ? { excerpt: excerpt(query.source.text, place) } : {})
  }
}

/** What a run would tell of which nothing was run. */
const skippedOf = (
  { queries }: FilePlan,
  concurrency: number,
  at: number
): Parameters<typeof Timeline.fromEvents>[0] => [
  { _tag: "RunStarted", at, concurrency },
  ...queries.flatMap(({ name }, id) => [
    { _tag: "Submitted" as const, at, id, name },
    { _tag: "Ended" as const, at, id, name, outcome: "Skipped" as const, rows: 0 }
  ])
]

/** Who is told of a run, and keeps what is to be told of it when it is over. */
const recording = (
  filePlan: FilePlan,
  run: Pick<About, "name" | "database"> & {
    readonly concurrency: number
    /** Milliseconds since the epoch. */
    readonly now: () => number
  },
  keep: (run: ReportDocument.Run) => void
): Pick<Teller, "happened" | "over"> & { readonly unreachable: (message: string) => void } => {
  const { concurrency, now, ...about } = run
  const { plan, queries } = filePlan
  const collector = Timeline.collector({ plan })
  let begun = false
  let unreachable: string | undefined
  return {
    happened: (event) => {
      begun = true
      collector.add(event)
    },
    unreachable: (message) => {
      unreachable = message
    },
    over: (all, _report, interrupted) => {
      const timeline = begun
        ? collector.timeline()
        : Timeline.fromEvents(skippedOf(filePlan, concurrency, now()), { plan })
      const finished = new Map(all.map((one) => [one.report.id, one]))
      keep(
        runDocumentOf(timeline, {
          ...about,
          ...(unreachable === undefined ? {} : { unreachable: sayable(unreachable) }),
          interrupted,
          sourceOf: (id) => {
            const query = queries[id]
            return query === undefined ? { tags: {} } : sourceOf(query)
          },
          failureOf: (id, error) => {
            const one = finished.get(id)
            return one !== undefined && one.report.error === error ? placedFailureOf(one) : failureOf(error)
          }
        })
      )
    }
  }
}

/**
 * Takes note of the runs of a command, on one database or on each of many.
 *
 * @internal
 */
export const recordings = (
  filePlan: FilePlan,
  { concurrency }: Pick<FileRun.Options, "concurrency">,
  clock: Clock.Clock
) => {
  const runs: Array<ReportDocument.Run> = []
  const begin = (about: Pick<About, "name" | "database">) =>
    recording(
      filePlan,
      { ...about, concurrency, now: () => clock.currentTimeMillisUnsafe() },
      (run) => void runs.push(run)
    )
  return {
    /** Those that are over, in the order in which they ended. */
    runs,
    ofDatabase: ({ label }: Database): Partial<Teller> => begin({ database: label }),
    ofTargets: (teller: TargetsTeller, targets: ReadonlyArray<Target>): TargetsTeller => ({
      ...teller,
      begun: (name) => {
        const told = teller.begun(name)
        const record = begin({ name, database: targets.find((target) => target.name === name)?.label })
        return {
          ...tellAll(record, told),
          unreachable: (message) => {
            record.unreachable(message)
            told.unreachable(message)
          }
        }
      }
    })
  }
}
