/**
 * Names those tasks in the log that wait for a handler which is not here: once for each name, when a lease's time has
 * passed and nobody has taken them.
 *
 * They are kept, and run as soon as their handler comes. Where another process has it, they do not wait for long.
 *
 * @internal
 */
import { Effect } from "effect"
import type { TaskError } from "./TaskError.ts"
import type { TaskStore } from "./TaskStore.ts"

/** @internal */
export class TaskStrangers {
  private readonly store: TaskStore["Service"]
  private readonly hasHandler: (name: string) => boolean
  private seen: ReadonlySet<string> = new Set()
  private readonly named = new Set<string>()

  constructor(store: TaskStore["Service"], hasHandler: (name: string) => boolean) {
    this.store = store
    this.hasHandler = hasHandler
  }

  readonly look: Effect.Effect<void, TaskError> = Effect.gen({ self: this }, function* () {
    const counts = yield* this.store.counts({})
    const strange = counts.filter(({ name, state }) => state === "ready" && !this.hasHandler(name))
    const again = strange.filter(({ name }) => this.seen.has(name) && !this.named.has(name))
    this.seen = new Set(strange.map(({ name }) => name))
    for (const name of this.named) if (!this.seen.has(name)) this.named.delete(name)
    for (const { count, name, queue } of again) {
      this.named.add(name)
      yield* Effect.logWarning(
        `No handler for task "${name}" is here: ${count} wait in queue "${queue}", and will until one comes`
      )
    }
  })
}
