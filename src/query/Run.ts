/**
 * A run: queries handed over together, sharing a number of slots and one stream of events.
 *
 * The run is found in the fiber's context, so a query needs no handle to it and may stand anywhere inside an effect
 * that was handed over. Without a listener a run keeps a count of free slots and nothing per query.
 *
 * @internal
 */
import type { Clock, Scope } from "effect"
import { Cause, Context, Effect, Exit } from "effect"
import { Slots, withSlot } from "../internal/Slots.ts"
import * as Outcome from "./Outcome.ts"
import type { QueryEvent } from "./QueryEvent.ts"

/** What a run reads off a query's session when the query ends. */
interface Progress {
  readonly rows: number
  onNotice?: ((severity: string, message: string) => void) | undefined
}

/** @internal */
export class Run {
  readonly concurrency: number
  /** How many workers it takes for that: no more than there are members, where their number is known. */
  readonly workers: number
  readonly slots: Slots
  readonly listener: Listener | undefined

  constructor(
    concurrency: number,
    workers: number,
    clock: Clock.Clock,
    onEvent: ((event: QueryEvent) => void) | undefined
  ) {
    this.concurrency = concurrency
    this.workers = workers
    this.slots = new Slots(concurrency)
    this.listener = onEvent === undefined ? undefined : new Listener(clock, onEvent)
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

  constructor(clock: Clock.Clock, onEvent: (event: QueryEvent) => void) {
    this.clock = clock
    this.onEvent = onEvent
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

/**
 * Runs one query, and tells the run's listener of it. `attempt` calls `onStart` once it has a session; with
 * `holdsSlot` the caller has taken a slot of the run for it already.
 *
 * @internal
 */
export const attempted = <A, E, R>(
  run: Run,
  query: { readonly name: string },
  holdsSlot: boolean,
  attempt: (onStart: ((unit: Progress) => void) | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const { listener } = run
  if (listener === undefined) return holdsSlot ? attempt(undefined) : withSlot(run.slots, attempt(undefined))
  let life: Life | undefined
  const ended = (exit: Exit.Exit<unknown, unknown>): undefined => {
    life?.ended(exit)
  }
  const begin = Effect.suspend(() => {
    const begun = (life = new Life(listener, listener.begin(query, query.name), query.name))
    // Its end comes before its slot is given back, so that the worker's number is free again before the slot is.
    const started = Effect.onExitPrimitive(
      attempt((unit) => begun.started(unit)),
      ended
    )
    return holdsSlot ? started : withSlot(run.slots, started)
  })
  // Around the beginning as well: a query that was interrupted just after it would be lost without an end.
  return Effect.onExitPrimitive(begin, ended)
}

/**
 * Tells the run's listener of a query whose rows are streamed, until the scope closes. Such a query takes no slot of the
 * run: whoever reads the rows may run queries of the same run, and must not wait for itself.
 *
 * @internal
 */
export const streamed = (
  run: Run,
  query: { readonly name: string }
): Effect.Effect<((unit: Progress) => void) | undefined, never, Scope.Scope> => {
  const { listener } = run
  if (listener === undefined) return Effect.undefined
  return Effect.map(
    // In one step with its finalizer: a query that was interrupted in between would be lost without an end.
    Effect.acquireRelease(
      Effect.sync(() => new Life(listener, listener.begin(query, query.name), query.name)),
      (life, exit) => Effect.sync(() => life.ended(exit))
    ),
    (life) => (unit: Progress) => life.started(unit)
  )
}

/** One query of a run that is listened to, from its turn to its end. */
class Life {
  private readonly listener: Listener
  private readonly id: number
  private readonly name: string
  private worker: number | undefined
  private unit: Progress | undefined
  private over = false

  constructor(listener: Listener, id: number, name: string) {
    this.listener = listener
    this.id = id
    this.name = name
  }

  started(unit: Progress): void {
    const { id, listener, name } = this
    this.unit = unit
    this.worker = listener.takeWorker()
    unit.onNotice = (severity, message) =>
      listener.emit({ _tag: "Noticed", at: listener.now(), id, name, severity, message })
    listener.emit({ _tag: "Started", at: listener.now(), id, name, worker: this.worker, attempt: 1 })
  }

  ended(exit: Exit.Exit<unknown, unknown>): void {
    if (this.over) return
    this.over = true
    if (this.worker !== undefined) this.listener.giveWorker(this.worker)
    this.listener.ended(this.id, this.name, this.unit?.rows ?? 0, exit)
  }
}
