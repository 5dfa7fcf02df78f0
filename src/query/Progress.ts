/**
 * How far a run is: a fold of its events.
 *
 * `QueryPool.progress` runs queries and gives it as a stream. For a run of any other kind, hand the events to a collector
 * and ask it whenever something is to be shown:
 *
 *     const { add, progress } = Progress.collector()
 *     QueryPool.all(queries, { onEvent: add, progressEvery: "100 millis" })
 *
 * - Each query that was handed over is counted once: it waits, runs, waits for another attempt, or has ended.
 * - It keeps what has not ended; of what has, four numbers.
 * - What it says of the time that is left is a guess, and absent where there is nothing to go by.
 *
 * Durations are milliseconds, with fractions.
 *
 * @since 0.1.0
 */
import * as Makespan from "./Makespan.ts"
import type * as Plan from "./Plan.ts"
import type { Progressed, QueryEvent, Retrying, Started } from "./QueryEvent.ts"
import type { Open } from "./Remaining.ts"
import { Remaining } from "./Remaining.ts"

interface OpenQuery {
  /** Counts the run's queries from 0 in the order they were handed over. */
  readonly id: number
  readonly name: string
}

/**
 * A query that has a session.
 *
 * @since 0.1.0
 */
export interface RunningQuery extends OpenQuery, Pick<Started, "worker" | "attempt">, Pick<Progressed, "rows"> {
  /** How long this attempt has run. */
  readonly ranMillis: number
}

/**
 * A query whose attempt failed, and that waits for the next one.
 *
 * @since 0.1.0
 */
export interface RetryingQuery extends OpenQuery, Pick<Retrying, "attempt" | "error"> {
  /** How long until it is tried again; 0 once it waits for its turn only. */
  readonly inMillis: number
}

/**
 * How far a run is.
 *
 * @since 0.1.0
 */
export interface Progress {
  /** How many queries the run has; `undefined` where that is not known, see `QueryEvent.RunStarted`. */
  readonly total: number | undefined
  /** How many were handed over and have not started. */
  readonly waiting: number
  /** Those that have a session, the longest running first. */
  readonly running: ReadonlyArray<RunningQuery>
  /** Those between two attempts, the next first. */
  readonly retrying: ReadonlyArray<RetryingQuery>
  readonly succeeded: number
  readonly failed: number
  readonly cancelled: number
  readonly skipped: number
  /** Since the run's start, up to its end. */
  readonly elapsedMillis: number
  /**
   * How long the run is taken to go on: from what its queries took before, where that is known, and from what they have
   * taken so far. `undefined` where nothing can be said; 0 when it is over.
   */
  readonly remainingMillis: number | undefined
  readonly isOver: boolean
}

/**
 * What is known of a run beside its events.
 *
 * @since 0.1.0
 */
export interface Options {
  /** How many milliseconds a query of a name is expected to take: what the `recall` of a `DurationHistory` gives. */
  readonly expected?: ((name: string) => number | undefined) | undefined
  /** Who is next, as in the run's options. Default `given`. */
  readonly order?: Plan.Order | undefined
  /** What the queries need, where they need each other: those of the run in the order in which they are handed over. */
  readonly plan?: Plan.Plan | undefined
}

/**
 * Collects the events of one run.
 *
 * @since 0.1.0
 */
export interface Collector {
  readonly add: (event: QueryEvent) => void
  /** How far the run is at a moment: milliseconds since the epoch, by the clock of the events. */
  readonly progress: (now: number) => Progress
}

interface Waiting extends OpenQuery {
  readonly expected: number | undefined
}

interface Running extends Waiting, Pick<Started, "worker" | "attempt"> {
  readonly since: number
  rows: number
}

interface Resting extends Waiting, Pick<Retrying, "attempt" | "error"> {
  readonly until: number
}

/**
 * A collector for one run.
 *
 * @since 0.1.0
 */
export const collector = ({ expected, order = "given", plan }: Options = {}): Collector => {
  const ranks = plan === undefined ? undefined : new Map(Makespan.orderOf(plan, order).map((id, rank) => [id, rank]))
  const compare =
    ranks !== undefined
      ? (one: Open, other: Open) => (ranks.get(one.id) ?? 0) - (ranks.get(other.id) ?? 0)
      : order === "longest-first"
        ? (one: Open, other: Open) => (other.expected ?? 0) - (one.expected ?? 0)
        : undefined
  const waiting = new Map<number, Waiting>()
  const running = new Map<number, Running>()
  const resting = new Map<number, Resting>()
  const ended = { Succeeded: 0, Failed: 0, Cancelled: 0, Skipped: 0 }
  let total: number | undefined
  let startedAt: number | undefined
  let endedAt: number | undefined
  let remaining = new Remaining({ workers: 1 })

  const add = (event: QueryEvent): void => {
    startedAt ??= event.at
    if (event._tag === "RunStarted") {
      total = event.queries
      remaining = new Remaining({ workers: event.concurrency, needs: plan?.needs, compare })
    }
    if (event._tag === "RunEnded") endedAt = event.at
    if (!("id" in event)) return
    const { at, id, name } = event
    if (event._tag === "Submitted") {
      const millis = expected?.(name)
      remaining.submitted(millis)
      waiting.set(id, { id, name, expected: millis })
      return
    }
    const ran = running.get(id)
    const open = ran ?? waiting.get(id) ?? resting.get(id)
    if (open === undefined) return
    switch (event._tag) {
      case "Started":
        waiting.delete(id)
        resting.delete(id)
        running.set(id, { ...base(open), worker: event.worker, attempt: event.attempt, since: at, rows: 0 })
        return
      case "Progressed":
        if (ran !== undefined) ran.rows = event.rows
        return
      case "Retrying":
        waiting.delete(id)
        running.delete(id)
        resting.set(id, { ...base(open), attempt: event.attempt, error: event.error, until: at + event.delayMillis })
        return
      case "Ended":
        if (event.outcome === "Succeeded" && ran !== undefined) remaining.succeeded(ran.expected, at - ran.since)
        waiting.delete(id)
        running.delete(id)
        resting.delete(id)
        ended[event.outcome]++
    }
  }

  const remainingMillis = (now: number): number | undefined => {
    if (endedAt !== undefined) return 0
    return total === undefined ? undefined : remaining.millis({ running, resting, waiting }, now)
  }

  const progress = (now: number): Progress => ({
    total,
    waiting: waiting.size,
    running: Array.from(running.values(), ({ attempt, id, name, rows, since, worker }) => {
      return { id, name, worker, attempt, rows, ranMillis: Math.max(0, now - since) }
    }).toSorted((a, b) => b.ranMillis - a.ranMillis),
    retrying: Array.from(resting.values(), ({ attempt, error, id, name, until }) => {
      return { id, name, attempt, error, inMillis: Math.max(0, until - now) }
    }).toSorted((a, b) => a.inMillis - b.inMillis),
    succeeded: ended.Succeeded,
    failed: ended.Failed,
    cancelled: ended.Cancelled,
    skipped: ended.Skipped,
    elapsedMillis: Math.max(0, (endedAt ?? now) - (startedAt ?? now)),
    remainingMillis: remainingMillis(now),
    isOver: endedAt !== undefined
  })

  return { add, progress }
}

const base = ({ expected, id, name }: Waiting): Waiting => ({ id, name, expected })
