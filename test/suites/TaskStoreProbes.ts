/** What the tests of a store of tasks ask it. */
import { assert } from "@effect/vitest"
import { Effect, type Latch, Queue, Stream } from "effect"
import type { Change, Offer } from "../../src/task/TaskStore.ts"
import { TaskStore } from "../../src/task/TaskStore.ts"

export const task = (id: string, more?: Partial<Offer>): Offer => ({
  id,
  name: "a",
  queue: "q",
  priority: 0,
  payload: null,
  at: 0,
  ...more
})

export const asked = { runner: "r", queues: [{ queue: "q", limit: 100 }], names: ["a"], leaseMillis: 100 }

export const ids = (stored: ReadonlyArray<{ readonly id: string }>): ReadonlyArray<string> => stored.map(({ id }) => id)

export const claimOne = Effect.fnUntraced(function* (id: string, now: number) {
  const { claim } = yield* TaskStore
  const claimed = yield* claim({ ...asked, now })
  return claimed.find((one) => one.id === id) ?? (yield* Effect.die(new Error(`${id} was not to be claimed`)))
})

export const stateOf = Effect.fnUntraced(function* (id: string) {
  const { get } = yield* TaskStore
  return (yield* get([id]))[0]?.state
})

/** Changes as they come, from the first, empty one on. */
export const watching = Effect.fnUntraced(function* (which?: ReadonlyArray<string>, gate?: Latch.Latch) {
  const { watch } = yield* TaskStore
  const changes = yield* Queue.unbounded<Change>()
  const take = (change: Change) => Effect.andThen(Queue.offer(changes, change), gate?.await ?? Effect.void)
  yield* Effect.forkScoped(Stream.runForEach(watch(which), take))
  const next = Queue.take(changes)
  assert.deepStrictEqual(yield* next, { ids: [], cancelled: [], ready: [] })
  return { next, none: Effect.map(Effect.andThen(Effect.yieldNow, Queue.size(changes)), (size) => size === 0) }
})
