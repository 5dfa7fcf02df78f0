/**
 * The pool's connections: at most `maxConnections`, each lent to one borrower at a time.
 *
 * - Nothing connects before it is asked for. A borrower takes a slot, in the order of asking, and then the connection
 *   that was idle for the shortest time, or opens one. There are never more connections than slots: a slot is given
 *   back only after a connection that has to go is closed, which is when the server has let go of it too.
 * - A connection goes when it broke, when a cancel was sent for it (a late cancel must hit nobody), when its session
 *   cannot be cleaned, and after its time to live, so that a server's restart or a moved address is noticed.
 * - Idle connections are closed after `idleTimeout`.
 * - Who waits longer than it may is told so, and so is at once who finds the queue full.
 * - A session that is held for longer than `leakThreshold` is logged once.
 * - The end of the pool refuses new borrowers and waits for those it has, for `drainTimeout`; then it aborts them.
 *
 * effect/Pool is not used because it opens the replacement of a connection while the old one is still leased, and its
 * waiting list and statistics cannot be shared by two lanes.
 *
 * @internal
 */
import type { PgConnection } from "@effect/sql-pg"
import type { Scope } from "effect"
import { Clock, Duration, Effect, Exit, Option, Random } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { Slots } from "../internal/Slots.ts"
import { QueueFull } from "../query/QueryError.ts"
import type { Limit, Terms } from "../query/QueryPool.ts"
import { refusal } from "./PgRefusal.ts"
import * as PgCancel from "./PgCancel.ts"
import * as PgLeaks from "./PgLeaks.ts"
import type { QueryName, TransactionKey } from "./PgSession.ts"
import type { Tags } from "./PgTags.ts"
import { PgSession } from "./PgSession.ts"
import type { LookUp } from "./PgSqlClient.ts"
import type { Statistics } from "./PgStatistics.ts"
import { fateOf } from "./PgLostCommit.ts"
import * as PgPipeline from "./PgPipeline.ts"
import { PgStatistics } from "./PgStatistics.ts"
import { tune } from "./PgTuning.ts"
import type { OpenSocket, ServerConnection } from "./ServerConnection.ts"
import { connect } from "./ServerConnection.ts"

/** @internal */
export interface Config {
  readonly maxConnections: number
  readonly minConnections: number
  readonly idleTimeout: Duration.Duration
  readonly connectionTTL: Duration.Duration
  /** What the driver connects with, but for the socket. */
  readonly driver: Omit<PgConnection.Config, "stream">
  readonly openSocket: OpenSocket
  /** Where effect/sql keeps the transaction that a fiber is in. */
  readonly transaction: TransactionKey
  /** What stands behind each statement of a query, if anything. */
  readonly tags?: Tags | undefined
  /** Reset each session, whatever its statements looked like. */
  readonly alwaysReset: boolean
  /** How many may wait for a slot. */
  readonly queueLimit: number
  readonly leakThreshold: Duration.Duration
  readonly drainTimeout: Duration.Duration
  readonly cancelGrace: Duration.Duration
  readonly idleInTransactionTimeout: Duration.Duration
  readonly pipelined: {
    /** How many of the connections it may have at most. */
    readonly connections: number
    /** How long the server lets one of its statements take. */
    readonly statementTimeout: Duration.Duration
    readonly transformRows: PgPipeline.Config["transformRows"]
  }
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

/** How long a borrower may wait and use what it gets. */
type Limits = Pick<Terms, "queue" | "running">

/** @internal */
export interface PgConnections {
  /** Lends a session to one effect, in the name of a query. */
  readonly use: <A, E, R>(
    query: QueryName,
    f: (session: PgSession) => Effect.Effect<A, E, R>,
    limits?: Limits | undefined
  ) => Effect.Effect<A, E | SqlError, R>
  /** Lends a session until the scope closes. */
  readonly lease: (query: QueryName) => Effect.Effect<PgSession, SqlError, Scope.Scope>
  /** The lane of single statements that share connections; those that only read have one of their own. */
  readonly pipeline: (readOnly: boolean) => PgPipeline.PgPipeline
  /** What it does and has done, at this moment. */
  readonly now: () => Statistics
  readonly counts: PgStatistics
  readonly lookUp: LookUp
  /** Opens a connection beside the pool's, of which `purpose` is said in its name, and notices a pooler. */
  readonly beside: (purpose: string, restore: Restore) => Effect.Effect<ServerConnection, SqlError>
  /** Whether a pooler gives sessions out by the transaction. */
  readonly shared: () => boolean
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

