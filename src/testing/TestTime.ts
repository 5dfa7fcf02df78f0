/**
 * Time in tests: moved by hand, with all that is due on the way.
 *
 * ```ts
 * const handle = yield* Task.enqueue(mail, { id: 7 }, { delay: "1 hour" })
 * yield* TestTime.advance("59 minutes")
 * assert.strictEqual((yield* handle.status)._tag, "scheduled")
 * yield* TestTime.advance("1 minute")
 * assert.strictEqual((yield* handle.status)._tag, "succeeded")
 * ```
 *
 * @since 0.1.0
 */
import type { Duration } from "effect"
import { Clock, Effect } from "effect"
import type { TestClock } from "effect/testing/TestClock"

/** What follows from one moment takes many turns of many fibers, and the clock of tests waits for few of them. */
const settled = Effect.replicateEffect(Effect.yieldNow, 50, { discard: true })

/**
 * The clock of tests, if it is the one that the fiber has.
 *
 * @internal
 */
export const testClockOf = (clock: Clock.Clock): TestClock | undefined => (isTestClock(clock) ? clock : undefined)

const isTestClock = (clock: Clock.Clock): clock is TestClock => "adjust" in clock && "setTime" in clock

/**
 * Moves the clock of tests by a duration from 0, and lets happen what is due before, on the way, and after.
 *
 * What takes more than some fifty turns of the fibers at one moment, or waits for something outside of this process, goes
 * on afterwards: wait for what it brings about, such as the end of a task (`handle.await`). Without effect's `TestClock`,
 * which `it.effect` of `@effect/vitest` provides, it is a defect.
 *
 * @since 0.1.0
 */
export const advance = (duration: Duration.Input): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const clock = testClockOf(fiber.getRef(Clock.Clock))
    if (clock !== undefined) return Effect.andThen(settled, Effect.andThen(clock.adjust(duration), settled))
    return Effect.die(
      new Error("Only effect's TestClock can be moved, and this fiber has another clock. `it.effect` provides one")
    )
  })
