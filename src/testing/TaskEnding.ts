/**
 * What became of an attempt at a task, with the task's types.
 *
 * @internal
 */
import { Cause, Effect, Exit, Result } from "effect"
import type { Awaitable } from "../task/TaskEnd.ts"
import * as TaskEnd from "../task/TaskEnd.ts"
import { TaskError } from "../task/TaskError.ts"
import type { Ending as Ended } from "../task/TaskRegistry.ts"
import { isEnded, move } from "../task/TaskState.ts"
import type { Stored } from "../task/TaskStore.ts"

/**
 * What becomes of a task by an attempt.
 *
 * - `succeeded`, `failed`: it has its result, read back from JSON
 * - `discarded`: its handler has said that there is nothing to do any more
 * - `retrying`: it failed, and is tried again
 * - `snoozed`: its handler wants it later, and has not begun
 * - `dead`: there is no use in trying again
 * - `cancelled`: somebody has cancelled it meanwhile
 * - `handedBack`: the attempt was stopped, and the task has not ended
 *
 * @since 0.1.0
 */
export type Ending<A, E> =
  | { readonly _tag: "succeeded"; readonly value: A }
  | { readonly _tag: "failed"; readonly error: E }
  | { readonly _tag: "discarded" | "dead"; readonly why: string }
  /** `why` is what it failed with, where that is known. */
  | { readonly _tag: "retrying"; readonly delayMillis: number; readonly why: string | undefined }
  | { readonly _tag: "snoozed"; readonly delayMillis: number }
  | { readonly _tag: "cancelled" | "handedBack" }

/** @internal */
export const of = <A, E>(
  task: Awaitable<A, E>,
  stored: Stored,
  { input, ...left }: Ended,
  now: number
): Effect.Effect<Ending<A, E>, TaskError> => {
  const { state } = stored
  const moved = move(state, { ...input, token: state._tag === "running" ? state.token : 0 }, now)
  if (Result.isFailure(moved)) return Effect.succeed({ _tag: "cancelled" })
  const next = moved.success
  if (isEnded(next)) return ended(task, { ...stored, ...left, state: next })
  const delayMillis = Math.max(0, next.at - now)
  if (input._tag === "retry") return Effect.succeed({ _tag: "retrying", delayMillis, why: left.why })
  return Effect.succeed(input._tag === "snooze" ? { _tag: "snoozed", delayMillis } : { _tag: "handedBack" })
}

/** By the words in which whoever waits for the task is told. */
const ended = <A, E>(task: Awaitable<A, E>, stored: Stored): Effect.Effect<Ending<A, E>, TaskError> =>
  Effect.flatMap(
    Effect.exit(TaskEnd.read(task, TaskEnd.of(stored.id, stored))),
    (exit): Effect.Effect<Ending<A, E>, TaskError> => {
      if (Exit.isSuccess(exit)) return Effect.succeed({ _tag: "succeeded", value: exit.value })
      const fail = exit.cause.reasons.find(Cause.isFailReason)
      if (fail === undefined) return Effect.die(Cause.squash(exit.cause))
      const { error } = fail
      if (!(error instanceof TaskError)) return Effect.succeed({ _tag: "failed", error })
      const { reason } = error
      if (reason._tag === "Dead") return Effect.succeed({ _tag: "dead", why: reason.why })
      return reason._tag === "Discarded" ? Effect.succeed({ _tag: "discarded", why: reason.why }) : Effect.fail(error)
    }
  )
