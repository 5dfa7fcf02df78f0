/**
 * Everything that can happen to a query, and to the run it belongs to.
 *
 * A run is a stream of these events; its report and its progress are folds of that stream, and nothing else keeps
 * state about a run. For each query: one `Submitted`, then `Started` each time it has a slot and a session (more than
 * once when it is tried again), then exactly one `Ended`. Times are milliseconds of the fiber's clock since the epoch, with fractions.
 *
 * @since 0.1.0
 */
import type { Outcome } from "./Outcome.ts"

interface Base {
  readonly at: number
}

interface OfQuery extends Base {
  /** Counts the run's queries from 0 in the order they were handed over. */
  readonly id: number
  /** The query's name. */
  readonly name: string
}

/** @since 0.1.0 */
export interface RunStarted extends Base {
  readonly _tag: "RunStarted"
  /** How many queries may run at once. */
  readonly concurrency: number
  /**
   * How many queries the run has. Absent where that is not known: where queries come from an iterable, or are inside of
   * other effects.
   */
  readonly queries?: number | undefined
}

/**
 * The query was handed to the run and waits for its turn.
 *
 * @since 0.1.0
 */
export interface Submitted extends OfQuery {
  readonly _tag: "Submitted"
}

/**
 * The query has its slot and its session.
 *
 * @since 0.1.0
 */
export interface Started extends OfQuery {
  readonly _tag: "Started"
  /** Which of the run's workers runs it, from 0. */
  readonly worker: number
  /** Counts the tries from 1. */
  readonly attempt: number
}

/**
 * The number of rows that the attempt under way has received has changed. Told only in runs with `progressEvery`, and at
 * most so often of each query.
 *
 * @since 0.1.0
 */
export interface Progressed extends OfQuery {
  readonly _tag: "Progressed"
  /** Rows that the attempt has received so far. */
  readonly rows: number
}

/**
 * The server sent a NOTICE or WARNING while the query ran. Only pools with `results: "text"` see these.
 *
 * @since 0.1.0
 */
export interface Noticed extends OfQuery {
  readonly _tag: "Noticed"
  /** The server's word for it: `NOTICE`, `WARNING`, `INFO`, `DEBUG` or `LOG`. */
  readonly severity: string
  readonly message: string
}

/**
 * An attempt failed, and the query is tried again after a delay in which it holds neither slot nor session.
 *
 * @since 0.1.0
 */
export interface Retrying extends OfQuery {
  readonly _tag: "Retrying"
  /** The attempt that failed, from 1. */
  readonly attempt: number
  readonly error: unknown
  readonly delayMillis: number
}

/**
 * How a cancel on the server ended.
 *
 * - `idle`: the server stopped the statement and said so
 * - `gone`: the server closed the connection
 * - `terminated`: the statement did not stop in time, so its backend was terminated and seen to be gone
 * - `unconfirmed`: the server could not be asked; it stops the statement when it notices that its client is gone
 *
 * @since 0.1.0
 */
export interface CancelEnd {
  readonly how: "idle" | "gone" | "terminated" | "unconfirmed"
  /** From the first request to stop until that was known. */
  readonly tookMillis: number
}

/**
 * A statement that was interrupted has stopped on the server, or could not be seen to.
 *
 * @since 0.1.0
 */
export interface CancelEnded extends OfQuery, CancelEnd {
  readonly _tag: "CancelEnded"
}

/** @since 0.1.0 */
export interface Ended extends OfQuery {
  readonly _tag: "Ended"
  readonly outcome: Outcome<unknown, unknown>["_tag"]
  /** How many rows its last attempt received. */
  readonly rows: number
  /** What it failed with, also when that is a defect. */
  readonly error?: unknown
  /** Where it was skipped because it needed another: the name of the query that did not succeed. */
  readonly because?: string
}

/**
 * Something happened to a part of the query, which is run in parts (`-- partition:` in `.sql` files). Such parts are a
 * run of their own: in `part`, `id` counts them from 0, beginning with what plans them, and `worker` the workers of that
 * run. In a program, the parts of `Partition.findAll` are queries of the run as any other.
 *
 * @since 0.1.0
 */
export interface OfPart extends OfQuery {
  readonly _tag: "OfPart"
  readonly part: Exclude<OfQueryEvent, OfPart>
}

/**
 * The run's snapshot was taken: its queries see this moment.
 *
 * @since 0.1.0
 */
export interface SnapshotTaken extends Base {
  readonly _tag: "SnapshotTaken"
}

/** @since 0.1.0 */
export interface SnapshotEnded extends Base {
  readonly _tag: "SnapshotEnded"
  /** Its session is gone before the run's end: what had not joined it by then fails with `SnapshotLost`. */
  readonly lost: boolean
}

/** @since 0.1.0 */
export interface RunEnded extends Base {
  readonly _tag: "RunEnded"
}

/**
 * Everything that can happen in a run.
 *
 * @since 0.1.0
 */
export type QueryEvent = RunStarted | OfQueryEvent | SnapshotTaken | SnapshotEnded | RunEnded

/**
 * Everything that can happen to one query.
 *
 * @since 0.1.0
 */
export type OfQueryEvent = Submitted | Started | Progressed | Noticed | Retrying | CancelEnded | OfPart | Ended
