/**
 * Tells those who watch tasks what has changed.
 *
 * - Who watches is told of nothing before it began, and of everything after.
 * - What changes while a watcher is busy is kept for it as one change. Telling costs nothing where nobody watches, and
 *   nothing for those who watch other tasks.
 *
 * @internal
 */
import { Effect, Stream } from "effect"
import type { Change, Claim, TaskId } from "./TaskStore.ts"

/** What one watcher has still to be told. It begins with the empty change. */
class Watcher {
  private hasNews = true
  private ids = new Set<TaskId>()
  /** By their tokens. */
  private cancelled = new Map<number, Claim>()
  private ready = new Set<string>()
  private wake: (() => void) | undefined

  add(id: TaskId, cancelled: Claim | undefined): void {
    this.ids.add(id)
    if (cancelled !== undefined) this.cancelled.set(cancelled.token, cancelled)
    this.hasNews = true
  }

  addReady(queue: string): void {
    this.ready.add(queue)
    this.hasNews = true
  }

  notify(): void {
    const { wake } = this
    if (!this.hasNews || wake === undefined) return
    this.wake = undefined
    wake()
  }

  readonly next: Effect.Effect<Change> = Effect.suspend(() =>
    this.hasNews
      ? Effect.sync(() => this.take())
      : Effect.map(
          Effect.callback<void>((resume) => {
            this.wake = () => resume(Effect.void)
          }),
          () => this.take()
        )
  )

  private take(): Change {
    const change: Change = { ids: [...this.ids], cancelled: [...this.cancelled.values()], ready: [...this.ready] }
    this.hasNews = false
    this.ids = new Set()
    this.cancelled = new Map()
    this.ready = new Set()
    return change
  }
}

/** @internal */
export class TaskChanges {
  private readonly ofAll = new Set<Watcher>()
  private readonly ofTask = new Map<TaskId, Set<Watcher>>()
  private readonly told = new Set<Watcher>()

  /** A task has moved, by a cancel from this claim, or has reported. Watchers learn of it by `flush`. */
  moved(ids: ReadonlyArray<TaskId>, cancelled?: Claim): void {
    for (const id of ids) {
      const watchers = this.ofTask.get(id)
      for (const watcher of watchers ?? []) this.tell(watcher, id, cancelled)
      for (const watcher of this.ofAll) this.tell(watcher, id, cancelled)
    }
  }

  private tell(watcher: Watcher, id: TaskId, cancelled: Claim | undefined): void {
    watcher.add(id, cancelled)
    this.told.add(watcher)
  }

  /** Something in the queue may be claimed. */
  ready(queue: string): void {
    for (const watcher of this.ofAll) {
      watcher.addReady(queue)
      this.told.add(watcher)
    }
  }

  /** Once what has changed can be seen. */
  flush(): void {
    if (this.told.size === 0) return
    for (const watcher of this.told) watcher.notify()
    this.told.clear()
  }

  watch(ids: ReadonlyArray<TaskId> | undefined): Stream.Stream<Change> {
    const open = Effect.acquireRelease(
      Effect.sync(() => this.open(ids)),
      (watcher) => Effect.sync(() => this.close(watcher, ids))
    )
    return Stream.unwrap(Effect.map(open, (watcher) => Stream.fromEffectRepeat(watcher.next)))
  }

  private open(ids: ReadonlyArray<TaskId> | undefined): Watcher {
    const watcher = new Watcher()
    if (ids === undefined) this.ofAll.add(watcher)
    for (const id of ids ?? []) {
      const watchers = this.ofTask.get(id)
      if (watchers === undefined) this.ofTask.set(id, new Set([watcher]))
      else watchers.add(watcher)
    }
    return watcher
  }

  private close(watcher: Watcher, ids: ReadonlyArray<TaskId> | undefined): void {
    this.ofAll.delete(watcher)
    for (const id of ids ?? []) {
      const watchers = this.ofTask.get(id)
      watchers?.delete(watcher)
      if (watchers?.size === 0) this.ofTask.delete(id)
    }
  }
}
