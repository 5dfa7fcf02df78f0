import { assert, describe, it } from "@effect/vitest"
import { PgTypes } from "@effect/sql-pg"
import { Result } from "effect"
import type { FileResult } from "../../../src/cli/FileResult.ts"
import type { Finished, RunReport, Teller } from "../../../src/cli/Teller.ts"
import { duration } from "../../../src/cli/Amounts.ts"
import { forPeople, forPrograms } from "../../../src/cli/RunOutput.ts"
import { boundOf } from "../../../src/cli/RunSummary.ts"
import { parseSqlFile } from "../../../src/cli/SqlFile.ts"
import { ConnectionLost, QueryError, QueueTimeout, Rejected, TimedOut, TooBusy } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import type { QueryReport } from "../../../src/query/Report.ts"

const { OID } = PgTypes

/** What a teller says, in the order it is said: lines of standard error are marked. */
const listen = (tell: (output: Parameters<typeof forPeople>[0]) => void): string => {
  let said = ""
  const screen = { width: undefined, color: false }
  tell({
    console: {
      ...globalThis.console,
      log: (text: string) => void (said += `${text}\n`),
      error: (text: string) => void (said += text === "" ? "!\n" : text.replaceAll(/^/gm, "! ") + "\n")
    },
    write: (text) => void (said += text),
    stdout: screen,
    stderr: screen
  })
  return said
}

const finished = (
  text: string,
  result: Partial<FileResult>,
  report: Partial<QueryReport> & Pick<QueryReport, "outcome">
): Finished => {
  const source = Result.getOrThrow(parseSqlFile({ file: "q/a.sql", defaultName: "a", text }))
  const [query] = source.queries
  if (query === undefined) throw new Error("no query")
  return {
    result: {
      query: { ...query, source },
      columns: undefined,
      rows: [],
      rowCount: 0,
      resultSets: 0,
      inTransaction: false,
      command: undefined,
      statement: query.statements.at(-1),
      parts: undefined,
      ...result
    },
    report: {
      id: 0,
      name: query.name,
      waitedMillis: 0.25,
      ranMillis: 12.4,
      rows: 0,
      attempts: 1,
      worker: 0,
      startedMillis: 0.25,
      notices: [],
      moreNotices: 0,
      ...report
    }
  }
}

const runOf = (...all: ReadonlyArray<Finished>): RunReport => ({
  queries: all.map(({ report }) => report),
  failures: [],
  concurrency: 2,
  makespanMillis: 1234.5,
  lowerBoundMillis: 12.4,
  binding: "longest query",
  criticalPath: ["books"],
  efficiency: 0.01
})

const tellAll = (teller: Teller, all: ReadonlyArray<Finished>, interrupted = false): void => {
  for (const one of all) teller.ended(one)
  teller.over(all, runOf(...all), interrupted)
}

/** What is said of the snapshot of a run. */
const ofSnapshot = (snapshot: RunReport["snapshot"], kind = forPeople, color = false): string =>
  listen((output) =>
    kind({ ...output, stdout: { ...output.stdout, color } }, false).over([], { ...runOf(), snapshot }, false)
  )

const toPeople = (all: ReadonlyArray<Finished>, quiet = false) =>
  listen((output) => tellAll(forPeople(output, quiet), all))
const toPrograms = (all: ReadonlyArray<Finished>, quiet = false) =>
  listen((output) => tellAll(forPrograms(output, quiet), all))

const rejected = (fields: Partial<Rejected>) =>
  new QueryError({
    query: "a",
    connection: "usable",
    outcome: "notApplied",
    reason: new Rejected({
      sqlState: "42P01",
      message: 'relation "nowhere" does not exist',
      detail: undefined,
      hint: undefined,
      position: undefined,
      constraint: undefined,
      schema: undefined,
      table: undefined,
      column: undefined,
      ...fields
    })
  })

const books = finished(
  "-- name: books\nselect …",
  {
    columns: [
      { name: "id", typeOid: OID.int4 },
      { name: "title", typeOid: OID.text }
    ],
    rows: [
      { id: "1", title: "Emma" },
      { id: "12", title: null }
    ],
    rowCount: 1001,
    resultSets: 1
  },
  { outcome: "Succeeded" }
)
const insert = finished("-- name: insert\ninsert …", { command: "INSERT 0 3" }, { outcome: "Succeeded" })
const failed = finished(
  "-- name: bad\nselect *\nfrom nowhere;",
  {},
  {
    outcome: "Failed",
    error: rejected({
      position: { offset: 15, line: 2, column: 6, text: "from nowhere" },
      detail: "the detail",
      hint: "the hint"
    })
  }
)
const lost = finished(
  "-- name: lost\nselect 1",
  {},
  {
    outcome: "Failed",
    error: new QueryError({
      query: "a",
      connection: "gone",
      outcome: "unknown",
      reason: new ConnectionLost({ message: "terminated" })
    })
  }
)
const skipped = finished(
  "-- name: late\nselect 1",
  { statement: undefined },
  { outcome: "Skipped", attempts: 0, ranMillis: 0, waitedMillis: 80_000 }
)

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

const failing = (error: QueryError, attempts: number) =>
  toPeople([finished("-- name: a\nselect 1", {}, { outcome: "Failed", error, attempts })])

