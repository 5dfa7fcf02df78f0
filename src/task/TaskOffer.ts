/**
 * What a task is offered with: its payload, encoded, and when and how it is to run.
 *
 * @internal
 */
import { DateTime, Effect, Option, Schema } from "effect"
import type { EnqueueOptions, Task } from "./Task.ts"
import { Impossible, TaskError, Unfit } from "./TaskError.ts"
import type { Offer, TaskId } from "./TaskStore.ts"
import { millisOf, saidAs } from "./TaskTime.ts"

/**
 * What a column of a database has room for, and what keeps its precision beside a moment.
 *
 * @internal
 */
export const isPriority = (priority: number): boolean => Number.isInteger(priority) && Math.abs(priority) < 2 ** 31

/** @internal */
export const priorities = "an integer of 32 bits"

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
    const delayMillis = millisOf(delay)
    if (delayMillis === undefined) {
      return Effect.fail(impossible(`\`delay\` is a duration from 0 that ends, got ${saidAs(delay)}`))
    }
    const moment = Option.map(DateTime.make(from ?? now), DateTime.toEpochMillis)
    if (Option.isNone(moment)) return Effect.fail(impossible(`\`at\` is a moment, got ${String(from)}`))
    if (!isPriority(priority)) return Effect.fail(impossible(`\`priority\` is ${priorities}, got ${priority}`))
    return Effect.succeed({ name, queue, priority, at: moment.value + delayMillis })
  })

/**
 * Makes of payloads what is offered.
 *
 * @internal
 */
export const maker = <P>(
  task: Pick<Task<P, unknown>, "name" | "queue" | "priority" | "payload" | "uniqueKey" | "limitKey">,
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
