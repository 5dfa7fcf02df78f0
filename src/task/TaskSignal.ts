/**
 * How a handler may end beside its result: later, or not at all. Each is an error, so that a transaction of the handler's
 * is rolled back.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Schema } from "effect"

/** @internal */
export class Signal extends Schema.TaggedError<Signal>("querypool/task/TaskSignal")("TaskSignal", {
  kind: Schema.Literals(["snooze", "retry", "discard"]),
  millis: Schema.Finite,
  why: Schema.String
}) {}

const later = (kind: "snooze" | "retry", duration: Duration.Input): Effect.Effect<never, Signal> =>
  Effect.suspend(() => {
    const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
    return Effect.fail(new Signal({ kind, millis, why: "" }))
  })

/**
 * Ends the attempt, to begin again later: it has not begun, and counts for none.
 *
 * @since 0.1.0
 */
export const snooze = (duration: Duration.Input): Effect.Effect<never, Signal> => later("snooze", duration)

/**
 * Ends the attempt as one that failed, to be made again after this time, whatever the task's policy says.
 *
 * @since 0.1.0
 */
export const retryIn = (duration: Duration.Input): Effect.Effect<never, Signal> => later("retry", duration)

/**
 * Ends the task: there is nothing to do any more. It is `failed` then, with this reason.
 *
 * @since 0.1.0
 */
export const discard = (why: string): Effect.Effect<never, Signal> =>
  Effect.fail(new Signal({ kind: "discard", millis: 0, why }))
