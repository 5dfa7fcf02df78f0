/**
 * Keeps the leases of the tasks that run here, and looks after those that should not run any more.
 *
 * - A lease is renewed at a third of its time, and each second from then on while the store fails.
 * - A task whose claim is no more is interrupted: it was cancelled, or its lease ran out and another runner has it.
 * - A handler that has not ended some time after its timeout is named in the log, once.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Clock, Effect } from "effect"
import * as TaskLog from "./TaskLog.ts"
import type { Running, TaskPlaces } from "./TaskPlaces.ts"
import { graceMillis } from "./TaskStop.ts"
import type { TaskStore } from "./TaskStore.ts"

/** @internal */
export class TaskLeases {
  private readonly leaseMillis: number
  private readonly store: TaskStore["Service"]
  private readonly places: TaskPlaces
  private readonly patience = new TaskLog.Patience("renew leases")
  private renewedAt = -Infinity

  constructor(leaseMillis: number, store: TaskStore["Service"], places: TaskPlaces) {
    this.leaseMillis = leaseMillis
    this.store = store
    this.places = places
  }

  readonly start: Effect.Effect<void, never, Scope.Scope> = Effect.suspend(() => {
    const turn = Effect.andThen(this.patience.until(this.renew), this.nameLate)
    return Effect.asVoid(Effect.forkScoped(Effect.forever(Effect.delay(turn, this.leaseMillis / 3))))
  })

  /**
   * Renews at once, if it is late. Who had the processor for longer than the lease, or was suspended, would see its own
   * leases run out.
   */
  keep(now: number): Effect.Effect<void> {
    return now - this.renewedAt > this.leaseMillis / 2 ? Effect.asVoid(this.patience.tries(this.renew)) : Effect.void
  }

  /** Interrupts tasks of whose claims nothing is left. */
  lose(tasks: ReadonlyArray<Running>): void {
    for (const running of tasks) {
      running.isLost = true
      running.stop()
    }
  }

  private readonly renew = Effect.gen({ self: this }, function* () {
    const now = yield* Clock.currentTimeMillis
    const claims = this.places.all.map(({ id, token }) => ({ id, token }))
    const gone = claims.length === 0 ? [] : yield* this.store.renew(claims, this.leaseMillis, now)
    this.renewedAt = now
    const lost = gone.flatMap((claim) => this.places.ofClaim(claim) ?? [])
    const news = lost.filter(({ hasEnded, isLost }) => !hasEnded && !isLost)
    this.lose(lost)
    yield* Effect.forEach(
      news,
      ({ task }) =>
        Effect.logWarning(`${TaskLog.titleOf(task)} is stopped here: it was cancelled, or its lease had run out`),
      { discard: true }
    )
  })

  private readonly nameLate = Effect.gen({ self: this }, function* () {
    const now = yield* Clock.currentTimeMillis
    for (const running of this.places.all) {
      const { begunAt = Infinity, hasEnded, isNamed, task, worker } = running
      if (hasEnded || isNamed || now - begunAt < worker.timeoutMillis + graceMillis) continue
      running.isNamed = true
      yield* Effect.logWarning(`${TaskLog.titleOf(task)} does not stop: it has run for ${now - begunAt} ms`)
    }
  })
}
