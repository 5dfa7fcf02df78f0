/**
 * A task that has been offered: how it ends, how it is, and what it reports.
 *
 * A handle is no more than an id with the task's types. It holds nothing: whoever has the id can make it again.
 *
 * @since 0.1.0
 */
import type { Exit } from "effect"
import { Clock, Effect, Option, Stream } from "effect"
import * as TaskEnd from "./TaskEnd.ts"
import { NotFound, TaskError } from "./TaskError.ts"
import type { TaskState } from "./TaskState.ts"
import { isEnded } from "./TaskState.ts"
import type { Json, TaskId, TaskStore } from "./TaskStore.ts"

/**
 * A task that has been offered.
 *
 * @since 0.1.0
 */
export interface TaskHandle<out A, out E = never, out G = Json> {
  readonly id: TaskId
  /** Waits for its end: its value or error, or why there is none (`TaskError`). `yield* yield* handle.await` fails with it. */
  readonly await: Effect.Effect<Exit.Exit<A, E | TaskError>>
  readonly status: Effect.Effect<TaskState, TaskError>
  /** Gives whether it had not ended. A handler that runs is interrupted, and its SQL on the server with it. */
  readonly cancel: Effect.Effect<boolean, TaskError>
  /** What its handler reports, the latest first, until it has ended. Of what comes quickly, only the latest. */
  readonly progress: Stream.Stream<G, TaskError>
}

/**
 * A task as it was enqueued.
 *
 * @since 0.1.0
 */
export interface Enqueued<out A, out E = never, out G = Json> extends TaskHandle<A, E, G> {
  /**
   * Whether there is a new task. If not, it is the one with the same unique key that had not ended, with its own payload
   * and its own time. In a transaction, that is what was known when it was enqueued.
   */
  readonly isNew: boolean
}

/** @internal */
export const make = <A, E, G>(
  store: TaskStore["Service"],
  task: TaskEnd.Watchable<A, E, G>,
  id: TaskId
): TaskHandle<A, E, G> => {
  const unknown = new TaskError({ task: task.name, reason: new NotFound({ id }) })
  const look = Effect.flatMap(store.get([id]), ([stored]) =>
    stored === undefined ? Effect.fail(unknown) : Effect.succeed(stored)
  )
  const looks = Stream.mapEffect(store.watch([id]), () => look)
  const ended = looks.pipe(
    Stream.filter(({ state }) => isEnded(state)),
    Stream.runHead
  )
  return {
    id,
    await: Effect.exit(
      Effect.flatMap(ended, (last) => TaskEnd.read(task, TaskEnd.of(id, Option.getOrUndefined(last))))
    ),
    status: Effect.map(look, ({ state }) => state),
    cancel: Effect.flatMap(Clock.currentTimeMillis, (at) =>
      Effect.map(store.cancel([id], at), (ids) => ids.length > 0)
    ),
    progress: looks.pipe(
      Stream.takeUntil(({ state }) => isEnded(state)),
      Stream.map(({ progress }) => progress),
      Stream.filter((progress) => progress !== undefined),
      Stream.changes,
      Stream.mapEffect((progress) => TaskEnd.decoded(task, task.progress, "progress", progress))
    )
  }
}

/** @internal */
export const enqueued = <A, E, G>(
  store: TaskStore["Service"],
  task: TaskEnd.Watchable<A, E, G>,
  id: TaskId,
  isNew: boolean
): Enqueued<A, E, G> => ({ ...make(store, task, id), isNew })
