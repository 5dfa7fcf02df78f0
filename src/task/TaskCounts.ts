/**
 * How many tasks there are of each queue, name and state, counted as they move: nobody has to look at all of them.
 *
 * @internal
 */
import type { TaskState } from "./TaskState.ts"
import type { Count } from "./TaskStore.ts"

type Tag = TaskState["_tag"]

/** @internal */
export class TaskCounts {
  private readonly counts = new Map<string, Map<string, Map<Tag, number>>>()

  /** One more, or one less. */
  add(queue: string, name: string, state: Tag, more: 1 | -1): void {
    const names = this.counts.get(queue) ?? new Map<string, Map<Tag, number>>()
    const states = names.get(name) ?? new Map<Tag, number>()
    const count = (states.get(state) ?? 0) + more
    if (count > 0) states.set(state, count)
    else states.delete(state)
    if (states.size > 0) names.set(name, states)
    else names.delete(name)
    if (names.size > 0) this.counts.set(queue, names)
    else this.counts.delete(queue)
  }

  get all(): ReadonlyArray<Count> {
    return [...this.counts].flatMap(([queue, names]) =>
      [...names].flatMap(([name, states]) => [...states].map(([state, count]) => ({ queue, name, state, count })))
    )
  }
}
