/**
 * One connection to the server, its sockets, and what the pool knows of it.
 *
 * @internal
 */
import { PgConnection } from "@effect/sql-pg"
import { Duration, Effect, Exit, Scope } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { Duplex } from "node:stream"
import type { CancelEnd } from "../query/QueryEvent.ts"
import type { PgCancel } from "./PgCancel.ts"
import type { Driver, PgStartup } from "./PgStartup.ts"
import type { Observed } from "./PgTextFilter.ts"
import type { PgSocket } from "./PgWire.ts"

/** Opens a socket to the server. Without `observed` it carries no messages that anybody would read. */
export type OpenSocket = (observed: Observed | undefined) => PgSocket

/**
 * A process of the server. Pids are used again, so the start belongs to its name.
 *
 * @internal
 */
export interface Backend {
  readonly pid: number
  /** Seconds since the epoch to the microsecond, as the server writes it: it depends on no setting of a session. */
  readonly startedAt: string
}

/**
 * A connection to the server, and what the pool knows of it.
 *
 * @internal
 */
export class ServerConnection {
  readonly pg: PgConnection.PgConnection
  readonly observed: Observed
  private readonly sockets: Sockets
  private readonly scope: Scope.Closeable
  private readonly cancel: PgCancel | undefined
  private readonly startup: PgStartup | undefined
  /** What serves the connection, unless the server does not tell. */
  backend: Backend | undefined
  /** Milliseconds of the clock after which it serves nobody any more. */
  expiresAt = Infinity
  idleSince = 0
  /** Why the connection must not serve another borrower. */
  retired: string | undefined
  /** How the last cancel that was sent for it ended. */
  cancelled: CancelEnd | undefined
  /** The server said that the cancel stopped the statement. */
  cancelHeeded = false
  /** It is about to be ended: what the driver drained is not to be used for the next statement. */
  aborting = false
  /** Goodbye was said, or is about to be. */
  leaving = false
  /** Called when a cancel is sent for it, whoever asked for that. */
  onCancel: (() => void) | undefined
  private cancelUnderWay: Effect.Effect<CancelEnd> | undefined

  constructor(
    pg: PgConnection.PgConnection,
    sockets: Sockets,
    scope: Scope.Closeable,
    options: { readonly cancel?: PgCancel | undefined; readonly startup?: PgStartup | undefined }
  ) {
    this.pg = pg
    this.observed = sockets.observed
    this.sockets = sockets
    this.scope = scope
    this.cancel = options.cancel
    this.startup = options.startup
    sockets.onCancel = () => {
      this.onCancel?.()
      this.watchCancel()
    }
  }

  /** The socket that the driver talks on. */
  get socket(): PgSocket {
    return this.sockets.main
  }

  get broken(): boolean {
    return !this.sockets.main.writable
  }

  /** A pooler makes up the pid that it gives for cancels. */
  get behindPooler(): boolean {
    return this.backend !== undefined && this.backend.pid !== this.pg.processId
  }

  /** A cancel was sent for it: `settleCancel` has something to wait for, or to tell. */
  get cancelSent(): boolean {
    return this.sockets.cancelSent
  }

  /** Why the connection has to go, if it has to. */
  reasonToGo(now: number): string | undefined {
    if (this.broken) return "broken"
    if (this.cancelSent) return "cancelled"
    return this.retired ?? (now >= this.expiresAt ? "expired" : undefined)
  }

  /** Shows what the server sends, before the driver gets it. Gives what ends that. */
  onBytes(f: (chunk: Buffer) => void): () => void {
    const { main } = this.sockets
    main.prependListener("data", f)
    return () => main.off("data", f)
  }

  onBroken(f: () => void): void {
    this.sockets.main.once("close", f)
  }

  /**
   * What has to be run after a `RESET ALL`, where the pool's settings are not in the startup message. Its failure means
   * that the session lacks them.
   */
  get settings(): Effect.Effect<void, SqlError> | undefined {
    return this.cancel?.shared === true ? undefined : this.startup?.apply(this.pg)
  }

  /**
   * Waits until the cancel that was sent last has ended; undefined if none was sent. Takes at most the grace, 100 ms
   * and, where a backend has to be terminated, one more second. To be run before the connection's slot is given to
   * another; `close` does so by itself. Whoever waits may be interrupted, the cancel goes on.
   */
  readonly settleCancel: Effect.Effect<CancelEnd | undefined> = Effect.suspend(
    () => this.cancelUnderWay ?? Effect.succeed(this.cancelled)
  )

