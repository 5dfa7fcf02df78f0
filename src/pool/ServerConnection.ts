/**
 * One connection to the server, its sockets, and what the pool knows of it.
 *
 * @internal
 */
import { PgConnection } from "@effect/sql-pg"
import { Duration, Effect, Exit, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Duplex } from "node:stream"
import type { Observed } from "./PgTextFilter.ts"

/** Opens a socket to the server. Without `observed` it carries no messages that anybody would read. */
type OpenSocket = (observed: Observed | undefined) => Duplex

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
  /** Milliseconds of the clock after which it serves nobody any more. */
  expiresAt = Infinity
  idleSince = 0
  /** Why the connection must not serve another borrower. */
  retired: string | undefined

  constructor(pg: PgConnection.PgConnection, sockets: Sockets, scope: Scope.Closeable) {
    this.pg = pg
    this.observed = sockets.observed
    this.sockets = sockets
    this.scope = scope
  }

  get broken(): boolean {
    return this.sockets.main === undefined || this.sockets.main.destroyed || !this.sockets.main.writable
  }

  /** Why the connection has to go, if it has to. */
  reasonToGo(now: number): string | undefined {
    if (this.broken) return "broken"
    if (this.sockets.cancelSent) return "cancelled"
    return this.retired ?? (now >= this.expiresAt ? "expired" : undefined)
  }

  onBroken(f: () => void): void {
    this.sockets.main?.once("close", f)
  }

  /** Runs an effect on the connection; if it takes longer, the connection is destroyed, which ends the effect. */
  within<A, E, R>(limitMillis: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => setTimeout(() => this.sockets.main?.destroy(), limitMillis)),
      () => effect,
      (timer) => Effect.sync(() => clearTimeout(timer))
    )
  }

  /** Says goodbye, and waits until the server has closed its end too. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const socket = this.sockets.main
    const closed = Effect.callback<void>((resume) => {
      // Looked at only now: it may have closed while the scope did, and would not say so again.
      if (socket === undefined || socket.closed) return resume(Effect.void)
      const done = (): void => resume(Effect.void)
      socket.once("close", done)
      // Read on to the end: a socket that is not read never learns that the other side has closed.
      socket.resume()
      return Effect.sync(() => socket.off("close", done))
    })
    return Scope.close(this.scope, Exit.void).pipe(
      Effect.andThen(Effect.timeoutOption(Effect.interruptible(closed), closeTimeout)),
      Effect.andThen(Effect.sync(() => socket?.destroy()))
    )
  })
}

/** A server that does not answer a goodbye within this time is not waited for any longer. */
const closeTimeout = Duration.seconds(2)

/** The sockets of one connection: the driver asks for the first to talk, and for each later one to send a cancel. */
class Sockets {
  readonly observed: Observed = { session: undefined }
  main: Duplex | undefined
  cancelSent = false
  private readonly openSocket: OpenSocket

  constructor(openSocket: OpenSocket) {
    this.openSocket = openSocket
  }

  readonly next = (): Duplex => {
    if (this.main !== undefined) {
      this.cancelSent = true
      return this.openSocket(undefined)
    }
    this.main = this.openSocket(this.observed)
    return this.main
  }
}

/**
 * Opens a connection. `restore` makes the part that waits for the server interruptible.
 *
 * @internal
 */
export const connect = (options: {
  /** What the driver connects with, but for the socket. */
  readonly driver: Omit<PgConnection.Config, "stream">
  readonly openSocket: OpenSocket
  readonly restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}): Effect.Effect<ServerConnection, SqlError> =>
  Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    const sockets = new Sockets(options.openSocket)
    return options.restore(Scope.provide(PgConnection.make({ ...options.driver, stream: sockets.next }), scope)).pipe(
      Effect.onExit((exit) => {
        if (Exit.isSuccess(exit)) return Effect.void
        // The driver loses a connection that was established just before an interruption.
        return Effect.ensuring(
          Scope.close(scope, exit),
          Effect.sync(() => sockets.main?.destroy())
        )
      }),
      Effect.map((pg) => new ServerConnection(pg, sockets, scope))
    )
  })