  const cancel = yield* PgCancel.make({
    driver: config.driver,
    openSocket: config.openSocket,
    cancelGrace: config.cancelGrace,
    idleInTransactionTimeout: config.idleInTransactionTimeout
  })
  const counts = new PgStatistics()
  const lent = new Set<PgSession>()
  const watch = yield* PgLeaks.make(lent, config.leakThreshold)

  const drop = (connection: ServerConnection): void => {
    const index = idle.indexOf(connection)
    if (index < 0) return
    idle.splice(index, 1)
    counts.retired("broken")
  }

  const close = (connection: ServerConnection, why: string): Effect.Effect<void> => {
    counts.retired(why)
    return connection.close
  }

  const open = (restore: Restore, differs?: Partial<Config["driver"]>): Effect.Effect<ServerConnection, SqlError> => {
    const since = clock.currentTimeMillisUnsafe()
    return Effect.map(
      connect({ driver: config.driver, openSocket: config.openSocket, cancel, differs, restore }),
      (connection) => {
        counts.creates.add((clock.currentTimeMillisUnsafe() - since) / 1000)
        // Connections that were opened together do not expire together: each lives 90 to 100 % of the time.
        const lifeMillis = ttlMillis * (1 - 0.1 * random.nextDoubleUnsafe())
        connection.expiresAt = clock.currentTimeMillisUnsafe() + lifeMillis
        connection.onBroken(() => drop(connection))
        counts.opened++
        return connection
      }
    )
  }

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
          oldest === undefined ? Effect.void : close(oldest, "idle"),
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
  const giveBack = ({ connection, since }: PgSession): Effect.Effect<void> | undefined => {
    const now = clock.currentTimeMillisUnsafe()
    counts.uses.add((now - since) / 1000)
    connection.observed.session = undefined
    const why = closing ? "pool closed" : connection.reasonToGo(now)
    if (why !== undefined) {
      return Effect.andThen(
        close(connection, why),
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
        if (unfit === undefined) return open(restore)
        return Effect.andThen(
          close(unfit, unfit.reasonToGo(clock.currentTimeMillisUnsafe()) ?? "broken"),
          open(restore)
        )
      }),
      (exit) => {
        if (Exit.isFailure(exit)) slots.give()
        return undefined
      }
    )

  const begin = (connection: ServerConnection, query: QueryName): PgSession => {
    const session = new PgSession(query, connection, config.transaction, clock.currentTimeMillisUnsafe())
    // A statement that belongs to no query has no name of its own.
    if (query.options !== undefined) session.tags = config.tags
    lent.add(session)
    if (!watch.running) watch.start()
    return session
  }

  const finish = (session: PgSession): Effect.Effect<void> | undefined => {
    const { connection } = session
    lent.delete(session)
    const rest = session.end(config.alwaysReset)
    if (rest === undefined && !connection.cancelSent) return giveBack(session)
    return Effect.gen(function* () {
      if (rest !== undefined) yield* rest
      const end = yield* connection.settleCancel
      if (connection.cancelHeeded) session.stopped()
      if (end !== undefined) {
        counts.cancelled(end)
        session.onCancelled?.(end)
      }
      yield* giveBack(session) ?? Effect.void
    })
  }

