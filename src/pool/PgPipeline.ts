/**
 * The pipelined lane: single statements of many queries share few connections, one behind the other, and nobody waits
 * for an answer before sending (manual, "Pipelining" of the extended query protocol).
 *
 *     query --place--> connection --sent--> answered, in the order of sending
 *
 * - A place is the right to have a statement under way; there are so many for each connection, given in the order of
 *   asking. What is interrupted stops waiting; its statement goes on at the server, and its place is given back only
 *   when everything that was sent before that moment has been answered.
 * - A connection takes a slot of the pool, as a session does: both lanes together have at most `maxConnections`. While
 *   somebody waits for a slot, a connection with nothing to do gives it back; and so does one that has, a little later,
 *   when pipelined connections have every slot of the pool: it takes nothing more, and waits for its turn again.
 * - What leaves something behind on its session, or begins or ends a transaction, is refused before it is sent.
 * - `statement_timeout` is set on the connection, as nothing here can be cancelled. A statement that others have waited
 *   behind for longer than half a second is named in the log.
 * - A connection that breaks fails what was sent on it, each with an outcome that is not known.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Cause, Clock, Effect, Exit, FiberSet, Semaphore } from "effect"
import type { Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { Slots } from "../internal/Slots.ts"
import { QueueFull } from "../query/QueryError.ts"
import type { Terms } from "../query/QueryPool.ts"
import { isAnswered } from "./PgErrors.ts"
import { Place } from "./PgPlace.ts"
import { refusal } from "./PgRefusal.ts"
import type { QueryName } from "./PgSession.ts"
import type { Tags } from "./PgTags.ts"
import type { ServerConnection } from "./ServerConnection.ts"

/** The driver keeps 128 statements on the wire; as many more are there when the next ones can go. */
const placesPerConnection = 256

/** A head that stays for so many looks has made others wait for half a second. */
const looksUntilTold = 2
const lookMillis = 250

/** How long the lane may go on when it has every slot of the pool and somebody waits: a thousand lookups or so. */
const turnMillis = 20

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
type Limits = Pick<Terms, "queue" | "running">
type TransformRows = Parameters<Connection["execute"]>[2]

/** @internal */
export interface Config {
  /** Of the pool. */
  readonly slots: Slots
  /** How many connections the lane may have. */
  readonly most: number
  readonly queueLimit: number
  readonly transformRows: TransformRows
  /** What stands behind each statement, if anything. */
  readonly tags: Tags | undefined
  /** Opens a connection that is ready for statements. */
  readonly open: (restore: Restore) => Effect.Effect<ServerConnection, SqlError>
  readonly close: (connection: ServerConnection, why: string) => Effect.Effect<void>
  readonly idleMillis: number
  /** Whether there is no slot that is not a pipelined connection's. */
  readonly holdsAll: () => boolean
}

/**
 * A connection of the lane.
 *
 * @internal
 */
export class LaneConnection {
  readonly connection: ServerConnection
  /** Queries that have a place here: their statement is sent, or about to be. */
  inHand = 0
  /** What was sent and is neither answered nor given up, the oldest first. */
  readonly underWay = new Set<Place>()
  /** Places of what was given up, in whose place the statement may still be under way. */
  abandoned = 0
  marking = false
  /** It takes nothing more, and goes when it has nothing to do. */
  leaving: string | undefined
  idleSince = 0

  constructor(connection: ServerConnection) {
    this.connection = connection
  }

  get load(): number {
    return this.inHand + this.abandoned
  }
}

/** @internal */
export interface Usage {
  readonly connections: number
  readonly inFlight: number
  readonly waiting: number
}

/** @internal */
export class PgPipeline {
  private readonly config: Config
  private readonly clock: Clock.Clock
  private readonly fork: (effect: Effect.Effect<void>) => void
  private readonly places: Slots
  private readonly lanes: Array<LaneConnection> = []
  private readonly opening = Semaphore.makeUnsafe(1)
  private openingMore = false
  private turnEnding = false
  private watching = false
  private closing = false
  private drained: (() => void) | undefined

