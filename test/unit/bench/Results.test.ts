import { assert, describe, it } from "@effect/vitest"
import type { Measurement, Saved } from "../../../bench/Results.ts"
import { fillMarkers } from "../../../bench/Results.ts"
import { markdownTable, terminalTable } from "../../../bench/Table.ts"

const measurement = (case_: string, subject: string, unit: string, median: number): Measurement => ({
  suite: "suite",
  case: case_,
  subject,
  unit,
  median,
  min: median,
  max: median
})

const saved: Saved = {
  about: "queries",
  rounds: 5,
  machine: { day: "2026-01-02", cpu: "cpu", cores: 2, memoryGiB: 8, node: "24", postgres: "18", peers: { pg: "8" } },
  results: [
    measurement("fast", "querypool", "lookups/s", 24_000),
    measurement("fast", "pg", "lookups/s", 12_000),
    measurement("slow", "querypool", "s", 0.5)
  ]
}

describe("tables", () => {
  it("gives a ratio over 1 to what is better than the first subject, in either kind of unit", () => {
    const rates = [measurement("c", "a", "lookups/s", 100), measurement("c", "b", "lookups/s", 150)]
    const times = [measurement("c", "a", "s", 3), measurement("c", "b", "s", 2)]
    for (const of of [rates, times]) assert.match(terminalTable(of), / 1\.00\n {2}b .* 1\.50$/)
  })

  it("fits a terminal of 80 columns", () => {
    const long = measurement("typed, longest", "gevent QueryPool (raw psycopg2)", "lookups/s", 1_234_567.8)
    for (const line of terminalTable([long]).split("\n")) assert.isAtMost(line.length, 80)
  })

  it("leaves a cell empty where a subject has no part in a case", () => {
    assert.deepStrictEqual(markdownTable(saved).split("\n").slice(0, 4), [
      "| queries | fast, lookups/s | slow, s |",
      "| --- | ---: | ---: |",
      "| querypool | 24,000 (1.00 ×) | 0.500 (1.00 ×) |",
      "| pg | 12,000 (0.50 ×) |  |"
    ])
  })

  it("puts cases without a subject in common into tables of their own", () => {
    const results = [...saved.results, measurement("other", "a", "ms", 1), measurement("slow", "bare", "s", 1)]
    assert.deepStrictEqual(
      markdownTable({ ...saved, results })
        .split("\n")
        .slice(0, 10),
      [
        "| queries | fast, lookups/s | slow, s |",
        "| --- | ---: | ---: |",
        "| querypool | 24,000 (1.00 ×) | 0.500 (1.00 ×) |",
        "| pg | 12,000 (0.50 ×) |  |",
        "| bare |  | 1.00 (0.50 ×) |",
        "",
        "| queries | other, ms |",
        "| --- | ---: |",
        "| a | 1.00 (1.00 ×) |",
        ""
      ]
    )
  })
})

describe("fillMarkers", () => {
  const text = "a\n<!-- bench:one -->\nold\n<!-- /bench:one -->\nb\n<!-- bench:two -->\n<!-- /bench:two -->\n"

  it("replaces what is between the markers and nothing else", () => {
    const filled = fillMarkers(text, new Map([["one", "| $& |"]]))
    assert.strictEqual(
      filled,
      text.replace("\nold\n", () => "\n\n| $& |\n\n")
    )
  })

  it("changes nothing the second time", () => {
    const tables = new Map([
      ["one", "| 1 |"],
      ["two", "| 2 |"]
    ])
    const filled = fillMarkers(text, tables)
    assert.strictEqual(fillMarkers(filled, tables), filled)
  })
})
