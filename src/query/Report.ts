/**
 * What became of a run: a fold of its events.
 *
 * Durations are milliseconds, with fractions.
 *
 * @since 0.1.0
 */
import type { LowerBound } from "./Makespan.ts"
import { boundOfPlan, lowerBound } from "./Makespan.ts"
import type { Outcome } from "./Outcome.ts"
import type { Plan } from "./Plan.ts"
import type { QueryEvent } from "./QueryEvent.ts"

/**
 * What became of one query.
 *
 * @since 0.1.0
 */
export interface QueryReport {
  /** Counts the run's queries from 0 in the order they were handed over. */
  readonly id: number
  readonly name: string
  readonly outcome: Outcome<unknown, unknown>["_tag"]
  /** What it failed with. */
  readonly error?: unknown
  /** Where it was skipped because it needed another: the name of the query that did not succeed. */
  readonly because?: string
  /** From the moment it was handed over until its end, without `ranMillis`: for its turn, a slot, a session, a retry. */
  readonly waitedMillis: number
  /** While it had a session, in all its attempts; 0 if it never had one. */
  readonly ranMillis: number
  /** Rows that its last attempt received. */
  readonly rows: number
  /** How often it was tried; 0 if it was never started. */
  readonly attempts: number
  /** Which of the run's workers ran it, counted from 0, or `undefined` if none did. */
  readonly worker: number | undefined
  /** When it first started, counted from the start of the run; `undefined` if it never did. */
  readonly startedMillis: number | undefined
  /** NOTICEs and WARNINGs of the server, in order, where the pool reads them: the first hundred. */
  readonly notices: ReadonlyArray<{ readonly severity: string; readonly message: string }>
  /** How many more there were. */
  readonly moreNotices: number
}

/**
 * What became of a run.
 *
 * @since 0.1.0
 */
export interface Report {
  /** In the order in which they were handed over. */
  readonly queries: ReadonlyArray<QueryReport>
  /** Effects of the run that failed and are no queries, by their place or key; only `QueryPool.report` knows of them. */
  readonly failures: ReadonlyArray<{ readonly member: number | string; readonly error: unknown }>
  /** How many could run at once. */
  readonly concurrency: number
  /**
   * The snapshot that its queries saw: for how long it was held (vacuum keeps for so long what others delete), and
   * whether it was lost before the end. Absent where none was asked for, or none was taken.
   */
  readonly snapshot?: { readonly heldMillis: number; readonly lost: boolean } | undefined
  /** From the start of the run to its last end. */
  readonly makespanMillis: number
  /**
   * What no scheduler could have beaten with queries that take as long as their `ranMillis`. That is how long they took
   * beside each other, so what the server has of processors is in there: of more work at once each took longer. For a
   * comparison between runs take the durations of a serial one and `Plan.lowerBound`, with the processors.
   */
  readonly lowerBoundMillis: number
  /** What it is that no scheduler could have beaten. */
  readonly binding: LowerBound["binding"]
  /** `lowerBoundMillis / makespanMillis`: 1 is perfect. 1 for a run without queries. */
  readonly efficiency: number
}

/**
 * Collects the events of one run.
 *
 * @since 0.1.0
 */
export interface Collector {
  readonly add: (event: QueryEvent) => void
  /** What has become of the run so far. */
  readonly report: () => Report
  /** What became of one of its queries, once it has ended. */
  readonly query: (id: number) => QueryReport | undefined
}

/** A loop that raises one for each row would take as much memory as its rows: 300,000 took 383 MB. */
const mostNotices = 100

interface Entry {
  readonly name: string
  readonly submittedAt: number
  readonly notices: Array<{ readonly severity: string; readonly message: string }>
  moreNotices: number
  startedAt?: number
  /** Since when its attempt runs, if one does. */
  runningSince?: number | undefined
  ranMillis: number
  endedAt?: number
  worker?: number
  attempts: number
  rows: number
  outcome?: Outcome<unknown, unknown>["_tag"]
  error?: unknown
  because?: string | undefined
}

/**
 * A collector for one run.
 *
 * @since 0.1.0
 */
