/**
 * What the page is given: the report, packed, as 10,000 queries take ten times the room with a name at each number.
 *
 * Times are whole microseconds from the start of their run.
 *
 * @internal
 */

/** In the order of their numbers. @internal */
export const kinds = ["needing", "waiting", "running", "cancelling", "retrying"] as const

/** In the order of their numbers. @internal */
export const outcomes = ["succeeded", "failed", "cancelled", "skipped"] as const

/** @internal */
export type Kind = (typeof kinds)[number]

/** @internal */
export type OutcomeName = (typeof outcomes)[number]

/**
 * From when; then kind, until when, worker (-1 for none) and attempt of each segment.
 *
 * @internal
 */
export type PackedSegments = ReadonlyArray<number>

/** @internal */
export interface PageFailure {
  readonly reason: string
  readonly sqlState?: string | undefined
  readonly message: string
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly outcome: "notApplied" | "partial" | "unknown"
  readonly place?: string | undefined
  readonly excerpt?: string | undefined
}

/**
 * What few queries have.
 *
 * @internal
 */
export interface Extra {
  readonly error?: PageFailure
  readonly failedAttempts?: ReadonlyArray<{
    readonly attempt: number
    readonly delayMillis: number
    readonly error: PageFailure
  }>
  readonly cancel?: { readonly how: "idle" | "gone" | "terminated" | "unconfirmed"; readonly tookMillis: number }
  readonly because?: string
  /** By their places. */
  readonly needs?: ReadonlyArray<number>
  readonly tags?: ReadonlyArray<string>
  readonly notices?: ReadonlyArray<string>
  readonly moreNotices?: number
  readonly parts?: ReadonlyArray<PackedQuery>
}

/**
 * Name, outcome, rows, attempts, segments; the numbers of the texts that are its file and its SQL (-1 for none), and its
 * line.
 *
 * @internal
 */
export type PackedQuery = readonly [
  name: string,
  outcome: number,
  rows: number,
  attempts: number,
  segments: PackedSegments,
  file: number,
  line: number,
  sql: number,
  extra?: Extra
]

/** @internal */
export interface PageRun {
  readonly name?: string | undefined
  readonly database?: string | undefined
  readonly unreachable?: string | undefined
  readonly startedAt: string
  readonly interrupted: boolean
  readonly concurrency: number
  readonly makespanMillis: number
  readonly lowerBoundMillis: number
  readonly processors?: number | undefined
  readonly binding: "longest query" | "critical path" | "total work"
  readonly efficiency: number
  /** By their places. */
  readonly criticalPath: ReadonlyArray<number>
  readonly snapshot?: { readonly fromMillis: number; readonly toMillis: number; readonly lost: boolean } | undefined
  readonly queries: ReadonlyArray<PackedQuery>
}

/** @internal */
export interface PageData {
  readonly generator: string
  /** What may lie between two ticks of the axis, in milliseconds, ascending. */
  readonly steps: ReadonlyArray<number>
  /** Texts that several queries may share. */
  readonly texts: ReadonlyArray<string>
  /** Of how many queries the SQL was left out, to keep the page small. */
  readonly withoutSql: number
  readonly runs: ReadonlyArray<PageRun>
}
