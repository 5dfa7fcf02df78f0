/**
 * The pool's own refusals, as the cause of a `SqlError`: the clients of effect/sql know no other error.
 *
 * @internal
 */
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import type { QueueFull, QueueTimeout, SnapshotLost, TimedOut } from "../query/QueryError.ts"
import { StreamOpen } from "./PgErrors.ts"

/** @internal */
export class PgRefusal extends Error {
  override readonly name = "PgRefusal"
  readonly reason: QueueFull | QueueTimeout | SnapshotLost | TimedOut

  constructor(reason: PgRefusal["reason"]) {
    super(reason.message)
    this.reason = reason
  }
}

/** @internal */
export const refusal = (reason: PgRefusal["reason"]): SqlError => {
  const cause = new PgRefusal(reason)
  return new SqlError({ reason: new UnknownError({ cause, message: cause.message, operation: "acquire" }) })
}

/**
 * A refusal in the form of the server's, classified as `Rejected`.
 *
 * @internal
 */
export const rejection = (message: string, hint: string): SqlError =>
  new SqlError({
    reason: new UnknownError({ cause: Object.assign(new Error(message), { hint }), message, operation: "query" })
  })

/**
 * Of whatever is sent on a session whose transaction could not be ended.
 *
 * @internal
 */
export const givenUp = (): SqlError => {
  const message = "The session was given up, because a transaction on it could be neither committed nor rolled back"
  return new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "query" }) })
}

/**
 * Of what is sent while a stream of rows is open.
 *
 * @internal
 */
export const streamOpen = (): SqlError => {
  const cause = new StreamOpen()
  return new SqlError({ reason: new UnknownError({ cause, message: cause.message, operation: "query" }) })
}
