/**
 * Wakes one who waits. Rung while nobody waits, it is heard by the next wait; rung many times, it is heard once.
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
        this.wake = () => resume(Effect.void)
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
