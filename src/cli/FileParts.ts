/**
 * A query of a file that is run in parts: one query to the run around it, with one result.
 *
 * - Its parts are a run of their own, as wide as the one around, because they have to see one moment: that of the run
 *   around, where it has one. It holds a slot of the run around; sessions are shared with all that runs there.
 * - It starts with what plans its parts, and ends with the last of them. Its rows come part after part.
 * - Where its rows go to a file, all parts feed that one, and rows stand there as they come. A part is not tried again
 *   then once it has given rows: these could not be taken back.
 * - What is said of a query in its header lines or by flags holds for each part, but for its timeout, which is that of
 *   the whole.
 *
 * @internal
 */
import { Duration, Effect, Schema } from "effect"
import { withSlot } from "../internal/Slots.ts"
import * as Partition from "../query/Partition.ts"
import type { Part } from "../query/PartitionPlan.ts"
import { forEachPart } from "../query/PartitionRun.ts"
import * as Query from "../query/Query.ts"
import { QueryError, TimedOut } from "../query/QueryError.ts"
import type { CancelEnd, QueryEvent } from "../query/QueryEvent.ts"
import type { RowReceiver, Unit } from "../query/QueryPool.ts"
import { QueryPool, QueryTypeId } from "../query/QueryPool.ts"
import * as RetryPolicy from "../query/RetryPolicy.ts"
import type { Run } from "../query/Run.ts"
import type { Life } from "../query/Trail.ts"
import { told } from "../query/Run.ts"
import type { SqlText } from "../query/Subquery.ts"
import type { SinkError } from "../sink/SinkError.ts"
import type { FileResult, Kept } from "./FileResult.ts"
import type { Filing } from "./FileOut.ts"
import { nothing, runStatement } from "./FileResult.ts"
import type { Defaults } from "./QueryOptions.ts"
import { optionsOf } from "./QueryOptions.ts"
import { sentOf } from "./SqlParameters.ts"

/**
 * The query as a member of a run, or `undefined` where it is not to be cut.
 *
 * @internal
 */
export const inParts = (result: FileResult, options: Defaults & Kept, filing?: Filing) => {
  const { name, settings, statements } = result.query
  const [statement] = statements
  const { partition } = settings
  if (partition === undefined || statement === undefined) return undefined
  const sent = sentOf(statement)
  const { retry, timeout } = optionsOf(settings, options)
  const cut = Partition.byRange(
    { name, schema: Schema.Unknown, statement: () => ({ sql: sent.text, parameters: sent.parameters }) },
    partition
  )
  const work = (run: Run, life: Life | undefined, receiver?: RowReceiver): Effect.Effect<void, QueryError, QueryPool> =>
    Effect.suspend(() => {
      Object.assign(result, nothing(), { statement })
      const whole = new Whole(life)
      const limit = limitOf(run, timeout)
      const parts: Array<FileResult> = []
      const runPart = (part: Part, index: number) => {
        const own: FileResult = { query: result.query, ...nothing() }
        parts[index] = own
        const into = receiver === undefined ? undefined : new Once(receiver)
        const again = into === undefined || retry === undefined ? retry : into.retry(retry)
        return Query.make(
          part.name,
          (sql, unit) => {
            Object.assign(own, nothing())
            whole.runs(index, unit)
            if (into !== undefined) return copyPart(unit, own, into, part.text)
            return Effect.map(runStatement(sql, unit, own, statement, options, part.text), () => {
              keepFirst(parts, options.maxRows)
            })
          },
          { mode: "readOnly", retry: again }
        )
      }
      const onPlanned = (count: number) =>
        Effect.sync(() => {
          result.parts = count
        })
      const onEvent = (event: QueryEvent): void => whole.happened(event)
      const ofRun = { concurrency: run.concurrency, deadline: limit?.left, onEvent, retry }
      return forEachPart(cut, ofRun, runPart, onPlanned).pipe(
        Effect.map(() => whole.gave(result, parts)),
        Effect.mapError((error) => (limit === undefined ? error : limit.named(error))),
        Effect.ensuring(Effect.sync(() => whole.over()))
      )
    })
  const filed = (run: Run, life: Life | undefined): Effect.Effect<void, QueryError | SinkError, QueryPool> => {
    if (filing === undefined) return work(run, life)
    const filled = filing.fill((receiver) => Effect.map(work(run, life, receiver), () => result.rowCount))
    return Effect.asVoid(filing.attempt(filled))
  }
  const member = {
    name,
    options: {},
    [QueryTypeId]: (
      pool: QueryPool["Service"],
      run: Run,
      holdsSlot: boolean
    ): Effect.Effect<void, QueryError | SinkError> => {
      // By the value that the run announced.
      const whole = told(run, query, (life) => Effect.provideService(filed(run, life), QueryPool, sharing(run, pool)))
      return holdsSlot ? whole : withSlot(run.slots, whole)
    }
  }
  // Only a run can run it, which knows it for a query by the key.
  const query = Object.assign(Effect.die(new Error(`Query "${name}" was run outside of a run`)), member)
  return query
}

