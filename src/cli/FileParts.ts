/**
 * A query of a file that is run in parts: one query to the run around it, with one result.
 *
 * - Its parts are a run of their own, as wide as the one around, because they have to see one moment: that of the run
 *   around, where it has one. It holds a slot of the run around; sessions are shared with all that runs there.
 * - It starts with the first of its parts, and ends with the last. Its rows come part after part.
 * - What is said of a query in its header lines or by flags holds for each part, but for its timeout, which is that of
 *   the whole.
 *
 * @internal
 */
import { Duration, Effect, Schema } from "effect"
import { withSlot } from "../internal/Slots.ts"
import * as Partition from "../query/Partition.ts"
import type { Part } from "../query/PartitionPlan.ts"
import { forEachPart, placed } from "../query/PartitionRun.ts"
import * as Query from "../query/Query.ts"
import { QueryError, Rejected, TimedOut } from "../query/QueryError.ts"
import type { CancelEnd, QueryEvent } from "../query/QueryEvent.ts"
import { QueryPool, QueryTypeId } from "../query/QueryPool.ts"
import type { Run } from "../query/Run.ts"
import type { Life } from "../query/Trail.ts"
import { told } from "../query/Run.ts"
import { placeIn } from "../query/Subquery.ts"
import type { FileResult, Kept } from "./FileResult.ts"
import { nothing, runStatement } from "./FileResult.ts"
import type { Defaults } from "./QueryOptions.ts"
import { optionsOf } from "./QueryOptions.ts"
import type { SqlStatement } from "./SqlSplitter.ts"

/**
 * The query as a member of a run, or `undefined` where it is not to be cut.
 *
 * @internal
 */
export const inParts = (result: FileResult, options: Defaults & Kept) => {
  const { name, settings, statements } = result.query
  const [statement] = statements
  const { partition } = settings
  if (partition === undefined || statement === undefined) return undefined
  const { retry, timeout } = optionsOf(settings, options)
  const how = { mode: "readOnly", retry } as const
  const cut = Partition.byRange(
    { name, schema: Schema.Unknown, statement: () => ({ sql: statement.text, parameters: [] }) },
    partition
  )
  const work = (run: Run, life: Life | undefined): Effect.Effect<void, QueryError, QueryPool> =>
    Effect.suspend(() => {
      Object.assign(result, nothing(), { statement })
      const whole = new Whole(life)
      const limit = limitOf(run, timeout)
      const parts: Array<FileResult> = []
      const runPart = (part: Part, index: number) => {
        const own: FileResult = { query: result.query, ...nothing() }
        parts[index] = own
        return Query.make(
          part.name,
          (sql, unit) => {
            Object.assign(own, nothing())
            return runStatement(sql, unit, own, statement, options, part.text)
          },
          how
        ).pipe(Effect.mapError((error) => placed(error, part.statement)))
      }
      const onPlanned = (count: number) =>
        Effect.sync(() => {
          result.parts = count
        })
      const { concurrency } = run
      const runOptions = { concurrency, deadline: limit?.left, onEvent: (event: QueryEvent) => whole.happened(event) }
      return forEachPart(cut, runOptions, runPart, onPlanned).pipe(
        Effect.map(() => whole.gave(result, parts, options.maxRows)),
        Effect.mapError((error) => inFile(limit === undefined ? error : limit.named(error), statement)),
        Effect.ensuring(Effect.sync(() => whole.over()))
      )
    })
  const member = {
    name,
    options: {},
    [QueryTypeId]: (pool: QueryPool["Service"], run: Run, holdsSlot: boolean): Effect.Effect<void, QueryError> => {
      // By the value that the run announced.
      const whole = told(run, query, (life) => Effect.provideService(work(run, life), QueryPool, sharing(run, pool)))
      return holdsSlot ? whole : withSlot(run.slots, whole)
    }
  }
  // Only a run can run it, which knows it for a query by the key.
  const query = Object.assign(Effect.die(new Error(`Query "${name}" was run outside of a run`)), member)
  return query
}

/** For a run inside of another: it sees the moment of that one, where that has one. */
const sharing = ({ snapshot }: Run, pool: QueryPool["Service"]): QueryPool["Service"] =>
  snapshot === undefined ? pool : { ...pool, snapshot: () => snapshot.get }

/** What its run is told of the query while its parts run. */
class Whole {
  rows = 0
  onNotice: ((severity: string, message: string) => void) | undefined
  onCancelled: ((end: CancelEnd) => void) | undefined
  private readonly life: Life | undefined
  private started = false
  private cancelEnd: CancelEnd | undefined

  constructor(life: Life | undefined) {
    this.life = life
  }

  happened(event: QueryEvent): void {
    if (event._tag === "Started" && !this.started) {
      this.started = true
      this.life?.started(this, 1)
    }
    if (event._tag === "Noticed") this.onNotice?.(event.severity, event.message)
    if (event._tag === "Retrying") {
      const { attempt, error, name } = event
      const message = error instanceof QueryError ? error.reason.message : String(error)
      this.onNotice?.("WARNING", `${name} is tried again: attempt ${attempt} failed, ${message}`)
    }
    if (event._tag === "CancelEnded" && isWorse(event, this.cancelEnd)) this.cancelEnd = event
  }

  gave(result: FileResult, parts: ReadonlyArray<FileResult>, maxRows: number): void {
    result.columns = parts[0]?.columns
    result.rows = parts.flatMap(({ rows }) => rows).slice(0, maxRows)
    result.rowCount = parts.reduce((sum, { rowCount }) => sum + rowCount, 0)
    result.resultSets = 1
    result.command = `SELECT ${result.rowCount}`
    this.rows = result.rowCount
  }

  over(): void {
    if (this.cancelEnd !== undefined) this.onCancelled?.(this.cancelEnd)
  }
}

/** Ends of a cancel, the worst first. */
const ends: ReadonlyArray<CancelEnd["how"]> = ["unconfirmed", "terminated", "gone", "idle"]

const isWorse = (one: CancelEnd, other: CancelEnd | undefined): boolean =>
  other === undefined ||
  ends.indexOf(one.how) < ends.indexOf(other.how) ||
  (one.how === other.how && one.tookMillis > other.tookMillis)

/** What is left to the query of its own time and that of its run: for its parts, the deadline of theirs. */
const limitOf = (run: Run, timeout: Duration.Duration | undefined) => {
  const { clock, deadlineMillis, startedAt } = run
  const left = deadlineMillis === undefined ? Infinity : startedAt + deadlineMillis - clock.currentTimeMillisUnsafe()
  const timeoutMillis = timeout === undefined ? Infinity : Duration.toMillis(timeout)
  if (left === Infinity && timeoutMillis === Infinity) return undefined
  const reason =
    timeoutMillis <= left
      ? new TimedOut({ limit: "timeout", afterMillis: timeoutMillis })
      : new TimedOut({ limit: "deadline", afterMillis: deadlineMillis ?? 0 })
  return {
    left: Duration.millis(Math.max(0, Math.min(left, timeoutMillis))),
    named: (error: QueryError) => (error.reason._tag === "TimedOut" ? error.with({ reason }) : error)
  }
}

/** Of the text around the statement, no place is in the file. */
const inFile = (error: QueryError, { text }: SqlStatement): QueryError => {
  const { reason } = error
  if (reason._tag !== "Rejected" || reason.position === undefined) return error
  if (placeIn(text, reason.position) !== undefined) return error
  return error.with({ reason: new Rejected({ ...reason, message: reason.message, position: undefined }) })
}