export const collector = (): Collector => {
  const entries: Array<Entry> = []
  let concurrency = 1
  /** Streams of rows take no slot, so that more can run at once. */
  let workers = 1
  let firstAt: number | undefined
  let lastAt = 0
  let snapshot: { readonly takenAt: number; endedAt?: number; lost?: boolean } | undefined

  const add = (event: QueryEvent): void => {
    firstAt ??= event.at
    lastAt = event.at
    if (event._tag === "RunStarted") workers = concurrency = event.concurrency
    if (event._tag === "SnapshotTaken") snapshot = { takenAt: event.at }
    if (event._tag === "SnapshotEnded" && snapshot !== undefined) {
      snapshot.endedAt = event.at
      snapshot.lost = event.lost
    }
    if (!("id" in event)) return
    if (event._tag === "Submitted") {
      entries[event.id] = {
        name: event.name,
        submittedAt: event.at,
        notices: [],
        moreNotices: 0,
        ranMillis: 0,
        attempts: 0,
        rows: 0
      }
      return
    }
    const entry = entries[event.id]
    if (entry === undefined) return
    switch (event._tag) {
      case "Started":
        entry.startedAt ??= event.at
        entry.runningSince = event.at
        entry.worker = event.worker
        workers = Math.max(workers, event.worker + 1)
        entry.attempts = event.attempt
        return
      case "Noticed":
        if (entry.notices.length < mostNotices) entry.notices.push({ severity: event.severity, message: event.message })
        else entry.moreNotices++
        return
      case "Retrying":
        stop(entry, event.at)
        return
      case "Ended":
        stop(entry, event.at)
        entry.endedAt = event.at
        entry.outcome = event.outcome
        entry.rows = event.rows
        entry.error = event.error
        entry.because = event.because
    }
  }

  const query = (id: number): QueryReport | undefined => {
    const entry = entries[id]
    return entry?.outcome === undefined ? undefined : toReport(id, entry, entry.outcome, firstAt ?? 0)
  }

  const report = (): Report => {
    const queries = entries.flatMap((_, id) => query(id) ?? [])
    const makespanMillis = lastAt - (firstAt ?? 0)
    const { binding, efficiency, lowerBoundMillis } = bounds({ queries, makespanMillis }, workers)
    return {
      queries,
      failures: [],
      concurrency,
      ...(snapshot === undefined
        ? {}
        : { snapshot: { heldMillis: (snapshot.endedAt ?? lastAt) - snapshot.takenAt, lost: snapshot.lost === true } }),
      makespanMillis,
      lowerBoundMillis,
      binding,
      efficiency
    }
  }

  return { add, report, query }
}

/**
 * What no scheduler could have beaten, given what each query ran; where there is a plan, also because of what queries
 * needed.
 *
 * @internal
 */
export const bounds = (
  { makespanMillis, queries }: Pick<Report, "queries" | "makespanMillis">,
  workers: number,
  plan?: Plan | undefined
): Pick<Report, "lowerBoundMillis" | "binding" | "efficiency"> & { readonly criticalPath: ReadonlyArray<string> } => {
  const ran = new Map(queries.map(({ id, ranMillis }) => [id, ranMillis]))
  const { binding, criticalPath, duration } =
    plan === undefined
      ? { ...lowerBound({ durations: ran.values(), workers }), criticalPath: [] }
      : boundOfPlan(
          plan,
          workers,
          plan.nodes.map(({ index }) => ran.get(index) ?? 0)
        )
  return {
    lowerBoundMillis: duration,
    binding,
    efficiency: makespanMillis === 0 ? 1 : duration / makespanMillis,
    criticalPath
  }
}

/** An attempt is over, if one was running: it may have failed before it had a session. */
const stop = (entry: Entry, at: number): void => {
  if (entry.runningSince !== undefined) entry.ranMillis += at - entry.runningSince
  entry.runningSince = undefined
}

const toReport = (id: number, entry: Entry, outcome: QueryReport["outcome"], start: number): QueryReport => {
  const endedAt = entry.endedAt ?? entry.submittedAt
  const startedAt = entry.startedAt
  return {
    id,
    name: entry.name,
    outcome,
    ...(entry.error === undefined ? {} : { error: entry.error }),
    ...(entry.because === undefined ? {} : { because: entry.because }),
    waitedMillis: endedAt - entry.submittedAt - entry.ranMillis,
    ranMillis: entry.ranMillis,
    rows: entry.rows,
    attempts: entry.attempts,
    worker: entry.worker,
    startedMillis: startedAt === undefined ? undefined : startedAt - start,
    notices: entry.notices,
    moreNotices: entry.moreNotices
  }
}

/**
 * The report of a list of events.
 *
 * @since 0.1.0
 */
export const fromEvents = (events: Iterable<QueryEvent>): Report => {
  const collected = collector()
  for (const event of events) collected.add(event)
  return collected.report()
}
