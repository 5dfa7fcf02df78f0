/**
 * A run of queries from files: what each gave, and what is said of it as it ends.
 *
 * @internal
 */
import { Cause, Effect, Exit } from "effect"
import type { QueryEvent } from "../query/QueryEvent.ts"
import { orderOf } from "../query/Makespan.ts"
import { planned } from "../query/Members.ts"
import type * as Plan from "../query/Plan.ts"
import * as Query from "../query/Query.ts"
import type { RunOptions } from "../query/QueryPool.ts"
import * as QueryPool from "../query/QueryPool.ts"
import * as Report from "../query/Report.ts"
import { QueryFailed } from "./CliFailure.ts"
import { inParts } from "./FileParts.ts"
import type { FilePlan } from "./FilePlan.ts"
import type { FileResult, Kept } from "./FileResult.ts"
import { nothing, runStatement } from "./FileResult.ts"
import type { Defaults } from "./QueryOptions.ts"
import { optionsOf } from "./QueryOptions.ts"
import type { SqlStatement } from "./SqlSplitter.ts"
import type { Finished, RunReport, Teller } from "./Teller.ts"

const leftOpen = "the query ended inside the transaction it began, which is rolled back. Add COMMIT or ROLLBACK"

/** @internal */
export interface Options extends Defaults, Kept, Pick<RunOptions, "queueTimeout" | "deadline"> {
  readonly concurrency: number
  readonly order: Plan.Order
  readonly stopOnError: boolean
}

const toQuery = (result: FileResult, options: Options) => {
  const how = optionsOf(result.query.settings, options)
  return Query.make(
    result.query.name,
    (sql, unit) => {
      Object.assign(result, nothing())
      const runOne = (statement: SqlStatement) => runStatement(sql, unit, result, statement, options)
      const statements = Effect.forEach(result.query.statements, runOne, { discard: true })
      if (how.mode === "transaction" || options.snapshot !== false) return statements
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

const withBounds = (report: Report.Report, plan: Plan.Plan): RunReport => ({
  ...report,
  ...Report.bounds(report, report.concurrency, plan)
})

/**
 * Runs the queries. Fails with `QueryFailed` when any of them did not succeed.
 *
 * @internal
 */
export const run = Effect.fnUntraced(function* (
  { plan, queries }: FilePlan,
  options: Options,
  teller: Teller
): Effect.fn.Return<void, QueryFailed, QueryPool.QueryPool> {
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
    finished[event.id] = { result, report }
    for (let next = finished[told]; next !== undefined; next = finished[told]) {
      told++
      teller.ended(next)
      next.result.rows = []
    }
  }
  const { concurrency, deadline, order, queueTimeout, snapshot } = options
  const units = planned(
    results.map((result) => inParts(result, options) ?? toQuery(result, options)),
    { needs: plan.needs, order: orderOf(plan, order) }
  )
  const mode = options.stopOnError ? "default" : "outcome"
  yield* QueryPool.all(units, { concurrency, deadline, queueTimeout, snapshot, mode, onEvent }).pipe(
    Effect.onExit((exit) =>
      Effect.sync(() => {
        const all = finished.flatMap((one) => (one === undefined ? [] : [one]))
        teller.over(
          all,
          withBounds(collector.report(), plan),
          Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
        )
      })
    ),
    Effect.mapError(() => new QueryFailed())
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
