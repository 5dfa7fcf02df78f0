/**
 * Runs tasks: claims those that are due for the handlers that there are, within bounds, and says what became of each.
 *
 *     claim ─► running ─► settled
 *       ▲         │ renewed at a third of the lease
 *       └─ a place is free, something is ready, a moment has come
 *
 * - **Bounded** in all, by queue, and by key. Of a queue that waits, all get their turn: the first one asked is another
 *   each time.
 * - **A task's end is its own.** A handler that fails, dies or is cancelled gives its session back and is settled; no other
 *   task learns of it. What died is in the log, with its id, and so is one that does not stop.
 * - **Clean stop.** A handler's layer that closes claims no more of its tasks, and gives those that run `drain` to end. What
 *   runs still is interrupted, on the server too, and handed back: it stays in the store, its attempt not counted, and the
 *   log names it.
 *
 * @since 0.1.0
 */
import type { Fiber, Scope } from "effect"
import { Clock, Deferred, Duration, Effect, Layer, Stream } from "effect"
import { Bell } from "./TaskBell.ts"
import type { Ending, Worker } from "./TaskRegistry.ts"
import { TaskRunner } from "./TaskRegistry.ts"
import { TaskSettler } from "./TaskSettler.ts"
import type { Claim, Json, Stored } from "./TaskStore.ts"
import { TaskStore } from "./TaskStore.ts"

export { TaskRunner } from "./TaskRegistry.ts"

/**
 * How much a runner does at once.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Its name in the store. Default "runner". */
  readonly name?: string | undefined
  /** How many tasks at once: an integer from 1. Default 10, as many as a pool has connections. */
  readonly concurrency?: number | undefined
  /** How many of a queue at once; of one that is not named, as many as in all. */
  readonly queues?: Readonly<Record<string, { readonly concurrency: number }>> | undefined
  /** How many tasks with the same key (`limitKey`) at once. Default 1. */
  readonly perKey?: number | undefined
  /** How long tasks may still run when they have to stop. Default 10 seconds. */
  readonly drain?: Duration.Input | undefined
  /** After how long others may take a task of a runner that is not heard of any more. Default 30 seconds. */
  readonly lease?: Duration.Input | undefined
}

/** A task that runs, or whose end is not settled yet. */
interface Running extends Claim {
  readonly task: Stored
  readonly startedAt: number
  readonly worker: Worker
  readonly done: Deferred.Deferred<void>
  isStopped: boolean
  /** Cancelled, or another runner has it: what becomes of this attempt is of no account. */
  isLost: boolean
  isNamed: boolean
  fiber: Fiber.Fiber<void> | undefined
}

/** A handler that has not ended this long after its time is named in the log. */
const graceMillis = 5000

const count = (option: string, value: number): number => {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new RangeError(`Expected \`${option}\` to be an integer from 1, got ${String(value)}`)
}

