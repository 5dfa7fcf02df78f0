/**
 * Everything that can happen to a query, and to the run it belongs to.
 *
 * A run is a stream of these events; its report and its progress are folds of that stream, and nothing else keeps
 * state about a run. For each query: one `Submitted`, then `Started` once it has a slot and a session, then exactly
 * one `Ended`. Times are milliseconds of the fiber's clock since the epoch, with fractions.
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

/** @since 0.1.0 */
export interface Ended extends OfQuery {
  readonly _tag: "Ended"
  readonly outcome: Outcome<unknown, unknown>["_tag"]
  /** How many rows its last attempt received. */
  readonly rows: number
  /** What it failed with, also when that is a defect. */
  readonly error?: unknown
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
export type QueryEvent = RunStarted | Submitted | Started | Noticed | Ended | RunEnded
