/**
 * What can go wrong with a query: one error, `QueryError`, with closed, tagged reasons.
 *
 * An error states facts, never verdicts. "The server refused this statement" and "the connection is gone" are
 * different things; whoever retries decides. Handle one reason with
 * `Effect.catchReason("QueryError", "NoRows", (reason) => …)`.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The server answered with an error.
 *
 * The fields are those of PostgreSQL's ErrorResponse (manual, "Error and Notice Message Fields"). `position` counts
 * characters from 1 in the statement that was sent.
 *
 * @since 0.1.0
 */
export class Rejected extends Schema.TaggedError<Rejected>("querypool/query/QueryError/Rejected")("Rejected", {
  /** The five characters of the SQLSTATE (manual, appendix A), or `undefined` when the statement was never sent. */
  sqlState: Schema.UndefinedOr(Schema.String),
  message: Schema.String,
  detail: Schema.UndefinedOr(Schema.String),
  hint: Schema.UndefinedOr(Schema.String),
  position: Schema.UndefinedOr(Schema.Int),
  constraint: Schema.UndefinedOr(Schema.String),
  schema: Schema.UndefinedOr(Schema.String),
  table: Schema.UndefinedOr(Schema.String),
  column: Schema.UndefinedOr(Schema.String)
}) {}

/**
 * No session could be opened: nothing was sent to the database.
 *
 * @since 0.1.0
 */
export class ConnectFailed extends Schema.TaggedError<ConnectFailed>("querypool/query/QueryError/ConnectFailed")(
  "ConnectFailed",
  {
    /** The server's SQLSTATE when it answered and refused, such as `28P01` for a wrong password. */
    sqlState: Schema.UndefinedOr(Schema.String),
    message: Schema.String
  }
) {}

/**
 * The connection broke while the query used it.
 *
 * @since 0.1.0
 */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>("querypool/query/QueryError/ConnectionLost")(
  "ConnectionLost",
  { message: Schema.String }
) {}

/**
 * A statement was sent on a session that has an open stream of rows.
 *
 * A query for each row of a stream on that same session could never run: the stream waits for its reader, the query
 * for the stream. Read the rows first, or join in SQL.
 *
 * @since 0.1.0
 */
export class SessionBusy extends Schema.TaggedError<SessionBusy>("querypool/query/QueryError/SessionBusy")(
  "SessionBusy",
  {}
) {
  override get message(): string {
    return (
      "the session has an open stream of rows, so it cannot run another statement before that ends. " +
      "Collect the rows first, or join in SQL"
    )
  }
}

/**
 * `Query.findOne` found no row.
 *
 * @since 0.1.0
 */
export class NoRows extends Schema.TaggedError<NoRows>("querypool/query/QueryError/NoRows")("NoRows", {}) {
  override get message(): string {
    return "expected one row, got none"
  }
}

/**
 * `Query.findOne` or `Query.findOneOption` found more than one row.
 *
 * @since 0.1.0
 */
export class TooManyRows extends Schema.TaggedError<TooManyRows>("querypool/query/QueryError/TooManyRows")(
  "TooManyRows",
  { count: Schema.Int }
) {
  override get message(): string {
    return `expected one row, got ${this.count}`
  }
}

/**
 * A row does not have the shape that the query's schema describes, or holds a value that the driver cannot decode.
 *
 * @since 0.1.0
 */
export class DecodeFailed extends Schema.TaggedError<DecodeFailed>("querypool/query/QueryError/DecodeFailed")(
  "DecodeFailed",
  {
    /** What was expected, and the path to it; not the value, which may be nobody's business. */
    message: Schema.String
  }
) {}

/**
 * Every reason a query can fail for.
 *
 * @since 0.1.0
 */
export const QueryErrorReason = Schema.Union([
  Rejected,
  ConnectFailed,
  ConnectionLost,
  SessionBusy,
  NoRows,
  TooManyRows,
  DecodeFailed
])

/**
 * Every reason a query can fail for.
 *
 * @since 0.1.0
 */
export type QueryErrorReason = typeof QueryErrorReason.Type

/**
 * A query failed: which one, why, and what became of its connection.
 *
 * @since 0.1.0
 */
export class QueryError extends Schema.TaggedError<QueryError>("querypool/query/QueryError")("QueryError", {
  /** The query's name. */
  query: Schema.String,
  reason: QueryErrorReason,
  /** Whether the session could go on to serve another query. */
  connection: Schema.Literals(["usable", "gone"])
}) {
  override get message(): string {
    const { reason } = this
    const state = "sqlState" in reason && reason.sqlState !== undefined ? ` (${reason.sqlState})` : ""
    return `Query "${this.query}" failed: ${reason.message}${state}`
  }
}

/**
 * Makes a `QueryError` whose session is still usable: the failure is about rows, not about the connection.
 *
 * @internal
 */
export const ofRows = (query: string, reason: NoRows | TooManyRows | DecodeFailed): QueryError =>
  new QueryError({ query, reason, connection: "usable" })
