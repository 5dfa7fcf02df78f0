/**
 * The loop of a runner: claims what is due for the handlers that there are, within bounds, and begins it.
 *
 *     ┌──► sweep ─► room by queue, key and rate ─► claim ─► begin ─► wait ─┐
 *     └── something is ready, a place is free, a moment has come ◄─────────┘
 *
 * - A claim and its start are one: between them nothing is interrupted, or tasks would wait for their leases.
 * - A task is run by a fiber of its own, in which only its handler can be interrupted: whatever happens, that fiber comes to
 *   say what became of it.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Clock, Effect, Fiber, Stream } from "effect"
import { Bell } from "./TaskBell.ts"
import type { TaskError } from "./TaskError.ts"
import { TaskLeases } from "./TaskLeases.ts"
import * as TaskLog from "./TaskLog.ts"
import { Running, TaskPlaces } from "./TaskPlaces.ts"
import type { TaskRates } from "./TaskRates.ts"
import type { Ending, Worker } from "./TaskRegistry.ts"
import { TaskSettler } from "./TaskSettler.ts"
import { TaskStop } from "./TaskStop.ts"
import type { ClaimRequest, Stored, TaskStore } from "./TaskStore.ts"
import { TaskStrangers } from "./TaskStrangers.ts"

/** @internal */
export interface Limits {
  readonly name: string
  readonly concurrency: number
  readonly perKey: number
  readonly queues: ReadonlyMap<string, { readonly concurrency: number }>
  readonly drainMillis: number
  readonly leaseMillis: number
}

type Claimed = Stored & { readonly token: number }

/** @internal */
export class TaskLoop {
  private readonly limits: Limits
  private readonly store: TaskStore["Service"]
  private readonly rates: TaskRates
  private readonly bell = new Bell()
  private readonly workers = new Map<string, Worker>()
  private readonly places: TaskPlaces
  private readonly stop: TaskStop
  private readonly settler: TaskSettler
  private readonly leases: TaskLeases
  private isOver = false

  constructor(limits: Limits, store: TaskStore["Service"], rates: TaskRates) {
    this.limits = limits
    this.store = store
    this.rates = rates
    this.places = new TaskPlaces(limits)
    this.stop = new TaskStop(limits.drainMillis, this.places)
    this.settler = new TaskSettler(store, this.stop)
    this.leases = new TaskLeases(limits.leaseMillis, store, this.places)
  }