  /**
   * Stops what runs on the connection, whoever it is lent to, and then the connection: its statement fails, and so does
   * every later one. In the bounds of `settleCancel`.
   */
  readonly abort: Effect.Effect<CancelEnd> = Effect.suspend(() => {
    this.retired = "aborted"
    this.aborting = true
    const end = this.watchCancel() ?? Effect.succeed<CancelEnd>({ how: "unconfirmed", tookMillis: 0 })
    this.cancelAgain()
    // A watch that began before may end without it.
    return Effect.tap(end, () => Effect.sync(() => this.destroy()))
  })

  private watchCancel(): Effect.Effect<CancelEnd> | undefined {
    if (this.cancelUnderWay !== undefined || this.cancel === undefined) return this.cancelUnderWay
    let over = false
    const end = this.cancel.watch(this, this.sockets.main, (result) => {
      over = true
      this.cancelled = result
      this.cancelUnderWay = undefined
    })
    // On a connection that is broken already there is nothing to wait for.
    if (!over) this.cancelUnderWay = end
    return end
  }

  /** Sends another CancelRequest. */
  cancelAgain(): void {
    this.cancel?.fork(this.pg.interrupt)
  }

  /** How many CancelRequests the server has not taken yet. */
  get cancelRequests(): number {
    return this.sockets.sides.size
  }

  onCancelRequestsTaken(f: () => void): void {
    this.sockets.onSidesClosed = f
  }

  /** Hangs up. The driver waits for the ends of both the connection and its CancelRequests. */
  destroy(): void {
    this.sockets.main.destroy()
    for (const side of this.sockets.sides) side.destroy()
  }

  /** Runs an effect on the connection; if it takes longer, the connection is destroyed, which ends the effect. */
  within<A, E, R>(limitMillis: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => setTimeout(() => this.sockets.main.destroy(), limitMillis)),
      () => effect,
      (timer) => Effect.sync(() => clearTimeout(timer))
    )
  }

  /** What serves the connection now, unless the server refuses to tell. Fails when the connection breaks. */
  readonly readBackend: Effect.Effect<Backend | undefined, SqlError> = Effect.suspend(() =>
    Effect.matchEffect(this.pg.query(backendStatement, [], false), {
      onSuccess: ({ rows: [row] }) =>
        Effect.succeed(
          row === undefined ? undefined : { pid: Number(row["pid"]), startedAt: String(row["started_at"]) }
        ),
      onFailure: (error) => (this.broken ? Effect.fail(asOfConnect(error)) : Effect.undefined)
    })
  )

  /**
   * Reads what serves the connection and gives it the pool's settings. Fails when the connection breaks; what the
   * server refuses to tell is not known then. An interruption destroys the connection rather than cancel the statement.
   */
  readonly introduce: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    this.sockets.destroyInsteadOfCancel = true
    const identity = Effect.map(this.readBackend, (backend) => {
      this.backend = backend
    })
    const admitted = Effect.suspend(() => this.cancel?.admit(this) ?? Effect.void)
    const settings = Effect.suspend(() => Effect.ignore(this.settings ?? Effect.void))
    const limitMillis = Duration.toMillis(this.pg.config.connectTimeout ?? defaultConnectTimeout)
    return Effect.andThen(
      this.within(limitMillis, identity.pipe(Effect.andThen(admitted), Effect.andThen(settings))),
      Effect.suspend(() => {
        this.sockets.destroyInsteadOfCancel = false
        // Between two statements nobody is told of it.
        return this.broken ? Effect.fail(asOfConnect(undefined)) : Effect.void
      })
    )
  })

  /** Says goodbye, and waits until the server has closed its end too. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const socket = this.sockets.main
    const closed = Effect.callback<void>((resume) => {
      // Looked at only now: it may have closed while the scope did, and would not say so again.
      if (socket.closed) return resume(Effect.void)
      const done = (): void => resume(Effect.void)
      socket.once("close", done)
      // Read on to the end: a socket that is not read never learns that the other side has closed.
      socket.resume()
      return Effect.sync(() => socket.off("close", done))
    })
    const goodbye = Effect.suspend(() => {
      this.leaving = true
      return Scope.close(this.scope, Exit.void)
    })
    return this.settleCancel.pipe(
      Effect.andThen(goodbye),
      Effect.andThen(Effect.timeoutOption(Effect.interruptible(closed), closeTimeout)),
      Effect.andThen(Effect.sync(() => socket.destroy()))
    )
  })
}

/** A server that does not answer a goodbye within this time is not waited for any longer. */
const closeTimeout = Duration.seconds(2)

