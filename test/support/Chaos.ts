/**
 * Interleavings that do not happen by themselves, made from a seed: what holds for each of many seeds holds for the
 * orders in which a busy process runs its fibers.
 */
import { Cause, Effect, Random, Scheduler } from "effect"

/** With fewer steps before each change of fibers, a fiber would only ever change. */
const fewestSteps = 3

/**
 * Runs an effect with random numbers from a seed and a scheduler that changes the fiber every few steps, so that
 * another fiber can come in between any two steps. `Random` gives the same numbers for the same seed.
 */
export const interleaved =
  (seed: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    effect.pipe(Random.withSeed(seed), Effect.provideService(Scheduler.MaxOpsBeforeYield, fewestSteps + (seed % 7)))

/** Checks one after the other; a failure names its seed. */
export const forSeeds = <E, R>(count: number, check: (seed: number) => Effect.Effect<void, E, R>) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index + 1),
    (seed) =>
      Effect.catchCause(interleaved(seed)(check(seed)), (cause) =>
        Effect.die(new Error(`With seed ${seed}: ${Cause.pretty(cause)}`))
      ),
    { discard: true }
  )

/** An integer from 0 up to but not including `bound`. */
export const below = (bound: number) => Random.nextIntBetween(0, bound, { halfOpen: true })

/** Lets other fibers run for a random number of turns. */
export const fewTurns = Effect.flatMap(below(6), (turns) =>
  Effect.replicateEffect(Effect.yieldNow, turns, { discard: true })
)
