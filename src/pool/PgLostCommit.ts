/**
 * What became of a transaction whose COMMIT was sent and not answered.
 *
 * Asked on a connection of its own, outside of the pool: such a moment is rare, and the pool may be full of the same.
 *
 *     in progress --> its backend is terminated, and asked about again
 *     committed, aborted: known
 *     too old, another timeline, nobody to ask within five seconds: unknown
 *
 * A server that was promoted in the meantime may never have seen the transaction and may have given its id to another,
 * so an answer counts on the same timeline only (PostgreSQL's manual, "Timelines").
 *
 * @internal
 */
import { Clock, Effect, Predicate } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ServerConnection } from "./ServerConnection.ts"

/**
 * A transaction, as it can be asked about later.
 *
 * @internal
 */
export interface TransactionId {
  readonly xid: string
  readonly timeline: string
}

/** @internal */
export type Fate = "committed" | "aborted" | "unknown"

const timeline = "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"

/**
 * Gives one row of xid and timeline; an xid of null for a transaction that has written nothing.
 *
 * @internal
 */
export const readId = `select pg_catalog.pg_current_xact_id_if_assigned()::text, ${timeline}`

const readFate = `select pg_catalog.pg_xact_status($1::text::xid8), ${timeline}`

const terminate = `select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_get_activity($1::int4)
  where extract(epoch from backend_start)::text = $2`

/** A server that restarts is back by then, or it takes longer than anybody waits for a commit. */
const limitMillis = 5_000
const firstGapMillis = 10

/** @internal */
export const fateOf = Effect.fnUntraced(function* (
  id: TransactionId,
  lost: ServerConnection,
  options: {
    readonly connect: Effect.Effect<ServerConnection, SqlError>
    /** A pooler lends backends to others too, so that none may be terminated. */
    readonly shared: () => boolean
  }
): Effect.fn.Return<Fate> {
  const clock = yield* Clock.Clock
  const deadline = clock.currentTimeMillisUnsafe() + limitMillis

  const ask = Effect.acquireUseRelease(
    options.connect,
    ({ pg }) =>
      Effect.gen(function* () {
        const [row] = yield* pg.queryValues(readFate, [id.xid], false)
        if (row?.[1] !== id.timeline) return "unknown"
        const { backend } = lost
        if (row[0] === "in progress" && backend !== undefined && !options.shared()) {
          yield* pg.query(terminate, [backend.pid, backend.startedAt], false)
        }
        return Predicate.isString(row[0]) ? row[0] : "unknown"
      }),
    (connection) => connection.close
  )

  for (let gap = firstGapMillis; clock.currentTimeMillisUnsafe() < deadline; gap *= 2) {
    const left = deadline - clock.currentTimeMillisUnsafe()
    const status = yield* Effect.timeoutOrElse(
      Effect.orElseSucceed(ask, () => "unreachable"),
      { duration: left, orElse: () => Effect.succeed("unreachable") }
    )
    if (status === "committed" || status === "aborted") return status
    if (status === "unknown") return "unknown"
    yield* Effect.sleep(Math.min(gap, left))
  }
  return "unknown"
})
