/**
 * Tasks that belong together: waited for as one (`all`), followed by another task (`chord`), or so many that they are
 * offered and read one after the other (`stream`).
 *
 * - **However they end.** A member that failed, died, was cancelled or discarded is an Exit like any other: its own error,
 *   or a `TaskError` that says why there is none. No group fails for a member's end.
 * - **One offer.** `all` and `chord` offer their members together, all or none of them.
 * - **Structured.** `all` and `stream` cancel what they have offered when they are interrupted, or fail with the store:
 *   nobody would read it. A member that turned out to be another's task (by its `uniqueKey`) is waited for, and not
 *   cancelled.
 * - **Not here.** A chord is kept by the store: whoever offered it may be gone when its callback runs, in this process or
 *   another one. The callback comes once, when the last member has ended; members that are queued again later do not bring
 *   it about anew. As any task, it may run more than once where its runner is lost.
 * - **Bounded.** `all` and `chord` hold all of their members, and a callback gets every Exit in one payload. `stream` holds
 *   `concurrency` of them, however many there are.
 *
 * A handler that waits for other tasks keeps its place among those that run: ten of them in a runner of ten would wait for
 * ever. Let it end, and a chord go on.
 *
 * @since 0.1.0
 */
import { Clock, Effect, Exit, Schema, Stream } from "effect"
import { mapWithWorkers } from "../internal/mapWithWorkers.ts"
import { toStream } from "../internal/toStream.ts"
import { Workers } from "../internal/Workers.ts"
import type { EnqueueOptions, Session, Task } from "./Task.ts"
import type { Awaitable, Watchable } from "./TaskEnd.ts"
import * as TaskEnd from "./TaskEnd.ts"
import { Impossible, TaskError } from "./TaskError.ts"
import type { Enqueued } from "./TaskHandle.ts"
import * as Handles from "./TaskHandle.ts"
import type { AnyMember, ExitOf, Exits, Members, Offered } from "./TaskMember.ts"
import { inShape, partsOf } from "./TaskMember.ts"
import * as TaskOffer from "./TaskOffer.ts"
import { isEnded } from "./TaskState.ts"
import type { End, Json, TaskId } from "./TaskStore.ts"
import { TaskStore } from "./TaskStore.ts"
import { transactionOf } from "./TaskTransaction.ts"

export type { AnyMember, ExitOf, Exits, Member, Members, Offered } from "./TaskMember.ts"
export { member } from "./TaskMember.ts"
export type { Awaitable } from "./TaskEnd.ts"

/**
 * Offers the members, all or none of them, and waits until every one has ended. Gives an Exit for each, in the shape of
 * the members. If it does not come to its end, they are cancelled.
 *
 * ```ts
 * const [user, orders] = yield* TaskGroup.all([TaskGroup.member(loadUser, 7), TaskGroup.member(loadOrders, 7)])
 * ```
 *
 * Fails with `TaskError`: `Unfit` for a payload that does not agree with its schema, `StoreFailed`, and `Impossible` in
 * a transaction, whose tasks run after its COMMIT only.
 *
 * @since 0.1.0
 */
export const all = <const T extends Members>(members: T): Effect.Effect<Exits<T>, TaskError, TaskStore> =>
  Effect.gen(function* () {
    const store = yield* TaskStore
    yield* outsideTransaction("all")
    const { names, parts } = partsOf<AnyMember>(members)
    const exits = yield* joined(store, parts)
    // Each place has the Exit of the member there.
    return inShape(names, exits) as Exits<T>
  })

/**
 * A chord that has been offered.
 *
 * @since 0.1.0
 */
export interface Chord<T extends Members, A, E, G = Json> {
  readonly members: Offered<T>
  /** Cancelled, it leaves the members alone. */
  readonly callback: Enqueued<A, E, G>
}

