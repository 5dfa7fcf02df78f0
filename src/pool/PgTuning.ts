/**
 * Settings of a session that units differ in: whether it may write, and how long a statement may take.
 *
 * A SET costs a round trip (80 µs), so a connection keeps what it was set to, and only a difference is sent: queries
 * that are alike cost nothing. `BEGIN READ ONLY` and `COMMIT` around each query would cost 0.36 times the lookups.
 *
 * The limit on the server is the second line, for the case that this process stops and its own limit never comes. It
 * is well after that, and rounded up to a power of two, so that limits that differ a little need no SET.
 *
 * @internal
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ServerConnection } from "./ServerConnection.ts"

interface Tuning {
  readonly readOnly: boolean
  /** Milliseconds; `undefined` is what the connection started with. */
  readonly statementMillis: number | undefined
}

const untuned: Tuning = { readOnly: false, statementMillis: undefined }
const tunings = new WeakMap<ServerConnection, Tuning>()

const slackMillis = 5_000

const serverLimit = (millis: number): number => 2 ** Math.ceil(Math.log2(2 * millis + slackMillis))

/**
 * What has to be sent before a unit can begin, if anything.
 *
 * @internal
 */
export const tune = (
  connection: ServerConnection,
  readOnly: boolean,
  limitMillis: number | undefined
): Effect.Effect<void, SqlError> | undefined => {
  const now = tunings.get(connection) ?? untuned
  const statementMillis = limitMillis === undefined ? undefined : serverLimit(limitMillis)
  if (now.readOnly === readOnly && now.statementMillis === statementMillis) return undefined
  const steps: Array<string> = []
  if (now.readOnly !== readOnly) {
    steps.push(readOnly ? "SET default_transaction_read_only = on" : "RESET default_transaction_read_only")
  }
  if (now.statementMillis !== statementMillis) {
    steps.push(statementMillis === undefined ? "RESET statement_timeout" : `SET statement_timeout = ${statementMillis}`)
  }
  return Effect.suspend(() => {
    // Before it is sent: interrupted in between, the connection is retired.
    tunings.set(connection, { readOnly, statementMillis })
    return Effect.forEach(steps, (step) => connection.pg.query(step, [], false), { discard: true })
  })
}

/**
 * To be told after a reset, which undoes all settings.
 *
 * @internal
 */
export const untune = (connection: ServerConnection): void => {
  tunings.delete(connection)
}
