/** What every store of tasks has to keep where tasks await others. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { End, Settlement } from "../../src/task/TaskStore.ts"
import { TaskStore } from "../../src/task/TaskStore.ts"
import type { Has } from "./TaskStore.ts"
import { asked, claimOne, ids, stateOf, task, watching } from "./TaskStoreProbes.ts"

/** What became of some, by one claim of all that is there. */
const settleAll = Effect.fnUntraced(function* (
  inputs: Readonly<Record<string, Settlement["input"]["_tag"]>>,
  now: number
) {
  const { claim, settle } = yield* TaskStore
  const claimed = yield* claim({ ...asked, now })
  const settlements = claimed.map(({ id, token }): Settlement => {
    const _tag = inputs[id] ?? "handBack"
    const input = _tag === "retry" || _tag === "snooze" ? { _tag, at: now } : { _tag }
    return { id, token, input, result: `${id} ${_tag}`, why: `so ${_tag}` }
  })
  yield* settle(settlements, now)
})

/** What there is not is absent: an end is JSON as it stands. */
const endOf = (id: string, state: End["state"], attempts = 0, said?: string): End => ({
  id,
  state,
  attempts,
  ...(state !== "unknown" && { name: "a" }),
  ...(said !== undefined && { result: `${id} ${said}`, why: `so ${said}` })
})

