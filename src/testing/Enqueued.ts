/**
 * Which tasks are enqueued, with their types, and expectations of them that say what there is instead.
 *
 * @internal
 */
import { Duration, Effect, Schema } from "effect"
import type { Session, Task } from "../task/Task.ts"
import * as TaskEnd from "../task/TaskEnd.ts"
import { TaskError, Unfit } from "../task/TaskError.ts"
import type { TaskState } from "../task/TaskState.ts"
import type { Filter, Json, Stored, TaskId } from "../task/TaskStore.ts"
import { TaskStore } from "../task/TaskStore.ts"
import type { Difference } from "./Difference.ts"
import { differences } from "./Difference.ts"
import { Unexpected } from "./Unexpected.ts"

/**
 * A task that waits: for its time, for a runner, or for its next attempt.
 *
 * @since 0.1.0
 */
export interface Enqueued<out P> {
  readonly id: TaskId
  readonly payload: P
  readonly queue: string
  readonly priority: number
  /** From when on it may run, as it was enqueued: milliseconds since the epoch. */
  readonly at: number
  /** How long after it was enqueued that is. */
  readonly delayMillis: number
  readonly uniqueKey: string | undefined
  readonly limitKey: string | undefined
  readonly state: TaskState
}

/**
 * What an enqueued task is expected to have. What is not said may be anything.
 *
 * @since 0.1.0
 */
export interface Expected<P> {
  /** The payload, compared as the JSON that it is kept as; or what is to be true of it. */
  readonly payload?: P | ((payload: P) => boolean) | undefined
  readonly queue?: string | undefined
  readonly priority?: number | undefined
  /** Milliseconds since the epoch. */
  readonly at?: number | undefined
  /** How long after it was enqueued it may run. */
  readonly delay?: Duration.Input | undefined
  readonly uniqueKey?: string | undefined
  readonly limitKey?: string | undefined
}

type Tested<P> = Pick<Task<P, unknown, unknown, Session>, "name" | "payload">

const waiting: ReadonlyArray<TaskState["_tag"]> = ["scheduled", "ready", "retrying"]
const isWaiting = ({ state }: Stored): boolean => waiting.includes(state._tag)

/**
 * All tasks that a filter finds, by their ids.
 *
 * @internal
 */
export const listed = (
  store: TaskStore["Service"],
  filter: Omit<Filter, "after" | "limit">
): Effect.Effect<ReadonlyArray<Stored>, TaskError> => {
  const limit = 1000
  const from = (
    after: TaskId | undefined,
    found: ReadonlyArray<Stored>
  ): Effect.Effect<ReadonlyArray<Stored>, TaskError> =>
    Effect.flatMap(store.list({ ...filter, after, limit }), (page) =>
      page.length < limit ? Effect.succeed([...found, ...page]) : from(page.at(-1)?.id, [...found, ...page])
    )
  return Effect.suspend(() => from(undefined, []))
}

/** A task with its payload as the store has it. */
interface Found<P> {
  readonly task: Enqueued<P>
  readonly json: Json
}

const found = <P>(task: Tested<P>): Effect.Effect<ReadonlyArray<Found<P>>, TaskError, TaskStore> =>
  Effect.flatMap(TaskStore, (store) =>
    Effect.flatMap(listed(store, { name: task.name, states: waiting }), (all) =>
      Effect.forEach(all, (stored) =>
        Effect.mapBoth(Schema.decodeUnknownEffect(task.payload)(TaskEnd.payloadOf(stored)), {
          onFailure: ({ message }) =>
            new TaskError({ task: task.name, reason: new Unfit({ what: "payload", message }) }),
          onSuccess: (payload): Found<P> => ({ task: enqueuedOf(stored, payload), json: stored.payload })
        })
      )
    )
  )

const enqueuedOf = <P>(
  { at, id, limitKey, offeredAt, priority, queue, state, uniqueKey }: Stored,
  payload: P
): Enqueued<P> => ({
  id,
  payload,
  queue,
  priority,
  at,
  delayMillis: Math.max(0, at - offeredAt),
  uniqueKey,
  limitKey,
  state
})

