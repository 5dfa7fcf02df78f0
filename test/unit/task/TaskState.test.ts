import { assert, describe, it } from "@effect/vitest"
import { Option, Result } from "effect"
import { readFileSync } from "node:fs"
import * as TaskState from "../../../src/task/TaskState.ts"
import { Dice } from "../../chaos/Dice.ts"

type State = TaskState.TaskState
type Tag = State["_tag"]
type Input = TaskState.Input

const now = 1000

const states: { readonly [T in Tag]: State } = {
  awaiting: { _tag: "awaiting", attempt: 0, at: now },
  scheduled: { _tag: "scheduled", attempt: 2, at: now },
  ready: { _tag: "ready", attempt: 2, at: 900, lost: 1 },
  running: { _tag: "running", attempt: 3, at: 900, lost: 1, token: 7, runner: "r", leaseUntil: now },
  retrying: { _tag: "retrying", attempt: 2, at: now },
  succeeded: { _tag: "succeeded", attempt: 3, at: 900 },
  failed: { _tag: "failed", attempt: 3, at: 900 },
  cancelled: { _tag: "cancelled", attempt: 3, at: 900 },
  dead: { _tag: "dead", attempt: 3, at: 900 }
}

const inputs: { readonly [T in Input["_tag"]]: Input } = {
  join: { _tag: "join" },
  due: { _tag: "due" },
  claim: { _tag: "claim", token: 8, runner: "s", leaseUntil: 2000 },
  renew: { _tag: "renew", token: 7, leaseUntil: 3000 },
  succeed: { _tag: "succeed", token: 7 },
  fail: { _tag: "fail", token: 7 },
  discard: { _tag: "discard", token: 7 },
  retry: { _tag: "retry", token: 7, at: 5000 },
  snooze: { _tag: "snooze", token: 7, at: 5000 },
  giveUp: { _tag: "giveUp", token: 7 },
  cancel: { _tag: "cancel" },
  handBack: { _tag: "handBack", token: 7 },
  expire: { _tag: "expire", limit: 3 },
  requeue: { _tag: "requeue" }
}

const tags = Object.keys(states)
const inputTags = Object.keys(inputs)

const header = /^\/\*\*\n(?<text>[^]*?)\*\//.exec(
  readFileSync(new URL("../../../src/task/TaskState.ts", import.meta.url), "utf8")
)?.groups?.["text"]

/** The rows of the header's table, as `from input to`. */
const table = [...(header ?? "").matchAll(/^ \* {5}(?<from>\w+) +(?<input>\w+) +(?<to>\w+)$/gm)]
  .map(({ groups }) => `${groups?.["from"]} ${groups?.["input"]} ${groups?.["to"]}`)
  .filter((row) => row !== "from input to")

/** What is drawn, from the line of `offer` to the next paragraph. */
const diagram = /\n \* {5}offer ──►[^]*?(?=\n \*\n)/.exec(header ?? "")?.[0] ?? ""

const refusal = (state: State, input: Input, at = now) =>
  Option.getOrUndefined(Result.getFailure(TaskState.move(state, input, at)))?._tag

const moved = (state: State, input: Input, at = now): State => Result.getOrThrow(TaskState.move(state, input, at))

