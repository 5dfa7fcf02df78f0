import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Facts } from "../../../src/cli/PlanOutput.ts"
import { dailySql } from "../../support/fileQueries.ts"
import { querypool } from "./Command.ts"

describe("querypool plan", () => {
  it.live("shows without a database in which order the queries would run", () =>
    Effect.gen(function* () {
      const [table, json, picture, coloured] = yield* Effect.all(
        [
          querypool(["plan", "-", "--concurrency", "2"], { stdin: dailySql }),
          querypool(["plan", "-", "--json", "-c", "1", "--select", "orders"], { stdin: dailySql }),
          querypool(["plan", "-", "--mermaid"], { stdin: dailySql }),
          querypool(["plan", "-"], { stdin: dailySql, env: { FORCE_COLOR: "1" } })
        ],
        { concurrency: 2 }
      )
      for (const { code, stderr } of [table, json, picture, coloured]) {
        assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      }
      assert.deepStrictEqual(table.stdout.split("\n"), [
        "wave  query   needs          remaining  order",
        "────  ──────  ─────────────  ─────────  ─────",
        "   1  load                   3 queries      1",
        "   1  vacuum                   1 query      2",
        "   2  users   load           2 queries      3",
        "   2  orders  load           2 queries      4",
        "   3  report  users, orders    1 query      5",
        "",
        "5 queries in 3 waves, 2 at a time, in the order given",
        "As long as 3 queries in a row, if all take the same: no durations are known",
        "Lower bound 3 queries: critical path load -> users -> report",
        ""
      ])
      assert.include(coloured.stdout, "\u001b[1mwave")
      const facts: Facts = JSON.parse(json.stdout)
      assert.deepStrictEqual(
        facts.queries.map(({ file, line, name, needs, place, wave }) => [name, `${file}:${line}`, wave, place, needs]),
        [
          ["load", "<stdin>:11", 1, 1, []],
          ["orders", "<stdin>:8", 2, 2, ["load"]]
        ]
      )
      assert.deepInclude(facts, { concurrency: 1, makespan: 2, lowerBound: 2, unit: "queries" })
      assert.deepStrictEqual(picture.stdout.split("\n"), [
        "flowchart LR",
        '  q0["report"]',
        '  q1["users"]',
        '  q2["orders"]',
        '  q3["load"]',
        '  q4["vacuum"]',
        "  q1 --> q0",
        "  q2 --> q0",
        "  q3 --> q1",
        "  q3 --> q2",
        ""
      ])
    })
  )
})
