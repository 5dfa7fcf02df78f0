/**
 * Cancels that are confirmed, and bounded in time.
 *
 * The driver sends a CancelRequest and reads on to the statement's end. About one in 320 of these requests is lost under
 * load (it arrives between Parse and Execute), a statement may catch the cancel and go on, and a dead network answers
 * nothing: the driver gives up after five seconds, and the backend works on. So each cancel is watched, from the moment
 * in which the driver opens its side socket:
 *
 *     sent ---------- drained, requests taken ---------------------------> idle
 *      | 100 ms       server hung up ------------------------------------> gone
 *      v
 *     repeated, in growing gaps, by way of the control connection (the ends above are still open)
 *      | grace
 *      v
 *     terminated ---- seen gone -----------------------------------------> terminated
 *      | no answer within 100 ms, or not gone after a second more
 *      v
 *     sockets destroyed -------------------------------------------------> unconfirmed
 *
 * - A repeated cancel hits nothing but what it is meant for: it names the backend by pid and start, nothing new is sent
 *   on the connection until it was answered, and the connection serves nobody else afterwards.
 * - Behind a pooler that lends out its sessions by the transaction (or the statement), a pid may be anybody's: nothing
 *   is signalled by pid, only the CancelRequest is repeated, and a cancel that the driver did not drain is unconfirmed.
 *   Two connections that report one backend prove such a pooler.
 *
 * What nobody cancels costs nothing, but for one question when a connection opens.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Clock, Duration, Effect, Fiber } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Duplex } from "node:stream"
import type { CancelEnd } from "../query/QueryEvent.ts"
import type { Answer } from "./PgControl.ts"
import { PgControl } from "./PgControl.ts"
import type { Driver } from "./PgStartup.ts"
import { PgStartup } from "./PgStartup.ts"
import type { Backend, OpenSocket, ServerConnection } from "./ServerConnection.ts"
import { connect } from "./ServerConnection.ts"

/** A normal cancel takes 14 to 29 ms, and 76 to 90 ms (p99) among ninety others. */
const repeatAfterMillis = 100

/** What the control connection gets to answer in, once the grace is over. */
const answerMillis = 100

/** What a backend gets to end in, once it was terminated. */
const endMillis = 1_000

const firstLookMillis = 5

/** How often a new connection behind a pooler is asked whether its backend is still the same. */
const looks = 8

const nameOf = ({ pid, startedAt }: Backend): string => `${pid} ${startedAt}`

/** @internal */
export interface Config {
  readonly driver: Driver
  readonly openSocket: OpenSocket
  /** How long a cancelled statement has to stop before its backend is terminated. Default one second. */
  readonly cancelGrace?: Duration.Duration | undefined
  /** How long a transaction may do nothing before the server ends it; zero for no limit. Default five minutes. */
  readonly idleInTransactionTimeout?: Duration.Duration | undefined
  /** How long the control connection stays open unused. Default one minute. */
  readonly controlIdleTimeout?: Duration.Duration | undefined
}

/**
 * Whatever uses it has to end before the scope closes.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function* (config: Config): Effect.fn.Return<PgCancel, never, Scope.Scope> {
  const services = yield* Effect.context()
  const clock = yield* Clock.Clock
  const cancel = new PgCancel(config, clock, Effect.runForkWith(services))
  yield* Effect.addFinalizer(() => cancel.close)
  return cancel
})

type Fork = <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>

/** @internal */
export class PgCancel {
  readonly startup: PgStartup
  /** Runs an effect on its own; it has to end by itself. */
  readonly fork: Fork
  /** A pooler gives the server's sessions to a client only for the time of a transaction. */
  shared = false
  private readonly clock: Clock.Clock
  private readonly graceMillis: number
  private readonly control: PgControl
  private readonly known = new Map<string, ServerConnection>()
  private lookedForPooler = false

  constructor(config: Config, clock: Clock.Clock, fork: Fork) {
    this.clock = clock
    this.fork = fork
    this.graceMillis = Duration.toMillis(config.cancelGrace ?? Duration.seconds(1))
    this.startup = new PgStartup(config.driver, {
      idleInTransactionTimeout: config.idleInTransactionTimeout ?? Duration.minutes(5)
    })
    const { openSocket } = config
    const { driver } = config
    // Its name tells it from the connections of queries in pg_stat_activity.
    const applicationName = `${driver.applicationName ?? "querypool"} control`
    // The answers are read as PostgreSQL's own types, whatever the pool's queries have for these.
    const differs = { applicationName, types: undefined, multiplex: false }
    const { startup } = this
    this.control = new PgControl({
      fork,
      idleTimeout: config.controlIdleTimeout,
      connect: Effect.tap(
        connect({ driver, openSocket, startup, differs, restore: (effect) => effect }),
        (connection) => this.recognise(connection)
      )
    })
  }

