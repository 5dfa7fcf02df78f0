/**
 * Starts what can wait while the event loop has little to do.
 *
 *     asked for ─► first in line ─► a window of 100 ms ─┬─ below half of it at work ─► starts
 *         │                              ▲              │
 *         │                              └─ not below ──┘
 *         └─ longest wait over ────────────────────────────────────────────────────► starts
 *
 * - **Never under load** before its longest wait is over, and **always by then**.
 * - **One at a time.** Who starts makes load, so the next in line starts after a window of its own: when the loop becomes
 *   idle, what has waited does not start all at once.
 *
 * It decides when something starts, and not how it goes on: a loop of computations has `yieldEvery` for that.
 *
 * @internal
 */
import { Duration, Effect, Function, Semaphore } from "effect"
import { EventLoop } from "./BackgroundLoop.ts"

/**
 * What can be said of a start that waits.
 *
 * @since 0.1.0
 */
export interface IdleOptions {
  /** After this time it starts, however busy the loop is. */
  readonly longestWait: Duration.Input
  /** The part of its time that the loop is at work when it counts as busy: above 0, to 1. Default 0.5. */
  readonly busyFrom?: number | undefined
}

/**
 * A turn of the loop beside a computation lasts its slice divided by what the requests leave: twice a slice at half, and
 * five times one at four fifths.
 */
const busyFromByDefault = 0.5

/**
 * With requests of 1 ms that come at random, a window of 100 ms tells 0.35 and 0.65 apart in 97 of 100 cases; one of 50 ms
 * in 88, and one of 10 ms in 75.
 */
const windowMillis = 100

/**
 * Starts an effect when the event loop has been at work for less than half of the last 100 ms, and after the longest wait
 * at the latest. What is asked for so starts one after the other, in its order.
 *
 * Throws a `RangeError` for a longest wait that is below 0 or not finite.
 *
 * @since 0.1.0
 */
export const idle: {
  (options: IdleOptions): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, options: IdleOptions): Effect.Effect<A, E, R>
} = Function.dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, options: IdleOptions): Effect.Effect<A, E, R> => {
  const { busyFrom = busyFromByDefault, longestWait } = options
  const waitMillis =
    // A duration below zero is zero for Duration, and would hide a mistake.
    typeof longestWait === "number" ? longestWait : Duration.toMillis(Duration.fromInputUnsafe(longestWait))
  if (!(waitMillis >= 0 && Number.isFinite(waitMillis))) {
    throw new RangeError(`Expected \`longestWait\` to be finite and from 0, got ${String(longestWait)}`)
  }
  if (!(busyFrom > 0 && busyFrom <= 1)) {
    throw new RangeError(`Expected \`busyFrom\` to be above 0 and at most 1, got ${busyFrom}`)
  }
  const calm = Effect.withFiber((fiber) => {
    const loop = fiber.getRef(EventLoop)
    return lineOf(loop).withPermit(windowBelow(loop, busyFrom))
  })
  return Effect.andThen(Effect.timeoutOption(calm, waitMillis), self)
})

const windowBelow = Effect.fnUntraced(function* (loop: EventLoop, busyFrom: number) {
  let utilization = 1
  do {
    const before = loop.usage()
    yield* Effect.sleep(windowMillis)
    const after = loop.usage()
    const active = after.active - before.active
    const whole = active + after.idle - before.idle
    // A loop that has not begun counts nothing.
    utilization = whole > 0 ? active / whole : 0
  } while (utilization >= busyFrom)
})

const lines = new WeakMap<EventLoop, Semaphore.Semaphore>()

/** Whose first is the one that looks at the loop. */
const lineOf = (loop: EventLoop): Semaphore.Semaphore => {
  const known = lines.get(loop)
  if (known !== undefined) return known
  const made = Semaphore.makeUnsafe(1)
  lines.set(loop, made)
  return made
}
