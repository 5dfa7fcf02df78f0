/**
 * A clean stop: what closes together, or one after the other, has one limit to end in.
 *
 * 1. **Nothing begins.** From the moment at which a handler's layer is known to close nothing is claimed for it; what a claim
 *    under way still brings is handed back, and not begun. It is known when its own finalizer begins, and before that when
 *    a scope that it was built in is closed: the layers of one scope close one by one, and all of them are known then.
 * 2. **One limit.** `drain` counts from when the first of them begins to close. The next one has what is left of it, also
 *    where nobody could know of it before.
 * 3. **Interrupted, then handed back.** What runs at the limit is interrupted, which cancels its SQL. What ended meanwhile is
 *    settled as what it is; what did not is handed back, its attempt not counted, and named in the log.
 * 4. **Bounded.** A handler that cannot be interrupted has `graceMillis` more, and so has a store that does not answer when
 *    the runner itself closes. Then they are left and named: the lease runs out, and the task runs again.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Clock, Deferred, Effect } from "effect"
import * as TaskLog from "./TaskLog.ts"
import type { Running, TaskPlaces } from "./TaskPlaces.ts"
import type { Worker } from "./TaskRegistry.ts"

/**
 * How long what was interrupted may take to end, and the store to be told.
 *
 * @internal
 */
export const graceMillis = 5000

/** Layers that close one after the other do so at once; what lies between is what else closes with them. */
const pauseMillis = 1000

/** @internal */
export class TaskStop {
  private readonly drainMillis: number
  private readonly places: TaskPlaces
  /** The scopes that a worker was built in. Shared by several, its layer closes with the last of them. */
  private readonly scopes = new Map<Worker, Set<Scope.Scope>>()
  private readonly draining = new Set<Worker>()
  private until = -Infinity
  private overAt = -Infinity
  private graceUntil: number | undefined

  constructor(drainMillis: number, places: TaskPlaces) {
    this.drainMillis = drainMillis
    this.places = places
  }

  builtIn(worker: Worker, scope: Scope.Scope): void {
    const scopes = this.scopes.get(worker)
    if (scopes === undefined) this.scopes.set(worker, new Set([scope]))
    else scopes.add(scope)
  }

  isStopping(worker: Worker): boolean {
    if (this.draining.has(worker)) return true
    const scopes = this.scopes.get(worker)
    return scopes !== undefined && scopes.values().every(isClosed)
  }

  /** Waits for the tasks of a worker that closes, as long as they have. */
  drain(worker: Worker): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      if (this.draining.size === 0 && now > this.overAt + pauseMillis) this.until = now + this.drainMillis
      this.draining.add(worker)
      yield* within(this.until - now, settled(this.places.of(worker)))
      const late = this.places.of(worker)
      for (const running of late) running.stop()
      yield* within(graceMillis, settled(late))
      yield* Effect.forEach(
        this.places.of(worker).filter(({ hasEnded }) => !hasEnded),
        ({ task }) => Effect.logError(`${TaskLog.titleOf(task)} does not stop, and is left: it will run again`),
        { discard: true }
      )
      this.draining.delete(worker)
      this.scopes.delete(worker)
      this.overAt = yield* Clock.currentTimeMillis
    })
  }

  /** Does what is left to do when the runner itself closes: one grace for all of it. */
  readonly withinGrace = (effect: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.graceUntil ??= now + graceMillis
      return within(this.graceUntil - now, effect)
    })
}

const settled = (tasks: ReadonlyArray<Running>): Effect.Effect<void> =>
  Effect.forEach(tasks, ({ done }) => Deferred.await(done), { discard: true, concurrency: "unbounded" })

/** Waits no longer than this, also where interruption is off. */
const within = (millis: number, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.asVoid(Effect.timeoutOption(Effect.interruptible(effect), Math.max(0, millis)))

const isClosed = (scope: Scope.Scope): boolean =>
  scope.state._tag === "Closed" || (scope.parent !== undefined && isClosed(scope.parent))
