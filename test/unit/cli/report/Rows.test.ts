import { assert, describe, it } from "@effect/vitest"
import type { Choice, Column } from "../../../../src/cli/report/page/Rows.ts"
import { rowsOf } from "../../../../src/cli/report/page/Rows.ts"
import { mixed } from "../../../support/ReportSamples.ts"
import { unpacked } from "./Samples.ts"

const { items } = unpacked(mixed(60))
const all: Choice = { text: "", outcome: undefined, column: undefined, descending: false }
const namesOf = (choice: Partial<Choice>) => rowsOf(items, { ...all, ...choice }).map(({ name }) => name)

describe("the rows of the table", () => {
  it("are all of them, in the order of the run, until something is chosen", () => {
    assert.deepStrictEqual(rowsOf(items, all), items)
  })

  it.each<readonly [string, string]>([
    ["a name", "import/orders_0"],
    ["any case, and words in any order", "ORDERS_0 import"],
    ["a place", "queries/import/orders_0.sql"],
    ["the SQL", "invoice_0 '0 days'"]
  ])("are found by %s", (_, text) => {
    assert.deepStrictEqual(namesOf({ text }), ["import/orders_0"])
  })

  it("are found by their tags and their errors, and not by what nothing has", () => {
    assert.strictEqual(namesOf({ text: "team=finance" }).length, 20)
    assert.deepStrictEqual(namesOf({ text: "42703 totl" }), namesOf({ outcome: "failed" }))
    assert.deepStrictEqual(namesOf({ text: "no such query" }), [])
  })

  it("are chosen by their outcome, or because they were tried again", () => {
    for (const outcome of ["succeeded", "failed", "skipped"] as const) {
      const rows = rowsOf(items, { ...all, outcome })
      assert.isNotEmpty(rows)
      for (const row of rows) assert.strictEqual(row.outcome, outcome)
    }
    for (const { attempts } of rowsOf(items, { ...all, outcome: "retried" })) assert.isAbove(attempts, 1)
  })

  it.each<Column>(["name", "outcome", "worker", "start", "waited", "ran", "attempts", "rows"])(
    "are sorted by %s, one way and the other, with equals in the order of the run",
    (column) => {
      const up = rowsOf(items, { ...all, column })
      const down = rowsOf(items, { ...all, column, descending: true })
      assert.sameMembers([...up], [...items])
      assert.sameMembers([...down], [...items])
      const ranks = new Map<unknown, number>()
      const valueOf = (index: number): unknown => {
        const item = up[index]
        if (item === undefined) return undefined
        if (column === "start") return item.started ?? Infinity
        if (column === "worker") return item.worker < 0 ? Infinity : item.worker
        return item[column]
      }
      for (let index = 1; index < up.length; index++) {
        const [before, after] = [valueOf(index - 1), valueOf(index)]
        if (typeof before === "number" && typeof after === "number") assert.isAtMost(before, after)
        if (before === after)
          assert.isBelow(items.indexOf(up[index - 1] ?? assert.fail()), items.indexOf(up[index] ?? assert.fail()))
        else ranks.set(after, index)
      }
      assert.isAtLeast(ranks.size, 1)
      assert.notDeepEqual(up, down)
    }
  )

  it("have numbers in names in the order of numbers", () => {
    const names = namesOf({ column: "name", text: "import/orders_" })
    assert.deepStrictEqual(names, ["import/orders_0", "import/orders_20", "import/orders_40"])
  })
})
