/**
 * What an error of the driver means: one pure function from `SqlError` to `QueryError`.
 *
 * The driver's own verdicts (`isRetryable`, the reason's class) differ between statements and streams and lose the
 * SQLSTATE at times, so the SQLSTATE is read from the reason's cause, and the reason's class only where there is none.
 *
 * @internal
 */
import { Predicate } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { QueryErrorReason } from "../query/QueryError.ts"
import { ConnectFailed, ConnectionLost, DecodeFailed, QueryError, Rejected, SessionBusy } from "../query/QueryError.ts"

/** The cause of the error that a session gives for a statement while one of its streams is open. */
export class StreamOpen extends Error {
  override readonly name = "StreamOpen"
}

const text = (source: object, key: string): string | undefined => {
  const value: unknown = Reflect.get(source, key)
  return Predicate.isString(value) && value !== "" ? value : undefined
}

/** Severities after which the server ends the connection. */
const fatal = new Set(["FATAL", "PANIC"])

/** @internal */
export const toQueryError = (query: string, error: SqlError): QueryError => {
  const { reason } = error
  const cause = Predicate.isObject(reason.cause) ? reason.cause : {}
  if (cause instanceof StreamOpen) return new QueryError({ query, reason: new SessionBusy(), connection: "usable" })
  // Every answer of the server has a severity, and nothing else does.
  const severity = text(cause, "severityUnlocalized") ?? text(cause, "severity")
  // Node's own errors have codes too, such as EPIPE.
  const sqlState = severity === undefined ? undefined : text(cause, "code")
  const message = text(cause, "message") ?? reason.message ?? String(reason.cause)
  if (reason.operation === "connect") {
    return new QueryError({ query, reason: new ConnectFailed({ sqlState, message }), connection: "gone" })
  }
  const refused = (reason: QueryErrorReason) => new QueryError({ query, reason, connection: "usable" })
  const lost = (reason: QueryErrorReason) => new QueryError({ query, reason, connection: "gone" })
  // Not the SQLSTATE's class: a server that cannot reach another one says 08001, and its own connection is well.
  if (severity === undefined ? reason._tag === "ConnectionError" : fatal.has(severity)) {
    return lost(new ConnectionLost({ message }))
  }
  // A parameter that cannot be encoded is never sent; a row that cannot be decoded makes the driver hang up.
  if (text(cause, "_tag") === "PgTypesCodecError" && !isOfEncoding(reason)) return lost(new DecodeFailed({ message }))
  return refused(rejected(cause, sqlState, message))
}

/** The driver tells the two apart by the words of its message alone. */
const isOfEncoding = (reason: SqlError["reason"]): boolean => reason.message?.includes("encode query") === true

const rejected = (cause: object, sqlState: string | undefined, message: string): Rejected => {
  const position = Number(text(cause, "position"))
  return new Rejected({
    sqlState,
    message,
    detail: text(cause, "detail"),
    hint: text(cause, "hint"),
    position: Number.isInteger(position) && position > 0 ? position : undefined,
    constraint: text(cause, "constraint"),
    schema: text(cause, "schema"),
    table: text(cause, "table"),
    column: text(cause, "column")
  })
}
