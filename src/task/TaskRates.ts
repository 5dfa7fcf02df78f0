/**
 * How many tasks of a queue may begin in a time, by effect's RateLimiter.
 *
 * - **Nothing is held while it waits.** What is left of a limit is looked at before a claim, and no more is claimed: who
 *   waits is in the store, without a runner's place, a session or a lease.
 * - **Never more than that leaves.** What was claimed takes its part of the limit before it begins. Where runners in several processes share
 *   a limiter, another one may have taken it in between: then it is handed back, and has not begun.
 *
 * @internal
 */
import { Duration, Effect } from "effect"
import type { ConsumeResult, RateLimiter, RateLimiterError } from "effect/persistence/RateLimiter"
import { StoreFailed, TaskError } from "./TaskError.ts"

/**
 * How many tasks of a queue begin in a time, attempts after the first one included. A queue that always has some begins
 * `limit` in each `window`. One that had few for a while may begin more in one, and always less than twice as many.
 *
 * @since 0.1.0
 */
export interface RateLimit {
  /** An integer from 1. */
  readonly limit: number
  readonly window: Duration.Input
  /**
   * `fixed-window` (the default) lets all of them begin at once, and none until the window is over. `token-bucket` does so
   * once, and lets one begin each `window / limit` from then on.
   */
  readonly algorithm?: "fixed-window" | "token-bucket" | undefined
}

/** What a limit leaves: how many may begin now, and, if none, when one may. */
interface Left {
  readonly count: number
  readonly next: number | undefined
}

/** @internal */
export type Rate = Required<Omit<RateLimit, "window">> & { readonly windowMillis: number }

const unlimited: Left = { count: Infinity, next: undefined }

/** @internal */
export class TaskRates {
  private readonly limiter: RateLimiter
  private readonly rates: ReadonlyMap<string, Rate>

  constructor(limiter: RateLimiter, rates: ReadonlyMap<string, Rate>) {
    this.limiter = limiter
    this.rates = rates
  }

  /** What is left of a queue's limit. */
  left(queue: string, now: number): Effect.Effect<Left, TaskError> {
    const rate = this.rates.get(queue)
    if (rate === undefined) return Effect.succeed(unlimited)
    // Nothing is taken. Where others take from the same key by a greater limit, there may be less than nothing left.
    return Effect.catch(this.consume(queue, rate, 0, now), (error) => {
      const { reason } = error
      return reason._tag === "RateLimitExceeded"
        ? Effect.succeed({ count: 0, next: now + atLeastOne(Duration.toMillis(reason.retryAfter)) })
        : Effect.fail(failed(error))
    })
  }

  /** Takes as many of these as there are left, and says what is left then. */
  take(queue: string, wanted: number, now: number): Effect.Effect<Left & { readonly taken: number }, TaskError> {
    const rate = this.rates.get(queue)
    if (rate === undefined || wanted === 0) return Effect.succeed({ ...unlimited, taken: wanted })
    return this.consume(queue, rate, wanted, now).pipe(
      Effect.map((left) => ({ ...left, taken: wanted })),
      Effect.catch((error) =>
        error.reason._tag === "RateLimitExceeded"
          ? Effect.flatMap(this.left(queue, now), (left) => {
              const fewer = Math.min(left.count, wanted - 1)
              return fewer === 0 ? Effect.succeed({ ...left, taken: 0 }) : this.take(queue, fewer, now)
            })
          : Effect.fail(failed(error))
      )
    )
  }

  private consume(queue: string, rate: Rate, tokens: number, now: number): Effect.Effect<Left, RateLimiterError> {
    const { algorithm, limit, windowMillis: window } = rate
    const key = `querypool/task/${queue}`
    return Effect.map(this.limiter.consume({ key, algorithm, limit, window, tokens }), (result) =>
      leftOf(rate, result, now)
    )
  }
}

const leftOf = (
  { algorithm, limit, windowMillis }: Rate,
  { remaining, resetAfter }: ConsumeResult,
  now: number
): Left => {
  const count = Math.max(0, Math.floor(remaining))
  if (count > 0) return { count, next: undefined }
  const untilAll = Duration.toMillis(resetAfter)
  // All of a window come back at once, and those of a bucket one by one: all but one of them later than the first.
  const behind = algorithm === "fixed-window" ? 0 : (Math.ceil(limit - remaining) - 1) * (windowMillis / limit)
  return { count, next: now + atLeastOne(untilAll - behind) }
}

/** Asked again at once, a limiter that rounds down would say the same. */
const atLeastOne = (millis: number): number => Math.max(1, Math.ceil(millis))

const failed = ({ message }: RateLimiterError): TaskError =>
  new TaskError({ reason: new StoreFailed({ message: `the rate limiter: ${message}` }) })
