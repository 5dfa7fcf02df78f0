import { assert, describe, it } from "vitest"
import { QueryError } from "querypool"
import type { Account } from "../../chaos/Bookkeeping.ts"
import { Group, judge, judgeEvents } from "../../chaos/Bookkeeping.ts"

const accountOf = (groups: ReadonlyArray<Group>, more: Partial<Account> = {}): Account => ({
  name: "q",
  kind: "test",
  mark: "q",
  groups,
  discarded: [],
  atomic: false,
  givesUp: false,
  announced: true,
  ...more
})

const groupOf = (state: Group["state"], ...tokens: ReadonlyArray<string>): Group => {
  const group = new Group(tokens)
  group.state = state
  return group
}

const failed = (outcome: QueryError.QueryError["outcome"]) => ({
  outcome: "Failed" as const,
  error: new QueryError.QueryError({
    query: "q",
    reason: new QueryError.ConnectionLost({ message: "gone" }),
    connection: "gone",
    outcome
  })
})

const succeeded = { outcome: "Succeeded" as const }
const rows = (...counts: ReadonlyArray<readonly [string, number]>) => new Map(counts)
const yes = () => true
const no = () => false

describe("the judge", () => {
  it("finds nothing wrong with what is as was said", () => {
    const [done, sent, unsent] = [groupOf("done", "a"), groupOf("sent", "b"), groupOf("unsent", "c")]
    assert.deepStrictEqual(judge(accountOf([done]), succeeded, rows(["a", 1]), no), [])
    assert.deepStrictEqual(judge(accountOf([sent]), failed("notApplied"), rows(), no), [])
    assert.deepStrictEqual(judge(accountOf([sent]), failed("unknown"), rows(["b", 1]), yes), [])
    assert.deepStrictEqual(judge(accountOf([sent]), failed("unknown"), rows(), yes), [])
    assert.deepStrictEqual(judge(accountOf([done, sent, unsent]), failed("partial"), rows(["a", 1]), no), [])
  })

  it.each([
    ["a write that succeeded and is not there", [groupOf("done", "a")], succeeded, rows()],
    ["a write that is there twice", [groupOf("done", "a")], succeeded, rows(["a", 2])],
    ["a write that is there twice and is unknown", [groupOf("sent", "a")], failed("unknown"), rows(["a", 2])],
    ["a write that was not applied and is there", [groupOf("sent", "a")], failed("notApplied"), rows(["a", 1])],
    ["a write that completed and is lost", [groupOf("done", "a")], failed("partial"), rows()],
    [
      "a write that was cancelled before it was sent",
      [groupOf("unsent", "a")],
      { outcome: "Cancelled" as const },
      rows(["a", 1])
    ],
    [
      "a write that was skipped and is there",
      [groupOf("unsent", "a")],
      { outcome: "Skipped" as const },
      rows(["a", 1])
    ],
    ["half of a transaction", [groupOf("sent", "a", "b")], failed("unknown"), rows(["a", 1])]
  ])("finds %s", (_, groups, end, counts) => {
    assert.lengthOf(new Set(judge(accountOf(groups), end, counts, yes)), 1)
  })

  it("finds what was rolled back, and an own error whose transaction was kept", () => {
    const end = { outcome: "Failed" as const, error: new Error("own") }
    assert.lengthOf(judge(accountOf([], { discarded: ["a"] }), succeeded, rows(["a", 1]), no), 1)
    assert.lengthOf(judge(accountOf([groupOf("sent", "a")], { atomic: true }), end, rows(["a", 1]), no), 1)
    assert.lengthOf(judge(accountOf([groupOf("done", "a")]), end, rows(["a", 1]), no), 0)
  })

  it("asks for a reason when an outcome is unknown", () => {
    assert.lengthOf(judge(accountOf([groupOf("sent", "a")]), failed("unknown"), rows(), no), 1)
  })

  it("finds a query that never ends, ends twice, or was never told of", () => {
    const of = { at: 0, id: 0, name: "q" }
    const submitted = { _tag: "Submitted" as const, ...of }
    const ended = { _tag: "Ended" as const, ...of, outcome: "Succeeded" as const, rows: 0 }
    assert.lengthOf(judgeEvents([accountOf([])], [submitted, ended], false), 0)
    assert.lengthOf(judgeEvents([accountOf([])], [submitted], false), 1)
    assert.lengthOf(judgeEvents([accountOf([])], [submitted, ended, ended], false), 1)
    assert.lengthOf(judgeEvents([accountOf([])], [], true), 1)
    assert.lengthOf(judgeEvents([accountOf([], { announced: false })], [], true), 0)
  })
})