/**
 * The tasks of this kind that wait, in the order in which they were enqueued: not those that run, have ended, or await
 * other tasks, and so have no payload yet. Fails with `TaskError` where a payload does not agree with its schema.
 *
 * @since 0.1.0
 */
export const enqueued = <P>(task: Tested<P>): Effect.Effect<ReadonlyArray<Enqueued<P>>, TaskError, TaskStore> =>
  Effect.map(found(task), (all) => all.map((one) => one.task))

/** What is expected, as text and JSON can say it. */
interface Wanted<P> extends Pick<Expected<P>, "queue" | "priority" | "at" | "uniqueKey" | "limitKey"> {
  readonly payload: Json | undefined
  readonly fits: ((payload: P) => boolean) | undefined
  readonly delayMillis: number | undefined
}

const isPredicate = <P>(payload: Expected<P>["payload"]): payload is (payload: P) => boolean =>
  typeof payload === "function"

const wantedOf = <P>(task: Tested<P>, expected: Expected<P>): Effect.Effect<Wanted<P>, TaskError> => {
  const { at, delay, limitKey, payload, priority, queue, uniqueKey } = expected
  const delayMillis = delay === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(delay))
  const rest = { at, delayMillis, limitKey, priority, queue, uniqueKey }
  if (payload === undefined) return Effect.succeed({ ...rest, payload: undefined, fits: undefined })
  if (isPredicate(payload)) return Effect.succeed({ ...rest, payload: undefined, fits: payload })
  return Effect.mapBoth(Schema.encodeEffect(task.payload)(payload), {
    onSuccess: (json) => ({ ...rest, payload: json, fits: undefined }),
    onFailure: ({ message }) => new TaskError({ task: task.name, reason: new Unfit({ what: "payload", message }) })
  })
}

const options = ["at", "delayMillis", "priority", "queue", "uniqueKey", "limitKey"] as const

const differencesOf = <P>(wanted: Wanted<P>, { json, task }: Found<P>): ReadonlyArray<Difference> => [
  ...(wanted.payload === undefined ? [] : differences("payload", wanted.payload, json)),
  ...(wanted.fits?.(task.payload) === false
    ? [{ path: "payload", expected: "one that fits", actual: JSON.stringify(json) }]
    : []),
  ...options.flatMap((option) =>
    wanted[option] === undefined ? [] : differences(option, wanted[option], task[option])
  )
]

const said = <P>(wanted: Wanted<P>): string => {
  const parts = [
    ...(wanted.payload === undefined ? [] : [`payload ${JSON.stringify(wanted.payload)}`]),
    ...(wanted.fits === undefined ? [] : ["a payload that fits"]),
    ...options.flatMap((option) =>
      wanted[option] === undefined ? [] : [`${option} ${JSON.stringify(wanted[option])}`]
    )
  ]
  return parts.length === 0 ? "" : ` with ${parts.join(", ")}`
}

const textOf = <P>({ json, task }: Found<P>): string => {
  const keys = options.flatMap((option) =>
    task[option] === undefined ? [] : [`${option} ${JSON.stringify(task[option])}`]
  )
  return [`payload ${JSON.stringify(json)}`, ...keys, task.state._tag].join(", ")
}

/** What is compared, for the difference that a test framework shows. */
const shown = <P>(wanted: Wanted<P>, { json, task }: Found<P>) => ({
  ...(wanted.payload === undefined && wanted.fits === undefined ? {} : { payload: json }),
  ...Object.fromEntries(options.flatMap((option) => (wanted[option] === undefined ? [] : [[option, task[option]]])))
})

const wantedShown = <P>(wanted: Wanted<P>) => ({
  ...(wanted.payload === undefined
    ? wanted.fits === undefined
      ? {}
      : { payload: "one that fits" }
    : { payload: wanted.payload }),
  ...Object.fromEntries(options.flatMap((option) => (wanted[option] === undefined ? [] : [[option, wanted[option]]])))
})

