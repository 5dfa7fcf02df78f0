/**
 * How a handler may end beside its result: later, or not at all. Each is an error, so that a transaction of the handler's
 * is rolled back.
 *
 * @since 0.1.0
 */
import type { Duration } from "effect"
import { Effect, Schema } from "effect"
import { Impossible, TaskError } from "./TaskError.ts"
import { millisOf, saidAs } from "./TaskTime.ts"

/** @internal */
export class Signal extends Schema.TaggedError<Signal>("querypool/task/TaskSignal")("TaskSignal", {
  kind: Schema.Literals(["snooze", "retry", "discard", "giveUp"]),
  millis: Schema.Finite,
  why: Schema.String
}) {}

const later = (
  kind: "snooze" | "retry",
  option: string,
  duration: Duration.Input
): Effect.Effect<never, Signal | TaskError> =>
  Effect.suspend((): Effect.Effect<never, Signal | TaskError> => {
    const millis = millisOf(duration)
    if (millis !== undefined) return Effect.fail(new Signal({ kind, millis, why: "" }))
    const message = `\`${option}\` is a duration from 0 that ends, got ${saidAs(duration)}`
    return Effect.fail(new TaskError({ reason: new Impossible({ message }) }))
  })

/**
 * Ends the attempt, to begin again later: it has not begun, and counts for none. Fails with `TaskError` (`Impossible`)
 * for a time that is below 0, or has no end.
 *
 * @since 0.1.0
 */
export const snooze = (duration: Duration.Input): Effect.Effect<never, Signal | TaskError> =>
  later("snooze", "snooze", duration)

/**
 * Ends the attempt as one that failed, to be made again after this time, whatever the task's policy says. Fails as
 * `snooze` does.
 *
 * @since 0.1.0
 */
export const retryIn = (duration: Duration.Input): Effect.Effect<never, Signal | TaskError> =>
  later("retry", "retryIn", duration)

/**
 * Ends the task: there is nothing to do any more. It is `failed` then, with this reason.
 *
 * @since 0.1.0
 */
export const discard = (why: string): Effect.Effect<never, Signal> =>
  Effect.fail(new Signal({ kind: "discard", millis: 0, why }))