/** The driver's own. */
const defaultConnectTimeout = Duration.seconds(5)

const backendStatement = `select pid, extract(epoch from backend_start)::text as started_at
  from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())`

const asOfConnect = (error: SqlError | undefined): SqlError => {
  const cause = error?.reason.cause ?? new Error("The connection was lost right after it was established")
  const message = error?.reason.message
  return new SqlError({ reason: new ConnectionError({ cause, message, operation: "connect" }) })
}

/** The sockets of one connection: the driver asks for the first to talk, and for each later one to send a cancel. */
class Sockets {
  readonly observed: Observed = { session: undefined }
  readonly sides = new Set<Duplex>()
  cancelSent = false
  destroyInsteadOfCancel = false
  onCancel: (() => void) | undefined
  onSidesClosed: (() => void) | undefined
  private first: PgSocket | undefined
  private readonly openSocket: OpenSocket

  constructor(openSocket: OpenSocket) {
    this.openSocket = openSocket
  }

  get opened(): boolean {
    return this.first !== undefined
  }

  get main(): PgSocket {
    this.first ??= this.openSocket(this.observed)
    return this.first
  }

  readonly next = (): Duplex => {
    if (this.first === undefined) return this.main
    if (this.destroyInsteadOfCancel) {
      this.first.destroy()
      // The driver takes it for a CancelRequest that could not be sent.
      throw new Error("The connection is not established yet")
    }
    this.cancelSent = true
    const side = this.openSocket(undefined)
    this.sides.add(side)
    side.once("close", () => {
      this.sides.delete(side)
      if (this.sides.size === 0) this.onSidesClosed?.()
    })
    this.onCancel?.()
    return side
  }
}

interface Options {
  /** What the driver connects with, but for the socket. Not looked at where `startup` or `cancel` is given. */
  readonly driver: Driver
  readonly openSocket: OpenSocket
  readonly restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Stops what is interrupted, and has the settings of the pool's sessions. */
  readonly cancel?: PgCancel | undefined
  /** Those settings, for a connection whose statements are not cancelled. */
  readonly startup?: PgStartup | undefined
  /** What is different for this connection. */
  readonly differs?: Partial<Driver> | undefined
}

/**
 * Opens a connection. `restore` makes the part that waits for the server interruptible.
 *
 * @internal
 */
export const connect = (options: Options): Effect.Effect<ServerConnection, SqlError> =>
  Effect.suspend(() => {
    const startup = options.startup ?? options.cancel?.startup
    if (startup === undefined) return open(options, options.driver, undefined)
    const { driver } = startup
    return Effect.catch(open(options, { ...driver, ...options.differs }, startup), (error) => {
      const instead = startup.insteadAfter(error, driver)
      return instead === undefined
        ? Effect.fail(error)
        : open(options, { ...instead, ...options.differs }, startup, () => startup.leaveOut())
    })
  })

const open = (
  options: Options,
  driver: Driver,
  startup: PgStartup | undefined,
  onOpen?: () => void
): Effect.Effect<ServerConnection, SqlError> =>
  Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    const sockets = new Sockets(options.openSocket)
    const made = Effect.flatMap(Scope.provide(PgConnection.make({ ...driver, stream: sockets.next }), scope), (pg) => {
      onOpen?.()
      const connection = new ServerConnection(pg, sockets, scope, { cancel: options.cancel, startup })
      return startup === undefined ? Effect.succeed(connection) : Effect.as(connection.introduce, connection)
    })
    return options.restore(made).pipe(
      Effect.onExit((exit) => {
        if (Exit.isSuccess(exit)) return Effect.void
        // The driver loses a connection that was established just before an interruption.
        return Effect.ensuring(
          Scope.close(scope, exit),
          Effect.sync(() => {
            if (sockets.opened) sockets.main.destroy()
          })
        )
      })
    )
  })
