/**
 * The end of a unit whose session may have something left behind: what undoes it, in one round trip or two.
 *
 * What fails, or takes too long, retires the connection.
 *
 * @internal
 */
import { Effect } from "effect"
import { untune } from "./PgTuning.ts"
import type { ServerConnection } from "./ServerConnection.ts"

/**
 * Undoes in one round trip what a unit may have left behind, and keeps the driver's prepared statements, which
 * DISCARD ALL would drop (0.25 ms; seven statements of their own: 0.56 ms).
 */
const resetSession = `DO $querypool$ declare prepared record; begin
  set session authorization default;
  reset role;
  reset all;
  execute 'close all';
  execute 'unlisten *';
  perform pg_catalog.pg_advisory_unlock_all();
  execute 'discard temp';
  execute 'discard sequences';
  for prepared in select name from pg_catalog.pg_prepared_statements where from_sql loop
    execute pg_catalog.format('deallocate %I', prepared.name);
  end loop;
end $querypool$`

/** A server that does not answer a reset (0.25 ms) within this time is not going to. */
const resetLimitMillis = 2_000

/** @internal */
export const reset = (
  connection: ServerConnection,
  /** Whether there is a transaction to roll back, and whether anything else is to be undone. */
  left: { readonly transaction: boolean; readonly state: boolean }
): Effect.Effect<void> => {
  const rollback = connection.pg.query("ROLLBACK", [], false)
  const undo = Effect.andThen(
    connection.pg.query(resetSession, [], false),
    Effect.suspend(() => connection.settings ?? Effect.void)
  )
  // A rollback undoes a transaction's own settings, so that there may be nothing left to reset.
  const steps = !left.transaction ? undo : left.state ? Effect.andThen(rollback, undo) : rollback
  untune(connection)
  return Effect.ignore(
    Effect.tapCause(connection.within(resetLimitMillis, steps), () =>
      Effect.sync(() => {
        connection.retired = "reset failed"
      })
    )
  )
}
