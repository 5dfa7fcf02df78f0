import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import * as Task from "../../../src/task/Task.ts"
import * as TaskGroup from "../../../src/task/TaskGroup.ts"
import { isEnded } from "../../../src/task/TaskState.ts"
import type { Claim, Settlement } from "../../../src/task/TaskStore.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import * as TaskEnd from "../../../src/task/TaskEnd.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { Dice } from "../../chaos/Dice.ts"

const step = Task.make("step", { payload: Schema.Int, success: Schema.Int, error: Schema.String, session: "none" })
const join = Task.make("join", { payload: Schema.Array(TaskGroup.exit(step)), session: "none" })

/** Several members and their callback, and runners that die, people that cancel and queue again, in any order. */
const round = Effect.fnUntraced(function* (seed: number) {
  const { cancel, claim, get, renew, requeue, settle, sweep } = yield* TaskStore
  const dice = new Dice(seed)
  const numbers = Array.from({ length: dice.between(0, 5) }, (_, number) => number)
  const { callback, members } = yield* TaskGroup.chord(
    numbers.map((number) => TaskGroup.member(step, number, { delay: dice.between(0, 20) })),
    join
  )
  const ids = members.map(({ id }) => id)
  const all = [...ids, callback.id]
  const claims: Array<Claim> = []
  const told = `seed ${seed}`
  let now = 0
  let hasJoined = false
  let ended = 0

  const ending = (): Settlement["input"] => {
    const at = now + dice.between(0, 10)
    return dice.pick<Settlement["input"]>([
      { _tag: "succeed" },
      { _tag: "fail" },
      { _tag: "discard" },
      { _tag: "giveUp" },
      { _tag: "handBack" },
      { _tag: "retry", at },
      { _tag: "snooze", at }
    ])
  }
  const settleOne = Effect.fnUntraced(function* (held: Claim, input: Settlement["input"]) {
    const result = input._tag === "fail" ? { error: "no" } : input._tag === "discard" ? { discarded: "gone" } : 1
    const stale = yield* settle([{ ...held, input, result }], now)
    if (held.id === callback.id && stale.length === 0 && input._tag === "succeed") ended++
  })
  const claimSome = Effect.fnUntraced(function* (limit: number) {
    const queues = [{ queue: "default", limit }]
    const before = yield* get(ids)
    const claimed = yield* claim({ runner: "r", queues, names: ["step", "join"], leaseMillis: 8, now })
    for (const task of claimed) {
      claims.push({ id: task.id, token: task.token })
      if (task.id !== callback.id) continue
      // What it is given is the end of each, and was so at least once, also where one has been queued again since.
      const exits = yield* Schema.decodeUnknownEffect(join.payload)(TaskEnd.payloadOf(task))
      assert.lengthOf(exits, ids.length, told)
      for (const exit of exits) {
        if (Exit.isFailure(exit)) continue
        assert.strictEqual(exit.value, 1, told)
      }
      if (!hasJoined)
        assert.isTrue(
          before.every(({ state }) => isEnded(state)),
          told
        )
      hasJoined = true
    }
  })

  for (let turn = 0; turn < 60; turn++) {
    now += dice.between(0, 5)
    const held = claims[dice.between(0, Math.max(0, claims.length - 1))]
    const some = ids.filter(() => dice.chance(0.2))
    const command = dice.between(0, 7)
    if (command < 2) yield* claimSome(dice.between(1, 3))
    else if (command < 4 && held !== undefined) yield* settleOne(held, ending())
    else if (command === 4 && held !== undefined) yield* renew([held], 8, now)
    else if (command === 5) yield* sweep(now)
    else if (command === 6) yield* cancel(some, now)
    // Only what the callback has not to wait for any more: otherwise the round need not come to an end.
    else if (command === 7 && hasJoined) yield* requeue(some, now)
  }
  // Then everything that there is still to do is done, without any mishap.
  for (let turn = 0; turn < 100; turn++) {
    now += 50
    yield* sweep(now)
    const from = claims.length
    yield* claimSome(10)
    for (const held of claims.slice(from)) yield* settleOne(held, { _tag: "succeed" })
  }
  const stored = yield* get(all)
  assert.isTrue(
    stored.every(({ state }) => isEnded(state)),
    told
  )
  const state = stored.find(({ id }) => id === callback.id)?.state._tag
  assert.strictEqual(ended, state === "succeeded" ? 1 : 0, told)
  assert.isTrue(hasJoined, told)
})

describe("the callback of a chord", () => {
  it.effect("ends once, and begins when every member has ended, in whatever order everything happens", () =>
    Effect.gen(function* () {
      for (let seed = 0; seed < 500; seed++) yield* Effect.provide(round(seed), layerMemory())
    })
  )
})
