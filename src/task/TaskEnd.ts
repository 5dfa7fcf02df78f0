/**
 * How a task has ended, as a typed Exit and as the JSON that a store keeps of it.
 *
 *     succeeded ─► its value                failed ─► its error, or TaskError: Discarded
 *     cancelled ─► TaskError: Cancelled     dead ───► TaskError: Dead
 *     unknown ──► TaskError: NotFound
 *
 * Both ways agree: an Exit that is encoded and decoded is the same one.
 *
 * @internal
 */
import { Cause, Effect, Exit, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { shortened } from "../internal/shortened.ts"
import type { Session, Task } from "./Task.ts"
import * as Reasons from "./TaskError.ts"
import { TaskError } from "./TaskError.ts"
import { isEnded } from "./TaskState.ts"
import type { End, Json, Stored, TaskId } from "./TaskStore.ts"

/**
 * A task, as those see it who wait for its end.
 *
 * @since 0.1.0
 */
export type Awaitable<A, E> = Pick<Task<unknown, A, E>, "name" | "success" | "error">

/**
 * A task, as those see it who watch it too.
 *
 * @internal
 */
export type Watchable<A, E, G> = Pick<Task<unknown, A, E, Session, G>, "name" | "success" | "error" | "progress">

/**
 * How a task has ended, of which this is known.
 *
 * @internal
 */
export const of = (id: TaskId, stored: Pick<Stored, "name" | "state" | "result" | "why"> | undefined): End => {
  if (stored === undefined || !isEnded(stored.state)) return { id, state: "unknown", attempts: 0 }
  const { name, result, state, why } = stored
  return {
    id,
    name,
    state: state._tag,
    attempts: state.attempt,
    ...(result !== undefined && { result }),
    ...(why !== undefined && { why })
  }
}

/**
 * What the store has, by a schema of the task's.
 *
 * @internal
 */
export const decoded = <T>(
  task: { readonly name: string },
  schema: Schema.ConstraintCodec<T, Json>,
  what: Reasons.Unfit["what"],
  value: unknown
): Effect.Effect<T, TaskError> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(value),
    ({ message }) =>
      new TaskError({ task: task.name, reason: new Reasons.Unfit({ what, message: shortened(message) }) })
  )

/**
 * What a task ended with, or why it did not.
 *
 * @internal
 */
export const read = <A, E>(
  task: Awaitable<A, E>,
  { attempts, id, result, state, why = "" }: End
): Effect.Effect<A, E | TaskError> => {
  const fail = (reason: TaskError["reason"]) => Effect.fail(new TaskError({ task: task.name, reason }))
  switch (state) {
    case "succeeded":
      return decoded(task, task.success, "success", result ?? null)
    case "cancelled":
      return fail(new Reasons.Cancelled())
    case "dead":
      return fail(new Reasons.Dead({ attempts, why }))
    case "unknown":
      return Effect.flatMap(Effect.option(decodeFault(result)), (fault) =>
        fault._tag === "Some" ? Effect.fail(fault.value) : fail(new Reasons.NotFound({ id }))
      )
    case "failed":
      // One that was discarded has no error of its own.
      return result === undefined
        ? fail(new Reasons.Discarded({ why }))
        : Effect.flatMap(decoded(task, task.error, "error", result), Effect.fail)
  }
}

const Fault = Schema.toCodecJson(TaskError)
const decodeFault = Schema.decodeUnknownEffect(Fault)

/** The end that is read as this Exit: what a store would say, as far as an Exit tells. */
const write = <A, E>(
  task: Awaitable<A, E>,
  exit: Exit.Exit<A, E | TaskError>
): Effect.Effect<End, SchemaIssue.Issue> => {
  const end = (state: End["state"], said: Pick<End, "result" | "why">, attempts = 0): End => ({
    id: "",
    name: task.name,
    state,
    attempts,
    ...said
  })
  if (Exit.isSuccess(exit)) {
    return Effect.mapBoth(Schema.encodeEffect(task.success)(exit.value), {
      onSuccess: (result) => end("succeeded", { result }),
      onFailure: ({ issue }) => issue
    })
  }
  const fail = exit.cause.reasons.find(Cause.isFailReason)
  if (fail === undefined) {
    const message = `the Exit of task "${task.name}" has neither value nor error: ${Cause.pretty(exit.cause)}`
    return Effect.fail(new SchemaIssue.InvalidValue({ message }))
  }
  const { error } = fail
  if (error instanceof TaskError) {
    const { reason } = error
    if (error.task === task.name) {
      if (reason._tag === "Cancelled") return Effect.succeed(end("cancelled", {}))
      if (reason._tag === "Discarded") return Effect.succeed(end("failed", { why: reason.why }))
      if (reason._tag === "Dead") return Effect.succeed(end("dead", { why: reason.why }, reason.attempts))
    }
    return Effect.mapBoth(Schema.encodeEffect(Fault)(error), {
      onSuccess: (result) => end("unknown", { result }),
      onFailure: ({ issue }) => issue
    })
  }
  return Effect.mapBoth(Schema.encodeUnknownEffect(task.error)(error), {
    onSuccess: (result) => end("failed", { result }),
    onFailure: ({ issue }) => issue
  })
}

const Kept = Schema.Struct({
  id: Schema.String,
  name: Schema.optionalKey(Schema.String),
  state: Schema.Literals(["succeeded", "failed", "cancelled", "dead", "unknown"]),
  attempts: Schema.Int,
  result: Schema.optionalKey(Schema.Json),
  why: Schema.optionalKey(Schema.String)
})

/**
 * The Exit of a task, as a schema: what a task may have as its payload, or as a part of it.
 *
 * @internal
 */
export const exit = <A, E>(task: Awaitable<A, E>): Schema.Codec<Exit.Exit<A, E | TaskError>, End> =>
  Kept.pipe(
    Schema.decodeTo(
      Schema.declare((value): value is Exit.Exit<A, E | TaskError> => Exit.isExit(value)),
      SchemaTransformation.transformEffect({
        decode: (end: End) => {
          // Of a union of Exits, each is read by its own task.
          if (end.name === undefined || end.name === task.name) return Effect.exit(read(task, end))
          const message = `Expected the end of task "${task.name}", got that of "${end.name}"`
          return Effect.fail(new SchemaIssue.InvalidValue({ message }))
        },
        encode: (exit: Exit.Exit<A, E | TaskError>) => write(task, exit)
      })
    )
  )

/**
 * What a task that awaits others is offered with, in place of a payload: the names of those, in a record.
 *
 * @internal
 */
export const frame = (names: ReadonlyArray<string> | undefined): Json => names ?? null

/**
 * The payload of a task, as its schema knows it: of one that has awaited others, their ends.
 *
 * @internal
 */
export const payloadOf = ({ awaited = [], awaits, payload }: Stored): unknown => {
  if (awaits === undefined) return payload
  if (!Array.isArray(payload)) return awaited
  return Object.fromEntries(payload.map((name: unknown, place) => [name, awaited[place]]))
}
