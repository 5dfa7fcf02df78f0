/**
 * Wakes one who waits. Rung while nobody waits, it is heard by the next wait; rung many times, it is heard once. Whoever
 * is woken gets up when those who run now have had their turn: in that time it may ring again.
 *
 * @internal
 */
import { Effect } from "effect"

/** @internal */
export class Bell {
  private rung = false
  private wake: (() => void) | undefined

  ring(): void {
    this.rung = true
    this.wake?.()
  }

  readonly wait: Effect.Effect<void> = Effect.suspend(() => {
    if (this.rung) return Effect.sync(() => this.hear())
    return Effect.map(
      Effect.callback<void>((resume) => {
        // Woken in the middle of a batch, the runner would claim a single task for each one of it that has ended.
        this.wake = () => resume(Effect.yieldNow)
        return Effect.sync(() => {
          this.wake = undefined
        })
      }),
      () => this.hear()
    )
  })

  private hear(): void {
    this.rung = false
    this.wake = undefined
  }
}
