/**
 * What the log says of tasks and of their store. Each line that is about a task has its name and its id.
 *
 * @internal
 */
import { Array, Effect } from "effect"
import type { TaskError } from "./TaskError.ts"
import type { Ending } from "./TaskRegistry.ts"
import type { Stored } from "./TaskStore.ts"

/** @internal */
export const titleOf = ({ id, name }: Pick<Stored, "id" | "name">): string => `Task "${name}" (${id})`

/**
 * How an attempt ended, if that is worth a line: of one that is kept, or will be.
 *
 * @internal
 */
export const ending = (task: Stored, { input, why }: Ending): Effect.Effect<void> | undefined => {
  if (input._tag === "giveUp") return Effect.logError(`${titleOf(task)} is dead: ${why}`)
  if (input._tag === "handBack") return Effect.logWarning(`${titleOf(task)} did not end and was handed back`)
  return undefined
}

/**
 * One whose end came when its claim was no more, and its runner had not learnt of that.
 *
 * @internal
 */
export const late = (task: Stored): Effect.Effect<void> =>
  Effect.logWarning(`${titleOf(task)} ended here too late: it had been cancelled, or its lease had run out`)

/**
 * A lease that has run out: of a runner that is gone, or stood still.
 *
 * @internal
 */
export const expired = (task: Stored): Effect.Effect<void> =>
  task.state._tag === "dead"
    ? Effect.logError(`${titleOf(task)} is dead: ${task.why}`)
    : Effect.logWarning(`${titleOf(task)} is to run again: ${task.why}`)

/** So many names stand in one line. */
const namedAtOnce = 100

/**
 * What is gone with its store: each by its name and id, a hundred in a line.
 *
 * @internal
 */
export const lost = (tasks: ReadonlyArray<Stored>): Effect.Effect<void> =>
  Effect.forEach(
    Array.chunksOf(tasks, namedAtOnce),
    (some) => Effect.logWarning(`Gone with the store in memory, and not ended: ${some.map(titleOf).join(", ")}`),
    { discard: true }
  )

/**
 * How long to wait before a store that failed is asked again.
 *
 * @internal
 */
export const patience: Effect.Effect<void> = Effect.sleep(1000)

/**
 * Asks a store that may fail for a while. The log has a line when that begins and one when it is over, and not one for
 * each try.
 *
 * @internal
 */
export class Patience {
  private readonly what: string
  private isFailing = false

  /** What is asked for, as in "The store of tasks cannot …". */
  constructor(what: string) {
    this.what = what
  }

  /** Tries once, and gives whether it works. */
  readonly tries = (effect: Effect.Effect<void, TaskError>): Effect.Effect<boolean> =>
    Effect.matchEffect(effect, {
      onFailure: (error) => Effect.as(this.fails(error), false),
      onSuccess: () => Effect.as(this.works, true)
    })

  /** Tries until it works. */
  readonly until = (effect: Effect.Effect<void, TaskError>): Effect.Effect<void> =>
    Effect.flatMap(this.tries(effect), (works) => (works ? Effect.void : Effect.andThen(patience, this.until(effect))))

  private fails(error: TaskError): Effect.Effect<void> {
    if (this.isFailing) return Effect.void
    this.isFailing = true
    return Effect.logWarning(`The store of tasks cannot ${this.what}, and is asked again each second: ${error.message}`)
  }

  /** It has worked. */
  readonly works = Effect.suspend(() => {
    if (!this.isFailing) return Effect.void
    this.isFailing = false
    return Effect.logInfo(`The store of tasks can ${this.what} again`)
  })
}
