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
  const sqlState = sqlStateOf(cause)
  const message = text(cause, "message") ?? reason.message ?? String(reason.cause)
  if (reason.operation === "connect") {
    return new QueryError({ query, reason: new ConnectFailed({ sqlState, message }), connection: "gone" })
  }
  const gone =
    reason._tag === "ConnectionError" || fatal.has(text(cause, "severityNonLocalized") ?? text(cause, "severity") ?? "")
  return new QueryError({
    query,
    reason: gone ? new ConnectionLost({ message }) : refusal(cause, sqlState, message),
    connection: gone ? "gone" : "usable"
  })
}

/** An SQLSTATE is five digits or capital letters; Node's own codes, such as ECONNREFUSED, are not. */
const sqlStateOf = (cause: object): string | undefined => {
  const code = text(cause, "code")
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

const refusal = (cause: object, sqlState: string | undefined, message: string): QueryErrorReason => {
  if (text(cause, "_tag") === "PgTypesCodecError" && sqlState === undefined) return new DecodeFailed({ message })
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