const countOf = (count: number): string => (count === 1 ? "is one" : `are ${count}`)

/** A test that has enqueued thousands is not helped by all of them. */
const mostShown = 5

const instead = <P>(
  name: string,
  wanted: Wanted<P>,
  all: ReadonlyArray<Found<P>>
): Effect.Effect<ReadonlyArray<string>, TaskError, TaskStore> =>
  Effect.map(
    Effect.flatMap(TaskStore, (store) => listed(store, {})),
    (known) => {
      const nearest = all
        .map((one) => ({ one, differs: differencesOf(wanted, one) }))
        .toSorted((a, b) => a.differs.length - b.differs.length)
      const lines = nearest
        .slice(0, mostShown)
        .flatMap(({ differs, one }, index) => [
          `  ${index + 1}. ${textOf(one)}`,
          ...differs.map(({ actual, expected, path }) => `     ${path} is ${actual}, expected ${expected}`)
        ])
      const rest = all.length > mostShown ? [`  and ${all.length - mostShown} more`] : []
      const others = counted(known.filter((one) => one.name !== name && isWaiting(one)).map((one) => `"${one.name}"`))
      const past = counted(known.filter((one) => one.name === name && !isWaiting(one)).map(({ state }) => state._tag))
      return [
        all.length === 0 ? "  there is none" : `  there ${countOf(all.length)}:`,
        ...lines,
        ...rest,
        ...(past === "" ? [] : [`  of "${name}" wait no more: ${past}`]),
        ...(others === "" ? [] : [`  of others wait: ${others}`])
      ]
    }
  )

const counted = (words: ReadonlyArray<string>): string => {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return [...counts].map(([word, count]) => `${word} (${count})`).join(", ")
}

/**
 * Expects a task like this to be enqueued, and gives those that are. Where there is none it dies, with a message that
 * says which there are instead, and what they differ in.
 *
 * ```ts
 * const [mail] = yield* TestTasks.expectEnqueued(welcome, { payload: { userId: 7 }, delay: "1 hour" })
 * ```
 *
 * @since 0.1.0
 */
export const expectEnqueued = Effect.fnUntraced(function* <P>(
  task: Tested<P>,
  expected: Expected<P> = {}
): Effect.fn.Return<readonly [Enqueued<P>, ...ReadonlyArray<Enqueued<P>>], TaskError, TaskStore> {
  const all = yield* found(task)
  const wanted = yield* wantedOf(task, expected)
  const [first, ...others] = all.filter((one) => differencesOf(wanted, one).length === 0)
  if (first !== undefined) return [first.task, ...others.map((one) => one.task)]
  const problem = `Expected a task "${task.name}" to be enqueued${said(wanted)}`
  return yield* Effect.die(
    new Unexpected(
      [problem, ...(yield* instead(task.name, wanted, all))].join("\n"),
      [wantedShown(wanted)],
      all.map((one) => shown(wanted, one))
    )
  )
})

/**
 * Expects that no task like this is enqueued. Where there is one it dies, with a message that shows it.
 *
 * @since 0.1.0
 */
export const expectNoneEnqueued = Effect.fnUntraced(function* <P>(
  task: Tested<P>,
  expected: Expected<P> = {}
): Effect.fn.Return<void, TaskError, TaskStore> {
  const wanted = yield* wantedOf(task, expected)
  const there = (yield* found(task)).filter((one) => differencesOf(wanted, one).length === 0)
  if (there.length === 0) return
  const problem = `Expected no task "${task.name}" to be enqueued${said(wanted)}, but there ${countOf(there.length)}:`
  return yield* Effect.die(
    new Unexpected(
      [problem, ...there.map((one, index) => `  ${index + 1}. ${textOf(one)}`)].join("\n"),
      [],
      there.map((one) => shown(wanted, one))
    )
  )
})
