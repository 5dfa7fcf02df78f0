/** What tellers are told of a run that never was, and what they say of it. */
import { PgTypes } from "@effect/sql-pg"
import type { Output } from "../../../src/cli/Output.ts"
import { nothing } from "../../../src/cli/FileResult.ts"
import { forPeople, forPrograms } from "../../../src/cli/RunOutput.ts"
import type { Finished, RunReport, Teller } from "../../../src/cli/Teller.ts"
import { ConnectionLost, QueryError, Rejected } from "../../../src/query/QueryError.ts"
import type { QueryReport } from "../../../src/query/Report.ts"
import { queriesOf } from "../../support/fileQueries.ts"

const { OID } = PgTypes

/** What is printed, in the order it is said: lines of standard error are marked. */
export const listen = (tell: (output: Output) => void, width?: number): string => {
  let said = ""
  const screen = { width, color: false }
  tell({
    console: {
      log: (text: string) => void (said += `${text}\n`),
      error: (text: string) => void (said += text === "" ? "!\n" : text.replaceAll(/^/gm, "! ") + "\n")
    },
    write: (text) => void (said += text),
    stdout: screen,
    stderr: screen
  })
  return said
}

/** The first query of a text, and how it ended. */
export const finished = (
  text: string,
  result: Partial<Finished["result"]>,
  report: Partial<QueryReport> & Pick<QueryReport, "outcome">
): Finished => {
  const [query] = queriesOf(text, "a", "q/a.sql")
  if (query === undefined) throw new Error("no query")
  return {
    result: { query, ...nothing(), statement: query.statements.at(-1), ...result },
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

export const runOf = (all: ReadonlyArray<Finished>, more: Partial<RunReport> = {}): RunReport => ({
  queries: all.map(({ report }) => report),
  failures: [],
  concurrency: 2,
  makespanMillis: 1234.5,
  lowerBoundMillis: 12.4,
  binding: "longest query",
  criticalPath: ["books"],
  efficiency: 0.01,
  ...more
})

export const end = (
  teller: Pick<Teller, "ended" | "over">,
  all: ReadonlyArray<Finished>,
  report = runOf(all)
): void => {
  for (const one of all) teller.ended(one)
  teller.over(all, report, false)
}

export const toPeople = (all: ReadonlyArray<Finished>, quiet = false) =>
  listen((output) => end(forPeople(output, quiet), all))

export const toPrograms = (all: ReadonlyArray<Finished>, quiet = false) =>
  listen((output) => end(forPrograms(output, quiet), all))

export const rejected = (fields: Partial<Rejected>) =>
  new QueryError({
    query: "a",
    connection: "usable",
    outcome: "notApplied",
    reason: new Rejected({ sqlState: "42P01", message: 'relation "nowhere" does not exist', ...fields })
  })

// Queries of a run

export const books = finished(
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
export const insert = finished("-- name: insert\ninsert …", { command: "INSERT 0 3" }, { outcome: "Succeeded" })
export const failed = finished(
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
export const lost = finished(
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
export const skipped = finished(
  "-- name: late\nselect 1",
  { statement: undefined },
  { outcome: "Skipped", attempts: 0, ranMillis: 0, waitedMillis: 80_000 }
)