describe("the states of a task", () => {
  it("move as the header's table says, and in no other way", () => {
    const last: Input = { _tag: "expire", limit: 2 }
    const moves = Object.values(states).flatMap((state) =>
      [...Object.values(inputs), last].flatMap((input) => {
        const next = TaskState.move(state, input, now)
        if (Result.isSuccess(next)) return [`${state._tag} ${input._tag} ${next.success._tag}`]
        assert.strictEqual(next.failure._tag, "illegal", `${state._tag} ${input._tag}`)
        return []
      })
    )
    assert.strictEqual(table.length, 22)
    assert.deepStrictEqual(moves.toSorted(), table.toSorted())
  })

  it("and their inputs are all drawn in the header's diagram, and nothing else is", () => {
    const words = new Set([...diagram.matchAll(/[a-zA-Z]+/g)].map(([word]) => word))
    words.delete("offer")
    // What its runner says of itself moves nothing.
    words.add("renew")
    assert.deepStrictEqual([...words].toSorted(), [...tags, ...inputTags].toSorted())
  })

  it("begin as scheduled before their time, and as ready from then on", () => {
    assert.deepStrictEqual(TaskState.offered(now, now + 1), { _tag: "scheduled", attempt: 0, at: now + 1 })
    assert.deepStrictEqual(TaskState.offered(now, now), { _tag: "ready", attempt: 0, at: now, lost: 0 })
    assert.deepStrictEqual(TaskState.offered(now, now - 5), { _tag: "ready", attempt: 0, at: now, lost: 0 })
    assert.deepStrictEqual(TaskState.offered(now), { _tag: "ready", attempt: 0, at: now, lost: 0 })
  })

  it("wait for their time from the moment at which those that they awaited have ended", () => {
    assert.deepStrictEqual(TaskState.awaiting(now), states.awaiting)
    assert.deepStrictEqual(moved(states.awaiting, inputs.join, now - 5), { _tag: "scheduled", attempt: 0, at: now })
    assert.deepStrictEqual(moved(states.awaiting, inputs.join, now + 5), { _tag: "scheduled", attempt: 0, at: now + 5 })
  })

  it.each(["scheduled", "retrying"] as const)("stay as they are while %s and not due", (tag) => {
    assert.strictEqual(refusal(states[tag], inputs.due, now - 1), "early")
  })

  it.each(["scheduled", "retrying"] as const)("have waited since they were due, when %s is looked at late", (tag) => {
    assert.deepStrictEqual(moved(states[tag], inputs.due, now + 50), { _tag: "ready", attempt: 2, at: now, lost: 0 })
  })

  it("keep a runner's claim until its lease has run out", () => {
    assert.strictEqual(refusal(states.running, inputs.expire, now - 1), "early")
    assert.strictEqual(moved(states.running, inputs.expire, now)._tag, "ready")
  })

  it.each(inputTags.filter((tag) => tag !== "claim" && "token" in Object(Reflect.get(inputs, tag))))(
    "do not change by %s with the token of another claim",
    (tag) => {
      const input: unknown = { ...Object(Reflect.get(inputs, tag)), token: 6 }
      assert.strictEqual(refusal(states.running, isInput(input) ? input : inputs.due), "stale")
    }
  )

  it("count an attempt that was claimed, unless it has not begun", () => {
    const claimed = moved(states.ready, inputs.claim)
    assert.deepStrictEqual(claimed, {
      _tag: "running",
      attempt: 3,
      at: now,
      lost: 1,
      token: 8,
      runner: "s",
      leaseUntil: 2000
    })
    assert.strictEqual(moved(states.running, inputs.retry).attempt, 3)
    assert.strictEqual(moved(states.running, inputs.expire).attempt, 3)
    assert.strictEqual(moved(states.running, inputs.snooze).attempt, 2)
    assert.strictEqual(moved(states.running, inputs.handBack).attempt, 2)
    assert.strictEqual(moved(states.dead, inputs.requeue).attempt, 0)
  })

  it("are dead when as many leases in a row have run out as are allowed", () => {
    let state = TaskState.offered(now)
    for (const lost of [1, 2]) {
      const next = moved(moved(state, inputs.claim), inputs.expire, 2000)
      assert.deepStrictEqual(next, { _tag: "ready", attempt: lost, at: 2000, lost })
      if (next._tag === "ready") state = next
    }
    assert.deepStrictEqual(moved(moved(state, inputs.claim), inputs.expire, 2000), {
      _tag: "dead",
      attempt: 3,
      at: 2000
    })
  })

  it.each(["retry", "snooze", "handBack"] as const)("count lost leases anew after %s", (tag) => {
    const next = moved(states.running, inputs[tag])
    const again = next._tag === "ready" ? next : moved(next, inputs.due, 5000)
    assert.deepInclude(again, { _tag: "ready", lost: 0 })
  })

  it("say which runner may have died of a task", () => {
    const { running } = states
    if (running._tag !== "running") assert.fail("it does not run")
    assert.strictEqual(
      TaskState.whyExpired(running),
      `its lease ran out 2 times in a row, at last that of "r", which may have died of it`
    )
  })

  it("keep token, runner and attempt when a lease is renewed", () => {
    const expected: State = { _tag: "running", attempt: 3, at: 900, lost: 1, token: 7, runner: "r", leaseUntil: 3000 }
    assert.deepStrictEqual(moved(states.running, inputs.renew), expected)
  })

  it("keep these promises in any order of inputs", () => {
    for (let seed = 0; seed < 10_000; seed++) {
      const dice = new Dice(seed)
      let state: State = dice.chance(0.2) ? TaskState.awaiting(0) : TaskState.offered(0, dice.between(0, 3))
      let token = 0
      let time = 0
      for (let step = 0; step < 40; step++) {
        time += dice.between(0, 2)
        const input = anyInput(dice, token, time)
        const next = TaskState.move(state, input, time)
        const told = `seed ${seed}, step ${step}: ${state._tag} ${input._tag}`
        if (Result.isFailure(next)) continue
        if (input._tag === "claim") token = input.token
        assert.isFalse(TaskState.isEnded(state) && input._tag !== "requeue", told)
        assert.isAtLeast(next.success.attempt, 0, told)
        assert.isAtMost(next.success.attempt, state.attempt + (input._tag === "claim" ? 1 : 0), told)
        if (next.success._tag === "running") assert.strictEqual(next.success.token, token, told)
        state = next.success
      }
    }
  })
})

const isInput = (input: unknown): input is Input =>
  typeof input === "object" && input !== null && "_tag" in input && inputTags.includes(String(input._tag))

/** With the present token, mostly, and a new one for a claim. */
const anyInput = (dice: Dice, token: number, time: number): Input => {
  const [first = inputs.due, ...rest] = Object.values(inputs)
  const input = dice.pick([first, ...rest])
  const own = dice.chance(0.8) ? token : token - 1
  switch (input._tag) {
    case "claim":
      return { ...input, token: token + 1, leaseUntil: time + dice.between(1, 3) }
    case "renew":
      return { ...input, token: own, leaseUntil: time + dice.between(1, 3) }
    case "retry":
    case "snooze":
      return { ...input, token: own, at: time + dice.between(0, 3) }
    default:
      return "token" in input ? { ...input, token: own } : input
  }
}
