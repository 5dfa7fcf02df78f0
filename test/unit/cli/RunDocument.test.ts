import { assert, describe, it } from "@effect/vitest"
import { forPrograms } from "../../../src/cli/RunOutput.ts"
import { books, failed, finished, insert, listen, lost, runOf, skipped, toPrograms } from "./Told.ts"

describe("programs are told", () => {
  it("one document of all queries in order", () => {
    const times = { waitedSeconds: 0.00025, ranSeconds: 0.0124, attempts: 1 }
    const base = { command: null, rowCount: 0, rows: [], truncated: false }
    const error = {
      reason: "Rejected",
      sqlState: "42P01",
      message: 'relation "nowhere" does not exist',
      outcome: "notApplied",
      connection: "usable",
      line: 3,
      column: 6
    }
    assert.deepStrictEqual(JSON.parse(toPrograms([books, failed, lost, skipped])), {
      queries: [
        {
          name: "books",
          outcome: "succeeded",
          command: null,
          rowCount: 1001,
          rows: [
            { id: 1, title: "Emma" },
            { id: 12, title: null }
          ],
          truncated: true,
          ...times
        },
        { name: "bad", outcome: "failed", ...base, error, ...times },
        {
          name: "lost",
          outcome: "failed",
          ...base,
          error: {
            reason: "ConnectionLost",
            sqlState: null,
            message: "terminated",
            outcome: "unknown",
            connection: "gone",
            line: 2,
            column: 1
          },
          ...times
        },
        { name: "late", outcome: "skipped", ...base, waitedSeconds: 80, ranSeconds: 0, attempts: 0 }
      ],
      makespanSeconds: 1.2345,
      lowerBoundSeconds: 0.0124,
      binding: "longest query",
      criticalPath: ["books"]
    })
  })

  it("of one that was skipped because it needs another, which that is", () => {
    const after = finished("-- name: after\nselect 1", {}, { outcome: "Skipped", because: "bad", attempts: 0 })
    assert.deepInclude(JSON.parse(toPrograms([after])).queries[0], { outcome: "skipped", because: "bad" })
  })

  it("the command of a query that gave one", () => {
    assert.deepInclude(JSON.parse(toPrograms([insert])).queries[0], { command: "INSERT 0 3", rowCount: 0 })
  })

  it("a whole document of no queries", () => {
    assert.deepStrictEqual(JSON.parse(toPrograms([])), {
      queries: [],
      makespanSeconds: 1.2345,
      lowerBoundSeconds: 0.0124,
      binding: "longest query",
      criticalPath: ["books"]
    })
  })

  it("of a snapshot how long it was held, and whether until the end", () => {
    const report = { ...runOf([]), snapshot: { heldMillis: 3_210, lost: true } }
    const { snapshot } = JSON.parse(listen((output) => forPrograms(output, false).over([], report, false)))
    assert.deepStrictEqual(snapshot, { heldSeconds: 3.21, lost: true })
  })

  it("of one that was run in parts, how many these were", () => {
    const cut = { ...books, result: { ...books.result, rows: [], parts: 8 } }
    assert.include(toPrograms([cut]), '"parts": 8')
    assert.notInclude(toPrograms([books]), '"parts"')
  })

  it("of each query as it ends, a row to a line, so that a document of any size can be written", () => {
    const soFar = listen((output) => forPrograms(output, false).ended(books))
    assert.include(soFar, '\n        {"id":1,"title":"Emma"},\n        {"id":12,"title":null}\n')
  })

  it("of notices on standard error, unless they asked for quiet", () => {
    const noticing = { ...insert, report: { ...insert.report, notices: [{ severity: "NOTICE", message: "n" }] } }
    assert.isTrue(toPrograms([noticing]).startsWith("! insert NOTICE: n\n{"))
    assert.isTrue(toPrograms([noticing], true).startsWith("{"))
  })
})
