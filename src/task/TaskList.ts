/**
 * Tasks as a person looks at them: listed with what they were given and why they ended, and queued again.
 *
 * @since 0.1.0
 */
import type { Exit, Result } from "effect"
import { Clock, Effect, Option, Schema } from "effect"
import type { Session, Task } from "./Task.ts"
import * as TaskEnd from "./TaskEnd.ts"
import { Impossible, TaskError } from "./TaskError.ts"
import type { TaskState } from "./TaskState.ts"
import { isEnded } from "./TaskState.ts"
import type { Count, Filter, Json, Stored, TaskId } from "./TaskStore.ts"
import { TaskStore } from "./TaskStore.ts"

/**
 * A task in a list.
 *
 * @since 0.1.0
 */
export interface Listed<out P = Json, out A = Json, out E = Json, out G = Json> {
  readonly id: TaskId
  readonly name: string
  readonly queue: string
  readonly priority: number
  readonly state: TaskState
  /** When it was offered: milliseconds since the epoch. */
  readonly offeredAt: number
  /**
   * Fails where it does not agree with its schema: such a task is dead as soon as it runs. Of one that awaits others it is
   * how those have ended, and fails until they have.
   */
  readonly payload: Result.Result<P, TaskError>
  /** The latest that its handler has reported. */
  readonly progress: Option.Option<G>
  /** How it ended, if it has. */
  readonly exit: Option.Option<Exit.Exit<A, E | TaskError>>
  /** Why it is dead or was discarded, or why its last attempt failed. */
  readonly why: string | undefined
}

/** What a task's parts are read by. */
type Codecs<P, A, E, G> = TaskEnd.Watchable<A, E, G> & Pick<Task<P, A>, "payload">

/** As the store has them. */
const plain = (name: string): Codecs<Json, Json, Json, Json> => ({
  name,
  payload: Schema.Json,
  success: Schema.Json,
  error: Schema.Json,
  progress: Schema.Json
})

const listed = Effect.fnUntraced(function* <P, A, E, G>(
  task: Codecs<P, A, E, G>,
  stored: Stored
): Effect.fn.Return<Listed<P, A, E, G>> {
  const { id, name, offeredAt, priority, queue, state, why } = stored
  const hasReported = stored.progress !== undefined
  return {
    id,
    name,
    queue,
    priority,
    state,
    offeredAt,
    why,
    payload: yield* Effect.result(TaskEnd.decoded(task, task.payload, "payload", TaskEnd.payloadOf(stored))),
    progress: hasReported
      ? yield* Effect.option(TaskEnd.decoded(task, task.progress, "progress", stored.progress))
      : Option.none(),
    exit: isEnded(state) ? Option.some(yield* Effect.exit(TaskEnd.read(task, TaskEnd.of(id, stored)))) : Option.none()
  }
})

/**
 * Tasks that agree with all that is given, in the order of their ids. With a `task`, those of that name, their parts typed
 * as it says; without, all as JSON. At most 100, or `limit`: the next ones are those `after` the id of the last. Fails with `TaskError`: `Impossible` for a limit that is no integer from 1, `StoreFailed`.
 *
 * The dead ones, each with its reason:
 *
 * ```ts
 * const dead = yield* Task.list({ states: ["dead"] })
 * yield* Effect.forEach(dead, ({ id, name, why }) => Console.log(name, id, why))
 * ```
 *
 * @since 0.1.0
 */
export function list<P, A, E, S extends Session, G>(
  filter: Omit<Filter, "name"> & { readonly task: Task<P, A, E, S, G> }
): Effect.Effect<ReadonlyArray<Listed<P, A, E, G>>, TaskError, TaskStore>
export function list(
  filter?: Filter & { readonly task?: undefined }
): Effect.Effect<ReadonlyArray<Listed>, TaskError, TaskStore>
export function list<P, A, E, S extends Session, G>(
  filter: Filter & { readonly task?: Task<P, A, E, S, G> | undefined } = {}
): Effect.Effect<ReadonlyArray<Listed<P, A, E, G> | Listed>, TaskError, TaskStore> {
  return Effect.gen(function* () {
    const { task, ...given } = filter
    const { limit = 100, name = task?.name } = given
    if (!(Number.isSafeInteger(limit) && limit >= 1)) {
      return yield* new TaskError({
        task: name,
        reason: new Impossible({ message: `\`limit\` is an integer from 1, got ${limit}` })
      })
    }
    const { list: ask } = yield* TaskStore
    const found = yield* ask({ ...given, name, limit })
    const one = (stored: Stored): Effect.Effect<Listed<P, A, E, G> | Listed> =>
      task === undefined ? listed(plain(stored.name), stored) : listed(task, stored)
    return yield* Effect.forEach(found, one)
  })
}

/**
 * How many tasks there are of each queue, name and state, in no order. Those of a name that no handler has are among them:
 * they stay where they are, until one comes.
 *
 * @since 0.1.0
 */
export const counts = (
  filter: Pick<Filter, "queue" | "name"> = {}
): Effect.Effect<ReadonlyArray<Count>, TaskError, TaskStore> =>
  Effect.flatMap(TaskStore, (store) => store.counts(filter))

/**
 * Queues tasks once more that are dead, failed or were cancelled: from their first attempt on, with nothing of what went
 * wrong. Gives the ids of those for which that was so; others are left as they are, and so is one with a unique key while
 * another one with that key has not ended.
 *
 * @since 0.1.0
 */
export const requeue = (ids: Iterable<TaskId>): Effect.Effect<ReadonlyArray<TaskId>, TaskError, TaskStore> =>
  Effect.gen(function* () {
    const store = yield* TaskStore
    return yield* store.requeue([...ids], yield* Clock.currentTimeMillis)
  })