const copyPart = (unit: Unit, own: FileResult, into: RowReceiver, { parameters, text }: SqlText) =>
  Effect.map(unit.copyRows(text, parameters, into), (rows) => {
    own.columns = unit.columns
    own.rowCount = rows
  })

/** Rows of a part, which are given once. */
class Once implements RowReceiver {
  private readonly receiver: RowReceiver
  private hasGiven = false

  constructor(receiver: RowReceiver) {
    this.receiver = receiver
  }

  columns(...described: Parameters<RowReceiver["columns"]>): void {
    this.receiver.columns(...described)
  }

  rows(...given: Parameters<RowReceiver["rows"]>): void {
    this.hasGiven = true
    this.receiver.rows(...given)
  }

  /** The same policy for as long as there is nothing to be taken back. */
  retry({ matches, schedule }: RetryPolicy.RetryPolicy<QueryError>): RetryPolicy.RetryPolicy<QueryError> {
    return RetryPolicy.make({ on: (error: QueryError) => !this.hasGiven && matches(error), schedule })
  }
}

/** For a run inside of another: it sees the moment of that one, where that has one. */
const sharing = ({ snapshot }: Run, pool: QueryPool["Service"]): QueryPool["Service"] =>
  snapshot === undefined ? pool : { ...pool, snapshot: () => snapshot.get }

/** What its run is told of the query while its parts run. */
class Whole {
  onNotice: ((severity: string, message: string) => void) | undefined
  onCancelled: ((end: CancelEnd) => void) | undefined
  private readonly life: Life | undefined
  private started = false
  private cancelEnd: CancelEnd | undefined
  /** Of each part the latest attempt. */
  private readonly units: Array<Pick<Unit, "rows">> = []

  constructor(life: Life | undefined) {
    this.life = life
  }

  get rows(): number {
    return this.units.reduce((sum, { rows }) => sum + rows, 0)
  }

  runs(part: number, unit: Pick<Unit, "rows">): void {
    this.units[part] = unit
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
    if ("id" in event && event._tag !== "OfPart") this.life?.ofPart(event)
  }

  gave(result: FileResult, parts: ReadonlyArray<FileResult>): void {
    result.columns = parts[0]?.columns
    result.rows = parts.flatMap(({ rows }) => rows)
    result.rowCount = parts.reduce((sum, { rowCount }) => sum + rowCount, 0)
    result.resultSets = 1
    result.command = `SELECT ${result.rowCount}`
  }

  over(): void {
    if (this.cancelEnd !== undefined) this.onCancelled?.(this.cancelEnd)
  }
}

/**
 * Keeps no more rows than are shown, though parts end in any order: of a part those for which there is room behind all
 * that are known to come before.
 *
 * @internal
 */
export const keepFirst = (parts: ReadonlyArray<Pick<FileResult, "rows">>, maxRows: number): void => {
  let room = maxRows
  // Passes over parts that have not begun.
  parts.forEach((part) => {
    part.rows = part.rows.slice(0, room)
    room -= part.rows.length
  })
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
