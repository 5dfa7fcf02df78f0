/**
 * A run of queries from files: what each gave, and what is said of it as it ends.
 *
 * @internal
 */
import { Cause, Effect, Exit } from "effect"
import type { QueryEvent } from "../query/QueryEvent.ts"
import { recall } from "../query/Learning.ts"
import { orderOf } from "../query/Makespan.ts"
import { planned } from "../query/Members.ts"
import type * as Plan from "../query/Plan.ts"
import * as Query from "../query/Query.ts"
import type { RunOptions } from "../query/QueryPool.ts"
import * as QueryPool from "../query/QueryPool.ts"
import * as Report from "../query/Report.ts"
import type { UsageError } from "./CliFailure.ts"
import { QueryFailed } from "./CliFailure.ts"
import { inParts } from "./FileParts.ts"
import type { FilePlan } from "./FilePlan.ts"
import type { FileResult, Kept } from "./FileResult.ts"
import { copyStatement, nothing, runStatement } from "./FileResult.ts"
import { Filing, keeping } from "./FileOut.ts"
import { settled } from "./FileMember.ts"
import type { OutRun } from "./OutRun.ts"
import type { Defaults } from "./QueryOptions.ts"
import { optionsOf } from "./QueryOptions.ts"
import type { SqlStatement } from "./SqlSplitter.ts"
import type { Finished, RunReport, Teller } from "./Teller.ts"

const leftOpen = "the query ended inside the transaction it began, which is rolled back. Add COMMIT or ROLLBACK"

/** @internal */
export interface Options extends Defaults, Kept, Pick<RunOptions, "queueTimeout" | "deadline" | "progressEvery"> {
  readonly concurrency: number
  readonly order: Plan.Order
  readonly stopOnError: boolean
  /** Where the rows go. They are shown where it is `undefined`. */
  readonly out?: OutRun | undefined
}

const toQuery = (result: FileResult, options: Options, filing: Filing | undefined) => {
  const how = optionsOf(result.query.settings, options)
  return Query.make(
    result.query.name,
    (sql, unit) => {
      Object.assign(result, nothing())
      const runOne = (statement: SqlStatement) =>
        filing?.isFor(statement) === true
          ? copyStatement(unit, result, statement, filing)
          : runStatement(sql, unit, result, statement, options)
      result.unit = unit
      const statements = Effect.andThen(
        options.out?.starting(result.query) ?? Effect.void,
        Effect.forEach(result.query.statements, runOne, { discard: true })
      )
      if (how.mode === "transaction" || options.snapshot !== false) {
        return Effect.map(statements, () => {
          result.isComplete = how.mode === "transaction"
        })
      }
      return statements.pipe(
        Effect.map(() => {
          // What it wrote is rolled back for the session's next user, and nothing else would say so.
          if (result.inTransaction) unit.onNotice?.("WARNING", leftOpen)
        }),
        Effect.ensuring(
          Effect.sync(() => {
            // From here on the server would warn of what the pool does to clean the session.
            unit.onNotice = undefined
          })
        )
      )
    },
    how
  )
}

const filingOf = (result: FileResult, { out }: Options): Filing | undefined =>
  out === undefined
    ? undefined
    : new Filing(out, result.query, (file) => {
        result.file = file
      })

const withBounds = (report: Report.Report, plan: Plan.Plan): RunReport => ({
  ...report,
  ...Report.bounds(report, report.concurrency, plan)
})

/**
 * Runs the queries. Fails with `QueryFailed` when any of them did not succeed, and with `UsageError` where it cannot begin.
 *
 * @internal
 */
export const run = Effect.fnUntraced(function* (
  { plan, queries }: FilePlan,
  options: Options,
  teller: Teller
): Effect.fn.Return<void, QueryFailed | UsageError, QueryPool.QueryPool> {
  if (options.out !== undefined) yield* options.out.begin
  const results = queries.map((query): FileResult => ({ query, ...nothing() }))
  const collector = Report.collector()
  const finished: Array<Finished | undefined> = []
  let told = 0
  const onEvent = (event: QueryEvent): void => {
    collector.add(event)
    teller.happened(event)
    if (event._tag !== "Ended") return
    const result = results[event.id]
    const report = collector.query(event.id)
    if (result === undefined || report === undefined) return
    const one = (finished[event.id] = { result, report })
    options.out?.ended(one)
    for (let next = finished[told]; next !== undefined; next = finished[told]) {
      told++
      teller.ended(next)
      next.result.rows = []
    }
  }
  const { concurrency, deadline, order, progressEvery, queueTimeout, snapshot } = options
  teller.begins?.({ plan, order, expected: yield* recall })
  const filings = new Map<object, Filing>()
  const units = planned(
    results.map((result) => {
      const standing = options.out?.standing(result.query)
      if (standing?._tag === "Kept") {
        Object.assign(result, { file: standing.file, rowCount: standing.rows, isKept: true })
        return settled(result.query.name, Effect.void)
      }
      if (standing?._tag === "Refused") return settled(result.query.name, Effect.fail(standing.error))
      const filing = filingOf(result, options)
      const parts = inParts(result, options, filing)
      if (parts !== undefined) return parts
      const query = toQuery(result, options, filing)
      if (filing !== undefined) filings.set(query, filing)
      return query
    }),
    { needs: plan.needs, order: orderOf(plan, order) }
  )
  const mode = options.stopOnError ? "default" : "outcome"
  yield* QueryPool.all(units, { concurrency, deadline, queueTimeout, progressEvery, snapshot, mode, onEvent }).pipe(
    Effect.onExit((exit) =>
      Effect.sync(() => {
        const all = finished.flatMap((one) => (one === undefined ? [] : [one]))
        const interrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
        teller.over(all, withBounds(collector.report(), plan), interrupted)
      })
    ),
    Effect.mapError(() => new QueryFailed()),
    Effect.updateService(QueryPool.QueryPool, (pool) => keeping(pool, filings))
  )
  if (finished.some((one) => one?.report.outcome !== "Succeeded")) return yield* new QueryFailed()
})

/**
 * Tells of a run that never began: all of its queries are skipped.
 *
 * @internal
 */
export const tellSkipped = (
  { plan, queries }: FilePlan,
  { concurrency }: Pick<Options, "concurrency">,
  teller: Teller,
  interrupted: boolean
): void => {
  const collector = Report.collector()
  collector.add({ _tag: "RunStarted", at: 0, concurrency })
  for (const [id, { name }] of queries.entries()) {
    collector.add({ _tag: "Submitted", at: 0, id, name })
    collector.add({ _tag: "Ended", at: 0, id, name, outcome: "Skipped", rows: 0 })
  }
  const report = collector.report()
  const all = queries.flatMap((query, id): ReadonlyArray<Finished> => {
    const ofQuery = report.queries[id]
    return ofQuery === undefined ? [] : [{ result: { query, ...nothing() }, report: ofQuery }]
  })
  for (const one of all) teller.ended(one)
  teller.over(all, withBounds(report, plan), interrupted)
}
