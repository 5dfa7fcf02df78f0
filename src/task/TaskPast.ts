/**
 * The tasks that have ended, and for how long they are kept: a time, and a number of each queue and of how they ended.
 *
 * @internal
 */
import { isEnded } from "./TaskState.ts"
import type { TaskState } from "./TaskState.ts"

/** A task that has ended. */
interface Ended {
  readonly queue: string
  readonly state: TaskState
  /** From when on its time is counted. */
  keptSince: number
}

interface Limits {
  readonly retentionMillis: number
  readonly retained: number
}

/** @internal */
export class TaskPast<A extends Ended> {
  private readonly limits: Limits
  private readonly forgotten: (task: A) => void
  /** By queue and by how they ended, the one that ended first first. */
  private readonly tasks = new Map<string, Set<A>>()

  constructor(limits: Limits, forgotten: (task: A) => void) {
    this.limits = limits
    this.forgotten = forgotten
  }

  /** Keeps one for as long as there is room and time for it. */
  add(task: A, now: number): void {
    task.keptSince = now
    const tasks = this.like(task)
    tasks.add(task)
    for (const first of tasks) {
      if (tasks.size <= this.limits.retained) return
      this.forget(tasks, first)
    }
  }

  /** One that is to run again, before its state says so. */
  remove(task: A): void {
    if (isEnded(task.state)) this.like(task).delete(task)
  }

  /** Forgets those whose time is over. Gives when that of the next one will be. */
  sweep(now: number): number | undefined {
    const moments = [...this.tasks.values()].flatMap((tasks) => this.sweepOf(tasks, now) ?? [])
    return moments.length === 0 ? undefined : Math.min(...moments)
  }

  private sweepOf(tasks: Set<A>, now: number): number | undefined {
    for (const task of tasks) {
      const until = task.keptSince + this.limits.retentionMillis
      if (until > now) return until
      this.forget(tasks, task)
    }
    return undefined
  }

  private forget(tasks: Set<A>, task: A): void {
    tasks.delete(task)
    this.forgotten(task)
  }

  private like({ queue, state }: A): Set<A> {
    const key = JSON.stringify([queue, state._tag === "succeeded"])
    let tasks = this.tasks.get(key)
    if (tasks === undefined) this.tasks.set(key, (tasks = new Set()))
    return tasks
  }
}
