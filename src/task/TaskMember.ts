/**
 * A task with its payload, as a part of a group, and the shapes that groups have: a tuple, an array, a record or any other
 * iterable of them. What becomes of the members keeps the shape.
 *
 * @internal
 */
import type { Exit } from "effect"
import { Effect } from "effect"
import type { EnqueueOptions, Session, Task } from "./Task.ts"
import type { Awaitable, Watchable } from "./TaskEnd.ts"
import type { TaskError } from "./TaskError.ts"
import type { Enqueued } from "./TaskHandle.ts"
import * as TaskOffer from "./TaskOffer.ts"
import type { Json, Offer } from "./TaskStore.ts"

/**
 * A task with its payload, as a part of a group.
 *
 * @since 0.1.0
 */
export interface Member<out P, out A, out E = never, out G = Json> {
  readonly task: Watchable<A, E, G>
  readonly payload: P
  /** @internal */
  readonly offer: (now: number) => Effect.Effect<Offer, TaskError>
}

/** @since 0.1.0 */
export type AnyMember = Member<unknown, unknown, unknown, unknown>

/**
 * Makes a member. Nothing is offered yet.
 *
 * @since 0.1.0
 */
export const member = <P, A, E, S extends Session, G>(
  task: Task<P, A, E, S, G>,
  payload: P,
  options: Omit<EnqueueOptions, "onDuplicate"> = {}
): Member<P, A, E, G> => ({
  task,
  payload,
  offer: (now) => Effect.flatMap(TaskOffer.maker(task, options, now), (toOffer) => toOffer(payload))
})

/**
 * What a group can be made of: a tuple, an array, a record or any other iterable of members.
 *
 * @since 0.1.0
 */
export type Members = Iterable<AnyMember> | Readonly<Record<string, AnyMember>>

/**
 * How a task ends: with its value, its error, or a `TaskError` that says why there is none.
 *
 * @since 0.1.0
 */
export type ExitOf<T> = T extends Awaitable<infer A, infer E> ? Exit.Exit<A, E | TaskError> : never

type MemberExit<M> = M extends { readonly task: infer T } ? ExitOf<T> : never

type MemberHandle<M> = M extends { readonly task: Watchable<infer A, infer E, infer G> } ? Enqueued<A, E, G> : never

/**
 * How the members of a group end, in its shape.
 *
 * @since 0.1.0
 */
export type Exits<T> =
  T extends ReadonlyArray<unknown>
    ? { readonly [K in keyof T]: MemberExit<T[K]> }
    : T extends Iterable<infer M>
      ? ReadonlyArray<MemberExit<M>>
      : { readonly [K in keyof T]: MemberExit<T[K]> }

/**
 * The members of a group as they were offered, in its shape.
 *
 * @since 0.1.0
 */
export type Offered<T> =
  T extends ReadonlyArray<unknown>
    ? { readonly [K in keyof T]: MemberHandle<T[K]> }
    : T extends Iterable<infer M>
      ? ReadonlyArray<MemberHandle<M>>
      : { readonly [K in keyof T]: MemberHandle<T[K]> }

/**
 * What a shape is made of, and the names that they have in a record.
 *
 * @internal
 */
export const partsOf = <M>(
  shape: Iterable<M> | Readonly<Record<string, M>>
): { readonly parts: ReadonlyArray<M>; readonly names: ReadonlyArray<string> | undefined } =>
  isIterable(shape)
    ? { parts: [...shape], names: undefined }
    : { parts: Object.values(shape), names: Object.keys(shape) }

const isIterable = <M>(shape: Iterable<M> | Readonly<Record<string, M>>): shape is Iterable<M> =>
  Symbol.iterator in shape

/**
 * Parts, one for each that `partsOf` gave, in its shape.
 *
 * @internal
 */
export const inShape = <B>(
  names: ReadonlyArray<string> | undefined,
  parts: ReadonlyArray<B>
): ReadonlyArray<B> | { readonly [name: string]: B | undefined } =>
  names === undefined ? parts : Object.fromEntries(names.map((name, place) => [name, parts[place]]))
