/**
 * How long a task waits for its next attempt: what its policy says by the number of the attempt, which the store keeps.
 *
 * The policy's schedule is stepped again from its start up to the attempt, so that a task is tried again after the same
 * delays by whichever process has it, and a restart does not begin them anew. Time passes for the schedule as its own
 * delays say, and what it chooses at random follows from the task's id.
 *
 * @internal
 */
import { Duration, Effect, Random } from "effect"
import * as RetryPolicy from "../query/RetryPolicy.ts"

/**
 * Milliseconds until the attempt after `attempt`, counted from 1; `undefined` where there is none.
 *
 * @internal
 */
export const delayMillis = (
  policy: RetryPolicy.RetryPolicy<never>,
  task: { readonly id: string; readonly attempt: number },
  error: unknown
): Effect.Effect<number | undefined> =>
  Effect.suspend(() => {
    const next = RetryPolicy.start(policy)
    const step = (count: number, elapsed: number): Effect.Effect<number | undefined> =>
      Effect.flatMap(next(error, elapsed), (delay) => {
        if (delay === undefined) return Effect.undefined
        const millis = Duration.toMillis(delay)
        return count === task.attempt ? Effect.succeed(millis) : step(count + 1, elapsed + millis)
      })
    return step(1, 0)
  }).pipe(Random.withSeed(task.id))
