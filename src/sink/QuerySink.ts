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
import type { Format } from "./Encoder.ts"
import { Intake } from "./Intake.ts"
import * as SinkFile from "./SinkFile.ts"
import { NoResult, SinkError } from "./SinkError.ts"

export type { Column, Encoder, Format } from "./Encoder.ts"

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
  /** How the rows are written. Default: what the path's ending says. */
  readonly format: Format
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
 * @since 0.1.0
 */
export const file = (
  file: File,
  options?: Options
): Query.Query<Written, SinkError | QueryError, FileSystem.FileSystem | Path.Path> =>
  Query.make(file.name, (sql, unit) => written(file, unit, file.statement(sql)), { mode: "readOnly", ...options })

const written = Effect.fnUntraced(function* (
  { format, path }: File,
  unit: Unit,
  statement: Query.Sql
): Effect.fn.Return<Written, SinkError | SqlError, FileSystem.FileSystem | Path.Path> {
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const target = yield* SinkFile.create(path)
      const intake = new Intake()
      const copy = Effect.tap(unit.copyRows(...Query.compiled(statement), intake), () =>
        Effect.sync(() => intake.complete())
      )
      // What fails first interrupts the other: the statement is cancelled, or the file left.
      const [rows] = yield* Effect.all([copy, write(intake, format, target, path)], { concurrency: "unbounded" })
      if (rows !== intake.encoded) {
        return yield* Effect.die(new Error(`Of ${rows} rows that came, ${intake.encoded} were encoded`))
      }
      yield* target.keep
      return { path, rows, bytes: target.bytes() }
    })
  )
})

const write = Effect.fnUntraced(function* (
  intake: Intake,
  format: Format,
  target: SinkFile.SinkFile,
  path: string
): Effect.fn.Return<void, SinkError> {
  const columns = yield* intake.header
  if (columns === undefined) return yield* new SinkError({ path, reason: new NoResult() })
  const encoding = Effect.gen(function* () {
    intake.begin(yield* format.encoder(columns))
    for (let chunks = yield* intake.next; chunks.length > 0; chunks = yield* intake.next) {
      for (const chunk of chunks) {
        yield* target.write(chunk)
        intake.written(chunk.length)
      }
    }
  })
  // A format does not know where its rows go.
  yield* Effect.mapError(encoding, ({ path: at = path, reason }) => new SinkError({ path: at, reason }))
})
