import { Effect, Schema } from "effect"
import { setTimeout as sleep } from "node:timers/promises"

/** What was waited for did not happen within the bound. */
class WaitedTooLong extends Schema.TaggedError<WaitedTooLong>()("WaitedTooLong", {
  message: Schema.String
}) {}

const boundMillis = 20_000

/**
 * Polls until `check` answers true, and fails with the message when that takes 20 seconds. A safety property that must
 * hold all the time belongs into the check: it runs at every poll, and its failure ends the wait. Time is the system's,
 * so that it can wait for other processes under a `TestClock`.
 */
export const waitUntil = Effect.fnUntraced(function* <E, R>(
  message: string,
  check: Effect.Effect<boolean, E, R>,
  pollMillis: number = 20
) {
  const deadline = performance.now() + boundMillis
  while (!(yield* check)) {
    if (performance.now() > deadline) {
      return yield* new WaitedTooLong({ message: `Waited ${boundMillis / 1000} seconds in vain until ${message}` })
    }
    yield* Effect.promise(() => sleep(pollMillis))
  }
})