  constructor(config: Config, clock: Clock.Clock, fork: (effect: Effect.Effect<void>) => void) {
    this.config = config
    this.clock = clock
    this.fork = fork
    this.places = new Slots(config.most * placesPerConnection)
  }

  get usage(): Usage {
    return { connections: this.lanes.length, inFlight: this.places.used, waiting: this.places.queue }
  }

  /** Lends a place to one effect, whose statement is sent by it. */
  use<A, E, R>(
    query: QueryName,
    f: (place: Place) => Effect.Effect<A, E, R>,
    limits?: Limits | undefined
  ): Effect.Effect<A, E | SqlError, R> {
    return Effect.uninterruptibleMask((restore): Effect.Effect<A, E | SqlError, R> => {
      if (limits === undefined && this.places.tryTake()) {
        // The fast path: a place is free and a connection is open.
        const lane = this.pick()
        if (lane !== undefined) {
          lane.inHand++
          return this.serve(lane, query, f, restore)
        }
        return Effect.flatMap(this.laneFor(restore), (opened) => this.serve(opened, query, f, restore))
      }
      return Effect.flatMap(this.place(restore, limits?.queue), () => {
        const limit = limits?.running?.()
        if (limit === undefined) {
          return Effect.flatMap(this.laneFor(restore), (lane) => this.serve(lane, query, f, restore))
        }
        let begun = false
        const work = Effect.uninterruptibleMask((restoreWork) => {
          begun = true
          return Effect.flatMap(this.laneFor(restoreWork), (lane) => this.serve(lane, query, f, restoreWork))
        })
        const limited = Effect.timeoutOrElse(work, {
          duration: Math.max(limit.millis, 0),
          orElse: () => Effect.fail(refusal(limit.reason))
        })
        return Effect.onExitPrimitive(restore(limited), () => {
          if (!begun) this.places.give()
          return undefined
        })
      })
    })
  }

  private place(restore: Restore, queue: Limits["queue"]): Effect.Effect<void, SqlError> {
    if (this.places.tryTake()) return Effect.void
    const { queueLimit } = this.config
    if (this.places.queue >= queueLimit) return Effect.fail(refusal(new QueueFull({ limit: queueLimit })))
    return this.places.take(
      restore,
      queue === undefined
        ? undefined
        : { millis: queue.millis, orElse: Effect.suspend(() => Effect.fail(refusal(queue.reason))) }
    )
  }

  /** On a connection of which a place is in hand. */
  private serve<A, E, R>(
    lane: LaneConnection,
    query: QueryName,
    f: (place: Place) => Effect.Effect<A, E, R>,
    restore: Restore
  ): Effect.Effect<A, E, R> {
    const place = new Place(query, lane, this.config)
    if (!this.watching) this.watch()
    return Effect.onExitPrimitive(restore(f(place)), (exit) => {
      this.finish(place, exit)
      return undefined
    })
  }

  private finish(place: Place, exit: Exit.Exit<unknown, unknown>): void {
    const { lane } = place
    lane.inHand--
    lane.underWay.delete(place)
    if (place.state === "sent" && Exit.isFailure(exit)) {
      const failure = exit.cause.reasons.find(Cause.isFailReason)
      if (failure === undefined && !lane.connection.broken) return this.abandon(lane)
      if (failure !== undefined && isAnswered(failure.error)) place.state = "refused"
    }
    this.places.give()
    if (lane.load === 0) this.becameIdle(lane)
  }

  /** The statement goes on: its place is free when all before a mark that is sent now have been answered. */
  private abandon(lane: LaneConnection): void {
    lane.abandoned++
    if (lane.marking) return
    lane.marking = true
    this.fork(
      Effect.suspend(() => {
        const marked = lane.abandoned
        return Effect.map(Effect.exit(lane.connection.pg.query("select 1", [])), () => {
          lane.marking = false
          lane.abandoned -= marked
          for (let left = marked; left > 0; left--) this.places.give()
          if (lane.abandoned > 0) {
            lane.abandoned--
            this.abandon(lane)
          }
          if (lane.load === 0) this.becameIdle(lane)
        })
      })
    )
  }

