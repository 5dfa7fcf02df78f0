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

/** Tasks, of which only the first is asked for. */
class Line<A> {
  private readonly tasks = new Set<A>()
  private rest: Iterator<A> = this.tasks.values()
  private known: A | undefined

  get size(): number {
    return this.tasks.size
  }

  add(task: A): void {
    this.tasks.add(task)
  }

  delete(task: A): void {
    this.tasks.delete(task)
    if (task === this.known) this.known = undefined
  }

  /** An iteration that begins anew passes over all that have been deleted before, again and again. */
  get first(): A | undefined {
    if (this.known !== undefined || this.tasks.size === 0) return this.known
    let next = this.rest.next()
    if (next.done === true) {
      // One that has come to its end does not see what was added since.
      this.rest = this.tasks.values()
      next = this.rest.next()
    }
    this.known = next.done === true ? undefined : next.value
    return this.known
  }
}

/** @internal */
export class TaskPast<A extends Ended> {
  private readonly limits: Limits
  private readonly forgotten: (task: A) => void
  /** By queue and by how they ended, the one that ended first first. */
  private readonly tasks = new Map<string, Line<A>>()

  constructor(limits: Limits, forgotten: (task: A) => void) {
    this.limits = limits
    this.forgotten = forgotten
  }

  /** Keeps one for as long as there is room and time for it. */
  add(task: A, now: number): void {
    task.keptSince = now
    const tasks = this.like(task)
    tasks.add(task)
    while (tasks.size > this.limits.retained) this.forget(tasks, tasks.first)
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

  private sweepOf(tasks: Line<A>, now: number): number | undefined {
    for (let { first } = tasks; first !== undefined; { first } = tasks) {
      const until = first.keptSince + this.limits.retentionMillis
      if (until > now) return until
      this.forget(tasks, first)
    }
    return undefined
  }

  private forget(tasks: Line<A>, task: A | undefined): void {
    if (task === undefined) return
    tasks.delete(task)
    this.forgotten(task)
  }

  private like({ queue, state }: A): Line<A> {
    const key = JSON.stringify([queue, state._tag === "succeeded"])
    let tasks = this.tasks.get(key)
    if (tasks === undefined) this.tasks.set(key, (tasks = new Line()))
    return tasks
  }
}
