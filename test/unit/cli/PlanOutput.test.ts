import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { FilePlan } from "../../../src/cli/FilePlan.ts"
import { factsOf, toTable } from "../../../src/cli/PlanOutput.ts"
import * as Plan from "../../../src/query/Plan.ts"
import { dailySql, queriesOf } from "../../support/fileQueries.ts"

const piped = { width: undefined, color: false }

/** A plan of the queries of a text, with what each is expected to take in milliseconds. */
const planOf = (text: string, expected: Readonly<Record<string, number>>): FilePlan => {
  const queries = queriesOf(text)
  const plan = Plan.make(
    queries.map(({ name, settings: { needs = [] } }) => ({
      name,
      needs: needs.map((need) => need.name),
      expected: expected[name]
    }))
  )
  return { queries, plan: Result.getOrThrow(plan) }
}

const known = planOf(dailySql, { report: 100, users: 2_000, orders: 5_000, load: 3_000, vacuum: 4_000 })

describe("people are shown of a plan", () => {
  it("its waves, the order in which its queries start, and how long it takes at least", () => {
    assert.deepStrictEqual(toTable(factsOf(known, 2, "longest-first"), piped).split("\n"), [
      "wave  query   needs          expected  remaining  order",
      "────  ──────  ─────────────  ────────  ─────────  ─────",
      "   1  load                     3.00 s     8.10 s      1",
      "   1  vacuum                   4.00 s     4.00 s      2",
      "   2  orders  load             5.00 s     5.10 s      3",
      "   2  users   load             2.00 s     2.10 s      4",
      "   3  report  users, orders    100 ms     100 ms      5",
      "",
      "5 queries in 3 waves, 2 at a time, the longest first",
      "Expected 8.10 s",
      "Lower bound 8.10 s: critical path load -> orders -> report"
    ])
  })

  it("of how many queries nothing is known", () => {
    const some = toTable(factsOf(planOf(dailySql, { load: 3_000, orders: 5_000 }), 2, "given"), piped).split("\n")
    assert.strictEqual(some[3], "   1  vacuum                              4.00 s      2")
    assert.deepStrictEqual(some.slice(-3), [
      "5 queries in 3 waves, 2 at a time, in the order given",
      "Expected 13.0 s, where the mean stands for 3 queries of unknown duration",
      "Lower bound 12.0 s: critical path load -> orders -> report"
    ])
  })

  it("numbers of queries where no duration is known", () => {
    const none = toTable(factsOf(planOf(dailySql, {}), 2, "given"), piped).split("\n")
    assert.deepStrictEqual(none.slice(0, 3), [
      "wave  query   needs          remaining  order",
      "────  ──────  ─────────────  ─────────  ─────",
      "   1  load                   3 queries      1"
    ])
    assert.deepStrictEqual(none.slice(-3), [
      "5 queries in 3 waves, 2 at a time, in the order given",
      "As long as 3 queries in a row, if all take the same: no durations are known",
      "Lower bound 3 queries: critical path load -> users -> report"
    ])
    assert.deepStrictEqual(
      toTable(factsOf(planOf("select 1", {}), 1, "given"), piped)
        .split("\n")
        .slice(-3),
      [
        "1 query in 1 wave, 1 at a time, in the order given",
        "As long as 1 query in a row, if all take the same: no durations are known",
        "Lower bound 1 query: longest query"
      ]
    )
  })

  it("which query is the longest, where that bounds it", () => {
    const longest = toTable(
      factsOf(planOf("-- name: a\nselect 1;\n-- name: b\nselect 1", { a: 1, b: 2 }), 2, "given"),
      piped
    )
    assert.match(longest, /\nLower bound 2\.0 ms: longest query b$/)
  })

  it("nothing that acts on their terminal, and nothing wider than it", () => {
    const needs = Array.from({ length: 20 }, (_, id) => `need${id}`)
    const wide = `${needs.map((name) => `-- name: ${name}\nselect 1;\n`).join("")}-- name: a\n-- needs: ${needs.join(", ")}\nselect 1`
    for (const line of toTable(factsOf(planOf(wide, {}), 5, "given"), { width: 80, color: false }).split("\n")) {
      assert.isAtMost(line.length, 80)
    }
  })
})

describe("programs are told of a plan", () => {
  it("the same, in seconds", () => {
    const facts = factsOf(known, 2, "longest-first")
    assert.deepInclude(facts, {
      concurrency: 2,
      order: "longest-first",
      unit: "seconds",
      makespan: 8.1,
      lowerBound: 8.1,
      binding: "critical path",
      criticalPath: ["load", "orders", "report"]
    })
    assert.deepStrictEqual(facts.queries[0], {
      name: "load",
      file: "q.sql",
      line: 11,
      wave: 1,
      needs: [],
      tags: { team: "data" },
      expected: 3,
      remaining: 8.1,
      start: 0,
      place: 1
    })
    assert.deepInclude(facts.queries[3], { name: "users", start: 4, place: 4, needs: ["load"] })
  })

  it("in numbers of queries where no duration is known", () => {
    assert.deepInclude(factsOf(planOf(dailySql, {}), 1, "given"), {
      unit: "queries",
      makespan: 5,
      lowerBound: 5,
      binding: "total work"
    })
  })
})
