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
export interface TaskHandle<out A, out E = never> {
  readonly id: TaskId
  /** Waits for its end: its value or error, or why there is none (`TaskError`). `yield* yield* handle.await` fails with it. */
  readonly await: Effect.Effect<Exit.Exit<A, E | TaskError>>
  readonly status: Effect.Effect<TaskState, TaskError>
  /** Gives whether it had not ended. A handler that runs is interrupted, and its SQL on the server with it. */
  readonly cancel: Effect.Effect<boolean, TaskError>
  /** What its handler reports, the latest first, until it has ended. Of what comes quickly, only the latest. */
  readonly progress: Stream.Stream<Json, TaskError>
}

/** @internal */
export const make = <P, A, E>(
  store: TaskStore["Service"],
  task: Pick<Task<P, A, E>, "name" | "success" | "error">,
  id: TaskId,
  now: Effect.Effect<number>
): TaskHandle<A, E> => {
  const fault = (reason: TaskError["reason"]) => new TaskError({ task: task.name, reason })
  const look = Effect.flatMap(store.get([id]), ([stored]) =>
    stored === undefined ? Effect.fail(fault(new Reasons.NotFound({ id }))) : Effect.succeed(stored)
  )
  const looks = Stream.mapEffect(store.watch([id]), () => look)

  const decoded = <T>(schema: Schema.ConstraintCodec<T, unknown>, what: "success" | "error", value: unknown) =>
    Effect.mapError(Schema.decodeUnknownEffect(schema)(value), ({ message }) =>
      fault(new Reasons.Unfit({ what, message }))
    )
  const endOf = ({ result = null, state }: Stored): Effect.Effect<A, E | TaskError> => {
    switch (state._tag) {
      case "succeeded":
        return decoded(task.success, "success", result)
      case "cancelled":
        return Effect.fail(fault(new Reasons.Cancelled()))
      case "dead":
        return Effect.fail(fault(new Reasons.Dead({ attempts: state.attempt, why: String(result) })))
      default:
        return isDiscarded(result)
          ? Effect.fail(fault(new Reasons.Discarded({ why: result.discarded })))
          : Effect.flatMap(decoded(task.error, "error", isFailure(result) ? result.error : result), Effect.fail)
    }
  }
  const ended = looks.pipe(
    Stream.filter(({ state }) => isEnded(state)),
    Stream.runHead
  )
  return {
    id,
    await: Effect.exit(
      Effect.flatMap(ended, (last) =>
        Option.isSome(last) ? endOf(last.value) : Effect.fail(fault(new Reasons.NotFound({ id })))
      )
    ),
    status: Effect.map(look, ({ state }) => state),
    cancel: Effect.flatMap(now, (at) => Effect.map(store.cancel([id], at), (ids) => ids.length > 0)),
    progress: looks.pipe(
      Stream.takeUntil(({ state }) => isEnded(state)),
      Stream.map(({ progress }) => progress),
      Stream.filter((progress) => progress !== undefined),
      Stream.changes
    )
  }
}

/** A task whose handler discarded it is `failed`, too, and its result says which. */
const isDiscarded = (result: unknown): result is { readonly discarded: string } =>
  typeof result === "object" && result !== null && "discarded" in result && typeof result.discarded === "string"

const isFailure = (result: unknown): result is { readonly error: Json } =>
  typeof result === "object" && result !== null && "error" in result
