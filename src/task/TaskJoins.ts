/**
 * Which tasks await which others, until all of those have ended.
 *
 * Each end costs a step for each task that awaits it, and a task that awaits n others n steps in all, however their ends
 * are spread over time.
 *
 * @internal
 */

/** What a task still waits for. */
interface Wait<A> {
  readonly members: ReadonlySet<A>
  /** How many of them have not ended. */
  left: number
}

/** @internal */
export class TaskJoins<A> {
  private readonly waits = new Map<A, Wait<A>>()
  private readonly awaitedBy = new Map<A, Set<A>>()

  /** Gives whether there is something to wait for. */
  add(task: A, members: ReadonlySet<A>, isEnded: (member: A) => boolean): boolean {
    let left = 0
    for (const member of members) if (!isEnded(member)) left++
    if (left === 0) return false
    for (const member of members) {
      const waiting = this.awaitedBy.get(member)
      if (waiting === undefined) this.awaitedBy.set(member, new Set([task]))
      else waiting.add(task)
    }
    this.waits.set(task, { members, left })
    return true
  }

  isAwaited(member: A): boolean {
    return this.awaitedBy.has(member)
  }

  /** Gives the tasks that have nothing to wait for any more. They wait still, until each of them has left. */
  ended(member: A): ReadonlyArray<A> {
    const done: Array<A> = []
    for (const task of this.awaitedBy.get(member) ?? []) {
      const wait = this.waits.get(task)
      if (wait !== undefined && --wait.left === 0) done.push(task)
    }
    return done
  }

  /** It had ended, and has not any more. */
  revived(member: A): void {
    for (const task of this.awaitedBy.get(member) ?? []) {
      const wait = this.waits.get(task)
      if (wait !== undefined) wait.left++
    }
  }

  /** A task waits no more. Gives those that nobody awaits now. */
  leave(task: A): ReadonlyArray<A> {
    const free: Array<A> = []
    for (const member of this.waits.get(task)?.members ?? []) {
      const waiting = this.awaitedBy.get(member)
      waiting?.delete(task)
      if (waiting?.size !== 0) continue
      this.awaitedBy.delete(member)
      free.push(member)
    }
    this.waits.delete(task)
    return free
  }
}
