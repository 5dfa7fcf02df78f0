/**
 * The pool's connections: at most `maxConnections`, each lent to one borrower at a time.
 *
 * - Nothing connects before it is asked for. A borrower takes a slot, in the order of asking, and then the connection
 *   that was idle for the shortest time, or opens one. There are never more connections than slots: a slot is given
 *   back only after a connection that has to go is closed, which is when the server has let go of it too.
 * - A connection goes when it broke, when a cancel was sent for it (a late cancel must hit nobody), when its session
 *   cannot be cleaned, and after its time to live, so that a server's restart or a moved address is noticed.
 * - Idle connections are closed after `idleTimeout`.
 *
 * effect/Pool is not used because it opens the replacement of a connection while the old one is still leased, and its
 * waiting list and statistics cannot be shared by two lanes.
 *
 * @internal
 */
import type { PgConnection } from "@effect/sql-pg"
import type { Scope } from "effect"
import { Clock, Duration, Effect, Exit, Random } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { Duplex } from "node:stream"
import { Slots } from "../internal/Slots.ts"
import type { TransactionKey } from "./PgSession.ts"
import { PgSession } from "./PgSession.ts"
import type { Observed } from "./PgTextFilter.ts"
import type { ServerConnection } from "./ServerConnection.ts"
import { connect } from "./ServerConnection.ts"

/** @internal */
export interface Config {
  readonly maxConnections: number
  readonly minConnections: number
  readonly idleTimeout: Duration.Duration
  readonly connectionTTL: Duration.Duration
  /** What the driver connects with, but for the socket. */
  readonly driver: Omit<PgConnection.Config, "stream">
  /** Opens a socket to the server. Without `observed` it carries no messages that anybody would read. */
  readonly openSocket: (observed: Observed | undefined) => Duplex
  /** Where effect/sql keeps the transaction that a fiber is in. */
  readonly transaction: TransactionKey
  /** Reset each session, whatever its statements looked like. */
  readonly alwaysReset: boolean
}

const closedError = (): SqlError => {
  const message = "The pool is closed"
  return new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "connect" }) })
}

