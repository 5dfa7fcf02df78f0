/**
 * What can go wrong with a query: one error, `QueryError`, with closed, tagged reasons.
 *
 * An error states facts, never verdicts. "The server refused this statement", "the connection is gone" and "the server
 * may have applied it" are different things; whoever retries decides. Handle one reason with
 * `Effect.catchReason("QueryError", "NoRows", (reason) => …)`.
 *
 * The message reads problem, place in the SQL, detail, hint, attempt, outcome, origin: a line for each that is known.
 *
 * @since 0.1.0
 */
import { Effect, Schema } from "effect"
import { excerpt } from "../internal/excerpt.ts"

const OptionalText = Schema.optional(Schema.String)

/** What the server says with every error (manual, "Error and Notice Message Fields"). */
const answer = {
  /** The five characters of the SQLSTATE (manual, appendix A). */
  sqlState: Schema.String,
  /** The manual's name for the SQLSTATE, such as `unique_violation`. */
  condition: OptionalText,
  message: Schema.String,
  detail: OptionalText,
  /** The server's hint. `QueryError.hint` has querypool's where the server gives none. */
  hint: OptionalText
}

/**
 * Where in a statement the server found the error.
 *
 * @since 0.1.0
 */
export const SqlPosition = Schema.Struct({
  /** Characters (code points) from 1 in the statement that was sent. */
  offset: Schema.Int,
  /** From 1. */
  line: Schema.Int,
  /** Characters (code points) from 1 in the line. */
  column: Schema.Int,
  /** That one line. */
  text: Schema.String
})

/**
 * Where in a statement the server found the error.
 *
 * @since 0.1.0
 */
export type SqlPosition = typeof SqlPosition.Type

/**
 * The server answered with an error, and none of the more telling reasons fits; or a parameter has no form in which it
 * could be sent.
 *
 * @since 0.1.0
 */
export class Rejected extends Schema.TaggedError<Rejected>("querypool/query/QueryError/Rejected")("Rejected", {
  ...answer,
  /** The five characters of the SQLSTATE (manual, appendix A), or `undefined` when the statement was never sent. */
  sqlState: OptionalText,
  /** The title of the SQLSTATE's class in appendix A, such as `Integrity Constraint Violation`. */
  className: OptionalText,
  position: Schema.optional(SqlPosition),
  constraint: OptionalText,
  schema: OptionalText,
  table: OptionalText,
  column: OptionalText
}) {}

/**
 * No session could be opened: nothing was sent to the database.
 *
 * @since 0.1.0
 */
export class ConnectFailed extends Schema.TaggedError<ConnectFailed>("querypool/query/QueryError/ConnectFailed")(
  "ConnectFailed",
  {
    ...answer,
    /** The server's SQLSTATE when it answered and refused, such as `28P01` for a wrong password. */
    sqlState: OptionalText
  }
) {}

/**
 * The connection broke while the query used it.
 *
 * @since 0.1.0
 */
export class ConnectionLost extends Schema.TaggedError<ConnectionLost>("querypool/query/QueryError/ConnectionLost")(
  "ConnectionLost",
  {
    ...answer,
    /** The server's SQLSTATE when it said why it hangs up, such as `57P01` for an administrator's command. */
    sqlState: OptionalText
  }
) {}

/**
 * The server has too little of something to take more work: connections (`53300`), memory, disk (class 53); or it is
 * starting up or shutting down (`57P03`). Found when connecting or when a statement runs.
 *
 * @since 0.1.0
 */
export class TooBusy extends Schema.TaggedError<TooBusy>("querypool/query/QueryError/TooBusy")("TooBusy", answer) {}

/**
 * The server ended one of several transactions that waited for each other (`40P01`).
 *
 * @since 0.1.0
 */
export class Deadlock extends Schema.TaggedError<Deadlock>("querypool/query/QueryError/Deadlock")("Deadlock", answer) {}

/**
 * Another transaction changed what this one has seen (`40001`), which levels above read committed do not allow.
 *
 * @since 0.1.0
 */
export class SerializationFailure extends Schema.TaggedError<SerializationFailure>(
  "querypool/query/QueryError/SerializationFailure"
)("SerializationFailure", answer) {}

/**
 * A lock was not to be had within `lock_timeout`, or not at once with `nowait` (`55P03`).
 *
 * @since 0.1.0
 */
export class LockTimeout extends Schema.TaggedError<LockTimeout>("querypool/query/QueryError/LockTimeout")(
  "LockTimeout",
  answer
) {}