  /** The connection with the least to do, if there is one that may take more. */
  private pick(): LaneConnection | undefined {
    if (this.closing) return undefined
    let best: LaneConnection | undefined
    let unfit: LaneConnection | undefined
    const now = this.clock.currentTimeMillisUnsafe()
    for (const lane of this.lanes) {
      if (lane.leaving !== undefined) continue
      const why = lane.connection.reasonToGo(now)
      if (why !== undefined) {
        lane.leaving = why
        unfit = lane
      } else if (best === undefined || lane.load < best.load) best = lane
    }
    if (unfit !== undefined && unfit.load === 0) this.leave(unfit)
    if (best !== undefined && best.load > 0 && this.lanes.length < this.config.most) this.openMore()
    return best
  }

  /** Another connection, if a slot is free for it: nobody waits for it. */
  private openMore(): void {
    if (this.openingMore || this.config.slots.used >= this.config.slots.size) return
    this.openingMore = true
    this.fork(
      Effect.ensuring(
        Effect.ignore(this.opening.withPermit(Effect.uninterruptibleMask((restore) => this.open(restore)))),
        Effect.sync(() => {
          this.openingMore = false
        })
      )
    )
  }

  /** A connection for one who holds a place, in hand; the place goes back when there is none to be had. */
  private laneFor(restore: Restore): Effect.Effect<LaneConnection, SqlError> {
    let taken: LaneConnection | undefined
    const take = (lane: LaneConnection): LaneConnection => {
      lane.inHand++
      taken = lane
      return lane
    }
    const opened: Effect.Effect<LaneConnection, SqlError> = Effect.suspend(() => {
      if (this.closing) return Effect.fail(closedError())
      const lane = this.pick()
      if (lane !== undefined) return Effect.succeed(take(lane))
      // One opens it, and the others find it.
      return restore(
        this.opening.withPermit(
          Effect.suspend(() => {
            const other = this.pick()
            if (other !== undefined) return Effect.succeed(take(other))
            return Effect.uninterruptibleMask((restoreOpen) => this.open(restoreOpen, take))
          })
        )
      )
    })
    return Effect.onExitPrimitive(opened, (exit) => {
      if (Exit.isSuccess(exit)) return undefined
      this.places.give()
      // It was interrupted when it had one already.
      if (taken !== undefined) {
        taken.inHand--
        if (taken.load === 0) this.becameIdle(taken)
      }
      return undefined
    })
  }

  /** `onOpen` is called in one step with the connection's coming: nobody may take it for idle before. */
  private open(restore: Restore, onOpen?: (lane: LaneConnection) => void): Effect.Effect<LaneConnection, SqlError> {
    const { open, slots } = this.config
    return Effect.andThen(
      slots.take(restore),
      Effect.onExitPrimitive(
        Effect.map(open(restore), (connection) => {
          const lane = new LaneConnection(connection)
          onOpen?.(lane)
          this.lanes.push(lane)
          // Those who began to wait before it was here have not asked for it.
          if (slots.queue > 0) this.yieldSlot()
          connection.onBroken(() => {
            lane.leaving ??= "broken"
            if (lane.load === 0) this.leave(lane)
          })
          return lane
        }),
        (exit) => {
          if (Exit.isFailure(exit)) slots.give()
          return undefined
        }
      )
    )
  }

  private becameIdle(lane: LaneConnection): void {
    lane.idleSince = this.clock.currentTimeMillisUnsafe()
    if (this.places.used === 0) {
      const { drained } = this
      this.drained = undefined
      drained?.()
    }
    if (lane.leaving !== undefined) this.leave(lane)
    else if (this.config.slots.queue > 0) this.yieldSlot()
  }

  /** To be called when somebody begins to wait for a slot of the pool. */
  yieldSlot(): void {
    const idle = this.lanes.find((lane) => lane.load === 0 && lane.leaving === undefined)
    if (idle !== undefined) {
      idle.leaving = "slot wanted"
      this.leave(idle)
    } else if (this.lanes.length > 0 && !this.turnEnding) {
      this.turnEnding = true
      this.fork(Effect.andThen(Effect.sleep(turnMillis), this.endTurn))
    }
  }