/** What throws instead of giving an effect must not keep the connection. */
const effectOf = <A, E, R>(f: (session: PgSession) => Effect.Effect<A, E, R>, session: PgSession) => {
  try {
    return f(session)
  } catch (defect) {
    return Effect.die(defect)
  }
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** @internal */
export interface PgConnections {
  /** Lends a session to one effect, in the name of a query. */
  readonly use: <A, E, R>(
    query: string,
    f: (session: PgSession) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SqlError, R>
  /** Lends a session until the scope closes. */
  readonly lease: (query: string) => Effect.Effect<PgSession, SqlError, Scope.Scope>
}

/** @internal */
export const make = Effect.fnUntraced(function* (config: Config): Effect.fn.Return<PgConnections, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const poolScope = yield* Effect.scope
  const slots = new Slots(config.maxConnections)
  const idle: Array<ServerConnection> = []
  const ttlMillis = Duration.toMillis(config.connectionTTL)
  const idleMillis = Duration.toMillis(config.idleTimeout)
  let closing = false
  let reaping = false

  const drop = (connection: ServerConnection): void => {
    const index = idle.indexOf(connection)
    if (index >= 0) idle.splice(index, 1)
  }

  const open = (restore: Restore): Effect.Effect<ServerConnection, SqlError> =>
    Effect.map(connect({ driver: config.driver, openSocket: config.openSocket, restore }), (connection) => {
      // Connections that were opened together do not expire together: each lives 90 to 100 % of the time.
      const lifeMillis = ttlMillis * (1 - 0.1 * random.nextDoubleUnsafe())
      connection.expiresAt = clock.currentTimeMillisUnsafe() + lifeMillis
      connection.onBroken(() => drop(connection))
      return connection
    })

  /** How long the connection that is idle the longest may go on, if there is one too many. */
  const dueMillis = (): number | undefined => {
    const oldest = idle.length > config.minConnections ? idle[0] : undefined
    return oldest === undefined ? undefined : oldest.idleSince + idleMillis - clock.currentTimeMillisUnsafe()
  }

  /** In a slot: a connection that is on its way out is still there, and another must not be opened in its place. */
  const closeOldest = Effect.uninterruptibleMask((restore) =>
    Effect.andThen(
      slots.take(restore),
      Effect.suspend(() => {
        const due = dueMillis()
        const oldest = due === undefined || due > 0 ? undefined : idle.shift()
        return Effect.andThen(
          oldest?.close ?? Effect.void,
          Effect.sync(() => slots.give())
        )
      })
    )
  )

  /** Closes what has been idle for too long, for as long as anything is idle. */
  const reap = Effect.gen(function* () {
    for (let due = dueMillis(); due !== undefined; due = dueMillis()) {
      yield* due > 0 ? Effect.sleep(due) : closeOldest
    }
    // In one step with the look that found nothing: what comes back from now on starts this again.
    reaping = false
  })
  const startReaping = Effect.suspend(() => {
    if (reaping || closing) return Effect.void
    reaping = true
    return Effect.forkIn(reap, poolScope)
  })

  /** Takes a connection back with its slot; gives what is left to do for that, if anything. */
  const giveBack = (connection: ServerConnection): Effect.Effect<void> | undefined => {
    const now = clock.currentTimeMillisUnsafe()
    connection.observed.session = undefined
    if (closing || connection.reasonToGo(now) !== undefined) {
      return Effect.andThen(
        connection.close,
        Effect.sync(() => slots.give())
      )
    }
    connection.idleSince = now
    idle.push(connection)
    slots.give()
    return reaping || idle.length <= config.minConnections ? undefined : startReaping
  }

  /** The connection that was idle for the shortest time, if it can serve at once. */
  const takeIdle = (): ServerConnection | undefined => {
    const latest = idle.at(-1)
    if (latest === undefined || latest.reasonToGo(clock.currentTimeMillisUnsafe()) !== undefined) return undefined
    return idle.pop()
  }

  /** A connection for one who holds a slot; the slot goes back when there is none to be had. */
  const connectionFor = (restore: Restore): Effect.Effect<ServerConnection, SqlError> =>
    Effect.onExitPrimitive(
      Effect.suspend(() => {
        if (closing) return Effect.fail(closedError())
        const connection = takeIdle()
        if (connection !== undefined) return Effect.succeed(connection)
        // One that is idle all the same has to go, and to be gone before another takes its place.
        const unfit = idle.pop()
        return unfit === undefined ? open(restore) : Effect.andThen(unfit.close, open(restore))
      }),
      (exit) => {
        if (Exit.isFailure(exit)) slots.give()
        return undefined
      }
    )

  const finish = (session: PgSession): Effect.Effect<void> | undefined => {
    const { connection } = session
    const rest = session.end(config.alwaysReset)
    return rest === undefined
      ? giveBack(connection)
      : Effect.andThen(
          rest,
          Effect.suspend(() => giveBack(connection) ?? Effect.void)
        )
  }

  const serve = <A, E, R>(
    connection: ServerConnection,
    query: string,
    f: (session: PgSession) => Effect.Effect<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E, R> => {
    const session = new PgSession(query, connection, config.transaction)
    return Effect.onExitPrimitive(restore(effectOf(f, session)), () => finish(session))
  }

  const use: PgConnections["use"] = (query, f) =>
    Effect.uninterruptibleMask((restore) => {
      // The end of the pool takes every slot and gives none back: who came later would wait for ever.
      if (closing) return Effect.fail(closedError())
      const lend = (connection: ServerConnection) => serve(connection, query, f, restore)
      if (!slots.tryTake()) {
        return Effect.flatMap(slots.take(restore), () => Effect.flatMap(connectionFor(restore), lend))
      }
      // The fast path: a slot was free and a connection is idle.
      const connection = takeIdle()
      return connection === undefined ? Effect.flatMap(connectionFor(restore), lend) : lend(connection)
    })

  const lease: PgConnections["lease"] = (query) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.acquireRelease(
        Effect.andThen(closing ? Effect.fail(closedError()) : slots.take(restore), () =>
          Effect.map(connectionFor(restore), (connection) => new PgSession(query, connection, config.transaction))
        ),
        (session) => Effect.suspend(() => finish(session) ?? Effect.void)
      )
    )

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      closing = true
      yield* Effect.forEach(idle.splice(0), (connection) => connection.close, { concurrency: "unbounded" })
      for (let taken = 0; taken < slots.size; taken++) yield* slots.take((effect) => effect)
    })
  )

  return { use, lease }
})