  /** Until the scope closes. Handlers have been drained by then: their layers need this one. */
  readonly start: Effect.Effect<void, never, Scope.Scope> = Effect.gen({ self: this }, function* () {
    yield* this.settler.start
    yield* this.leases.start
    const watching = new TaskLog.Patience("tell what changes")
    const watch = Stream.runForEach(this.store.watch(), ({ cancelled }) =>
      Effect.andThen(
        watching.works,
        Effect.sync(() => {
          this.bell.ring()
          this.leases.lose(cancelled.flatMap((id) => this.places.ofId(id) ?? []))
        })
      )
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(watching.tries(watch), TaskLog.patience)))
    const strangers = new TaskStrangers(this.store, (name) => this.workers.has(name))
    const look = new TaskLog.Patience("count tasks").tries(strangers.look)
    yield* Effect.forkScoped(Effect.forever(Effect.delay(look, this.limits.leaseMillis)))
    const claiming = new TaskLog.Patience("be asked for tasks")
    const turns = Effect.whileLoop({
      while: () => !this.isOver,
      body: () => claiming.until(this.turn),
      step: () => {}
    })
    yield* Effect.acquireRelease(Effect.forkDetach(turns), (fiber) => {
      this.isOver = true
      this.bell.ring()
      // A claim that is under way brings tasks that have to be handed back.
      return Effect.andThen(this.stop.withinGrace(Effect.asVoid(Fiber.await(fiber))), Fiber.interrupt(fiber))
    })
  })

  register(worker: Worker): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => {
        if (this.workers.has(worker.name)) return Effect.die(new Error(`Task "${worker.name}" has a handler already`))
        this.workers.set(worker.name, worker)
        this.bell.ring()
        return Effect.void
      }),
      () =>
        Effect.andThen(
          this.stop.drain(worker),
          Effect.sync(() => this.workers.delete(worker.name))
        )
    )
  }

  builtIn(name: string, scope: Scope.Scope): void {
    const worker = this.workers.get(name)
    if (worker !== undefined) this.stop.builtIn(worker, scope)
  }

  private readonly turn = Effect.gen({ self: this }, function* () {
    const now = yield* Clock.currentTimeMillis
    yield* this.leases.keep(now)
    const { expired, next } = yield* this.store.sweep(now)
    yield* Effect.forEach(expired, TaskLog.expired, { discard: true })
    const moments = next === undefined ? [] : [next]
    const workers = [...this.workers.values()].filter((worker) => !this.stop.isStopping(worker))
    const { free } = this.places
    if (free > 0 && workers.length > 0) {
      const { leaseMillis, name: runner, perKey } = this.limits
      const names = workers.map(({ name }) => name)
      const { keys, queues } = this.places.room(new Set(workers.map(({ queue }) => queue)))
      const limited: Array<ClaimRequest["queues"][number]> = []
      for (const { limit, queue } of queues) {
        const left = yield* this.rates.left(queue, now)
        if (left.next !== undefined) moments.push(left.next)
        limited.push({ queue, limit: Math.min(limit, left.count) })
      }
      const request = { runner, names, queues: limited, keys, perKey, limit: free, leaseMillis, now }
      moments.push(...(yield* this.claim(request)))
    }
    const wait = moments.length === 0 ? Infinity : Math.max(0, Math.min(...moments) - now)
    yield* Number.isFinite(wait) ? Effect.timeoutOption(this.bell.wait, wait) : this.bell.wait
  })

  /** Gives the moments at which more may begin of queues whose limit is used up. */
  private claim(request: ClaimRequest): Effect.Effect<ReadonlyArray<number>, TaskError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(this.store.claim(request)), (claimed) =>
        claimed.length === 0 ? Effect.succeed([]) : this.begin(claimed, request)
      )
    )
  }

  private begin(claimed: ReadonlyArray<Claimed>, { now, queues }: ClaimRequest): Effect.Effect<ReadonlyArray<number>> {
    return Effect.gen({ self: this }, function* () {
      const moments: Array<number> = []
      for (const { queue } of queues) {
        const tasks = claimed.filter((task) => task.queue === queue)
        // A limiter that fails has been asked after the claim: nothing of it begins.
        const none = { taken: 0, next: now + 1000 }
        const { next, taken } = yield* Effect.orElseSucceed(this.rates.take(queue, tasks.length, now), () => none)
        if (next !== undefined) moments.push(next)
        yield* Effect.forEach(tasks.slice(0, taken), (task) => this.beginOne(task), { discard: true })
        for (const task of tasks.slice(taken)) this.handBack(task)
      }
      return moments
    })
  }

  private beginOne(task: Claimed): Effect.Effect<void> {
    const worker = this.workers.get(task.name)
    // Its handler's layer has begun to close since it was asked for.
    if (worker === undefined || this.stop.isStopping(worker)) return Effect.sync(() => this.handBack(task))
    const running = new Running(task, worker)
    this.places.add(running)
    const attempt = worker.attempt({
      task,
      number: task.state.attempt,
      begins: (now) => {
        running.begunAt = now
      },
      report: (progress) => this.settler.report(running, progress),
      isStopped: () => running.isStopped
    })
    const whole = Effect.map(attempt, (ending) => {
      running.hasEnded = true
      this.settle(running, ending)
    })
    return Effect.map(Effect.forkDetach(whole, { uninterruptible: true }), (fiber) => {
      running.fiber = fiber
    })
  }

  /** What has not begun. */
  private handBack(task: Claimed): void {
    const { id, token } = task
    this.settler.add({ task, settlement: { id, token, input: { _tag: "handBack" } }, settled: () => undefined })
  }

  private settle(running: Running, ending: Ending): void {
    const { id, task, token } = running
    const { input, result, why } = ending
    this.settler.add({
      task,
      settlement: { id, token, input, result, why },
      settled: (isStale) => {
        this.places.leave(running)
        this.bell.ring()
        if (running.isLost) return undefined
        return isStale ? TaskLog.late(task) : TaskLog.ending(task, ending)
      }
    })
  }
}