/**
 * The query was refused at once: as many queries as may wait for a slot do so already.
 *
 * @since 0.1.0
 */
export class QueueFull extends Schema.TaggedError<QueueFull>("querypool/query/QueryError/QueueFull")("QueueFull", {
  /** How many queries may wait: the pool's `queueLimit`. */
  limit: Schema.Int
}) {
  override get message(): string {
    return `the queue is full: ${this.limit} queries may wait for a slot`
  }
}

/**
 * The query got no slot in time: it never started.
 *
 * @since 0.1.0
 */
export class QueueTimeout extends Schema.TaggedError<QueueTimeout>("querypool/query/QueryError/QueueTimeout")(
  "QueueTimeout",
  { afterMillis: Schema.Finite }
) {
  override get message(): string {
    return `got no slot within ${this.afterMillis} ms`
  }
}

/**
 * The query had its slot and took longer than its own `timeout`, or than its run's `deadline` allows.
 *
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedError<TimedOut>("querypool/query/QueryError/TimedOut")("TimedOut", {
  limit: Schema.Literals(["timeout", "deadline"]),
  afterMillis: Schema.Finite
}) {
  override get message(): string {
    return `exceeded its ${this.limit} of ${this.afterMillis} ms`
  }
}

/**
 * The server cancelled the statement, and not because the pool asked for it (`57014`): `statement_timeout`,
 * `pg_cancel_backend` or another client. The server's message says which.
 *
 * @since 0.1.0
 */
export class CancelledByServer extends Schema.TaggedError<CancelledByServer>(
  "querypool/query/QueryError/CancelledByServer"
)("CancelledByServer", answer) {}

/**
 * A statement was sent on a session that has an open stream of rows.
 *
 * A query for each row of a stream on that same session could never run: the stream waits for its reader, the query
 * for the stream.
 *
 * @since 0.1.0
 */
export class SessionBusy extends Schema.TaggedError<SessionBusy>("querypool/query/QueryError/SessionBusy")(
  "SessionBusy",
  {}
) {
  override get message(): string {
    return "the session has an open stream of rows, so it cannot run another statement before that ends"
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
 * The server sent a message, such as a row, that is larger than the pool's `maxMessageSize`.
 *
 * @since 0.1.0
 */
export class MessageTooLarge extends Schema.TaggedError<MessageTooLarge>("querypool/query/QueryError/MessageTooLarge")(
  "MessageTooLarge",
  { message: Schema.String }
) {}

/**
 * The session that holds the run's snapshot open is gone, so this query would have seen another moment.
 *
 * @since 0.1.0
 */
export class SnapshotLost extends Schema.TaggedError<SnapshotLost>("querypool/query/QueryError/SnapshotLost")(
  "SnapshotLost",
  { message: Schema.String }
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
  TooBusy,
  Deadlock,
  SerializationFailure,
  LockTimeout,
  QueueFull,
  QueueTimeout,
  TimedOut,
  CancelledByServer,
  SessionBusy,
  NoRows,
  TooManyRows,
  DecodeFailed,
  MessageTooLarge,
  SnapshotLost
])

/**
 * Every reason a query can fail for.
 *
 * @since 0.1.0
 */
export type QueryErrorReason = typeof QueryErrorReason.Type

const outcomes = {
  notApplied: "not applied: nothing that it wrote is kept",
  partial: "partial: what its completed statements wrote is kept",
  unknown: "unknown: the server may have applied it"
}

/**
 * A query failed: which one, why, and what became of its connection and of what it wrote.
 *
 * @since 0.1.0
 */
export class QueryError extends Schema.TaggedError<QueryError>("querypool/query/QueryError")("QueryError", {
  /** The query's name. */
  query: Schema.String,
  /** Which try this was, from 1. Default 1. */
  attempt: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)).pipe(Schema.withConstructorDefault(Effect.succeed(1))),
  /** Where the query was made, as `file:line:column`, if that is known. */
  origin: OptionalText,
  reason: QueryErrorReason,
  /** Whether the session could go on to serve another query. */
  connection: Schema.Literals(["usable", "gone"]),
  /**
   * What is left of the whole unit: `notApplied`, nothing that it wrote is kept; `partial`, a statement that completed
   * before stays; `unknown`, the answer was lost after a statement or COMMIT was sent.
   */
  outcome: Schema.Literals(["notApplied", "partial", "unknown"])
}) {
  /** What to try: the server's hint, or querypool's where the server gives none. */
  get hint(): string | undefined {
    const { reason } = this
    return ("hint" in reason ? reason.hint : undefined) ?? adviceOf(reason)
  }

  /**
   * The same failure, with what only the pool or the run knows of it.
   *
   * @internal
   */
  with(facts: Partial<Pick<QueryError, "attempt" | "origin" | "reason" | "connection" | "outcome">>): QueryError {
    const { attempt, connection, origin, outcome, query, reason } = this
    return new QueryError({ query, attempt, origin, reason, connection, outcome, ...facts })
  }

  /** @internal */
  atAttempt(attempt: number): QueryError {
    return this.with({ attempt })
  }

  override get message(): string {
    const { attempt, hint, origin, outcome, query, reason } = this
    const lines = [`Query "${query}" failed: ${reason.message}${codeOf(reason)}`]
    if ("position" in reason && reason.position !== undefined) {
      const { column, line, text } = reason.position
      const gutter = `  ${line} | `
      const [source, caret] = excerpt(text, column)
      lines.push(gutter + source, " ".repeat(gutter.length) + caret)
    }
    const tell = (label: string, text: string | undefined): void => {
      if (text !== undefined) lines.push(`  ${label}: ${text.replaceAll("\n", "\n    ")}`)
    }
    tell("detail", "detail" in reason ? reason.detail : undefined)
    tell("hint", hint)
    tell("attempt", attempt > 1 ? String(attempt) : undefined)
    tell("outcome", outcome === "notApplied" ? undefined : outcomes[outcome])
    if (origin !== undefined) lines.push(`  at ${origin}`)
    return lines.join("\n")
  }
}

