import { Effect } from "effect"
import { TestClock } from "effect/testing"

/** What follows from one moment takes many turns of many fibers, and the clock of tests waits for few of them. */
const settled = Effect.replicateEffect(Effect.yieldNow, 50, { discard: true })

/** Moves the clock, and lets everything happen that is due before and after. */
export const timePasses = (millis: number): Effect.Effect<void> =>
  Effect.andThen(settled, Effect.andThen(TestClock.adjust(millis), settled))
