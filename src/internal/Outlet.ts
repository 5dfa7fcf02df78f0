/**
 * Results on their way from many producers to one reader: as they come, or in the order of their numbers.
 *
 *     under way -> (waiting for those before it) -> ready -> read
 *
 * - A producer asks for room before it begins. There is none while so many results lie here: what a slow reader leaves,
 *   or one that all others have to wait for, is bounded.
 * - The reader gets all that is ready at once, so that 100 results which arrive together cost one step.
 *
 * @internal
 */
import type { Array as Arr, Cause } from "effect"
import { Effect } from "effect"

/** @internal */
export class Outlet<A, E> {
  private readonly room: number
  private readonly ordered: boolean
  private ready: Array<A> = []
  /** Results that others have to come before. */
  private readonly early = new Map<number, A>()
  /** All before this number are ready, where the order counts. */
  private next = 0
  private end: Cause.Cause<E | Cause.Done> | undefined
  private reader: (() => void) | undefined
  private waiting = new Set<() => void>()

  constructor(options: { readonly room: number; readonly ordered: boolean }) {
    this.room = options.room
    this.ordered = options.ordered
  }

  get hasRoom(): boolean {
    return this.ready.length + this.early.size < this.room
  }

  /** Takes a result, by its place in the order from 0. */
  put(number: number, result: A): void {
    if (!this.ordered) {
      this.ready.push(result)
    } else if (number !== this.next) {
      this.early.set(number, result)
      return
    } else {
      this.ready.push(result)
      for (this.next++; this.early.has(this.next); this.next++) {
        // That it is there was asked just now; it may be undefined.
        this.ready.push(this.early.get(this.next) as A)
        this.early.delete(this.next)
      }
    }
    this.wakeReader()
  }

  /** Nothing comes any more: what is ready is read before the reader learns why. */
  close(end: Cause.Cause<E | Cause.Done>): void {
    this.end ??= end
    this.wakeReader()
  }

  private wakeReader(): void {
    const { reader } = this
    this.reader = undefined
    reader?.()
  }

  /** Waits until there may be room: to be asked again then. */
  readonly roomMade: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.hasRoom) return resume(Effect.void)
    const wake = (): void => resume(Effect.void)
    this.waiting.add(wake)
    return Effect.sync(() => this.waiting.delete(wake))
  })

  /** All that is ready, as soon as something is. For one reader. */
  readonly read: Effect.Effect<Arr.NonEmptyReadonlyArray<A>, E | Cause.Done> = Effect.suspend(() => {
    const { ready } = this
    if (isNonEmpty(ready)) {
      this.ready = []
      if (this.hasRoom && this.waiting.size > 0) {
        // A producer that is woken may come to wait again at once.
        const { waiting } = this
        this.waiting = new Set()
        for (const wake of waiting) wake()
      }
      return Effect.succeed(ready)
    }
    if (this.end !== undefined) return Effect.failCause(this.end)
    return Effect.andThen(this.arrived, this.readLater)
  })

  /**
   * In a turn of its own, so that it gets all that comes in this one; and work that never waits would go on within the
   * reader, and the reader within it, and no one else would ever have a turn.
   */
  private readonly readLater: Effect.Effect<Arr.NonEmptyReadonlyArray<A>, E | Cause.Done> = Effect.suspend(() =>
    Effect.andThen(Effect.yieldNow, this.read)
  )

  private readonly arrived: Effect.Effect<void> = Effect.callback((resume) => {
    // Looked at in the same step as it waits: something could come in between, and nobody would wake it.
    if (this.ready.length > 0 || this.end !== undefined) return resume(Effect.void)
    this.reader = () => resume(Effect.void)
    return Effect.sync(() => {
      this.reader = undefined
    })
  })
}

const isNonEmpty = <A>(values: ReadonlyArray<A>): values is Arr.NonEmptyReadonlyArray<A> => values.length > 0
