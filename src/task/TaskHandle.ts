/**
 * A task that has been offered: how it ends, how it is, and what it reports.
 *
 * A handle is no more than an id with the task's types. It holds nothing: whoever has the id can make it again.
 *
 * @since 0.1.0
 */
import type { Exit } from "effect"
import { Effect, Option, Schema, Stream } from "effect"
import type { Task } from "./Task.ts"
import * as Reasons from "./TaskError.ts"
import { TaskError } from "./TaskError.ts"
import type { TaskState } from "./TaskState.ts"
import { isEnded } from "./TaskState.ts"
import type { Json, Stored, TaskId, TaskStore } from "./TaskStore.ts"

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

/** What a task's end is read by. */
type Ending<A, E> = Pick<Task<unknown, A, E>, "name" | "success" | "error">

const faultOf = (task: { readonly name: string }, reason: TaskError["reason"]): TaskError =>
  new TaskError({ task: task.name, reason })

/**
 * What the store has, by its schema.
 *
 * @internal
 */
export const decoded = <T>(
  task: { readonly name: string },
  schema: Schema.ConstraintCodec<T, unknown>,
  what: Reasons.Unfit["what"],
  value: unknown
): Effect.Effect<T, TaskError> =>
  Effect.mapError(Schema.decodeUnknownEffect(schema)(value), ({ message }) =>
    faultOf(task, new Reasons.Unfit({ what, message }))
  )

/**
 * How a task has ended.
 *
 * @internal
 */
export const endOf = <A, E>(
  task: Ending<A, E>,
  { result, state, why = "" }: Stored
): Effect.Effect<A, E | TaskError> => {
  switch (state._tag) {
    case "succeeded":
      return decoded(task, task.success, "success", result)
    case "failed":
      // One that was discarded has no error of its own.
      return result === undefined
        ? Effect.fail(faultOf(task, new Reasons.Discarded({ why })))
        : Effect.flatMap(decoded(task, task.error, "error", result), Effect.fail)
    case "dead":
      return Effect.fail(faultOf(task, new Reasons.Dead({ attempts: state.attempt, why })))
    case "cancelled":
      return Effect.fail(faultOf(task, new Reasons.Cancelled()))
    default:
      return Effect.die(new Error(`A task that is ${state._tag} has not ended`))
  }
}

/** @internal */
export const make = <A, E, G>(
  store: TaskStore["Service"],
  task: Ending<A, E> & { readonly progress: Schema.ConstraintCodec<G, unknown> },
  id: TaskId,
  now: Effect.Effect<number>
): TaskHandle<A, E, G> => {
  const unknown = faultOf(task, new Reasons.NotFound({ id }))
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
      Effect.flatMap(ended, (last) => (Option.isSome(last) ? endOf(task, last.value) : Effect.fail(unknown)))
    ),
    status: Effect.map(look, ({ state }) => state),
    cancel: Effect.flatMap(now, (at) => Effect.map(store.cancel([id], at), (ids) => ids.length > 0)),
    progress: looks.pipe(
      Stream.takeUntil(({ state }) => isEnded(state)),
      Stream.map(({ progress }) => progress),
      Stream.filter((progress) => progress !== undefined),
      Stream.changes,
      Stream.mapEffect((progress) => decoded(task, task.progress, "progress", progress))
    )
  }
}