const codeOf = (reason: QueryErrorReason): string => {
  if (!("sqlState" in reason) || reason.sqlState === undefined) return ""
  return reason.condition === undefined ? ` (${reason.sqlState})` : ` (${reason.sqlState} ${reason.condition})`
}

/** For errors that name a consequence, where the server does not tell of the cause. */
const adviceForRejected: Readonly<Record<string, string>> = {
  "25P02": "an earlier statement of the transaction failed, or its plan was outdated: roll back and run the unit again",
  "26000": "prepared statements are gone after DISCARD or DEALLOCATE, and behind a pooler that shares connections"
}

const adviceOf = (reason: QueryErrorReason): string | undefined => {
  switch (reason._tag) {
    case "Rejected":
      return adviceForRejected[reason.sqlState ?? ""]
    case "ConnectFailed":
      if (reason.sqlState === undefined) return "check host and port, and that the server runs"
      return /^(28|3D)/.test(reason.sqlState) ? "check user, password and database" : undefined
    case "ConnectionLost":
      return "the server's log tells why; a retry takes a fresh session"
    case "TooBusy":
      if (reason.sqlState === "57P03") return "the server is starting or stopping: retry later"
      if (reason.sqlState === "53300") return "lower `maxConnections`, or raise the server's max_connections"
      return "retry later, or run fewer queries at once"
    case "Deadlock":
      return "retry the whole unit, and let all transactions take their locks in one order"
    case "SerializationFailure":
      return "retry the whole transaction"
    case "LockTimeout":
      return "retry later, or raise lock_timeout"
    case "QueueFull":
      return "raise `maxConnections` or `queueLimit`, or shed load"
    case "QueueTimeout":
      return "raise `queueTimeout`, `concurrency` or `maxConnections`, or hand over fewer queries at once"
    case "TimedOut":
      return `raise \`${reason.limit}\`, or let explain (analyze) tell where the time goes`
    case "CancelledByServer":
      return "raise statement_timeout, or find out who cancelled it"
    case "SessionBusy":
      return "collect the rows first, or join in SQL"
    case "NoRows":
      return "use `findOneOption` where no row is no failure"
    case "TooManyRows":
      return "use `findAll`, or narrow the statement to one row"
    case "DecodeFailed":
      return "compare the query's schema with the columns that its statement gives"
    case "MessageTooLarge":
      return "raise `maxMessageSize`, or read large values in parts"
    case "SnapshotLost":
      return "run all of it again, on a new snapshot"
  }
}

/**
 * Makes a `QueryError` about the rows that a query got: the session is usable. Whether the statement wrote something
 * is known to the pool alone, which says so by `with`.
 *
 * @internal
 */
export const ofRows = (query: string, reason: NoRows | TooManyRows | DecodeFailed): QueryError =>
  new QueryError({ query, reason, connection: "usable", outcome: "notApplied" })