  get close(): Effect.Effect<void> {
    return this.control.close
  }

  /** Takes note of a connection that was opened, and looks for a pooler that passes its backend around. */
  readonly admit = Effect.fnUntraced({ self: this }, function* (connection: ServerConnection): Effect.fn.Return<
    void,
    SqlError
  > {
    const { backend } = connection
    if (backend === undefined || !connection.behindPooler) return
    yield* this.recognise(connection)
    if (this.shared) return
    if (!this.lookedForPooler) {
      this.lookedForPooler = true
      // Poolers give out first what came back last: while this connection is idle, another is likely to get its
      // backend, unless other clients are busy. Then this one is likely to get another's, below.
      yield* this.control.ask(backend, "look")
    }
    for (let look = 0; look < looks && !this.shared; look++) {
      const seen = yield* connection.readBackend
      if (seen !== undefined && nameOf(seen) !== nameOf(backend)) yield* this.giveUpOnPids
    }
  })

  /** Two living connections never have one backend, unless a pooler passes it around. */
  private recognise(connection: ServerConnection): Effect.Effect<void> {
    const { backend } = connection
    if (backend === undefined || this.shared || !connection.behindPooler) return Effect.void
    const key = nameOf(backend)
    const other = this.known.get(key)
    this.known.set(key, connection)
    connection.onBroken(() => {
      if (this.known.get(key) === connection) this.known.delete(key)
    })
    if (other === undefined || other === connection || other.leaving || other.broken) return Effect.void
    return this.giveUpOnPids
  }

  private readonly giveUpOnPids: Effect.Effect<void> = Effect.suspend(() => {
    if (this.shared) return Effect.void
    this.shared = true
    return Effect.logWarning(sharedWarning)
  })

  /** Watches over a cancel that was just sent; `onEnd` is called before the result's waiters go on. */
  watch(connection: ServerConnection, main: Duplex, onEnd: (end: CancelEnd) => void): Effect.Effect<CancelEnd> {
    const watched = new Watched(connection, main, this.fork)
    const begun = this.clock.currentTimeMillisUnsafe()
    const settled = Effect.map(this.settle(watched, begun), (how): CancelEnd => {
      watched.stop()
      // What was drained goes on with the next statement of its unit, unless a cancel may still come.
      if (how !== "idle" || connection.aborting || !watched.over) connection.destroy()
      connection.cancelHeeded = watched.refused
      const end = { how, tookMillis: this.clock.currentTimeMillisUnsafe() - begun }
      onEnd(end)
      return end
    })
    return Fiber.join(this.fork(settled))
  }

  private readonly settle = Effect.fnUntraced(
    { self: this },
    function* (watched: Watched, begun: number): Effect.fn.Return<CancelEnd["how"]> {
      const { connection } = watched
      const leftMillis = () => Math.max(0, begun + this.graceMillis - this.clock.currentTimeMillisUnsafe())
      for (let gap = repeatAfterMillis; ; gap *= 2) {
        yield* watched.within(Math.min(gap, leftMillis()))
        if (watched.over || leftMillis() === 0) break
        const seen = yield* this.repeat(watched, leftMillis())
        if (seen === "gone") return "gone"
      }
      if (watched.drained) return "idle"
      // A pooler's hanging up says nothing of the server behind it.
      if (watched.hungUp && !connection.behindPooler) return "gone"
      return yield* this.terminate(watched, leftMillis() + answerMillis)
    }
  )

  /** Cancels once more. Gives what is known of the backend after that. */
  private repeat({ connection, drained, main }: Watched, limitMillis: number): Effect.Effect<Answer | undefined> {
    const { backend } = connection
    if (drained) return Effect.undefined
    if (backend === undefined || this.shared) {
      connection.cancelAgain()
      return Effect.undefined
    }
    // The driver may see the statement's end meanwhile and send the next one, which the cancel is not meant for.
    main.cork()
    return Effect.ensuring(
      Effect.map(Effect.timeoutOption(this.control.ask(backend, "cancel"), limitMillis), (answer) =>
        answer._tag === "Some" ? answer.value : undefined
      ),
      Effect.sync(() => main.uncork())
    )
  }

