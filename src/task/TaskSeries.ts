/**
 * How far each schedule has come, and those of its tasks that have not ended, in the order in which they were offered:
 * the first of them is the one that may run.
 *
 * @internal
 */
import type { Offer } from "./TaskStore.ts"

/** @internal */
export interface Serial {
  readonly offer: Pick<Offer, "schedule">
}

/** @internal */
export class TaskSeries<A extends Serial> {
  /** One number for each schedule that there ever was: they are not forgotten, or what they had done would be done again. */
  private readonly cursors = new Map<string, number>()
  private readonly living = new Map<string, Set<A>>()

  cursorOf(schedule: string): number | undefined {
    return this.cursors.get(schedule)
  }

  move(schedule: string, cursor: number): void {
    this.cursors.set(schedule, cursor)
  }

  /** Those that have not ended. */
  of(schedule: string): ReadonlyArray<A> {
    return [...(this.living.get(schedule) ?? [])]
  }

  /** A task that has not ended takes its place, or keeps it. */
  enter(task: A): void {
    const { schedule } = task.offer
    if (schedule === undefined) return
    const tasks = this.living.get(schedule)
    if (tasks === undefined) this.living.set(schedule, new Set([task]))
    else tasks.add(task)
  }

  /** Gives the task whose turn it is then. */
  leave(task: A): A | undefined {
    const { schedule } = task.offer
    const tasks = schedule === undefined ? undefined : this.living.get(schedule)
    if (schedule === undefined || tasks === undefined || !tasks.has(task)) return undefined
    // Told of for each one behind it that leaves, the first would stand in its queue many times.
    const wasFirst = first(tasks) === task
    tasks.delete(task)
    if (tasks.size === 0) this.living.delete(schedule)
    return wasFirst ? first(tasks) : undefined
  }

  mayRun(task: A): boolean {
    const { schedule } = task.offer
    const tasks = schedule === undefined ? undefined : this.living.get(schedule)
    return tasks === undefined || first(tasks) === task
  }
}

const first = <A>(tasks: ReadonlySet<A>): A | undefined => {
  for (const task of tasks) return task
  return undefined
}
