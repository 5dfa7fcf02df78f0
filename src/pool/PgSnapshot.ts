/**
 * Snapshots: one moment of the database, seen by many sessions (manual, "Snapshot Synchronization Functions").
 *
 * A leader, on a connection of its own beside the pool's, opens a transaction and exports what it sees; a session joins
 * that before its first statement.
 *
 *     leader   BEGIN, export ------------------- held ------------------ goodbye
 *     session         BEGIN, join, statements, COMMIT    BEGIN, join, … , COMMIT
 *
 * - Leader and sessions are read-only transactions of the level repeatable read; nothing can be written in one.
 * - The server lets nobody join once the leader's transaction is over. Who has joined keeps the moment. So a lost leader
 *   makes later sessions fail, and never shows them another moment.
 * - A name of a snapshot is only the leader's place among the server's processes and a count, which a restarted server
 *   gives out again. So a session that has joined compares what it sees with what the leader saw.
 * - The leader's timeouts are off: it does nothing for as long as the run takes. It keeps vacuum from removing what was
 *   deleted since, so one that is held for too long is said in the log.
 * - Through a pooler that gives sessions out by the transaction, the leader's settings would stay with a server
 *   connection that others get next: refused, as soon as that is noticed.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Duration, Effect, Exit, Predicate } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { SnapshotLost } from "../query/QueryError.ts"
import type { Snapshot } from "../query/RunSnapshot.ts"
import { refusal, rejection } from "./PgRefusal.ts"
import type { ServerConnection } from "./ServerConnection.ts"

/**
 * What a session that is to see a snapshot begins with.
 *
 * @internal
 */
export const beginReading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

/** Whatever would end a transaction that does nothing. Which of them there are depends on the server's version. */
const timeouts = [
  "idle_in_transaction_session_timeout",
  "idle_session_timeout",
  "statement_timeout",
  "transaction_timeout"
]

const withoutTimeouts = `select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings where name = any ($1)`

const exportSnapshot = `select pg_catalog.pg_export_snapshot() as id, pg_catalog.pg_current_snapshot()::text as seen,
    pg_catalog.pg_postmaster_start_time()::text as server`

const compare = `select pg_catalog.pg_current_snapshot()::text as seen, pg_catalog.pg_postmaster_start_time()::text as server`

/** @internal */
export class PgSnapshot implements Snapshot {
  readonly id: string
  /** What the leader saw, by the ids of transactions, and on which start of the server. */
  private readonly seen: string
  private readonly server: string
  private readonly leader: ServerConnection

  constructor(
    leader: ServerConnection,
    found: { readonly id: string; readonly seen: string; readonly server: string }
  ) {
    this.leader = leader
    this.id = found.id
    this.seen = found.seen
    this.server = found.server
  }

  /** Makes a session see it, whose transaction has just begun. */
  join(connection: ServerConnection): Effect.Effect<void, SqlError> {
    const { pg } = connection
    return Effect.suspend(() => {
      if (this.leader.broken) return Effect.fail(lost("the connection that held it is gone"))
      const joined = Effect.mapError(pg.query(`SET TRANSACTION SNAPSHOT '${this.id}'`, [], false), (error) =>
        isUnknownSnapshot(error) ? lost("the server does not know it any more") : error
      )
      return Effect.flatMap(Effect.andThen(joined, pg.query(compare, [])), ({ rows: [row] }) =>
        row?.["seen"] === this.seen && row["server"] === this.server
          ? Effect.void
          : Effect.fail(lost("another one has its name now"))
      )
    })
  }
}

const lost = (why: string): SqlError =>
  refusal(new SnapshotLost({ message: `the snapshot of the run is lost: ${why}` }))

/**
 * The server answers so to a name that is no snapshot's: "invalid snapshot identifier", "does not exist", and "the
 * source process is not running anymore" in the moment of its end.
 */
const unknownSnapshot = new Set(["22023", "42704", "55000"])

const isUnknownSnapshot = ({ reason: { cause } }: SqlError): boolean =>
  Predicate.hasProperty(cause, "code") && unknownSnapshot.has(String(cause.code))

/** @internal */
export interface Options {
  readonly connect: (
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<ServerConnection, SqlError>
  /** Whether a pooler gives sessions out by the transaction. */
  readonly shared: () => boolean
  readonly allowStandby: boolean
  readonly onLost: () => void
  /** After how long one that is still held is said in the log. */
  readonly threshold: Duration.Duration
}

/**
 * Takes a snapshot and holds it until the scope closes.
 *
 * @internal
 */
export const take = (options: Options): Effect.Effect<PgSnapshot, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const leader = yield* options.connect(restore)
      const snapshot = yield* Effect.onExit(restore(exportFrom(leader, options)), (exit) =>
        Exit.isSuccess(exit) ? Effect.void : leader.close
      )
      let isOver = false
      leader.onBroken(() => {
        if (!isOver) options.onLost()
      })
      yield* Effect.addFinalizer(() => {
        isOver = true
        return leader.close
      })
      const { threshold } = options
      if (Duration.isFinite(threshold)) {
        yield* Effect.forkScoped(Effect.andThen(Effect.sleep(threshold), Effect.logWarning(heldFor(threshold))))
      }
      return snapshot
    })
  )

const heldFor = (threshold: Duration.Duration): string =>
  `A snapshot has been held for ${Duration.format(threshold)}. Until its run ends, vacuum removes nothing that was ` +
  `deleted or replaced since, in any table of the server`

const exportFrom = Effect.fnUntraced(function* (
  leader: ServerConnection,
  { allowStandby, shared }: Options
): Effect.fn.Return<PgSnapshot, SqlError> {
  const { pg } = leader
  if (shared()) {
    return yield* rejection(
      "a pooler between this pool and the server gives sessions out by the transaction, so no session can hold a snapshot",
      "use the pooler's session mode, or connect to the server itself"
    )
  }
  const [recovering] = yield* pg.queryValues("select pg_catalog.pg_is_in_recovery()", [])
  if (recovering?.[0] !== false && recovering?.[0] !== "f" && !allowStandby) {
    return yield* rejection(
      "the server is a standby: a snapshot on it holds back its replay, or is cancelled by it",
      "run it on the primary, or allow it by `snapshot: { allowStandby: true }`"
    )
  }
  yield* pg.query(withoutTimeouts, [timeouts], false)
  yield* pg.query(beginReading, [], false)
  const {
    rows: [row]
  } = yield* pg.query(exportSnapshot, [], false)
  return new PgSnapshot(leader, {
    id: String(row?.["id"]),
    seen: String(row?.["seen"]),
    server: String(row?.["server"])
  })
})
