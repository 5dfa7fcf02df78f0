/**
 * The event loop, as what works beside the requests sees it: how busy it is, what time it is there, and its next turn.
 *
 * A reference, so that tests script it; by default it is the loop of this thread, whose time goes on while it is blocked
 * and under a `TestClock` too.
 *
 * - **One slice a turn.** However many loops of computations wait for their next turn, those that are let on in one turn
 *   have one slice together; the others wait for the turn after it. Ten of them with a slice each would make ten times
 *   as long a turn.
 * - **In their order.** Who waits longest goes on first.
 *
 * @since 0.1.0
 */
import { Context, Effect } from "effect"

/**
 * An event loop.
 *
 * @since 0.1.0
 */
export interface EventLoop {
  /** For how many milliseconds it has worked and waited so far. */
  readonly usage: () => { readonly active: number; readonly idle: number }
  /** Milliseconds since any moment. */
  readonly now: () => number
  /** Calls back in its next turn, when what has come in meanwhile has had its own. */
  readonly nextTurn: (callback: () => void) => void
}

/**
 * The event loop that `Background` works beside: of this thread, unless it is replaced.
 *
 * @since 0.1.0
 */
export const EventLoop: Context.Reference<EventLoop> = Context.Reference("querypool/task/Background/EventLoop", {
  defaultValue: (): EventLoop => ({
    usage: () => performance.eventLoopUtilization(),
    now: () => performance.now(),
    nextTurn: (callback) => setImmediate(callback)
  })
})

/**
 * How long computations keep the loop in a turn, all of them together.
 *
 * A turn costs 3 µs. A request beside computations waits for a slice in each of its own turns: one of four turns took
 * 4.6 ms with slices of 1 ms, 8.7 ms with 2 and 20.7 ms with 5, which were 4 % faster for the computations.
 *
 * @internal
 */
export const sliceMillis = 1

/** What waits for the next turn of a loop. */
class Turns {
  private readonly loop: EventLoop
  private readonly waiting = new Set<() => void>()
  private isAsked = false

  constructor(loop: EventLoop) {
    this.loop = loop
  }

  readonly next: Effect.Effect<void> = Effect.callback((resume) => {
    const go = () => resume(Effect.void)
    this.waiting.add(go)
    this.ask()
    return Effect.sync(() => this.waiting.delete(go))
  })

  private ask(): void {
    if (this.isAsked || this.waiting.size === 0) return
    this.isAsked = true
    this.loop.nextTurn(() => this.turn())
  }

  private turn(): void {
    this.isAsked = false
    const startedAt = this.loop.now()
    // A copy: whoever asks again within its slice has had this turn.
    for (const go of Array.from(this.waiting)) {
      // One that was let on may have interrupted another.
      if (this.waiting.delete(go)) go()
      if (this.loop.now() - startedAt >= sliceMillis) break
    }
    this.ask()
  }
}

const turns = new WeakMap<EventLoop, Turns>()

/**
 * Waits for a turn of the loop.
 *
 * @internal
 */
export const nextTurn = (loop: EventLoop): Effect.Effect<void> => {
  const known = turns.get(loop)
  if (known !== undefined) return known.next
  const made = new Turns(loop)
  turns.set(loop, made)
  return made.next
}