/** A part of the suite. */
export const joins = (has: Has): void => {
  has(
    "has a task that awaits others due when the last of them has ended, and gives it how each did",
    Effect.gen(function* () {
      const { cancel, offer } = yield* TaskStore
      yield* offer([task("9")], 0)
      const members = [task("1"), task("2"), task("3"), task("4"), task("5", { at: 90 })]
      const awaits = ["5", "1", "none", "2", "3", "4", "9"]
      yield* offer([...members, task("join", { awaits })], 0)
      assert.deepStrictEqual(yield* stateOf("join"), { _tag: "awaiting", attempt: 0, at: 0 })
      yield* settleAll({ 1: "succeed", 2: "fail", 3: "giveUp", 4: "retry", 9: "discard" }, 10)
      yield* settleAll({ 4: "succeed" }, 20)
      assert.strictEqual((yield* stateOf("join"))?._tag, "awaiting")
      yield* cancel(["5"], 30)
      assert.deepStrictEqual(yield* stateOf("join"), { _tag: "ready", attempt: 0, at: 30, lost: 0 })
      assert.deepStrictEqual((yield* claimOne("join", 30)).awaited, [
        endOf("5", "cancelled"),
        endOf("1", "succeeded", 1, "succeed"),
        endOf("none", "unknown"),
        endOf("2", "failed", 1, "fail"),
        endOf("3", "dead", 1, "giveUp"),
        endOf("4", "succeeded", 2, "succeed"),
        endOf("9", "failed", 1, "discard")
      ])
    })
  )

  has(
    "has a task due at once that awaits none, or only such as have ended",
    Effect.gen(function* () {
      const { cancel, claim, offer } = yield* TaskStore
      yield* offer([task("1")], 0)
      yield* cancel(["1"], 1)
      const awaits = ["1", "1", "later"]
      yield* offer([task("a", { awaits: [] }), task("b", { awaits, priority: 1 }), task("later")], 5)
      const claimed = yield* claim({ ...asked, now: 5 })
      assert.deepStrictEqual(ids(claimed), ["b", "a", "later"])
      const end = endOf("1", "cancelled")
      const unknown = endOf("later", "unknown")
      assert.deepStrictEqual(
        claimed.map(({ awaited }) => awaited),
        [[end, end, unknown], [], undefined]
      )
    })
  )

  has(
    "has a task that awaits others and a moment wait for both",
    Effect.gen(function* () {
      const { cancel, offer, sweep } = yield* TaskStore
      yield* offer([task("1"), task("join", { awaits: ["1"], at: 50 })], 0)
      assert.deepStrictEqual(yield* stateOf("join"), { _tag: "awaiting", attempt: 0, at: 50 })
      yield* cancel(["1"], 10)
      assert.deepStrictEqual(yield* stateOf("join"), { _tag: "scheduled", attempt: 0, at: 50 })
      assert.strictEqual((yield* sweep(10)).next, 50)
      yield* sweep(50)
      assert.strictEqual((yield* stateOf("join"))?._tag, "ready")
    })
  )

  has(
    "waits again for one that is queued again before the others have ended, and not for one that is so later",
    Effect.gen(function* () {
      const { cancel, offer, requeue, settle } = yield* TaskStore
      yield* offer([task("1"), task("2"), task("join", { awaits: ["1", "2"] })], 0)
      yield* cancel(["1"], 1)
      yield* requeue(["1"], 2)
      yield* cancel(["2"], 3)
      assert.strictEqual((yield* stateOf("join"))?._tag, "awaiting")
      yield* cancel(["1"], 4)
      assert.strictEqual((yield* stateOf("join"))?._tag, "ready")
      yield* requeue(["1", "2"], 5)
      const first = yield* claimOne("join", 5)
      assert.deepStrictEqual(
        first.awaited?.map(({ state }) => state),
        ["cancelled", "cancelled"]
      )
      yield* settle([{ id: "join", token: first.token, input: { _tag: "succeed" } }], 6)
      yield* cancel(["1", "2"], 7)
      assert.deepStrictEqual(yield* stateOf("join"), { _tag: "succeeded", attempt: 1, at: 6 })
    })
  )

  has(
    "gives the same ends with each attempt, also when it is queued again, until it has succeeded",
    Effect.gen(function* () {
      const { cancel, get, offer, requeue, sweep } = yield* TaskStore
      yield* offer([task("1"), task("join", { awaits: ["1"] })], 0)
      yield* cancel(["1"], 1)
      const ends = [endOf("1", "cancelled")]
      yield* settleAll({ join: "retry" }, 2)
      yield* settleAll({ join: "giveUp" }, 3)
      yield* sweep(999)
      yield* sweep(1001)
      assert.deepStrictEqual(ids(yield* get(["1", "join"])), ["join"])
      assert.deepStrictEqual(yield* requeue(["join"], 1002), ["join"])
      assert.deepStrictEqual((yield* get(["join"]))[0]?.awaited, ends)
      yield* settleAll({ join: "succeed" }, 1003)
      assert.strictEqual((yield* get(["join"]))[0]?.awaited, undefined)
    }),
    { retention: "1 second" }
  )

  has(
    "forgets nothing that is awaited, and counts its time from when it is not any more",
    Effect.gen(function* () {
      const { cancel, get, offer, sweep } = yield* TaskStore
      yield* offer([task("1"), task("2"), task("join", { awaits: ["1", "2"] })], 0)
      yield* offer(
        Array.from({ length: 5 }, (_, index) => task(`other ${index}`)),
        0
      )
      yield* cancel(["1"], 10)
      yield* cancel(
        Array.from({ length: 5 }, (_, index) => `other ${index}`),
        11
      )
      yield* sweep(5000)
      assert.deepStrictEqual(ids(yield* get(["1", "2", "other 4"])), ["1", "2"])
      yield* cancel(["join"], 5000)
      assert.strictEqual((yield* sweep(5000)).next, 6000)
      yield* sweep(5999)
      assert.lengthOf(yield* get(["1", "join"]), 2)
      yield* sweep(6000)
      assert.deepStrictEqual(ids(yield* get(["1", "2", "join"])), ["2"])
    }),
    { retention: "1 second", retained: 2 }
  )

  has(
    "leaves those alone that a cancelled task awaits, and does not queue it again without their ends",
    Effect.gen(function* () {
      const { cancel, claim, offer, requeue } = yield* TaskStore
      yield* offer([task("1"), task("join", { awaits: ["1"] })], 0)
      yield* cancel(["join"], 1)
      assert.deepStrictEqual(yield* requeue(["join"], 2), [])
      assert.deepStrictEqual(ids(yield* claim({ ...asked, now: 3 })), ["1"])
      assert.strictEqual((yield* stateOf("join"))?._tag, "cancelled")
    })
  )

  has(
    "has a task await the one that its offer turned out to be",
    Effect.gen(function* () {
      const { cancel, offer } = yield* TaskStore
      yield* offer([task("1", { uniqueKey: "k" })], 0)
      const offers = [task("2", { uniqueKey: "k" }), task("3"), task("join", { awaits: ["2", "3"] })]
      assert.deepStrictEqual(yield* offer(offers, 0), ["1", "3", "join"])
      yield* cancel(["3"], 1)
      assert.strictEqual((yield* stateOf("join"))?._tag, "awaiting")
      yield* cancel(["1"], 2)
      assert.deepStrictEqual(ids((yield* claimOne("join", 2)).awaited ?? []), ["1", "3"])
    })
  )

  has(
    "tells who watches when a task has nothing left to wait for",
    Effect.scoped(
      Effect.gen(function* () {
        const { cancel, offer } = yield* TaskStore
        yield* offer([task("1"), task("join", { awaits: ["1"], queue: "p" })], 0)
        const { next } = yield* watching()
        yield* cancel(["1"], 1)
        assert.deepStrictEqual(yield* next, { ids: ["1", "join"], cancelled: [], ready: ["p"] })
      })
    )
  )
}