  const serve = <A, E, R>(
    connection: ServerConnection,
    query: QueryName,
    f: (session: PgSession) => Effect.Effect<A, E, R>,
    restore: Restore,
    limitMillis?: number | undefined
  ): Effect.Effect<A, E | SqlError, R> => {
    const session = begin(connection, query)
    const tuning = tune(connection, query.options?.mode === "readOnly", limitMillis)
    const body: Effect.Effect<A, E | SqlError, R> =
      tuning === undefined
        ? effectOf(f, session)
        : Effect.andThen(
            tuning,
            Effect.suspend(() => effectOf(f, session))
          )
    return Effect.onExitPrimitive(restore(body), () => finish(session))
  }

  /** Waits for a slot. The end of the pool takes every slot and gives none back: who came later would wait for ever. */
  const slot = (restore: Restore, queue?: Limit | undefined): Effect.Effect<void, SqlError> => {
    if (closing) return Effect.fail(closedError())
    if (slots.tryTake()) {
      counts.immediate++
      return Effect.void
    }
    if (slots.queue >= config.queueLimit) {
      counts.refused++
      return Effect.fail(refusal(new QueueFull({ limit: config.queueLimit })))
    }
    const since = clock.currentTimeMillisUnsafe()
    const patience =
      queue === undefined
        ? undefined
        : {
            millis: queue.millis,
            orElse: Effect.suspend(() => {
              counts.timedOut++
              return Effect.fail(refusal(queue.reason))
            })
          }
    return Effect.map(slots.take(restore, patience), () => counts.waited(clock.currentTimeMillisUnsafe() - since))
  }

  const use: PgConnections["use"] = (query, f, limits) =>
    Effect.uninterruptibleMask((restore) => {
      const lend = (connection: ServerConnection) => serve(connection, query, f, restore)
      if (limits === undefined && !closing && slots.tryTake()) {
        // The fast path: a slot was free and a connection is idle.
        counts.immediate++
        const connection = takeIdle()
        return connection === undefined ? Effect.flatMap(connectionFor(restore), lend) : lend(connection)
      }
      return Effect.flatMap(slot(restore, limits?.queue), () => {
        const limit = limits?.running?.()
        return limit === undefined ? Effect.flatMap(connectionFor(restore), lend) : within(limit, restore, query, f)
      })
    })

