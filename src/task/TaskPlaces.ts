/**
 * The tasks that a runner has, and how many more it may take: in all, by queue and by key.
 *
 * A task has its place from its claim until the store knows what became of it. One that is claimed anew before that has
 * two: its handler still stops, and what it uses is used.
 *
 * @internal
 */
import type { Fiber } from "effect"
import { Deferred, Effect } from "effect"
import type { Worker } from "./TaskRegistry.ts"
import type { Claim, Stored } from "./TaskStore.ts"

/**
 * A task that runs here, or whose end is not settled yet.
 *
 * @internal
 */
export class Running implements Claim {
  readonly task: Stored
  readonly token: number
  readonly worker: Worker
  /** Done when it is settled. */
  readonly done = Deferred.makeUnsafe<void>()
  fiber: Fiber.Fiber<void> | undefined
  /** Since when its handler runs: before, it waits for its session. */
  begunAt: number | undefined
  /** Whether its handler has ended, and it is only to be settled. */
  hasEnded = false
  /** Whether its runner does not want it any more. */
  isStopped = false
  /** Cancelled, or another runner has it: what becomes of this attempt is of no account. */
  isLost = false
  /** Whether the log has named it as one that does not stop. */
  isNamed = false

  constructor(task: Stored & { readonly token: number }, worker: Worker) {
    this.task = task
    this.token = task.token
    this.worker = worker
  }

  get id(): string {
    return this.task.id
  }

  /** Interrupts it, and does not wait. */
  stop(): void {
    this.isStopped = true
    this.fiber?.interruptUnsafe()
  }
}

/**
 * Waits until all of these are settled.
 *
 * @internal
 */
export const settled = (tasks: ReadonlyArray<Running>): Effect.Effect<void> =>
  Effect.forEach(tasks, ({ done }) => Deferred.await(done), { discard: true, concurrency: "unbounded" })

/** How much may run at once. */
interface Bounds {
  readonly concurrency: number
  readonly perKey: number
  /** Of queues that have a bound of their own. */
  readonly queues: ReadonlyMap<string, { readonly concurrency: number }>
}

/** @internal */
export class TaskPlaces {
  private readonly bounds: Bounds
  private readonly running = new Set<Running>()
  /** Of each task, in the order of its claims. */
  private readonly byTask = new Map<string, ReadonlyArray<Running>>()
  private turns = 0

  constructor(bounds: Bounds) {
    this.bounds = bounds
  }

  get free(): number {
    return Math.max(0, this.bounds.concurrency - this.running.size)
  }

  get all(): ReadonlyArray<Running> {
    return [...this.running]
  }

  /** The one of a claim, if it is still here. */
  ofClaim({ id, token }: Claim): Running | undefined {
    return this.byTask.get(id)?.find((running) => running.token === token)
  }

  of(worker: Worker): ReadonlyArray<Running> {
    return this.all.filter((running) => running.worker === worker)
  }

  /** Gives those of the same task that have not left yet. */
  add(running: Running): ReadonlyArray<Running> {
    const before = this.byTask.get(running.id) ?? []
    this.running.add(running)
    this.byTask.set(running.id, [...before, running])
    return before
  }

  leave(claim: Claim): void {
    const running = this.ofClaim(claim)
    if (running === undefined) return
    this.running.delete(running)
    const others = (this.byTask.get(running.id) ?? []).filter((one) => one !== running)
    if (others.length > 0) this.byTask.set(running.id, others)
    else this.byTask.delete(running.id)
    Deferred.doneUnsafe(running.done, Effect.void)
  }

  /** How many more may run of each of these queues, another one first each time, and of each key that is in use. */
  room(names: ReadonlySet<string>) {
    const { concurrency, perKey, queues: bounds } = this.bounds
    const used = new Map<string, number>()
    const keys = new Map<string, number>()
    for (const { task } of this.running) {
      used.set(task.queue, (used.get(task.queue) ?? 0) + 1)
      if (task.limitKey !== undefined) keys.set(task.limitKey, (keys.get(task.limitKey) ?? perKey) - 1)
    }
    const all = [...names]
    const first = this.turns++ % all.length
    const queues = [...all.slice(first), ...all.slice(0, first)].map((queue) => ({
      queue,
      limit: Math.max(0, (bounds.get(queue)?.concurrency ?? concurrency) - (used.get(queue) ?? 0))
    }))
    return { keys, queues }
  }
}
