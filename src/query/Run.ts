/**
 * A run: queries handed over together, sharing a number of slots and one stream of events.
 *
 * The run is found in the fiber's context, so a query needs no handle to it and may stand anywhere inside an effect
 * that was handed over. Without a listener a run keeps a count of free slots and nothing per query.
 *
 * @internal
 */
import type { Clock, Scope, Stream } from "effect"
import { Cause, Context, Effect, Exit } from "effect"
import { Slots } from "../internal/Slots.ts"
import { Workers } from "../internal/Workers.ts"
import * as Outcome from "./Outcome.ts"
import type { OfPart, QueryEvent } from "./QueryEvent.ts"
import type { QueryInfo } from "./QueryPool.ts"
import type { RunSnapshot } from "./RunSnapshot.ts"
import type { AnyFiber } from "./Spans.ts"
import type { Life, Progress, Trail } from "./Trail.ts"
import type { Watch } from "./Watch.ts"

/** @internal */
export class Run {
  readonly concurrency: number
  /** As many as it takes for that: no more than there are members, where their number is known. */
  readonly workers: Workers
  readonly slots: Slots
  readonly listener: Listener | undefined
  readonly watch: Watch | undefined
  readonly clock: Clock.Clock
  /** Milliseconds of the clock. */
  readonly startedAt: number
  readonly queueMillis: number | undefined
  readonly deadlineMillis: number | undefined
  readonly snapshot: RunSnapshot | undefined

  constructor(options: {
    readonly concurrency: number
    readonly workers: number
    readonly clock: Clock.Clock
    readonly onEvent: ((event: QueryEvent) => void) | undefined
    /** How often to tell of rows; `undefined` for never. */
    readonly progressMillis?: number | undefined
    readonly watch?: Watch | undefined
    readonly queueMillis: number | undefined
    readonly deadlineMillis: number | undefined
    readonly snapshot?: RunSnapshot | undefined
  }) {
    this.concurrency = options.concurrency
    this.workers = new Workers(options.workers)
    this.slots = new Slots(options.concurrency)
    this.clock = options.clock
    this.listener =
      options.onEvent === undefined ? undefined : new Listener(options.clock, options.onEvent, options.progressMillis)
    this.watch = options.watch
    this.startedAt = options.clock.currentTimeMillisUnsafe()
    this.queueMillis = options.queueMillis
    this.deadlineMillis = options.deadlineMillis
    this.snapshot = options.snapshot
  }
}

/**
 * The run that the fiber belongs to.
 *
 * @internal
 */
export const CurrentRun = Context.Reference<Run | undefined>("querypool/query/CurrentRun", {
  defaultValue: () => undefined
})

/** Numbers the queries and workers of a run that somebody listens to. */
class Listener {
  private readonly onEvent: (event: QueryEvent) => void
  /** What `onEvent` threw first. */
  fault: { readonly defect: unknown } | undefined
  private readonly clock: Clock.Clock
  private readonly freeWorkers: Array<number> = []
  private workers = 0
  private ids = 0
  /** Queries announced before their turn, by the value that was handed over: one value may be handed over twice. */
  private readonly announced = new Map<object, { readonly name: string; readonly ids: Array<number> }>()
  readonly progressMillis: number | undefined
  /** Queries with a session whose rows are to be told of. */
  readonly counted: Set<Listened> | undefined

  constructor(clock: Clock.Clock, onEvent: (event: QueryEvent) => void, progressMillis: number | undefined) {
    this.clock = clock
    this.onEvent = onEvent
    this.progressMillis = progressMillis
    this.counted = progressMillis === undefined ? undefined : new Set()
  }

  /** Tells again and again how many rows have come, until it is interrupted. */
  tellRows(everyMillis: number): Effect.Effect<never> {
    const tell = Effect.sync(() => {
      for (const life of this.counted ?? []) life.progressed()
    })
    return Effect.forever(Effect.andThen(Effect.sleep(everyMillis), tell))
  }

  emit(event: QueryEvent): void {
    if (this.fault !== undefined) return
    try {
      this.onEvent(event)
    } catch (defect) {
      // Kept for the end of the run: thrown here it might end the process, from the handler of a socket.
      this.fault = { defect }
    }
  }

  now(): number {
    return Number(this.clock.currentTimeNanosUnsafe()) / 1e6
  }

  announce(query: object, name: string): void {
    const known = this.announced.get(query)
    const id = this.submit(name)
    if (known === undefined) this.announced.set(query, { name, ids: [id] })
    else known.ids.push(id)
  }

  private submit(name: string): number {
    const id = this.ids++
    this.emit({ _tag: "Submitted", at: this.now(), id, name })
    return id
  }

  /** The number of the query whose turn has come. */
  begin(query: object, name: string): number {
    const known = this.announced.get(query)
    const id = known?.ids.shift()
    if (known?.ids.length === 0) this.announced.delete(query)
    return id ?? this.submit(name)
  }

  skipAnnounced(): void {
    for (const { ids, name } of this.announced.values()) {
      for (const id of ids) this.emit({ _tag: "Ended", at: this.now(), id, name, outcome: "Skipped", rows: 0 })
    }
    this.announced.clear()
  }

  /** The end of a query whose turn will not come, because that query did not succeed. */
  skip(query: { readonly name: string }, because: string): void {
    const { name } = query
    const id = this.begin(query, name)
    this.emit({ _tag: "Ended", at: this.now(), id, name, outcome: "Skipped", rows: 0, because })
  }

  takeWorker(): number {
    return this.freeWorkers.pop() ?? this.workers++
  }

