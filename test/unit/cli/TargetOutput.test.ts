import { assert, describe, it } from "@effect/vitest"
import { PgTypes } from "@effect/sql-pg"
import type { Finished, RunReport } from "../../../src/cli/Teller.ts"
import { targetsForPeople, targetsForPrograms } from "../../../src/cli/TargetOutput.ts"
import type { TargetEnd, TargetsTeller } from "../../../src/cli/TargetRun.ts"
import type { QueryReport } from "../../../src/query/Report.ts"
import { finished, listen as listenTo, end as endOfRun, rejected, runOf as reportOf } from "./Told.ts"

/** What a teller says. */
const listen = (
  kind: typeof targetsForPeople,
  tell: (teller: TargetsTeller) => void,
  { quiet = false, width }: { readonly quiet?: boolean; readonly width?: number } = {}
): string => listenTo((output) => tell(kind(output, quiet)), width)

const failure = rejected({ message: "no such table", hint: "make one" })

const one = (name: string, outcome: QueryReport["outcome"], more: Partial<Finished["result"]> = {}): Finished =>
  finished(
    `-- name: ${name}\nselect 1`,
    { command: "ALTER TABLE", statement: undefined, ...more },
    { outcome, ...(outcome === "Failed" ? { error: failure } : {}), waitedMillis: 1, ranMillis: 12 }
  )

const rows = (text: string) => ({
  columns: [{ name: "text", typeOid: PgTypes.OID.text }],
  rows: [{ text }],
  rowCount: 1,
  resultSets: 1
})

const runOf = (all: ReadonlyArray<Finished>, snapshot?: RunReport["snapshot"]): RunReport =>
  reportOf(all, { makespanMillis: 20, snapshot })

const end = (
  told: ReturnType<TargetsTeller["begun"]>,
  all: ReadonlyArray<Finished>,
  snapshot?: RunReport["snapshot"]
) => endOfRun(told, all, runOf(all, snapshot))

const endOf = (name: string, outcome: TargetEnd["outcome"], counts: Partial<TargetEnd["counts"]>): TargetEnd => ({
  name,
  outcome,
  counts: { Succeeded: 0, Failed: 0, Cancelled: 0, Skipped: 0, ...counts },
  millis: 30
})

