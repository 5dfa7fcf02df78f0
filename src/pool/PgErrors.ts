/**
 * What an error of the driver means: pure functions from `SqlError` to the facts of a `QueryError`.
 *
 * The driver's own verdicts (`isRetryable`, the reason's class) differ between statements and streams and lose the
 * SQLSTATE at times, so the SQLSTATE is read from the reason's cause, and the reason's class only where there is none.
 * What became of the unit's work is not in the error at all: the session counts it.
 *
 * @internal
 */
import { Predicate } from "effect"
import { SqlError } from "effect/sql/SqlError"
import type { QueryErrorReason, SqlPosition } from "../query/QueryError.ts"
import {
  CancelledByServer,
  ConnectFailed,
  ConnectionLost,
  Deadlock,
  DecodeFailed,
  LockTimeout,
  MessageTooLarge,
  QueryError,
  Rejected,
  SerializationFailure,
  SessionBusy,
  TooBusy
} from "../query/QueryError.ts"
import { classNameOf, conditionOf } from "./SqlState.ts"

/** The cause of the error that a session gives for a statement while one of its streams is open. */
export class StreamOpen extends Error {
  override readonly name = "StreamOpen"
}

/**
 * What a unit has done, as its session saw it. An error that the server answered with is an answer: `unanswered` tells
 * of what is still open after it.
 *
 * @internal
 */
export interface UnitFacts {
  /** Statements or transactions that the server completed and that may have applied something. */
  readonly completed: number
  readonly unanswered: "nothing" | "statement" | "inTransaction" | "commit"
  /**
   * Whether what an earlier statement did is open for good: a rejected one may have committed part of its work, as CALL
   * or CREATE INDEX CONCURRENTLY do, and one that was interrupted all of it.
   */
  readonly tainted: boolean
}

/**
 * What is left of a unit's work when it ends in a failure.
 *
 * @internal
 */
export const outcomeOf = ({ completed, tainted, unanswered }: UnitFacts): QueryError["outcome"] => {
  if (tainted || unanswered === "statement" || unanswered === "commit") return "unknown"
  return completed > 0 ? "partial" : "notApplied"
}

/** @internal */
export interface Facts {
  readonly error: SqlError
  /** What the pool was doing for the unit. */
  readonly phase: "connect" | "statement" | "commit"
  /** The statement as it was sent: the server tells of places in it. */
  readonly sql: string | undefined
  readonly unit: UnitFacts
  /** Whether the pool sent a cancel for it. */
  readonly cancelled: boolean
}

/** @internal */
export type Classified = Pick<QueryError, "reason" | "connection" | "outcome">

/** @internal */
export const classify = ({ cancelled, error, phase, sql, unit }: Facts): Classified => {
  const connecting = phase === "connect" || error.reason.operation === "connect"
  // A body may open connections of its own, and that these fail says nothing of the session.
  const gone = connecting ? phase === "connect" : isConnectionGone(error)
  const { sqlState } = answerOf(error)
  return {
    reason: reasonOf(error, { connecting, sql, cancelled }),
    // A cancel may arrive late, and would hit whoever has the session then.
    connection: gone || cancelled ? "gone" : "usable",
    outcome: sqlState !== undefined && unresolved.has(sqlState) ? "unknown" : outcomeOf(unit)
  }
}

/** @internal */
export const toQueryError = (
  query: { readonly name: string; readonly origin?: string | undefined },
  classified: Classified
): QueryError => new QueryError({ query: query.name, origin: query.origin, ...classified })

/** Answers that say that the answer is not known: transaction_resolution_unknown, statement_completion_unknown. */
const unresolved = new Set(["08007", "40003"])

/** Severities after which the server ends the connection. */
const fatal = new Set(["FATAL", "PANIC"])

/**
 * Whether no other statement can be sent on the connection that the error came from.
 *
 * @internal
 */
export const isConnectionGone = (error: unknown): boolean => {
  if (!(error instanceof SqlError)) return false
  const { severity } = answerOf(error)
  // Not the SQLSTATE's class: a server that cannot reach another one says 08001, and its own connection is well.
  return severity === undefined ? error.reason._tag === "ConnectionError" || isOfDecoding(error) : fatal.has(severity)
}