  giveWorker(worker: number): void {
    this.freeWorkers.push(worker)
  }

  ended(id: number, name: string, rows: number, exit: Exit.Exit<unknown, unknown>): void {
    const outcome = Outcome.fromExit(exit)
    const at = this.now()
    if (outcome === undefined || outcome._tag === "Failed") {
      const error = outcome?.error ?? (Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined)
      this.emit({ _tag: "Ended", at, id, name, outcome: "Failed", rows, error })
    } else {
      this.emit({ _tag: "Ended", at, id, name, outcome: outcome._tag, rows })
    }
  }
}

/** Who is told of a query. */
type Told = Pick<Run, "listener" | "watch">

/**
 * In which fiber a query is run, where that is not a worker of its run, and whether it shares another's unit.
 *
 * @internal
 */
export interface Where {
  readonly fiber?: AnyFiber | undefined
  readonly joins?: boolean | undefined
}

/**
 * Tells those who want to know of one query, from its turn to its end. Where nobody does, `body` is run as it is.
 *
 * @internal
 */
export const told = <A, E, R>(
  { listener, watch }: Told,
  query: QueryInfo,
  body: (life: Life | undefined) => Effect.Effect<A, E, R>,
  where?: Where
): Effect.Effect<A, E, R> => {
  const trail = watch?.begin(query, where)
  if (listener === undefined) {
    if (trail === undefined) return body(undefined)
    return Effect.onExitPrimitive(body(trail), (exit) => {
      trail.ended(exit)
      return undefined
    })
  }
  let life: Life | undefined
  return Effect.onExitPrimitive(
    // Within: a query that was interrupted just after its beginning would be lost without an end.
    Effect.suspend(() => body((life = new Listened(listener, query.name, listener.begin(query, query.name), trail)))),
    (exit) => {
      life?.ended(exit)
      return undefined
    }
  )
}

/**
 * Tells of a query whose rows are streamed, until the scope closes. Such a query takes no slot of the run: whoever reads
 * the rows may run queries of the same run, and must not wait for itself.
 *
 * @internal
 */
export const streamed = (
  { listener, watch }: Told,
  query: QueryInfo,
  where: Where
): Effect.Effect<Life | undefined, never, Scope.Scope> => {
  if (listener === undefined && watch === undefined) return Effect.undefined
  // In one step with its finalizer: a query that was interrupted in between would be lost without an end.
  return Effect.acquireRelease(
    Effect.sync(() => {
      const trail = watch?.begin(query, where)
      if (listener === undefined) return trail
      return new Listened(listener, query.name, listener.begin(query, query.name), trail)
    }),
    (life, exit) => Effect.sync(() => life?.ended(exit))
  )
}

/** One query of a run that is listened to, from its turn to its end. */
class Listened implements Life {
  private readonly listener: Listener
  private readonly id: number
  private readonly name: string
  private readonly trail: Trail | undefined
  private worker: number | undefined
  private unit: Progress | undefined
  /** How many rows of the attempt were told of. */
  private toldRows = 0
  private over = false

  constructor(listener: Listener, name: string, id: number, trail: Trail | undefined) {
    this.listener = listener
    this.id = id
    this.name = name
    this.trail = trail
  }

  private emit(event: DistributiveOmit<QueryEvent, "at" | "id" | "name">): void {
    const { id, listener, name } = this
    // An event of a query has these three, whatever else it has.
    listener.emit({ ...event, at: listener.now(), id, name } as QueryEvent)
  }

  within<A, E, R>(number: number, attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.trail === undefined ? attempt : this.trail.within(number, attempt)
  }

  streaming<A, E, R>(rows: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> {
    return this.trail === undefined ? rows : this.trail.streaming(rows)
  }

  started(unit: Progress, attempt: number): void {
    this.trail?.started(unit, attempt)
    this.unit = unit
    this.worker = this.listener.takeWorker()
    const { onCancelled } = unit
    unit.onNotice = (severity, message) => this.emit({ _tag: "Noticed", severity, message })
    unit.onCancelled = (end) => {
      if (this.trail !== undefined) onCancelled?.(end)
      this.emit({ _tag: "CancelEnded", ...end })
    }
    if (this.listener.counted !== undefined) {
      this.toldRows = 0
      this.listener.counted.add(this)
      unit.countArriving?.()
    }
    this.emit({ _tag: "Started", worker: this.worker, attempt })
  }

  progressed(): void {
    const rows = this.unit?.rows ?? 0
    if (rows === this.toldRows) return
    this.toldRows = rows
    this.emit({ _tag: "Progressed", rows })
  }

  /** An attempt is over: its worker's number is free again before its slot is. */
  stopped(): void {
    this.listener.counted?.delete(this)
    if (this.worker !== undefined) this.listener.giveWorker(this.worker)
    this.worker = undefined
  }

  retrying(attempt: number, error: unknown, delayMillis: number): void {
    // It stops only some steps later, and what has failed has no progress.
    this.listener.counted?.delete(this)
    this.trail?.retrying(attempt, error, delayMillis)
    this.emit({ _tag: "Retrying", attempt, error, delayMillis })
  }

  /** Something happened to a part of it, which belongs to a run of its own. */
  ofPart(part: OfPart["part"]): void {
    this.emit({ _tag: "OfPart", part })
  }

  ended(exit: Exit.Exit<unknown, unknown>): void {
    if (this.over) return
    this.over = true
    this.stopped()
    this.trail?.ended(exit)
    this.listener.ended(this.id, this.name, this.unit?.rows ?? 0, exit)
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
