/**
 * When each query of a run did what: a fold of the run's events. Pure.
 *
 *     needing --> waiting --> running --> [cancelling] --> ended
 *                    ^          |
 *                    +-retrying-+
 *
 * A query's segments follow each other without gaps or overlaps, from the moment in which it was handed over until its
 * end; what took no time has none. Times are milliseconds from the start of the run, with fractions.
 *
 * @since 0.1.0
 */
import type { Plan } from "./Plan.ts"
import type { CancelEnd, OfQueryEvent, QueryEvent } from "./QueryEvent.ts"
import type { QueryReport, Report } from "./Report.ts"
import * as Reports from "./Report.ts"

/**
 * What a query did for some time:
 *
 * - `needing`: something that it needs had not ended (only where there is a plan)
 * - `waiting`: for its turn, a slot, a session
 * - `running`: it had a session
 * - `cancelling`: it had been told to stop, and the server was not seen to have stopped yet
 * - `retrying`: it waited out the delay after a failed attempt, without slot or session
 *
 * @since 0.1.0
 */
export type SegmentKind = "needing" | "waiting" | "running" | "cancelling" | "retrying"

/**
 * A time in which a query did one thing.
 *
 * @since 0.1.0
 */
export interface Segment {
  readonly kind: SegmentKind
  readonly fromMillis: number
  readonly toMillis: number
  /** The attempt that runs, or that it waits for, from 1. */
  readonly attempt: number
  /** Which of the run's workers ran it, from 0: while it has a session. */
  readonly worker?: number
}

/**
 * An attempt that failed and was followed by another.
 *
 * @since 0.1.0
 */
export interface FailedAttempt {
  /** From 1. */
  readonly attempt: number
  readonly error: unknown
  readonly delayMillis: number
}

/**
 * What one query, or a part of one, did.
 *
 * @since 0.1.0
 */
export interface PartTimeline extends Pick<
  QueryReport,
  "id" | "name" | "outcome" | "error" | "rows" | "attempts" | "waitedMillis" | "ranMillis"
> {
  readonly segments: ReadonlyArray<Segment>
  /** Attempts that failed and were followed by another: the first hundred. */
  readonly failedAttempts: ReadonlyArray<FailedAttempt>
  /** How its last cancel ended, if it was told to stop. */
  readonly cancel?: CancelEnd | undefined
}

/**
 * What one query did.
 *
 * @since 0.1.0
 */
export interface QueryTimeline extends PartTimeline, QueryReport {
  /** The queries that had to succeed before it, by their `id`. */
  readonly needs: ReadonlyArray<number>
  /** Where it was run in parts: what they did, and what planned them, in the order in which they were handed over. */
  readonly parts: ReadonlyArray<PartTimeline>
}

/**
 * When each query of a run did what, and what bounded the run.
 *
 * @since 0.1.0
 */
export interface Timeline extends Omit<Report, "queries" | "failures" | "snapshot"> {
  readonly queries: ReadonlyArray<QueryTimeline>
  /** When the run started, in milliseconds since the epoch. */
  readonly startedAt: number
  /** Names of the queries on the longest path of those that needed each other; none where nothing was needed. */
  readonly criticalPath: ReadonlyArray<string>
  /** From when until when a snapshot was held. */
  readonly snapshot?: { readonly fromMillis: number; readonly toMillis: number; readonly lost: boolean } | undefined
}

/**
 * Collects the events of one run.
 *
 * @since 0.1.0
 */
export interface Collector {
  readonly add: (event: QueryEvent) => void
  /** What the queries that have ended did so far. */
  readonly timeline: () => Timeline
}

/** A query that polls fails thousands of times. */
const mostFailedAttempts = 100

/** One query, or a part of one, on its way. */
class Life {
  readonly segments: Array<Segment> = []
  readonly failedAttempts: Array<FailedAttempt> = []
  parts: Lives | undefined
  cancel: CancelEnd | undefined
  private kind: SegmentKind = "waiting"
  private since: number
  private attempt = 1
  private worker: number | undefined
  /** When the wait for another attempt is over, if nothing comes before. */
  private retryAt = Infinity

  constructor(submittedAt: number) {
    this.since = submittedAt
  }

  /** The segment under way ends, and another one begins. */
  private turn(kind: SegmentKind, at: number): void {
    if (this.kind === "retrying" && this.retryAt < at) {
      this.close(this.retryAt)
      this.kind = "waiting"
    }
    this.close(at)
    this.kind = kind
  }

  private close(at: number): void {
    const { attempt, kind, since, worker } = this
    if (at <= since) return
    this.segments.push({ kind, fromMillis: since, toMillis: at, attempt, ...(worker === undefined ? {} : { worker }) })
    this.since = at
  }