  private readonly terminate = Effect.fnUntraced(
    { self: this },
    function* ({ connection }: Watched, limitMillis: number): Effect.fn.Return<CancelEnd["how"]> {
      const { backend } = connection
      if (backend === undefined || this.shared) return "unconfirmed"
      const first = yield* Effect.timeoutOption(this.control.ask(backend, "terminate"), limitMillis)
      if (first._tag === "None" || first.value === undefined) return "unconfirmed"
      if (first.value === "gone") return "gone"
      const deadline = this.clock.currentTimeMillisUnsafe() + endMillis
      for (let gap = firstLookMillis; ; gap *= 2) {
        const left = deadline - this.clock.currentTimeMillisUnsafe()
        if (left <= 0) return "unconfirmed"
        yield* Effect.sleep(Math.min(gap, left))
        const seen = yield* Effect.timeoutOption(this.control.ask(backend, "look"), Math.max(left, answerMillis))
        if (seen._tag === "Some" && seen.value === "gone") return "terminated"
      }
    }
  )
}

const sharedWarning =
  "A pooler between this pool and the server gives sessions out by the transaction or the statement. A cancel cannot " +
  "be confirmed, nor a backend terminated; what one session sets may leak to other clients and be lost; prepared " +
  "statements may be missing. Use the pooler's session mode, or connect to the server itself."

const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5])

const canceled = Buffer.from("\0C57014\0")

/**
 * Whether the last message is an ErrorResponse of query_canceled, and with that, that the statement has not completed.
 * It ends with two zeros, which no CommandComplete does, and is looked for from the end, where its length fits.
 */
const endsInCancel = (bytes: Buffer): boolean => {
  if (bytes.at(-1) !== 0 || bytes.at(-2) !== 0) return false
  for (let at = bytes.lastIndexOf("E"); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf("E", at - 1)) {
    if (at + 5 > bytes.length || bytes.readInt32BE(at + 1) !== bytes.length - at - 1) continue
    return bytes.indexOf(canceled, at) > 0
  }
  return false
}

/** A connection for which a cancel is under way, and what was heard on it since. */
class Watched {
  readonly connection: ServerConnection
  readonly main: Duplex
  /** The statement's end has come. */
  drained = false
  /** The server closed its end. */
  hungUp = false
  /** The server's last word on the statement was that it stopped it. */
  refused = false
  private tail: Buffer = Buffer.alloc(0)
  private wake: (() => void) | undefined
  private readonly turn: Fiber.Fiber<void>

  constructor(connection: ServerConnection, main: Duplex, fork: Fork) {
    this.connection = connection
    this.main = main
    main.on("data", this.onData).once("end", this.onEnd).once("close", this.changed)
    connection.onCancelRequestsTaken(this.changed)
    // The driver gives a turn to nobody while a statement is under way. So this finds out that one had ended just
    // before its cancel was sent: nothing more is heard of that one. Where others wait for a turn, it comes after
    // theirs, too late for what `onData` is for.
    this.turn = fork(Effect.scoped(Effect.andThen(connection.pg.pin, Effect.sync(this.onDrained))))
  }

  stop(): void {
    this.turn.interruptUnsafe()
    this.main.off("data", this.onData).off("end", this.onEnd).off("close", this.changed)
  }

  /** Nothing more is to be waited for: neither the statement's end, nor a cancel that could come too late. */
  get over(): boolean {
    if (this.hungUp || this.main.destroyed) return true
    return this.drained && (this.connection.aborting || this.connection.cancelRequests === 0)
  }

  /** Waits until it is over, but not longer. */
  within(limitMillis: number): Effect.Effect<void> {
    const over = Effect.callback<void>((resume) => {
      if (this.over) return resume(Effect.void)
      this.wake = () => resume(Effect.void)
      return Effect.sync(() => {
        this.wake = undefined
      })
    })
    return Effect.asVoid(Effect.timeoutOption(over, limitMillis))
  }

  /**
   * ReadyForQuery ends what the server says of a statement, and nothing follows until the next one is sent: so it has
   * come when what was received ends with it.
   */
  private readonly onData = (chunk: Buffer): void => {
    const bytes = chunk.length >= 6 ? chunk : Buffer.concat([this.tail, chunk])
    this.tail = Buffer.from(bytes.subarray(-6))
    const isEnd = this.tail.length === 6 && this.tail.subarray(0, 5).equals(readyForQuery)
    const said = isEnd ? chunk.subarray(0, -6) : chunk
    if (!this.drained && said.length > 0) this.refused = endsInCancel(said)
    if (isEnd) this.onDrained()
  }

  private readonly onDrained = (): void => {
    this.drained = true
    // Before its unit, which the driver has just been told of the end, can send anything else.
    if (this.connection.aborting) this.connection.destroy()
    this.changed()
  }

  private readonly onEnd = (): void => {
    this.hungUp = true
    this.changed()
  }

  private readonly changed = (): void => {
    if (this.over) this.wake?.()
  }
}