/**
 * A runner of the tasks in a store.
 *
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<TaskRunner, never, TaskStore> => {
  const limits = {
    name: options.name ?? "runner",
    concurrency: count("concurrency", options.concurrency ?? 10),
    perKey: count("perKey", options.perKey ?? 1),
    queues: new Map(
      Object.entries(options.queues ?? {}).map(([queue, { concurrency }]) => [
        queue,
        count(`queues.${queue}.concurrency`, concurrency)
      ])
    ),
    drainMillis: Duration.toMillis(Duration.fromInputUnsafe(options.drain ?? "10 seconds")),
    leaseMillis: Duration.toMillis(Duration.fromInputUnsafe(options.lease ?? "30 seconds"))
  }
  return Layer.effect(
    TaskRunner,
    Effect.gen(function* () {
      const runner = new Runner(limits, yield* TaskStore)
      yield* runner.start
      return TaskRunner.of({ register: (worker) => runner.register(worker) })
    })
  )
}

interface Limits {
  readonly name: string
  readonly concurrency: number
  readonly perKey: number
  readonly queues: ReadonlyMap<string, number>
  readonly drainMillis: number
  readonly leaseMillis: number
}

class Runner {
  private readonly limits: Limits
  private readonly store: TaskStore["Service"]
  private readonly bell = new Bell()
  private readonly settler: TaskSettler
  private readonly workers = new Map<string, Worker>()
  private readonly running = new Map<string, Running>()
  private renewedAt = 0
  private turns = 0

  constructor(limits: Limits, store: TaskStore["Service"]) {
    this.limits = limits
    this.store = store
    this.settler = new TaskSettler(store, new Bell())
  }

  /** Until the scope closes. Handlers have been drained by then: their layers need this one. */
  readonly start: Effect.Effect<void, never, Scope.Scope> = Effect.gen({ self: this }, function* () {
    yield* Effect.forkScoped(this.settler.run)
    yield* Effect.forkScoped(Effect.forever(Effect.delay(this.renew, this.limits.leaseMillis / 3)))
    const watch = Stream.runForEach(this.store.watch(), ({ cancelled }) => {
      this.bell.ring()
      return this.stop(
        cancelled.flatMap((id) => this.running.get(id) ?? []),
        true
      )
    })
    yield* Effect.forkScoped(Effect.forever(unfailing(watch)))
    yield* Effect.forkScoped(Effect.forever(unfailing(this.turn)))
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
        Effect.suspend(() => {
          this.workers.delete(worker.name)
          return this.drain(worker)
        })
    )
  }

  private readonly turn = Effect.gen({ self: this }, function* () {
    const now = yield* Clock.currentTimeMillis
    // Who had the processor for longer than the lease would see its own leases run out.
    if (now - this.renewedAt > this.limits.leaseMillis / 2) yield* this.renew
    const { expired, next } = yield* this.store.sweep(now)
    yield* Effect.forEach(expired, tellExpired, { discard: true })
    const free = this.limits.concurrency - this.running.size
    if (free > 0 && this.workers.size > 0) {
      const { leaseMillis, name: runner, perKey } = this.limits
      const names = [...this.workers.keys()]
      const { keys, queues } = this.room()
      // A claim and its start are one: interrupted between them, tasks would wait for their leases.
      yield* Effect.uninterruptible(
        Effect.flatMap(
          this.store.claim({ runner, names, queues, keys, perKey, limit: free, leaseMillis, now }),
          (claimed) => Effect.forEach(claimed, (task) => this.begin(task, now), { discard: true })
        )
      )
    }
    const wait = next === undefined ? this.bell.wait : Effect.timeoutOption(this.bell.wait, Math.max(0, next - now))
    yield* wait
  })

  /** What there is room for, by queue and by key. */
  private room() {
    const { concurrency, perKey, queues: bounds } = this.limits
    const used = new Map<string, number>()
    const keys = new Map<string, number>()
    for (const { task } of this.running.values()) {
      used.set(task.queue, (used.get(task.queue) ?? 0) + 1)
      if (task.limitKey !== undefined) keys.set(task.limitKey, (keys.get(task.limitKey) ?? perKey) - 1)
    }
    const names = [...new Set([...this.workers.values()].map(({ queue }) => queue))]
    const first = this.turns++ % names.length
    const queues = [...names.slice(first), ...names.slice(0, first)].map((queue) => ({
      queue,
      limit: Math.max(0, (bounds.get(queue) ?? concurrency) - (used.get(queue) ?? 0))
    }))
    return { keys, queues }
  }

  private begin(task: Stored & { readonly token: number }, now: number): Effect.Effect<void> {
    const worker = this.workers.get(task.name)
    const { id, token } = task
    if (worker === undefined) return Effect.sync(() => this.settle({ id, token }, { input: { _tag: "handBack" } }))
    const done = Deferred.makeUnsafe<void>()
    const running: Running = {
      id,
      token,
      task,
      worker,
      done,
      startedAt: now,
      isStopped: false,
      isLost: false,
      isNamed: false,
      fiber: undefined
    }
    this.running.set(id, running)
    const report = (progress: Json) => unfailing(this.store.report([{ id, token, progress }]))
    const number = task.state.attempt
    const attempt = Effect.flatMap(
      worker.attempt({ task, number, report, isStopped: () => running.isStopped }),
      (ending) =>
        Effect.andThen(
          running.isLost ? Effect.void : tell(task, ending),
          Effect.sync(() => this.settle(running, ending))
        )
    )
    return Effect.map(Effect.forkDetach(attempt, { uninterruptible: true }), (fiber) => {
      running.fiber = fiber
    })
  }

  private settle({ id, token }: Claim, { input, result, why }: Ending): void {
    this.settler.add({
      settlement: { id, token, input, result, why },
      settled: () => {
        const running = this.running.get(id)
        if (running?.token !== token) return
        this.running.delete(id)
        Deferred.doneUnsafe(running.done, Effect.void)
        this.bell.ring()
      }
    })
  }

  private readonly renew = Effect.suspend(() =>
    Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      this.renewedAt = now
      const claims = [...this.running.values()]
      for (const running of claims) {
        const { isNamed, startedAt, task, worker } = running
        if (isNamed || now - startedAt < worker.timeoutMillis + graceMillis) continue
        running.isNamed = true
        yield* Effect.logWarning(`${titleOf(task)} does not stop: it has run for ${now - startedAt} ms`)
      }
      if (claims.length === 0) return
      const asked = claims.map(({ id, token }) => ({ id, token }))
      const lost = yield* this.store.renew(asked, this.limits.leaseMillis, now)
      yield* this.stop(
        lost.flatMap(({ id, token }) => claims.filter((one) => one.id === id && one.token === token)),
        true
      )
    }).pipe(unfailing)
  )

  /** Interrupts tasks, and does not wait. */
  private stop(tasks: ReadonlyArray<Running>, isLost: boolean): Effect.Effect<void> {
    return Effect.sync(() => {
      for (const running of tasks) {
        running.isStopped = true
        running.isLost ||= isLost
        running.fiber?.interruptUnsafe()
      }
    })
  }

  private drain(worker: Worker): Effect.Effect<void> {
    return Effect.suspend(() => {
      const tasks = [...this.running.values()].filter((running) => running.worker === worker)
      const ended = Effect.forEach(tasks, ({ done }) => Deferred.await(done), {
        discard: true,
        concurrency: "unbounded"
      })
      return Effect.timeoutOption(Effect.interruptible(ended), this.limits.drainMillis).pipe(
        Effect.andThen(
          Effect.suspend(() =>
            this.stop(
              tasks.filter(({ id, token }) => this.running.get(id)?.token === token),
              false
            )
          )
        ),
        Effect.andThen(ended)
      )
    })
  }
}

const titleOf = ({ id, name }: Stored): string => `Task "${name}" (${id})`

const tell = (task: Stored, { input, why }: Ending): Effect.Effect<void> => {
  if (input._tag === "giveUp") return Effect.logError(`${titleOf(task)} is dead: ${why}`)
  return input._tag === "handBack" ? Effect.logWarning(`${titleOf(task)} did not end and was handed back`) : Effect.void
}

const tellExpired = (task: Stored): Effect.Effect<void> =>
  task.state._tag === "dead"
    ? Effect.logError(`${titleOf(task)} is dead: ${task.why}`)
    : Effect.logWarning(`${titleOf(task)} is to run again: ${task.why}`)

/** A store that fails is asked again later, and the log tells. */
const unfailing = <A, R>(effect: Effect.Effect<A, Error, R>): Effect.Effect<void, never, R> =>
  Effect.matchEffect(effect, {
    onFailure: (error) =>
      Effect.andThen(Effect.logWarning("The store of tasks could not be asked", error), Effect.sleep(1000)),
    onSuccess: () => Effect.void
  })
