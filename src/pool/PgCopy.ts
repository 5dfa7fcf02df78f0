/**
 * One statement whose rows go to a receiver, as the bytes that they come in.
 *
 * The driver makes a value of each field and an object of each row, and knows no COPY. So it runs the statement as any
 * other, and hears all of the answer but its rows, which are taken out below it:
 *
 *     driver   Parse Bind Describe Execute Sync -->  + settings in front, results as text  --> server
 *     driver   <-- all but rows -- [ PgTap: rows to the receiver, settings' answer read ] <-- server
 *
 * - What becomes of the statement is what becomes of any: errors, cancels, timeouts and lost connections are the
 *   driver's, and confirmed as ever.
 * - Settings that change how values are written are those of a dump. They are set in the same round trip and, outside
 *   of a transaction, for the statement alone (manual, "Pipelining": what is sent before a Sync is one transaction).
 *   Inside of one they are put back, unless it has failed, in which case its rollback does that.
 * - Rows that came and were not taken are never a success.
 *
 * @internal
 */
import { PgProtocol } from "@effect/sql-pg"
import type { PgConnection } from "@effect/sql-pg"
import { Effect, Result } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { Receiver } from "./PgTap.ts"
import { PgTap } from "./PgTap.ts"
import type { PgSocket } from "./PgWire.ts"
import type { ServerConnection } from "./ServerConnection.ts"

/**
 * Runs a statement and hands its rows over. Gives how many there were.
 *
 * @internal
 */
export const copy = (
  connection: ServerConnection,
  sql: string,
  parameters: ReadonlyArray<unknown>,
  receiver: Receiver
): Effect.Effect<number, SqlError> =>
  Effect.scoped(
    // Nobody else is to send on the connection while the tap is there.
    Effect.flatMap(connection.pg.pin, (pg) =>
      Effect.andThen(
        settle(pg, connection.socket),
        Effect.acquireUseRelease(
          Effect.sync(() => {
            const tap = new PgTap(connection.socket, preparation, receiver)
            connection.onCancel = tap.discard
            return tap
          }),
          (tap) =>
            Effect.flatMap(Effect.raceFirst(pg.query(sql, parameters, false), tap.stopped), (result) =>
              resultOf(tap, result)
            ),
          (tap) => {
            connection.onCancel = undefined
            tap.remove()
            const before = tap.prepared.slice(0, settings.length)
            return tap.inTransaction && settings.some(({ same }, index) => !same(before[index] ?? ""))
              ? Effect.asVoid(connection.within(restoreLimitMillis, pg.query(restoring, before, false)))
              : Effect.void
          }
        )
      )
    )
  )

/** Waits until no message is there in part: after one more answer it has come as a whole. */
const settle = (pg: PgConnection.PgConnection, socket: PgSocket): Effect.Effect<void, SqlError> =>
  Effect.suspend(() =>
    socket.atRest
      ? Effect.void
      : Effect.andThen(
          pg.query("", [], false),
          Effect.suspend(() => settle(pg, socket))
        )
  )

const resultOf = (tap: PgTap, { command, rowCount }: PgConnection.Result): Effect.Effect<number, SqlError> => {
  if (tap.lost) {
    const message = "The statement was cancelled while its rows were copied"
    const reason = new ConnectionError({ cause: new Error(message), message, operation: "query" })
    return Effect.fail(new SqlError({ reason }))
  }
  // A row that got lost in here would be missed by nobody.
  return tap.described && command === "SELECT" && rowCount !== tap.rows
    ? Effect.die(new Error(`The server sent ${rowCount} rows, of which ${tap.rows} were found`))
    : Effect.succeed(tap.rows)
}

/** As for a reset: a server that does not answer within this time is not going to. */
const restoreLimitMillis = 2_000

interface Setting {
  readonly name: string
  readonly value: string
  /** Whether values look the same with what was set before. */
  readonly same: (before: string) => boolean
}

/** As pg_dump sets them. From 1 on, floats are written in the shortest form that is read back as the same. */
const settings: ReadonlyArray<Setting> = [
  { name: "DateStyle", value: "ISO", same: (before) => before.startsWith("ISO") },
  { name: "IntervalStyle", value: "postgres", same: (before) => before === "postgres" },
  { name: "extra_float_digits", value: "3", same: (before) => Number(before) > 0 },
  { name: "bytea_output", value: "hex", same: (before) => before === "hex" },
  // A statement before may have set another, in which the bytes of a file would be no text at all.
  { name: "client_encoding", value: "UTF8", same: (before) => before === "UTF8" }
]

const list = (item: (setting: Setting, index: number) => string): string => settings.map(item).join(", ")

/** Gives what was set before: a subquery with an offset is not pulled up, and so is evaluated first. */
const preparing = `select was.*, ${list(({ name, value }) => `pg_catalog.set_config('${name}', '${value}', true)`)}
  from (select ${list(({ name }) => `pg_catalog.current_setting('${name}')`)} offset 0) was`

const restoring = `select ${list(({ name }, index) => `pg_catalog.set_config('${name}', $${index + 1}, true)`)}`

const preparation: Buffer = Buffer.concat([
  Result.getOrThrow(PgProtocol.encodeParse({ name: "", query: preparing, parameterTypes: [] })),
  Result.getOrThrow(PgProtocol.encodeBind({ portal: "", statement: "", parameters: [] })),
  PgProtocol.encodeExecute({ portal: "", maxRows: 0 })
])
