/**
 * What a query of a file gave: the last result of its statements, of which only so much is kept as is shown.
 *
 * @internal
 */
import { Effect, Stream } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Unit } from "../query/QueryPool.ts"
import type { SqlText } from "../query/Subquery.ts"
import type { Filing, OutFile } from "./FileOut.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { sentOf } from "./SqlParameters.ts"
import type { SqlStatement } from "./SqlSplitter.ts"

type Row = Readonly<Record<string, string | null>>

/**
 * The last result of a query's statements.
 *
 * @internal
 */
export interface FileResult {
  readonly query: FileQuery
  /** Of the last statement that gave a result set; `undefined` when none did. */
  columns: Unit["columns"]
  /** The first rows of it, each value as the server renders it; given back once they have been told. */
  rows: ReadonlyArray<Row>
  /** How many rows there were, shown or not. */
  rowCount: number
  /** How many of the statements gave a result set. */
  resultSets: number
  /** Whether a transaction that a statement began is open. */
  inTransaction: boolean
  /** The tag of the last statement, such as `INSERT 0 3`. */
  command: string | undefined
  /** The statement under way, or the last one. */
  statement: SqlStatement | undefined
  /** In how many parts it is run, once that is known; `undefined` where it is not cut. */
  parts: number | undefined
  /** The file that its rows are in, once that is in its place. */
  file: OutFile | undefined
  /** Whether that was written by a run before. */
  isKept: boolean
  /** The latest attempt. */
  unit: Pick<Unit, "outcome"> | undefined
  /** Whether all of its statements have run, in a transaction that commits then. */
  isComplete: boolean
}

/**
 * What is kept of a result.
 *
 * @internal
 */
export interface Kept {
  /** How many rows to keep of each query. */
  readonly maxRows: number
  /** What to keep of each value. */
  readonly keep: (text: string) => string
}

/**
 * What a query's result is before each attempt: nothing of the one before may show.
 *
 * @internal
 */
export const nothing = (): Omit<FileResult, "query"> => ({
  columns: undefined,
  rows: [],
  rowCount: 0,
  resultSets: 0,
  inTransaction: false,
  command: undefined,
  statement: undefined,
  parts: undefined,
  file: undefined,
  isKept: false,
  unit: undefined,
  isComplete: false
})

/** Whether a transaction of the file's own is open after a statement, by the server's word for what it did. */
const isOpenAfter = (wasOpen: boolean, { text }: SqlStatement, command: string | undefined): boolean => {
  if (command === "BEGIN" || command === "START TRANSACTION") return true
  if (command !== "COMMIT" && command !== "ROLLBACK" && command !== "PREPARE TRANSACTION") return wasOpen
  return wasOpen && goesOn.test(text.replaceAll(/\/\*[^]*?\*\//g, " "))
}

/** Back to a savepoint, or with a transaction after the one that has ended (manual, "ROLLBACK TO", "COMMIT"). */
const goesOn = /^\s*(?:commit|end|rollback|abort)(?:\s+(?:work|transaction))?\s+(?:to|and\s+chain)\b/i

/**
 * Streams, so that a result of any size takes no more memory than what is shown of it. What is sent is the statement as
 * it is, or what stands for it.
 *
 * @internal
 */
export const runStatement = (
  sql: SqlClient,
  unit: Unit,
  result: FileResult,
  statement: SqlStatement,
  options: Kept,
  { parameters, text }: SqlText = sentOf(statement)
) =>
  Effect.suspend(() => {
    const { keep, maxRows } = options
    result.statement = statement
    const before = unit.columns
    const rows: Array<Row> = []
    let count = 0
    return sql.unsafe<Row>(text, parameters).stream.pipe(
      Stream.runForEachArray((chunk) =>
        Effect.sync(() => {
          for (const row of chunk.slice(0, maxRows - rows.length)) rows.push(keepOf(row, keep))
          count += chunk.length
        })
      ),
      Effect.map(() => {
        result.command = unit.command
        result.inTransaction = isOpenAfter(result.inTransaction, statement, unit.command)
        if (unit.columns === undefined || unit.columns === before) return
        result.columns = unit.columns
        result.rows = rows
        result.rowCount = count
        result.resultSets++
      })
    )
  })

/**
 * As `runStatement`, for a statement whose rows go to a file.
 *
 * @internal
 */
export const copyStatement = (
  unit: Unit,
  result: FileResult,
  statement: SqlStatement,
  filing: Filing,
  { parameters, text }: SqlText = sentOf(statement)
) =>
  Effect.suspend(() => {
    result.statement = statement
    const copied = filing.fill((receiver) => unit.copyRows(text, parameters, receiver))
    return Effect.map(copied, (filled) => {
      result.command = unit.command
      result.inTransaction = isOpenAfter(result.inTransaction, statement, unit.command)
      if (filled === undefined) return
      result.columns = unit.columns
      result.rowCount = filled.rows
      result.resultSets++
    })
  })

const keepOf = (row: Row, keep: Kept["keep"]): Row => {
  const values = Object.entries(row)
  return values.every(([, value]) => value === null || keep(value) === value)
    ? row
    : Object.fromEntries(values.map(([name, value]) => [name, value === null ? null : keep(value)]))
}