describe("people are told", () => {
  it("of each target as it ends, with its results under it, however the targets take turns", () => {
    const said = listen(targetsForPeople, (teller) => {
      const [a, b] = [teller.begun("a"), teller.begun("b")]
      a.ended(one("find", "Succeeded", rows("of a")))
      b.ended(one("find", "Succeeded", rows("of b")))
      b.ended(one("bad", "Failed"))
      const ofB = [one("find", "Succeeded"), one("bad", "Failed")]
      b.over(ofB, runOf(ofB, { heldMillis: 4, lost: false }), false)
      const ofA = [one("find", "Succeeded")]
      a.over(ofA, runOf(ofA), false)
      const ends = [
        endOf("b", "failed", { Succeeded: 1, Failed: 1 }),
        endOf("a", "succeeded", { Succeeded: 1000 }),
        endOf("c", "skipped", { Skipped: 1 })
      ]
      teller.over(ends, 1234)
    })
    assert.deepStrictEqual(said.split("\n"), [
      "b  2 queries: 1 succeeded, 1 failed in 20 ms",
      "  find  1 row in 12 ms",
      "  text",
      "  ────",
      "  of b",
      "",
      "! b: bad failed: no such table (42P01)",
      "!   hint: make one",
      "!",
      "  Snapshot held 4.0 ms",
      "",
      "a  1 query: 1 succeeded in 20 ms",
      "  find  1 row in 12 ms",
      "  text",
      "  ────",
      "  of a",
      "",
      "target  outcome    succeeded  failed  skipped   time",
      "──────  ─────────  ─────────  ──────  ───────  ─────",
      "b       failed             1       1        0  30 ms",
      "a       succeeded      1,000       0        0  30 ms",
      "c       skipped            0       0        1",
      "",
      "3 targets: 1 succeeded, 1 failed, 1 skipped in 1.23 s",
      ""
    ])
  })

  it("of a target that cannot be reached at once and without any password, and of no results of it", () => {
    const said = listen(targetsForPeople, (teller) => {
      const told = teller.begun("a\u001b[31m")
      told.unreachable("Cannot connect to h: postgres://me:s3cr3t@h")
      end(told, [one("find", "Skipped")])
      teller.over([endOf("a", "unreachable", { Skipped: 1 })], 30)
    })
    assert.match(said, /^! a\\u001b\[31m: Cannot connect to h: postgres:\/\/…@h\ntarget {2}outcome {6}succeeded/)
    assert.match(said, /\n1 target: 1 unreachable in 30 ms\n$/)
  })

  it("of results that fit their terminal, under a target", () => {
    const said = listen(
      targetsForPeople,
      (teller) => end(teller.begun("a"), [one("find", "Succeeded", rows("x".repeat(90)))]),
      {
        width: 40
      }
    )
    for (const line of said.split("\n")) assert.isAtMost(line.length, 40)
    assert.include(said, `\n  ${"x".repeat(37)}…\n`)
  })

  it("of cancelled queries in a column of their own, after a line that has nothing under it", () => {
    const said = listen(targetsForPeople, (teller) => {
      end(teller.begun("a"), [one("sleeps", "Cancelled")])
      teller.over([endOf("a", "cancelled", { Cancelled: 1 })], 30)
    })
    assert.deepStrictEqual(said.split("\n").slice(0, 3), [
      "a  1 query: 1 cancelled in 20 ms",
      "",
      "target  outcome    succeeded  failed  cancelled  skipped   time"
    ])
  })

  it("of failures alone where they asked for quiet", () => {
    const said = listen(
      targetsForPeople,
      (teller) => {
        end(teller.begun("a"), [one("find", "Succeeded", rows("text")), one("bad", "Failed")])
        teller.over([endOf("a", "failed", { Succeeded: 1, Failed: 1 })], 30)
      },
      { quiet: true }
    )
    assert.strictEqual(said, "! a: bad failed: no such table (42P01)\n!   hint: make one\n!\n")
  })
})

const unreached = (teller: TargetsTeller): void =>
  teller.begun("a\n").unreached("Cannot connect to h: postgres://me:s3cr3t@h", 100)

describe("both are told", () => {
  it.each([targetsForPeople, targetsForPrograms])("of retries at once, with the target", (kind) => {
    const said = listen(kind, (teller) =>
      teller.begun("a").happened({
        _tag: "Retrying",
        at: 0,
        id: 0,
        name: "find",
        attempt: 1,
        error: failure,
        delayMillis: 100
      })
    )
    assert.strictEqual(said, "! a: find retrying in 100 ms: attempt 1 failed, no such table (42P01)\n")
  })

  it.each([targetsForPeople, targetsForPrograms])(
    "of a target that is tried again at once, without secrets",
    (kind) => {
      assert.strictEqual(listen(kind, unreached), "! a\\n: Cannot connect to h: postgres://…@h. Retrying in 100 ms\n")
      assert.strictEqual(listen(kind, unreached, { quiet: true }), "")
    }
  )
})

describe("programs are told", () => {
  it("one document with one of each target, whole and in the order in which they end", () => {
    const said = listen(targetsForPrograms, (teller) => {
      const [a, b, c] = [teller.begun("a"), teller.begun("b"), teller.begun("c")]
      a.ended(one("find", "Succeeded", rows('"of\na"')))
      c.unreachable("Cannot connect to h: postgres://me:s3cr3t@h")
      end(c, [one("find", "Skipped")])
      end(b, [one("find", "Succeeded", rows("of b")), one("bad", "Failed")], { heldMillis: 4, lost: true })
      a.over([one("find", "Succeeded")], runOf([]), false)
      teller.over([], 1234)
    })
    const [reason, text = ""] = said.split(/\n(?=\{)/)
    assert.strictEqual(reason, "! c: Cannot connect to h: postgres://…@h")
    assert.match(text, /^\{\n {2}"targets": \[\n {4}\{\n {6}"name": "c",\n {6}"error": /)
    const document = JSON.parse(text)
    assert.deepStrictEqual(Object.keys(document), ["targets", "makespanSeconds"])
    assert.strictEqual(document.makespanSeconds, 1.234)
    const [c, b, a] = document.targets
    assert.deepInclude(c, { name: "c", error: { message: "Cannot connect to h: postgres://…@h" } })
    assert.deepInclude(b, { name: "b", makespanSeconds: 0.02, snapshot: { heldSeconds: 0.004, lost: true } })
    assert.notProperty(b, "error")
    assert.strictEqual(b.queries[1].error.message, "no such table")
    assert.deepStrictEqual(a.queries[0].rows, [{ text: '"of\na"' }])
  })
})