  /** Where sessions have no slot at all, the connection that has been here the longest lets them have a turn. */
  private readonly endTurn = Effect.sync(() => {
    this.turnEnding = false
    const { holdsAll, slots } = this.config
    if (slots.queue === 0 || !holdsAll()) return
    const oldest = this.lanes.find(({ leaving }) => leaving === undefined)
    if (oldest === undefined) return
    oldest.leaving = "slot wanted"
    if (oldest.load === 0) this.leave(oldest)
  })

  /** Closes a connection that has nothing to do, and gives its slot back. */
  private leave(lane: LaneConnection): void {
    const index = this.lanes.indexOf(lane)
    if (index < 0) return
    this.lanes.splice(index, 1)
    const { close, slots } = this.config
    this.fork(
      Effect.andThen(
        close(lane.connection, lane.leaving ?? "idle"),
        Effect.sync(() => slots.give())
      )
    )
  }

  /** Looks now and then, while there is anything to look at, who makes others wait and what has been idle for too long. */
  private watch(): void {
    this.watching = true
    const heads = new Map<LaneConnection, { readonly head: Place; looks: number }>()
    const look = Effect.suspend(() => {
      const now = this.clock.currentTimeMillisUnsafe()
      const late: Array<Effect.Effect<void>> = []
      for (const lane of this.lanes) {
        const [head] = lane.underWay
        const seen = heads.get(lane)
        if (head === undefined) {
          heads.delete(lane)
          if (lane.load === 0 && now - lane.idleSince >= this.config.idleMillis) this.leave(lane)
        } else if (seen?.head !== head) heads.set(lane, { head, looks: 0 })
        else if (++seen.looks === looksUntilTold && lane.underWay.size > 1)
          late.push(slow(head, lane.underWay.size - 1))
      }
      return Effect.forEach(late, (warning) => warning, { discard: true })
    })
    this.fork(
      Effect.whileLoop({
        while: () => {
          // In one step with the look that found nothing: what comes from now on starts this again.
          if (this.lanes.length === 0 && this.places.used === 0) this.watching = false
          return this.watching && !this.closing
        },
        body: () => Effect.andThen(Effect.sleep(lookMillis), look),
        step: () => {}
      })
    )
  }

  /** Takes nothing more, and waits until what was sent has been answered. */
  readonly drain: Effect.Effect<void> = Effect.suspend(() => {
    this.closing = true
    const answered = Effect.callback<void>((resume) => {
      if (this.places.used === 0) return resume(Effect.void)
      this.drained = () => resume(Effect.void)
      return Effect.sync(() => {
        this.drained = undefined
      })
    })
    return Effect.andThen(answered, this.closeAll)
  })

  /** Ends what is left, which fails with its connection. */
  readonly abort: Effect.Effect<void> = Effect.suspend(() => {
    for (const { connection } of this.lanes) connection.destroy()
    return this.closeAll
  })

  private readonly closeAll: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      this.lanes.splice(0),
      (lane) =>
        Effect.andThen(
          this.config.close(lane.connection, "pool closed"),
          Effect.sync(() => this.config.slots.give())
        ),
      { concurrency: "unbounded", discard: true }
    )
  )
}

const slow = ({ query: { name, origin } }: Place, others: number): Effect.Effect<void> =>
  Effect.logWarning(
    `Query "${name}"${origin === undefined ? "" : ` (${origin})`} has been at the head of the pipelined lane for ` +
      `half a second, and ${others} wait behind it. Leave \`lane: "pipelined"\` out for it`
  )

const closedError = (): SqlError => {
  const message = "The pool is closed"
  return new SqlError({ reason: new UnknownError({ cause: new Error(message), message, operation: "connect" }) })
}

/**
 * Whatever uses it has to end before the scope closes.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function* (config: Config): Effect.fn.Return<PgPipeline, never, Scope.Scope> {
  const fork = yield* FiberSet.runtime(yield* FiberSet.make<void>())()
  return new PgPipeline(config, yield* Clock.Clock, (effect) => void fork(effect))
})
