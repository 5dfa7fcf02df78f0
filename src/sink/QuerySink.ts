/**
 * Queries whose rows go to files.
 *
 * ```ts
 * const accounts = QuerySink.file({
 *   name: "accounts",
 *   statement: (sql) => sql`select aid, bid, abalance from pgbench_accounts`,
 *   path: "out/accounts.csv"
 * })
 * ```
 *
 * - A file is whole, or not there: it is written beside its place and put there when all of it is on the disk. What
 *   fails, is interrupted or times out leaves nothing, and what was there before is as it was.
 * - Rows never become values: the server's own text goes from the socket to the file, and so does that of types that the
 *   driver does not know. As many rows are in the file as the server counted.
 * - Memory is bounded, whatever the size of the result and however slow the disk: the server waits for it.
 * - A retry begins a new file.
 *
 * @since 0.1.0
 */
import type { FileSystem, Path } from "effect"
import { Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Query from "../query/Query.ts"
import type { QueryError } from "../query/QueryError.ts"
import type { Unit } from "../query/QueryPool.ts"
import * as Csv from "./Csv.ts"
import type { CsvOptions } from "./Csv.ts"
import type { Format } from "./Encoder.ts"
import { fill } from "./Filling.ts"
import * as Json from "./Json.ts"
import type { ParquetOptions } from "./Parquet.ts"
import * as Parquet from "./Parquet.ts"
import { NoResult, SinkError } from "./SinkError.ts"

export type { CsvOptions } from "./Csv.ts"
export type { Column, Encoder, Format } from "./Encoder.ts"
export type { ParquetOptions } from "./Parquet.ts"

/**
 * CSV that PostgreSQL's own `COPY … FROM … (FORMAT csv, HEADER true)` reads equal values back from, unless the options
 * say otherwise. Throws a `RangeError` for an option that is none.
 *
 * @since 0.1.0
 */
export const csv: (options?: CsvOptions) => Format = Csv.make

/**
 * One JSON object a row, each in a line of its own.
 *
 * @since 0.1.0
 */
export const ndjson: Format = Json.ndjson

/**
 * One JSON array of an object for each row.
 *
 * @since 0.1.0
 */
export const json: Format = Json.json

/**
 * Parquet, whose types are those of the database as far as it has them. Needs the package `hyparquet-writer`, which is
 * loaded with the first file. Throws a `RangeError` for an option that is none.
 *
 * @since 0.1.0
 */
export const parquet: (options?: ParquetOptions) => Format = Parquet.make

/** Of a path, by its ending. */
const formats = new Map<string, Format>([
  ["csv", csv()],
  ["ndjson", ndjson],
  ["jsonl", ndjson],
  ["json", json],
  ["parquet", parquet()]
])

const formatOf = (path: string): Format => {
  const [, ending = ""] = /\.(\w+)$/.exec(path) ?? []
  const format = formats.get(ending.toLowerCase())
  if (format !== undefined) return format
  const endings = Array.from(formats.keys(), (known) => `.${known}`).join(", ")
  throw new RangeError(`Expected \`path\` to end in one of ${endings}, or \`format\` to be there, got ${path}`)
}

/**
 * A query by its statement, and the file that its rows are for.
 *
 * @since 0.1.0
 */
export interface File {
  readonly name: string
  readonly statement: (sql: SqlClient) => Query.Sql
  /** Where the file is to be, in a folder that is there. A file that is there is replaced. */
  readonly path: string
  /** How the rows are written. Default: as the path ends, `.csv`, `.json`, `.ndjson`, `.jsonl` or `.parquet`. */
  readonly format?: Format | undefined
}

/**
 * What became of a file.
 *
 * @since 0.1.0
 */
export interface Written {
  readonly path: string
  readonly rows: number
  readonly bytes: number
}

/**
 * What can be said of a query whose rows go to a file. Its `mode` is `readOnly` unless another one is said: then it can
 * be tried again. A statement that writes needs `transaction`, in which it is rolled back if the file cannot be kept;
 * after `autocommit`, what a `delete … returning` took would be lost with the file.
 *
 * @since 0.1.0
 */
export type Options = Query.Options<SinkError | QueryError>

/**
 * A query whose rows go to a file. Fails with `SinkError` where the file cannot be written, and with `QueryError` where
 * the query fails; either way there is no file, and the statement has been stopped.
 *
 * Throws a `RangeError` where no format is given and the path's ending says none.
 *
 * @since 0.1.0
 */
export const file = (
  file: File,
  options?: Options
): Query.Query<Written, SinkError | QueryError, FileSystem.FileSystem | Path.Path> => {
  const { name, path, statement, format = formatOf(path) } = file
  return Query.make(name, (sql, unit) => written(path, format, unit, statement(sql)), { mode: "readOnly", ...options })
}

const written = Effect.fnUntraced(function* (
  path: string,
  format: Format,
  unit: Unit,
  statement: Query.Sql
): Effect.fn.Return<Written, SinkError | SqlError, FileSystem.FileSystem | Path.Path> {
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const filled = yield* fill(path, format, (receiver) => unit.copyRows(...Query.compiled(statement), receiver))
      if (filled === undefined) return yield* new SinkError({ path, reason: new NoResult() })
      yield* filled.keep
      return { path, rows: filled.rows, bytes: filled.bytes }
    })
  )
})
