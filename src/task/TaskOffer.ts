/**
 * What a task is offered with: its payload, encoded, and when and how it is to run.
 *
 * @internal
 */
import { Duration, Effect, Schema } from "effect"
import type { EnqueueOptions, Task } from "./Task.ts"
import { Impossible, TaskError, Unfit } from "./TaskError.ts"
import type { Offer, TaskId } from "./TaskStore.ts"

/** When and how it is to run, and in which place. */
type Terms = Pick<Offer, "name" | "queue" | "priority" | "at">

/**
 * What is the same for all that are offered together.
 *
 * @internal
 */
export const terms = (
  { name, priority: own, queue }: Pick<Offer, "name" | "queue" | "priority">,
  { at: from, delay = 0, priority = own }: EnqueueOptions,
  now: number
): Effect.Effect<Terms, TaskError> =>
  Effect.suspend(() => {
    const impossible = (message: string) => new TaskError({ task: name, reason: new Impossible({ message }) })
    // A duration below zero is zero for Duration, and would hide a mistake.
    if (typeof delay === "number" && !(delay >= 0)) {
      return Effect.fail(impossible(`\`delay\` is from 0, got ${delay}`))
    }
    const at = (from ?? now) + Duration.toMillis(Duration.fromInputUnsafe(delay))
    if (!Number.isSafeInteger(priority) || !Number.isFinite(at)) {
      return Effect.fail(impossible(`\`priority\` is an integer and \`at\` a moment, got ${priority}, ${at}`))
    }
    return Effect.succeed({ name, queue, priority, at })
  })

/**
 * Makes of payloads what is offered.
 *
 * @internal
 */
export const maker = <P, A, E>(
  task: Task<P, A, E>,
  options: EnqueueOptions,
  now: number
): Effect.Effect<(payload: P) => Effect.Effect<Offer, TaskError>, TaskError> => {
  const encode = Schema.encodeEffect(task.payload)
  return Effect.map(
    terms(task, options, now),
    ({ at, name, priority, queue }) =>
      (payload) =>
        Effect.mapBoth(encode(payload), {
          onSuccess: (encoded) => ({
            id: nextId(now),
            name,
            queue,
            priority,
            payload: encoded,
            at,
            uniqueKey: options.uniqueKey ?? task.uniqueKey?.(payload),
            limitKey: task.limitKey?.(payload)
          }),
          onFailure: ({ message }) => new TaskError({ task: name, reason: new Unfit({ what: "payload", message }) })
        })
  )
}

const part = (value: number, length: number): string => value.toString(16).padStart(length, "0")

let counted = 0

/**
 * Ids that were made in this process sort in their order; the random part keeps those of two apart.
 *
 * @internal
 */
export const nextId = (now: number): TaskId => {
  counted = (counted + 1) % 2 ** 24
  return `${part(now, 12)}-${part(counted, 6)}-${crypto.randomUUID().slice(0, 13)}`
}
