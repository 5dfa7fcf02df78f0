/**
 * A fault bench: a TCP proxy in this process, between a PostgreSQL client and a server, that does what networks and
 * servers do to connections.
 *
 * ```ts
 * const faults = yield* Faults.make({ host, port })
 * // The COMMIT is carried out, and its answer is lost.
 * const lost = yield* faults.inject(Faults.cut(), { before: Faults.fromServer("CommandComplete", { statement: /^commit/i }) })
 * // … run something on faults.through(url)
 * yield* lost.fired
 * ```
 *
 * - A fault strikes at once, or exactly before or after a message: nothing behind that point passes.
 * - "After" a message of the client, its bytes were handed to the system; whether the server has acted on them is open.
 *   Who needs that waits for the server's answer: `before: fromServer(…)`.
 * - The server sends an extended query's answer when it comes to the Sync, with the CommandComplete behind the commit:
 *   cut before CommandComplete, a statement in autocommit has been applied; cut after Execute, it never is.
 * - `seed` decides every random choice; `describe()` prints it with the script and the last of what passed, and a scope
 *   that closes with a failure prints that by itself.
 * - When the scope closes, no socket, timer or listener is left.
 *
 * Limits: what is encrypted passes unread, so that faults strike it at once and never at a message. A client that
 * connects while the server does not listen is not refused but reset, when its first packet would pass. On the loopback
 * interface, one in tens of thousands of connections to a port on which nobody listens meets itself.
 *
 * Left alone it costs what any proxy in Node costs (medians, 2 cores): 420 MB/s of rows against 440 through two pipes
 * and 670 without a proxy, 12 to 15 µs more per round trip, 26,000 to 31,000 lookups/s on ten connections against
 * 27,000 to 36,000 and 40,000 to 58,000.
 */
import { Cause, Effect, Exit, Redacted } from "effect"
import type { Scope } from "effect"
import { randomInt } from "node:crypto"
import type { ConnectionState } from "./FaultConnection.ts"
import type { InjectOptions, Struck } from "./FaultInjection.ts"
import type { Entry } from "./FaultLog.ts"
import { FaultProxy, loopback } from "./FaultProxy.ts"
import type { Fault, Match, Message } from "./FaultScript.ts"
import type { Direction } from "./PgFrames.ts"

export {
  answer,
  cut,
  delay,
  freeze,
  fromClient,
  fromServer,
  halfOpen,
  keepCancel,
  refuse,
  throttle
} from "./FaultScript.ts"

/** A fault in force. */
interface Injection {
  readonly id: number
  /** How often it has struck. */
  readonly count: () => number
  /** Waits until it strikes for the first time. */
  readonly fired: Effect.Effect<Struck>
  /**
   * Ends it: what a freeze or a delay holds is delivered in order, the side that a half-open connection has left is
   * told, refused connections are accepted again. What was cut stays cut.
   */
  readonly lift: Effect.Effect<void>
}

export interface Faults {
  readonly host: string
  readonly port: number
  readonly seed: number
  /** A connection URL that leads through the proxy. */
  readonly through: (url: Redacted.Redacted) => Redacted.Redacted
  readonly inject: (fault: Fault, options?: InjectOptions) => Effect.Effect<Injection>
  /** Lifts every fault that was injected. */
  readonly heal: Effect.Effect<void>
  /** Sends the server what `keepCancel` has kept, and waits until it has taken each; gives how many. */
  readonly deliverCancels: Effect.Effect<number>
  /** In the order of acceptance; of those that are closed, the last thousand. */
  readonly connections: () => ReadonlyArray<ConnectionState>
  /** Waits for a message that passes from now on. */
  readonly awaitMessage: (match: Match) => Effect.Effect<Message>
  /** Waits until a connection is like this. One that already is counts. */
  readonly awaitConnection: (is: (connection: ConnectionState) => boolean) => Effect.Effect<ConnectionState>
  /** The last of what passed and happened. */
  readonly log: () => ReadonlyArray<Entry>
  /** How many messages passed, by their type. */
  readonly totals: (direction: Direction) => Readonly<Record<string, number>>
  readonly describe: () => string
}

/** A proxy to a server, on a free port of the loopback interface, until the scope closes. */
export const make = (server: {
  readonly host: string
  readonly port: number
  /** Random, if none is given. */
  readonly seed?: number | undefined
}): Effect.Effect<Faults, never, Scope.Scope> => Effect.map(Effect.acquireRelease(start(server), stop), surfaceOf)

const start = (server: { readonly host: string; readonly port: number; readonly seed?: number | undefined }) =>
  Effect.promise(async () => {
    const proxy = new FaultProxy(server.host, server.port, server.seed ?? randomInt(2 ** 32))
    await proxy.listen()
    return proxy
  })

const stop = (proxy: FaultProxy, exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) process.stderr.write(`${proxy.describe()}\n`)
  return Effect.promise(() => proxy.close())
}

const surfaceOf = (proxy: FaultProxy): Faults => ({
  host: loopback,
  port: proxy.ownPort,
  seed: proxy.seed,
  through: (url) => {
    const led = new URL(Redacted.value(url))
    led.hostname = loopback
    led.port = String(proxy.ownPort)
    return Redacted.make(led.href)
  },
  inject: (fault, options) =>
    Effect.sync(() => {
      const injection = proxy.inject(fault, options ?? {})
      return {
        id: injection.id,
        count: () => injection.count,
        fired: Effect.suspend(() => proxy.fired(injection)),
        lift: Effect.suspend(() => proxy.lift(injection))
      }
    }),
  heal: Effect.suspend(() => proxy.heal()),
  deliverCancels: Effect.suspend(() => proxy.deliverCancels()),
  connections: () => proxy.states(),
  awaitMessage: (match) => proxy.awaitMessage(match),
  awaitConnection: (is) => proxy.awaitConnection(is),
  log: () => proxy.log.entries(),
  totals: (direction) => proxy.log.totals(direction),
  describe: () => proxy.describe()
})
