import { assert, describe, it } from "@effect/vitest"
import { follow, underWay } from "../../../src/cli/UnderWay.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"

const started = (id: number, name: string): QueryEvent => ({ _tag: "Started", at: 0, id, name, worker: 0, attempt: 1 })
const ended = (id: number, name: string): QueryEvent => ({
  _tag: "Ended",
  at: 0,
  id,
  name,
  outcome: "Succeeded",
  rows: 0
})
const retrying = (id: number, name: string): QueryEvent => ({
  _tag: "Retrying",
  at: 0,
  id,
  name,
  attempt: 1,
  error: undefined,
  delayMillis: 1
})

describe("what is under way", () => {
  it("is what has started and neither ended nor waits for a retry, of every run, with the run's name", () => {
    const [alone, berlin, paris] = [follow(), follow("berlin"), follow("paris")]
    assert.isUndefined(underWay())
    for (const event of [started(0, "a"), started(1, "b\n")]) berlin(event)
    for (const event of [started(0, "a"), retrying(0, "a"), started(0, "a")]) paris(event)
    alone(started(0, "c"))
    assert.strictEqual(underWay(), "berlin: a, berlin: b\\n, paris: a, c")
    berlin(ended(0, "a"))
    paris(retrying(0, "a"))
    assert.strictEqual(underWay(), "berlin: b\\n, c")
    berlin(ended(1, "b"))
    alone(ended(0, "c"))
    assert.isUndefined(underWay())
  })

  it("is named in one line, and counted beyond ten", () => {
    const run = follow()
    for (let id = 0; id < 12; id++) run(started(id, `q${id}`))
    assert.strictEqual(underWay(), "q0, q1, q2, q3, q4, q5, q6, q7, q8, q9 and 2 more")
    for (let id = 0; id < 12; id++) run(ended(id, `q${id}`))
  })
})