  /** In a slot: connects and runs, for so long and no longer. */
  const within = <A, E, R>(
    limit: Limit,
    restore: Restore,
    query: QueryName,
    f: (session: PgSession) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | SqlError, R> => {
    let begun = false
    const work = Effect.uninterruptibleMask((restoreWork) => {
      begun = true
      return Effect.flatMap(connectionFor(restoreWork), (connection) =>
        serve(connection, query, f, restoreWork, limit.millis)
      )
    })
    const limited = Effect.timeoutOrElse(work, {
      duration: Math.max(limit.millis, 0),
      orElse: () => Effect.fail(refusal(limit.reason))
    })
    return Effect.onExitPrimitive(restore(limited), () => {
      if (!begun) slots.give()
      return undefined
    })
  }

  const lease: PgConnections["lease"] = (query) =>
    Effect.tap(
      Effect.uninterruptibleMask((restore) =>
        Effect.acquireRelease(
          Effect.andThen(
            Effect.suspend(() => slot(restore)),
            Effect.suspend(() => Effect.map(connectionFor(restore), (connection) => begin(connection, query)))
          ),
          (session) => Effect.suspend(() => finish(session) ?? Effect.void)
        )
      ),
      ({ connection }) => tune(connection, query.options?.mode === "readOnly", undefined) ?? Effect.void
    )

  /** For one more connection, in a slot that was taken for it: an idle one of the other lane may have to go. */
  const makeRoom = Effect.suspend(() => {
    const oldest = slots.used + idle.length > config.maxConnections ? idle.shift() : undefined
    return oldest === undefined ? Effect.void : close(oldest, "slot wanted")
  })
  const statementTimeoutMillis = Math.ceil(Duration.toMillis(config.pipelined.statementTimeout))
  const pipelines = new Map<boolean, PgPipeline.PgPipeline>()
  const pipelinedConnections = () =>
    Array.from(pipelines.values(), ({ usage }) => usage.connections).reduce((sum, one) => sum + one, 0)
  for (const readOnly of [false, true]) {
    const settings = [
      `SET statement_timeout = ${Number.isFinite(statementTimeoutMillis) ? statementTimeoutMillis : 0}`,
      ...(readOnly ? ["SET default_transaction_read_only = on"] : [])
    ]
    const pipeline = yield* PgPipeline.make({
      slots,
      most: config.pipelined.connections,
      queueLimit: config.queueLimit,
      transformRows: config.pipelined.transformRows,
      tags: config.tags,
      idleMillis,
      close,
      holdsAll: () => pipelinedConnections() >= config.maxConnections,
      open: (restore) =>
        Effect.andThen(
          makeRoom,
          Effect.tap(open(restore, { multiplex: true }), (connection) =>
            Effect.onExit(
              restore(
                Effect.forEach(settings, (setting) => connection.pg.query(setting, [], false), { discard: true })
              ),
              (exit) => (Exit.isSuccess(exit) ? Effect.void : close(connection, "not set up"))
            )
          )
        )
    })
    pipelines.set(readOnly, pipeline)
  }
  slots.onWait = () => {
    for (const pipeline of pipelines.values()) pipeline.yieldSlot()
  }
  const pipeline = (readOnly: boolean): PgPipeline.PgPipeline => {
    const found = pipelines.get(readOnly)
    if (found === undefined) throw new Error("There is a lane for each")
    return found
  }

  const now = (): Statistics => {
    const usages = Array.from(pipelines.values(), ({ usage }) => usage)
    const sum = (of: (usage: PgPipeline.Usage) => number) => usages.reduce((total, usage) => total + of(usage), 0)
    return counts.snapshot({
      maxConnections: config.maxConnections,
      inUse: slots.used,
      idle: idle.length,
      waiting: slots.queue,
      pipelined: {
        connections: sum(({ connections }) => connections),
        inFlight: sum(({ inFlight }) => inFlight),
        waiting: sum(({ waiting }) => waiting)
      }
    })
  }

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      closing = true
      yield* Effect.forEach(idle.splice(0), (connection) => close(connection, "pool closed"), {
        concurrency: "unbounded"
      })
      let taken = 0
      const drained: Effect.Effect<void> = Effect.whileLoop({
        while: () => taken < slots.size,
        body: () => slots.take((effect) => effect),
        step: () => taken++
      })
      const lanes = [...pipelines.values()]
      const both = Effect.all([...lanes.map(({ drain }) => drain), drained], { concurrency: "unbounded" })
      const late = yield* Effect.interruptible(Effect.timeoutOption(both, config.drainTimeout))
      if (Option.isSome(late)) return
      yield* Effect.forEach(lanes, ({ abort }) => abort, { discard: true })
      yield* Effect.forEach(lent, ({ connection }) => connection.abort, { concurrency: "unbounded" })
      // Whoever still holds a session has no use for it any more; the pool does not wait for what else it does.
      yield* Effect.interruptible(Effect.timeoutOption(drained, abortedLimit))
    })
  )

  const applicationName = config.driver.applicationName ?? "querypool"
  const beside: PgConnections["beside"] = (purpose, restore) =>
    connect({
      driver: config.driver,
      openSocket: config.openSocket,
      cancel,
      // What is read on it is read as PostgreSQL's own types, whatever the pool's queries have for these.
      differs: { applicationName: `${applicationName} ${purpose}`, types: undefined },
      restore
    })

  const lookUp: LookUp = ({ connection }, id) =>
    fateOf(id, connection, {
      connect: connect({
        driver: config.driver,
        openSocket: config.openSocket,
        startup: cancel.startup,
        restore: (effect) => effect
      }),
      shared: () => cancel.shared
    })

  return { use, lease, pipeline, now, counts, lookUp, beside, shared: () => cancel.shared }
})

/** What an aborted borrower needs to notice that its connection is gone. */
const abortedLimit = Duration.seconds(1)