/**
 * Offers members, and a task that runs once, when every one of them has ended: all of it or nothing. The task's payload
 * is the members' Exits in their shape, so it is made with `exits` (or `exit`) of their tasks, and runs wherever its
 * handler is.
 *
 * ```ts
 * const report = Task.make("report", { payload: TaskGroup.exits([count, sum]), session: "transaction" })
 *
 * yield* TaskGroup.chord([TaskGroup.member(count, "a"), TaskGroup.member(sum, "a")], report)
 * ```
 *
 * Without members it runs at once. In a transaction everything is there after its COMMIT, or never. The options are those
 * of the callback; `delay` and `at` are the earliest that it may run. Fails with `TaskError`: `Unfit`, `StoreFailed`, and
 * `Impossible` where the callback has a `uniqueKey` or `limitKey` by its payload, which it does not have yet.
 *
 * @since 0.1.0
 */
export const chord = Effect.fnUntraced(function* <const T extends Members, A, E, S extends Session, G>(
  members: T,
  callback: Task<NoInfer<Exits<T>>, A, E, S, G>,
  options: Omit<EnqueueOptions, "onDuplicate"> = {}
): Effect.fn.Return<Chord<T, A, E, G>, TaskError, TaskStore> {
  const store = yield* TaskStore
  const now = yield* Clock.currentTimeMillis
  if ((callback.uniqueKey !== undefined && options.uniqueKey === undefined) || callback.limitKey !== undefined) {
    const message = "the callback of a chord has no `uniqueKey` or `limitKey` by its payload: there is none yet"
    return yield* new TaskError({ task: callback.name, reason: new Impossible({ message }) })
  }
  const { names, parts } = partsOf<AnyMember>(members)
  const offers = yield* Effect.forEach(parts, (member) => member.offer(now))
  const join = {
    id: TaskOffer.nextId(now),
    ...(yield* TaskOffer.terms(callback, options, now)),
    payload: TaskEnd.frame(names),
    uniqueKey: options.uniqueKey,
    awaits: offers.map(({ id }) => id)
  }
  const all = [...offers, join]
  const ids = yield* store.offer(all, now)
  const enqueued = <A, E, G>(task: Watchable<A, E, G>, place: number) =>
    Handles.enqueued(store, task, ids[place] ?? "", ids[place] === all[place]?.id)
  const handles = parts.map(({ task }, place) => enqueued(task, place))
  return {
    // Each place has the handle of the member there.
    members: inShape(names, handles) as Offered<T>,
    callback: enqueued(callback, parts.length)
  }
})

/**
 * How the members of a stream end: each with its Exit.
 *
 * @since 0.1.0
 */
export type Result<M> = M extends { readonly task: infer T } ? { readonly member: M; readonly exit: ExitOf<T> } : never

/**
 * Offers members one by one and gives each with its Exit as they end. At most `concurrency` (default 100) are in the store
 * at a time, and as many Exits wait to be read: who reads slowly is not overtaken, and memory does not grow with the number
 * of members. What has been offered is cancelled when the stream is left before its end.
 *
 * ```ts
 * const rows = Stream.map(Stream.range(1, 50_000), (n) => TaskGroup.member(compute, n))
 * yield* TaskGroup.stream(rows).pipe(Stream.grouped(1000), Stream.runForEach(store))
 * ```
 *
 * Fails as `all` does, at the first member that cannot be offered.
 *
 * @since 0.1.0
 */
export const stream = <M extends AnyMember, E2 = never, R2 = never>(
  members: Iterable<M> | AsyncIterable<M> | Stream.Stream<M, E2, R2>,
  { concurrency = 100 }: { readonly concurrency?: number | undefined } = {}
): Stream.Stream<Result<M>, E2 | TaskError, R2 | TaskStore> =>
  Stream.unwrap(
    Effect.gen(function* () {
      if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
        return yield* Effect.die(
          new RangeError(`Expected \`concurrency\` to be an integer from 1, got ${String(concurrency)}`)
        )
      }
      const store = yield* TaskStore
      yield* outsideTransaction("stream")
      const work = (member: M) =>
        // The Exit is that of the member before it.
        Effect.result(Effect.map(joined(store, [member]), ([exit]) => ({ member, exit }) as Result<M>))
      const hands = { work, done: () => {} }
      const results = mapWithWorkers(toStream(members), () => hands, new Workers(concurrency), { ordered: false })
      return Stream.mapEffect(results, Effect.fromResult)
    })
  )

/**
 * The Exit of a task as a schema, for the payload of a callback. Of any number of members of one task:
 * `Schema.Array(TaskGroup.exit(task))`.
 *
 * @since 0.1.0
 */
