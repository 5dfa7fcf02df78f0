import { assert, describe, it } from "@effect/vitest"
import { forPeople, forPrograms } from "../../../src/cli/RunOutput.ts"
import { QueryError, QueueTimeout, TimedOut, TooBusy } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import { books, failed, finished, listen, lost, rejected, toPeople } from "./Told.ts"

const failing = (error: QueryError, attempts: number) =>
  toPeople([finished("-- name: a\nselect 1", {}, { outcome: "Failed", error, attempts })])

describe("people are told", () => {
  it("of a failure beside the results: what, where, and what the server advises", () => {
    assert.deepStrictEqual(toPeople([failed]).split("\n"), [
      '! bad failed: relation "nowhere" does not exist (42P01) at q/a.sql:3:6',
      "!   from nowhere;",
      "!        ^",
      "!   detail: the detail",
      "!   hint: the hint",
      "!",
      ""
    ])
    assert.deepStrictEqual(toPeople([lost]).split("\n"), [
      "! lost failed: terminated at q/a.sql:2:1",
      "!   hint: the server's log tells why; a retry takes a fresh session",
      "!   outcome: unknown: it may be applied, so look before you run it again",
      "!",
      ""
    ])
  })

  it("of a failure in their words: how often it was tried, what is left of it, and which flag helps", () => {
    const base = { query: "a", connection: "usable" } as const
    const timedOut = (limit: "timeout" | "deadline") =>
      new QueryError({ ...base, outcome: "partial", reason: new TimedOut({ limit, afterMillis: 300 }) })
    assert.deepStrictEqual(failing(timedOut("timeout"), 3).split("\n"), [
      "! a failed after 3 attempts: exceeded its timeout of 300 ms at q/a.sql:2:1",
      "!   hint: raise --timeout, or write a line `-- timeout:` in the file",
      "!   outcome: partial: the statements that completed before stay applied",
      "!",
      ""
    ])
    assert.include(failing(timedOut("deadline"), 1), "\n!   hint: raise --deadline\n")
    const queued = new QueryError({ ...base, outcome: "notApplied", reason: new QueueTimeout({ afterMillis: 5 }) })
    assert.match(
      failing(queued, 0),
      /^! a failed: got no slot within 5 ms.*\n! {3}hint: raise --queue-timeout or --conc/
    )
    assert.notInclude(failing(queued, 0), "outcome")
    const full = new TooBusy({ sqlState: "53300", message: "sorry, too many clients already" })
    assert.include(
      failing(new QueryError({ ...base, outcome: "notApplied", reason: full }), 1),
      "hint: lower --concurrency"
    )
  })

  it("of the notices of a query before its result", () => {
    const noticing = {
      ...books,
      report: { ...books.report, notices: [{ severity: "WARNING", message: "two\nlines" }] }
    }
    assert.isTrue(toPeople([noticing]).startsWith("! books WARNING: two\\nlines\nbooks  1,001 rows"))
  })
})

describe("both are told as it happens", () => {
  it.each([forPeople, forPrograms])("that the database is tried again", (kind) => {
    const toldOf = (quiet: boolean) => listen((output) => kind(output, quiet).unreached("Cannot connect to h: no", 120))
    assert.strictEqual(toldOf(false), "! Cannot connect to h: no. Retrying in 120 ms\n")
    assert.strictEqual(toldOf(true), "")
  })

  const at = 0
  const ofQuery = { at, id: 0, name: "a\u001b[31m" }
  const events: ReadonlyArray<QueryEvent> = [
    { _tag: "Started", worker: 0, attempt: 1, ...ofQuery },
    { _tag: "Retrying", attempt: 1, delayMillis: 120, error: rejected({ message: "deadlock\n" }), ...ofQuery },
    { _tag: "CancelEnded", how: "idle", tookMillis: 14, ...ofQuery },
    { _tag: "CancelEnded", how: "gone", tookMillis: 14, ...ofQuery },
    { _tag: "CancelEnded", how: "terminated", tookMillis: 3_000, ...ofQuery },
    { _tag: "CancelEnded", how: "unconfirmed", tookMillis: 5_000, ...ofQuery }
  ]
  const toldOf = (kind: typeof forPeople, quiet: boolean) =>
    listen((output) => {
      const teller = kind(output, quiet)
      for (const event of events) teller.happened(event)
    }).split("\n")
  const unconfirmed = "! a\\u001b[31m cancel unconfirmed: no answer in 5.00 s, so the server may still run it"

  it.each([forPeople, forPrograms])("of retries and cancels, on standard error", (kind) => {
    assert.deepStrictEqual(toldOf(kind, false), [
      "! a\\u001b[31m retrying in 120 ms: attempt 1 failed, deadlock\\n (42P01)",
      "! a\\u001b[31m cancelled: the server stopped it in 14 ms",
      "! a\\u001b[31m cancelled: the server closed its connection after 14 ms",
      "! a\\u001b[31m cancelled: it did not stop, and the server ended its connection after 3.00 s",
      unconfirmed,
      ""
    ])
  })

  it.each([forPeople, forPrograms])("of a cancel that nobody confirmed also where they asked for quiet", (kind) => {
    assert.deepStrictEqual(toldOf(kind, true), [unconfirmed, ""])
  })
})
