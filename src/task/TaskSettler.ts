/**
 * Says what became of tasks, those of many at once: while one batch is on its way to the store, the next gathers.
 *
 * A store that fails is asked again each second: what a handler has done is not forgotten, and its place stays taken.
 *
 * @internal
 */
import { Clock, Effect, Schedule } from "effect"
import type { Bell } from "./TaskBell.ts"
import type { Settlement, TaskStore } from "./TaskStore.ts"

/** @internal */
export interface Settling {
  readonly settlement: Settlement
  readonly settled: () => void
}

/** @internal */
export class TaskSettler {
  private pending: Array<Settling> = []
  private readonly store: TaskStore["Service"]
  private readonly bell: Bell

  constructor(store: TaskStore["Service"], bell: Bell) {
    this.store = store
    this.bell = bell
  }

  add(settling: Settling): void {
    this.pending.push(settling)
    this.bell.ring()
  }

  /** Goes on until it is interrupted. */
  readonly run: Effect.Effect<never> = Effect.forever(
    Effect.suspend(() => Effect.andThen(this.bell.wait, Effect.uninterruptible(this.flush)))
  )

  private readonly flush: Effect.Effect<void> = Effect.suspend(() => {
    const batch = this.pending
    if (batch.length === 0) return Effect.void
    this.pending = []
    const settle = Effect.flatMap(Clock.currentTimeMillis, (now) =>
      this.store.settle(
        batch.map(({ settlement }) => settlement),
        now
      )
    )
    return settle.pipe(
      Effect.tapError((error) => Effect.logWarning(`What became of ${batch.length} tasks is not yet kept`, error)),
      Effect.retry(Schedule.spaced("1 second")),
      Effect.orDie,
      Effect.map(() => {
        for (const { settled } of batch) settled()
      })
    )
  })
}
