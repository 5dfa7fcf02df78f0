/**
 * How a query ended: in exactly one of four ways.
 *
 * @since 0.1.0
 */
import { Cause, Exit } from "effect"

/**
 * The query returned a value.
 *
 * @since 0.1.0
 */
export interface Succeeded<out A> {
  readonly _tag: "Succeeded"
  readonly value: A
}

/**
 * The query failed with one of its typed errors.
 *
 * @since 0.1.0
 */
export interface Failed<out E> {
  readonly _tag: "Failed"
  readonly error: E
}

/**
 * The query was interrupted after it had been handed to the run.
 *
 * @since 0.1.0
 */
export interface Cancelled {
  readonly _tag: "Cancelled"
}

/**
 * The query was never started, because its run ended before its turn came, or because it needed another.
 *
 * @since 0.1.0
 */
export interface Skipped {
  readonly _tag: "Skipped"
  /** The name of the query that did not succeed, where it needed that, by however many steps. */
  readonly because?: string
}

/**
 * How a query ended.
 *
 * @since 0.1.0
 */
export type Outcome<A, E> = Succeeded<A> | Failed<E> | Cancelled | Skipped

/** @since 0.1.0 */
export const succeeded = <A>(value: A): Outcome<A, never> => ({ _tag: "Succeeded", value })

/** @since 0.1.0 */
export const failed = <E>(error: E): Outcome<never, E> => ({ _tag: "Failed", error })

/** @since 0.1.0 */
export const cancelled: Outcome<never, never> = { _tag: "Cancelled" }

/** @since 0.1.0 */
export const skipped: Outcome<never, never> = { _tag: "Skipped" }

/**
 * Skipped because a query that it needed did not succeed.
 *
 * @since 0.1.0
 */
export const skippedBecause = (because: string): Outcome<never, never> => ({ _tag: "Skipped", because })

/**
 * The outcome a cause stands for, or `undefined` for a defect: a defect is a fault of the program and no way for a query
 * to end.
 *
 * @since 0.1.0
 */
export const fromCause = <E>(cause: Cause.Cause<E>): Outcome<never, E> | undefined => {
  if (Cause.hasDies(cause)) return undefined
  const failure = cause.reasons.find(Cause.isFailReason)
  return failure === undefined ? cancelled : failed(failure.error)
}

/**
 * As `fromCause`, for an exit.
 *
 * @since 0.1.0
 */
export const fromExit = <A, E>(exit: Exit.Exit<A, E>): Outcome<A, E> | undefined =>
  Exit.isSuccess(exit) ? succeeded(exit.value) : fromCause(exit.cause)