export const exit = <A, E>(task: Awaitable<A, E>): Schema.Codec<Exit.Exit<A, E | TaskError>, End> => TaskEnd.exit(task)

/**
 * The tasks of a group's members, in its shape.
 *
 * @since 0.1.0
 */
export type Tasks = ReadonlyArray<Awaitable<unknown, unknown>> | Readonly<Record<string, Awaitable<unknown, unknown>>>

/**
 * The Exits of a group's members as a schema, for the payload of its callback: of a tuple or a record of their tasks.
 *
 * @since 0.1.0
 */
export const exits = <const T extends Tasks>(
  tasks: T
): Schema.Codec<{ readonly [K in keyof T]: ExitOf<T[K]> }, Json> => {
  const { names, parts } = partsOf<Awaitable<unknown, unknown>>(tasks)
  const schemas = parts.map(exit)
  const schema =
    names === undefined
      ? Schema.Tuple(schemas)
      : Schema.Struct(Object.fromEntries(names.map((name, place) => [name, schemas[place] ?? Schema.Never])))
  // Each place has the schema of the task there.
  return schema as unknown as Schema.Codec<{ readonly [K in keyof T]: ExitOf<T[K]> }, Json>
}

/** In a transaction nothing would be seen of the members, and what waits for them would wait for itself. */
const outsideTransaction = (name: string): Effect.Effect<void, TaskError> =>
  Effect.withFiber(({ context }) => {
    if (transactionOf(context) === undefined) return Effect.void
    const message =
      `\`TaskGroup.${name}\` waits for tasks, and what is offered in a transaction runs after its COMMIT. ` +
      "Wait outside of it, or use `TaskGroup.chord`"
    return Effect.fail(new TaskError({ reason: new Impossible({ message }) }))
  })

/** Offers members and waits for all of them. They are cancelled, unless that comes to its end. */
const joined = Effect.fnUntraced(function* (
  store: TaskStore["Service"],
  members: ReadonlyArray<AnyMember>
): Effect.fn.Return<ReadonlyArray<Exit.Exit<unknown, unknown>>, TaskError> {
  const now = yield* Clock.currentTimeMillis
  const offers = yield* Effect.forEach(members, (member) => member.offer(now))
  let own: ReadonlyArray<TaskId> = offers.map(({ id }) => id)
  const cancel = Effect.flatMap(Clock.currentTimeMillis, (at) => store.cancel(own, at)).pipe(
    Effect.catch((error) => Effect.logWarning(`${own.length} tasks that nobody waits for any more go on`, error))
  )
  const ends = yield* store.offer(offers, now).pipe(
    Effect.flatMap((ids) => {
      own = own.filter((id, place) => ids[place] === id)
      return endsOf(store, ids)
    }),
    Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : cancel))
  )
  return yield* Effect.forEach(members, ({ task }, place) => {
    const { id = "" } = offers[place] ?? {}
    return Effect.exit(TaskEnd.read(task, ends[place] ?? TaskEnd.of(id, undefined)))
  })
})

/** How each has ended, once all have. What the store has forgotten by then is unknown. */
const endsOf = (
  store: TaskStore["Service"],
  ids: ReadonlyArray<TaskId>
): Effect.Effect<ReadonlyArray<End>, TaskError> =>
  Effect.suspend(() => {
    const ends = new Map<TaskId, End>()
    const open = new Set(ids)
    let isFirst = true
    const look = (changed: ReadonlyArray<TaskId>) =>
      Effect.map(store.get(changed), (found) => {
        const known = new Map(found.map((stored) => [stored.id, stored]))
        for (const id of changed) {
          const stored = known.get(id)
          if (stored !== undefined && !isEnded(stored.state)) continue
          ends.set(id, TaskEnd.of(id, stored))
          open.delete(id)
        }
        return open.size > 0
      })
    const goesOn = Stream.runForEachWhile(store.watch([...open]), (change) => {
      const asked = isFirst ? [...open] : change.ids.filter((id) => open.has(id))
      isFirst = false
      return look(asked)
    })
    return Effect.map(goesOn, () => ids.map((id) => ends.get(id) ?? TaskEnd.of(id, undefined)))
  })