  add(event: OfQueryEvent, at: number, start: number): void {
    switch (event._tag) {
      case "Started":
        this.turn("running", at)
        this.attempt = event.attempt
        this.worker = event.worker
        return
      case "CancelEnded": {
        const { how, tookMillis } = event
        this.cancel = { how, tookMillis }
        // It is told when it is over, and is no part of what was before the attempt, whatever it took.
        if (this.kind === "running") this.turn("cancelling", at - tookMillis)
        return
      }
      case "Retrying": {
        const { attempt, delayMillis, error } = event
        if (this.failedAttempts.length < mostFailedAttempts) this.failedAttempts.push({ attempt, error, delayMillis })
        this.turn("retrying", at)
        this.attempt = attempt + 1
        this.worker = undefined
        this.retryAt = at + delayMillis
        return
      }
      case "OfPart":
        this.parts ??= new Lives()
        this.parts.add(event.part, start)
        return
      case "Ended":
        this.turn("waiting", at)
    }
  }

  /** What it did, where what it needed had ended at a time. */
  segmentsAfter(needed: number): ReadonlyArray<Segment> {
    return this.segments.flatMap((segment): ReadonlyArray<Segment> => {
      const { fromMillis, kind, toMillis } = segment
      if (kind !== "waiting" || fromMillis >= needed) return [segment]
      const needing: Segment = { ...segment, kind: "needing", toMillis: Math.min(toMillis, needed) }
      return toMillis <= needed ? [needing] : [needing, { ...segment, fromMillis: needed }]
    })
  }

  get endedAt(): number {
    return this.segments.at(-1)?.toMillis ?? this.since
  }

  get facts(): Pick<PartTimeline, "failedAttempts" | "cancel"> {
    const { cancel, failedAttempts } = this
    return { failedAttempts, ...(cancel === undefined ? {} : { cancel }) }
  }
}

/** Queries, or the parts of one, by their numbers. */
class Lives {
  readonly all: Array<Life> = []
  readonly reports = Reports.collector()

  add(event: QueryEvent, start: number): void {
    this.reports.add(event)
    if (!("id" in event)) return
    const at = event.at - start
    if (event._tag === "Submitted") this.all[event.id] = new Life(at)
    else this.all[event.id]?.add(event, at, start)
  }

  /** As parts: without what is of no use there. */
  parts(): ReadonlyArray<PartTimeline> {
    return this.reports.report().queries.map((report) => {
      const { attempts, error, id, name, outcome, ranMillis, rows, waitedMillis } = report
      const life = this.all[id]
      return {
        id,
        name,
        outcome,
        rows,
        attempts,
        waitedMillis,
        ranMillis,
        ...(error === undefined ? {} : { error }),
        segments: life?.segments ?? [],
        ...(life?.facts ?? { failedAttempts: [] })
      }
    })
  }
}

/**
 * A collector for one run. With the `plan` by which it runs it tells what queries needed; its queries are the first that
 * are handed over, in its order.
 *
 * @since 0.1.0
 */
export const collector = (options?: { readonly plan?: Plan | undefined }): Collector => {
  const plan = options?.plan
  const lives = new Lives()
  let startedAt: number | undefined
  let lastAt = 0
  /** As in a report: more than the run has slots where rows are streamed. */
  let workers = 1
  let snapshot: { readonly from: number; to?: number; lost?: boolean } | undefined

  const add = (event: QueryEvent): void => {
    startedAt ??= event.at
    lastAt = event.at
    lives.add(event, startedAt)
    if (event._tag === "RunStarted") workers = event.concurrency
    if (event._tag === "Started") workers = Math.max(workers, event.worker + 1)
    if (event._tag === "SnapshotTaken") snapshot = { from: event.at }
    if (event._tag === "SnapshotEnded" && snapshot !== undefined) {
      snapshot.to = event.at
      snapshot.lost = event.lost
    }
  }

  const timeline = (): Timeline => {
    const start = startedAt ?? 0
    const report = lives.reports.report()
    const { concurrency, makespanMillis, queries } = report
    return {
      concurrency,
      makespanMillis,
      ...Reports.bounds(report, workers, plan),
      queries: queries.map((query): QueryTimeline => {
        const life = lives.all[query.id]
        const needs = plan?.needs[query.id] ?? []
        const needed = needs.reduce((latest, need) => Math.max(latest, lives.all[need]?.endedAt ?? 0), 0)
        return {
          ...query,
          needs,
          segments: life?.segmentsAfter(needed) ?? [],
          ...(life?.facts ?? { failedAttempts: [] }),
          parts: life?.parts?.parts() ?? []
        }
      }),
      startedAt: start,
      ...(snapshot === undefined
        ? {}
        : {
            snapshot: {
              fromMillis: snapshot.from - start,
              toMillis: (snapshot.to ?? lastAt) - start,
              lost: snapshot.lost === true
            }
          })
    }
  }

  return { add, timeline }
}

/**
 * The timeline of a list of events.
 *
 * @since 0.1.0
 */
export const fromEvents = (
  events: Iterable<QueryEvent>,
  options?: { readonly plan?: Plan | undefined } | undefined
): Timeline => {
  const collected = collector(options)
  for (const event of events) collected.add(event)
  return collected.timeline()
}
