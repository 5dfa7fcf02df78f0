/**
 * Failures that are made up: what the server, or the connection to it, is said to have answered.
 *
 * A failure is given as a reason of `QueryError`, and reaches the body of a query as the `SqlError` that the client on
 * PostgreSQL gives for it, so that code which looks at that one sees what it would see. What the pool makes of it is
 * what `PgErrors` makes of every answer.
 *
 * @internal
 */
import {
  AuthenticationError,
  AuthorizationError,
  ConnectionError,
  ConstraintError,
  DeadlockError,
  LockTimeoutError,
  SerializationError,
  SqlError,
  SqlSyntaxError,
  StatementTimeoutError,
  UniqueViolation,
  UnknownError
} from "effect/sql/SqlError"
import type { SqlErrorReason } from "effect/sql/SqlError"
import { classify } from "../pool/PgErrors.ts"
import { PgLedger } from "../pool/PgLedger.ts"
import { streamOpen } from "../pool/PgRefusal.ts"
import { conditionOf } from "../pool/SqlState.ts"
import type { QueryErrorReason } from "../query/QueryError.ts"

/**
 * Why a query fails.
 *
 * @since 0.1.0
 */
export type Failure = QueryErrorReason | SqlError

/**
 * What the server says beside the SQLSTATE.
 *
 * @since 0.1.0
 */
export interface Said {
  /** Default: the manual's name for the SQLSTATE. */
  readonly message?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly constraint?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly column?: string | undefined
  /** Where in the statement: characters from 1. */
  readonly position?: string | undefined
}

/** The reason of a failure that no server answers with. */
class Told extends Error {
  override readonly name = "Told"
  readonly reason: QueryErrorReason

  constructor(reason: QueryErrorReason) {
    super(reason.message)
    this.reason = reason
  }
}

/** After these the server ends the connection (57P01 to 57P05), or has refused it from the start. */
const fatal = /^(?:57P0[1-5]|53300|28...|3D000)$/
/** Of those, what it answers to a new connection. */
const refusesConnection = /^(?:57P03|53300|28...|3D000)$/

/**
 * The reason of a query whose statement the server answered with this SQLSTATE (manual, appendix A): `Deadlock` for
 * `40P01`, `Rejected` for `23505`. It is what the pool on PostgreSQL makes of it.
 *
 * @since 0.1.0
 */
export const sqlState = (code: string, said: Said = {}): QueryErrorReason => {
  if (!/^[0-9A-Z]{5}$/.test(code)) {
    throw new RangeError(`Expected a SQLSTATE of five digits and capital letters, such as "40P01", got ${code}`)
  }
  const message = said.message ?? conditionOf(code)?.replaceAll("_", " ") ?? `SQLSTATE ${code}`
  const connects = refusesConnection.test(code)
  const error = answered(code, { ...said, message }, connects ? "connect" : "query")
  const phase = connects ? "connect" : "statement"
  return classify({ error, phase, sql: undefined, unit: new PgLedger(), cancelled: false }).reason
}

/** As the driver gives the server's answer. */
const answered = (
  code: string | undefined,
  { message, ...said }: Said & { readonly message: string },
  operation: "connect" | "query"
): SqlError => {
  const severity = code === undefined ? undefined : fatal.test(code) ? "FATAL" : "ERROR"
  const cause = Object.assign(new Error(message), { severity, code }, said)
  const props = { cause, message: "PgConnection: Query failed", operation }
  return new SqlError({ reason: code === undefined ? new UnknownError(props) : kindOf(code, said.constraint, props) })
}

/** Which kind of error of effect/sql the driver makes of a SQLSTATE. */
const kindOf = (
  code: string,
  constraint: string | undefined,
  props: { readonly cause: Error; readonly message: string; readonly operation: string }
): SqlErrorReason => {
  switch (code) {
    case "42501":
      return new AuthorizationError(props)
    case "23505":
      return new UniqueViolation({ ...props, constraint: constraint ?? "unknown" })
    case "40P01":
      return new DeadlockError(props)
    case "40001":
      return new SerializationError(props)
    case "55P03":
      return new LockTimeoutError(props)
    case "57014":
      return new StatementTimeoutError(props)
  }
  switch (code.slice(0, 2)) {
    case "08":
      return new ConnectionError(props)
    case "28":
      return new AuthenticationError(props)
    case "42":
      return new SqlSyntaxError(props)
    case "23":
      return new ConstraintError(props)
    default:
      return new UnknownError(props)
  }
}

/** A connection that broke without an answer, or with the server's last word. */
const broken = (code: string | undefined, message: string, operation: "connect" | "query"): SqlError => {
  const severity = code === undefined ? undefined : "FATAL"
  const cause = Object.assign(new Error(message), { severity, code })
  return new SqlError({ reason: new ConnectionError({ cause, message, operation }) })
}

/**
 * As the client of effect/sql gives it.
 *
 * @internal
 */
export const toSqlError = (failure: Failure): SqlError => {
  switch (failure._tag) {
    case "SqlError":
      return failure
    case "Rejected": {
      const { column, constraint, detail, hint, message, position, schema, table } = failure
      const offset = position === undefined ? undefined : String(position.offset)
      const said = { message, detail, hint, constraint, schema, table, column, position: offset }
      return answered(failure.sqlState, said, "query")
    }
    case "TooBusy":
    case "Deadlock":
    case "SerializationFailure":
    case "LockTimeout":
    case "CancelledByServer": {
      const { detail, hint, message } = failure
      return answered(failure.sqlState, { message, detail, hint }, "query")
    }
    case "ConnectionLost":
      return broken(failure.sqlState, failure.message, "query")
    case "ConnectFailed":
      return broken(failure.sqlState, failure.message, "connect")
    case "SessionBusy":
      return streamOpen()
    default: {
      const cause = new Told(failure)
      return new SqlError({ reason: new UnknownError({ cause, message: cause.message, operation: "query" }) })
    }
  }
}

/**
 * The reason that an error was made from, where no answer of a server means it.
 *
 * @internal
 */
export const toldBy = (error: SqlError): QueryErrorReason | undefined =>
  error.reason.cause instanceof Told ? error.reason.cause.reason : undefined

/**
 * Whether a query that fails so never has a session.
 *
 * @internal
 */
export const isOfOpening = (failure: Failure): boolean =>
  failure._tag === "ConnectFailed" ||
  failure._tag === "QueueFull" ||
  failure._tag === "QueueTimeout" ||
  (failure._tag === "TooBusy" && refusesConnection.test(failure.sqlState))
