import { assert, describe, it } from "@effect/vitest"
import { forPeople } from "../../../src/cli/RunOutput.ts"
import { boundOf, snapshotLine } from "../../../src/cli/RunSummary.ts"
import type { Finished, RunReport } from "../../../src/cli/Teller.ts"
import { books, finished, insert, listen, runOf, skipped, toPeople } from "./Told.ts"

const skippedBecause = (name: string, root: string) =>
  finished(
    `-- name: ${name}\nselect 1`,
    { statement: undefined },
    { outcome: "Skipped", because: root, attempts: 0, ranMillis: 0, waitedMillis: 1 }
  )

/** The last query, and what stands below the table. */
const lastLines = (all: ReadonlyArray<Finished>) => toPeople(all).split("\n").slice(-5)

const bound = (binding: RunReport["binding"], ...names: ReadonlyArray<string>) =>
  boundOf(binding, "2.0 s", names[0], names, { width: undefined, color: false })

const held = (heldMillis: number, lost: boolean) => snapshotLine({ heldMillis, lost }, { width: 80, color: true })

describe("people are told in the end", () => {
  it("of one that was skipped because it needs another, which that is, and how many there were", () => {
    assert.deepStrictEqual(lastLines([insert, skippedBecause("after", "bad")]), [
      "after   skipped because bad        1.0 ms",
      "",
      "2 queries: 1 succeeded, 1 skipped because bad in 1.23 s, 2 at a time",
      "Lower bound 12 ms: longest query insert",
      ""
    ])
    const some = [skipped, skippedBecause("after", "bad"), skippedBecause("later", "bad")]
    assert.strictEqual(lastLines(some)[2], "3 queries: 3 skipped, 2 because bad in 1.23 s, 2 at a time")
    const many = ["a", "b", "c", "d", "e"].map((root, index) => skippedBecause(`q${index}`, `${root}\u001b`))
    assert.strictEqual(
      lastLines(many)[2],
      "5 queries: 5 skipped because a\\u001b, b\\u001b, c\\u001b and 2 more in 1.23 s, 2 at a time"
    )
  })

  it("of no lower bound where queries were cancelled, of which nobody knows how long they would have taken", () => {
    const cancelled = finished("-- name: slow\nselect 1", {}, { outcome: "Cancelled" })
    const [line, end] = toPeople([insert, cancelled]).split("\n").slice(-2)
    assert.deepStrictEqual([line, end], ["2 queries: 1 succeeded, 1 cancelled in 1.23 s, 2 at a time", ""])
  })

  it("of what binds, with the names that are meant", () => {
    assert.strictEqual(bound("longest query", "a\n"), "Lower bound 2.0 s: longest query a\\n")
    assert.strictEqual(bound("total work", "a"), "Lower bound 2.0 s: total work")
    assert.strictEqual(bound("critical path", "a", "b"), "Lower bound 2.0 s: critical path a -> b")
    assert.strictEqual(
      bound("critical path", "a", "b", "c", "d", "e"),
      "Lower bound 2.0 s: critical path a -> b -> … (2 more) -> e"
    )
  })

  it("of what binds in lines that fit their terminal", () => {
    const path = ["a/first", "b/second", "c/third"]
    assert.deepStrictEqual(boundOf("critical path", "2.0 s", "x", path, { width: 55, color: false }).split("\n"), [
      "Lower bound 2.0 s: critical path a/first -> b/second",
      "  -> c/third"
    ])
  })

  it("of a snapshot how long it was held, and where that was too long, or not until the end", () => {
    assert.strictEqual(held(3_210, false), "\u001b[2mSnapshot held 3.21 s\u001b[22m")
    assert.strictEqual(
      held(372_000, false),
      "\u001b[33mSnapshot held 6 min 12 s: it keeps vacuum from its work\u001b[39m"
    )
    assert.strictEqual(held(3_210, true), "\u001b[33mSnapshot lost after 3.21 s\u001b[39m")
    const report = { ...runOf([]), snapshot: { heldMillis: 3_210, lost: false } }
    assert.strictEqual(
      listen((output) => forPeople(output, false).over([], report, false)),
      "Snapshot held 3.21 s\n"
    )
  })

  it("of the attempts of each query where any took more than one", () => {
    const retried = { ...insert, report: { ...insert.report, attempts: 2 } }
    const rows = toPeople([books, retried]).split("\n").slice(-7, -4)
    assert.deepStrictEqual(
      rows.map((row) => row.split(/ {2,}/).at(-1)),
      ["────────", "1", "2"]
    )
    assert.include(toPeople([books, retried]), "ran  attempts\n")
  })
})
