/**
 * From what a run did to what is written of it.
 *
 * @internal
 */
import type * as ReportDocument from "../../query/ReportDocument.ts"
import type { PartTimeline, QueryTimeline, Timeline } from "../../query/Timeline.ts"

/**
 * What is known of a run beside its events.
 *
 * @internal
 */
export interface About extends Pick<ReportDocument.Run, "name" | "database" | "unreachable" | "interrupted"> {
  /** Of a query by its number: where it stands, and its tags. */
  readonly sourceOf: (id: number) => Pick<ReportDocument.Query, "source" | "tags">
  /** Why an attempt of a query failed. */
  readonly failureOf: (id: number, error: unknown) => ReportDocument.Failure
}

/** Microseconds are as fine as the clock is. */
const rounded = (millis: number): number => Math.round(millis * 1000) / 1000

const outcomes = {
  Succeeded: "succeeded",
  Failed: "failed",
  Cancelled: "cancelled",
  Skipped: "skipped"
} as const

const partOf = (part: PartTimeline, failureOf: (error: unknown) => ReportDocument.Failure): ReportDocument.Part => {
  const { attempts, cancel, error, failedAttempts, name, outcome, ranMillis, rows, segments, waitedMillis } = part
  return {
    name,
    outcome: outcomes[outcome],
    ...(outcome === "Failed" ? { error: failureOf(error) } : {}),
    rows,
    attempts,
    waitedMillis: rounded(waitedMillis),
    ranMillis: rounded(ranMillis),
    segments: segments.map(({ fromMillis, toMillis, ...rest }) => ({
      ...rest,
      fromMillis: rounded(fromMillis),
      toMillis: rounded(toMillis)
    })),
    failedAttempts: failedAttempts.map(({ attempt, delayMillis, error: why }) => ({
      attempt,
      delayMillis: rounded(delayMillis),
      error: failureOf(why)
    })),
    ...(cancel === undefined ? {} : { cancel: { how: cancel.how, tookMillis: rounded(cancel.tookMillis) } })
  }
}

/** @internal */
export const runDocumentOf = (timeline: Timeline, about: About): ReportDocument.Run => {
  const { failureOf, sourceOf, ...known } = about
  const { concurrency, criticalPath, efficiency, lowerBoundMillis, makespanMillis, queries, snapshot } = timeline
  const names = new Map(queries.map(({ id, name }) => [id, name]))
  const queryOf = (query: QueryTimeline): ReportDocument.Query => ({
    ...partOf(query, (error) => failureOf(query.id, error)),
    ...(query.because === undefined ? {} : { because: query.because }),
    ...sourceOf(query.id),
    needs: query.needs.flatMap((need) => names.get(need) ?? []),
    parts: query.parts.map((part) => partOf(part, (error) => failureOf(query.id, error))),
    notices: query.notices,
    moreNotices: query.moreNotices
  })
  return {
    ...known,
    startedAt: new Date(timeline.startedAt).toISOString(),
    concurrency,
    makespanMillis: rounded(makespanMillis),
    lowerBoundMillis: rounded(lowerBoundMillis),
    binding: timeline.binding,
    efficiency,
    criticalPath,
    ...(snapshot === undefined
      ? {}
      : {
          snapshot: {
            fromMillis: rounded(snapshot.fromMillis),
            toMillis: rounded(snapshot.toMillis),
            lost: snapshot.lost
          }
        }),
    queries: queries.map(queryOf)
  }
}
