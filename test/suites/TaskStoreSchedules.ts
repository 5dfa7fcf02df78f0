/** What every store of tasks has to keep of schedules. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Advance, Overlap } from "../../src/task/TaskStore.ts"
import { TaskStore } from "../../src/task/TaskStore.ts"
import type { Has } from "./TaskStore.ts"
import { asked, claimOne, ids, task, watching } from "./TaskStoreProbes.ts"

/** An occurrence of a schedule. Its id says how far the schedule is then: one further than before. */
const next = (schedule: string, id: string, overlap: Overlap): Advance => ({
  schedule,
  from: Number(id) > 1 ? Number(id) - 1 : undefined,
  to: Number(id),
  offers: [task(id, { schedule })],
  overlap
})

const between = (from: number | undefined, to: number): Advance => ({
  ...next("s", `${from}-${to}`, "queue"),
  from,
  to
})

/** A part of the suite. */
export const schedules = (has: Has): void => {
  has(
    "moves a schedule on and offers what is due for one who knows how far it was, and for nobody else",
    Effect.gen(function* () {
      const { advance, list } = yield* TaskStore
      assert.deepStrictEqual(yield* advance([{ ...between(undefined, 5), offers: [] }], 5), [5])
      assert.deepStrictEqual(yield* advance([between(undefined, 6)], 6), [5])
      assert.deepStrictEqual(yield* advance([between(4, 6), between(5, 7), between(5, 8)], 8), [5, 7, 7])
      assert.deepStrictEqual(yield* advance([{ ...between(undefined, 9), schedule: "t" }], 9), [9])
      assert.deepStrictEqual(ids(yield* list({})), ["5-7", "undefined-9"])
    })
  )

  has(
    "leaves an occurrence out while another one of its schedule has not ended, where that is wanted",
    Effect.gen(function* () {
      const { advance, list, offer, settle } = yield* TaskStore
      yield* offer([task("0", { schedule: "t" })], 0)
      assert.deepStrictEqual(yield* advance([next("s", "1", "skip")], 0), [1])
      const { token } = yield* claimOne("1", 0)
      assert.deepStrictEqual(yield* advance([next("s", "2", "skip")], 2), [2])
      yield* settle([{ id: "1", token, input: { _tag: "retry", at: 9 } }], 2)
      assert.deepStrictEqual(yield* advance([next("s", "3", "skip")], 3), [3])
      assert.deepStrictEqual(ids(yield* list({})), ["0", "1"])
      yield* settle([{ id: "1", token: (yield* claimOne("1", 9)).token, input: { _tag: "giveUp" } }], 9)
      yield* advance([next("s", "4", "skip")], 10)
      assert.deepStrictEqual(ids(yield* list({ states: ["ready"] })), ["4"])
    })
  )

  has(
    "cancels what a schedule has offered before, where that is wanted",
    Effect.scoped(
      Effect.gen(function* () {
        const { advance, list } = yield* TaskStore
        yield* advance([next("s", "1", "queue")], 0)
        yield* advance([next("s", "2", "queue")], 0)
        const { token } = yield* claimOne("1", 0)
        const { next: change } = yield* watching()
        yield* advance([next("s", "3", "replace")], 1)
        assert.deepStrictEqual((yield* change).cancelled, [{ id: "1", token }])
        assert.deepStrictEqual(ids(yield* list({ states: ["cancelled"] })), ["1", "2"])
        yield* claimOne("3", 1)
      })
    )
  )

  has(
    "hands out the tasks of a schedule one after the other, and tells when the next one's turn has come",
    Effect.scoped(
      Effect.gen(function* () {
        const { advance, cancel, claim, requeue, settle } = yield* TaskStore
        const claimed = (now: number) => Effect.map(claim({ ...asked, now }), ids)
        const three = ["3", "2", "1"].flatMap((id) => next("s", id, "skip").offers)
        yield* advance([{ ...next("s", "1", "skip"), offers: three }], 0)
        const { next: change } = yield* watching()
        const { token } = yield* claimOne("3", 0)
        assert.deepStrictEqual(yield* change, { ids: ["3"], cancelled: [], ready: [] })
        assert.deepStrictEqual(yield* claimed(0), [])
        yield* settle([{ id: "3", token, input: { _tag: "snooze", at: 5 } }], 1)
        assert.deepStrictEqual((yield* change).ready, [])
        assert.deepStrictEqual(yield* claimed(1), [])
        yield* cancel(["3"], 2)
        assert.deepStrictEqual((yield* change).ready, ["q"])
        yield* requeue(["3"], 2)
        assert.deepStrictEqual(yield* claimed(9), ["2"])
        yield* cancel(["1", "2"], 10)
        assert.deepStrictEqual(yield* claimed(10), ["3"])
      })
    )
  )
}