describe("people are told", () => {
  it("of a query its name, its rows and what was cut, and in the end how all of them went", () => {
    assert.deepStrictEqual(toPeople([books, insert, skipped]).split("\n"), [
      "books  1,001 rows in 12 ms",
      "id  title",
      "──  ─────",
      " 1  Emma",
      "12  NULL",
      "… and 999 more rows (--max-rows)",
      "",
      "insert  INSERT 0 3 in 12 ms",
      "",
      "query   outcome     rows  waited    ran",
      "──────  ─────────  ─────  ──────  ─────",
      "books   succeeded  1,001  0.3 ms  12 ms",
      "insert  succeeded         0.3 ms  12 ms",
      "late    skipped           80.0 s",
      "",
      "3 queries: 2 succeeded, 1 skipped in 1.23 s, 2 at a time",
      "Lower bound 12 ms: longest query books",
      ""
    ])
  })

  it("of one that was run in parts, how many these were", () => {
    const cut = { ...books, result: { ...books.result, rows: [], parts: 8 } }
    assert.include(toPeople([cut]), "books  1,001 rows in 12 ms, 8 parts\n")
    assert.include(toPeople([cut, insert]), "books   succeeded, 8 parts  1,001  0.3 ms  12 ms\n")
    assert.include(toPrograms([cut]), '"parts": 8')
    assert.notInclude(toPrograms([books]), '"parts"')
  })

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
    assert.strictEqual(ofSnapshot({ heldMillis: 3_210, lost: false }), "Snapshot held 3.21 s\n")
    const long = ofSnapshot({ heldMillis: 372_000, lost: false }, forPeople, true)
    assert.strictEqual(long, "\u001b[33mSnapshot held 6 min 12 s: it keeps vacuum from its work\u001b[39m\n")
    const lost = ofSnapshot({ heldMillis: 3_210, lost: true }, forPeople, true)
    assert.strictEqual(lost, "\u001b[33mSnapshot lost after 3.21 s\u001b[39m\n")
    assert.strictEqual(ofSnapshot(undefined), "")
  })

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

  it("of the attempts of each query where any took more than one", () => {
    const retried = { ...insert, report: { ...insert.report, attempts: 2 } }
    const rows = toPeople([books, retried]).split("\n").slice(-7, -4)
    assert.deepStrictEqual(
      rows.map((row) => row.split(/ {2,}/).at(-1)),
      ["────────", "1", "2"]
    )
    assert.include(toPeople([books, retried]), "ran  attempts\n")
  })

  it("of the notices of a query before its result", () => {
    const noticing = {
      ...books,
      report: { ...books.report, notices: [{ severity: "WARNING", message: "two\nlines" }] }
    }
    assert.isTrue(toPeople([noticing]).startsWith("! books WARNING: two\\nlines\nbooks  1,001 rows"))
  })

  it("when a result is not the only one of its query", () => {
    const several = { ...books, result: { ...books.result, resultSets: 3 } }
    assert.match(toPeople([several]), /^books {2}1,001 rows in 12 ms, the last of 3 results\n/)
  })

  it("of rows without columns, and of columns without rows, in one line", () => {
    const bare = { ...books, result: { ...books.result, columns: [], rows: [{}], rowCount: 1 } }
    const empty = { ...books, result: { ...books.result, rows: [], rowCount: 0 } }
    assert.strictEqual(toPeople([bare]), "books  1 row in 12 ms\n\n")
    assert.strictEqual(toPeople([empty]), "books  0 rows in 12 ms\n\n")
  })

  it("of failures alone where they asked for quiet", () => {
    const notices = [{ severity: "NOTICE", message: "n" }]
    const noisy = [books, failed].map((one) => ({ ...one, report: { ...one.report, notices } }))
    assert.match(toPeople(noisy, true), /^! bad NOTICE: n\n! bad failed: .*\n(!.*\n)*$/)
  })

  it("nothing that acts on their terminal", () => {
    const evil = "\u001b[31m\n\u009b"
    const text = `-- name: a\nselect '${evil}'`
    const hostile = [
      finished(
        text,
        { columns: [{ name: evil, typeOid: OID.text }], rows: [{ [evil]: evil }], rowCount: 1 },
        { outcome: "Succeeded", name: evil, notices: [{ severity: "NOTICE", message: evil }] }
      ),
      finished(
        text,
        {},
        {
          outcome: "Failed",
          name: evil,
          error: rejected({
            message: evil,
            position: { offset: 9, line: 1, column: 9, text: "'" },
            detail: evil,
            hint: evil
          })
        }
      )
    ]
    assert.notMatch(toPeople(hostile), /[^\P{Cc}\n]/u)
  })
})

describe("both are told as it happens", () => {
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
    const document = JSON.parse(ofSnapshot({ heldMillis: 3_210, lost: true }, forPrograms))
    assert.deepStrictEqual(document.snapshot, { heldSeconds: 3.21, lost: true })
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

describe("a duration", () => {
  it.each([
    [0, "0.0 ms"],
    [0.44, "0.4 ms"],
    [9.94, "9.9 ms"],
    [12.4, "12 ms"],
    [999, "999 ms"],
    [1234, "1.23 s"],
    [12_340, "12.3 s"],
    [119_900, "119.9 s"],
    [120_000, "2 min 0 s"],
    [725_000, "12 min 5 s"],
    [7_265_000, "121 min 5 s"]
  ])("of %f milliseconds is %s", (millis, text) => {
    assert.strictEqual(duration(millis), text)
  })

  it("has no more digits at the end of a unit than in it", () => {
    assert.deepStrictEqual([9.96, 999.7, 9_996, 119_960].map(duration), ["10 ms", "1.00 s", "10.0 s", "2 min 0 s"])
  })
})
