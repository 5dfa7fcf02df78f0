/**
 * Slots: the right to do something, for so many at a time, handed out in the order of asking.
 *
 * A semaphore of effect would do, at 0.92 times the lookups per second: it wraps the effect in a region and a
 * finalizer of its own, where its user here has both already.
 *
 * @internal
 */
import { Effect } from "effect"

/** One who asks for a slot. It holds one while `held` is true. */
class Ticket {
  held = false
  wake: (() => void) | undefined
}

/** How long to wait for a slot, and what to do when there is none by then. */
interface Patience<E> {
  readonly millis: number
  readonly orElse: Effect.Effect<never, E>
}

/** @internal */
export class Slots {
  readonly size: number
  /** How many are taken. */
  used = 0
  /** Called when somebody begins to wait. */
  onWait: (() => void) | undefined
  private readonly waiting = new Set<Ticket>()

  constructor(size: number) {
    this.size = size
  }

  /** How many wait for a slot. */
  get queue(): number {
    return this.waiting.size
  }

  /** Takes a slot if one is free and nobody waits for it. */
  tryTake(): boolean {
    if (this.used >= this.size || this.waiting.size > 0) return false
    this.used++
    return true
  }

  /**
   * Waits for a slot. To be called where interruption is off, with the function that turns it on: interrupted, it
   * leaves no slot behind; completed, it holds one.
   */
  take<E = never>(
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
    patience?: Patience<E> | undefined
  ): Effect.Effect<void, E> {
    return Effect.suspend(() => {
      if (this.tryTake()) return Effect.void
      const ticket = new Ticket()
      this.waiting.add(ticket)
      this.onWait?.()
      const wait = Effect.callback<void>((resume) => {
        if (ticket.held) return resume(Effect.void)
        ticket.wake = () => resume(Effect.void)
      })
      const patient: Effect.Effect<void, E> =
        patience === undefined
          ? wait
          : Effect.timeoutOrElse(wait, { duration: patience.millis, orElse: () => patience.orElse })
      return Effect.onExitPrimitive(restore(patient), (exit) => {
        if (exit._tag === "Success") return undefined
        // The slot may have been handed over just before the interruption.
        if (ticket.held) this.give()
        else this.waiting.delete(ticket)
        return undefined
      })
    })
  }

  /** Gives a slot back, to the one who waits the longest if somebody does. */
  give(): void {
    for (const next of this.waiting) {
      this.waiting.delete(next)
      next.held = true
      // Not at once: a chain of bodies that never wait would grow the stack by one frame for each.
      queueMicrotask(() => next.wake?.())
      return
    }
    this.used--
  }
}

/** @internal */
export const withSlot = <A, E, R, E2 = never>(
  slots: Slots,
  effect: Effect.Effect<A, E, R>,
  patience?: Patience<E2> | undefined
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) => {
    const run = Effect.onExitPrimitive(restore(effect), () => {
      slots.give()
      return undefined
    })
    return slots.tryTake() ? run : Effect.flatMap(slots.take(restore, patience), () => run)
  })