/**
 * Whether the server has said what became of the statement, and goes on with the connection: what happens to that
 * afterwards changes nothing.
 *
 * @internal
 */
export const isAnswered = (error: unknown): boolean =>
  error instanceof SqlError && answerOf(error).severity !== undefined && !isConnectionGone(error)

/** What the cause holds: the fields of an ErrorResponse, or those of an error in this process. */
const causeOf = ({ reason }: SqlError): object => (Predicate.isObject(reason.cause) ? reason.cause : {})

const text = (source: object, key: string): string | undefined => {
  const value: unknown = Reflect.get(source, key)
  return Predicate.isString(value) && value !== "" ? value : undefined
}

const answerOf = (error: SqlError) => {
  const cause = causeOf(error)
  // Every answer of the server has a severity, and nothing else does.
  const severity = text(cause, "severityUnlocalized") ?? text(cause, "severity")
  // Node's own errors have codes too, such as EPIPE.
  const sqlState = severity === undefined ? undefined : text(cause, "code")
  return { severity, sqlState }
}

/**
 * The SQLSTATE that the server answered with, if it did.
 *
 * @internal
 */
export const sqlStateOf = (error: unknown): string | undefined =>
  error instanceof SqlError ? answerOf(error).sqlState : undefined

/** A value that cannot be read makes the driver hang up; it tells that from a bad parameter by words alone. */
const isOfDecoding = (error: SqlError): boolean => error.reason.message?.includes("decode row") === true

const isTooLarge = (cause: object, message: string): boolean =>
  text(cause, "_tag") === "PgProtocolParseError" && message.includes("maxMessageSize")

interface Circumstances extends Pick<Facts, "sql" | "cancelled"> {
  readonly connecting: boolean
}

const reasonOf = (error: SqlError, { cancelled, connecting, sql }: Circumstances): QueryErrorReason => {
  const cause = causeOf(error)
  if (cause instanceof StreamOpen) return new SessionBusy()
  const { sqlState } = answerOf(error)
  const said = {
    condition: sqlState === undefined ? undefined : conditionOf(sqlState),
    message: text(cause, "message") ?? error.reason.message ?? String(error.reason.cause),
    detail: text(cause, "detail"),
    hint: text(cause, "hint")
  }
  // Before what it means for the connection: a server without room says so to a new session, and to an old one.
  if (sqlState !== undefined && (sqlState.startsWith("53") || sqlState === "57P03")) {
    return new TooBusy({ sqlState, ...said })
  }
  if (connecting) return new ConnectFailed({ sqlState, ...said })
  if (isConnectionGone(error)) {
    if (isOfDecoding(error)) return new DecodeFailed(said)
    if (isTooLarge(cause, said.message)) return new MessageTooLarge(said)
    return new ConnectionLost({ sqlState, ...said })
  }
  switch (sqlState) {
    case "40P01":
      return new Deadlock({ sqlState, ...said })
    case "40001":
      return new SerializationFailure({ sqlState, ...said })
    case "55P03":
      return new LockTimeout({ sqlState, ...said })
    case "57014":
      if (!cancelled) return new CancelledByServer({ sqlState, ...said })
  }
  return new Rejected({
    sqlState,
    ...said,
    className: sqlState === undefined ? undefined : classNameOf(sqlState),
    position: sql === undefined ? undefined : positionIn(sql, Number(text(cause, "position"))),
    constraint: text(cause, "constraint"),
    schema: text(cause, "schema"),
    table: text(cause, "table"),
    column: text(cause, "column")
  })
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** A line ends at LF, CRLF or CR, as PostgreSQL's own `--` comments do. */
const positionIn = (sql: string, offset: number): SqlPosition | undefined => {
  if (!Number.isInteger(offset) || offset < 1) return undefined
  let at = 0
  let line = 1
  let start = 0
  let column = 1
  for (let left = offset - 1; left > 0 && at < sql.length; left--) {
    const code = sql.codePointAt(at) ?? 0
    at += code > 0xffff ? 2 : 1
    column++
    if (code === lineFeed || (code === carriageReturn && sql.charCodeAt(at) !== lineFeed)) {
      line++
      start = at
      column = 1
    }
  }
  const rest = sql.slice(at).search(/[\r\n]/)
  return { offset, line, column, text: sql.slice(start, rest === -1 ? undefined : at + rest) }
}
