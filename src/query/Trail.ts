/**
 * What is told of one query: how long it took, and its spans.
 *
 * The same that a run's events tell (`Submitted` at its turn, `Started`, `Retrying`, `CancelEnded`, `Ended`), for queries
 * of a run and for others. One that is only counted, or that gets a span at its end at most, keeps two numbers and
 * its session.
 *
 * @internal
 */
import type { Exit } from "effect"
import { Effect, Stream } from "effect"
import type { OfPart } from "./QueryEvent.ts"
import type { QueryInfo, Unit } from "./QueryPool.ts"
import { QuerySpans, tellAfterwards } from "./QuerySpans.ts"
import type { Failure } from "./Telemetry.ts"
import { failureOf, failureOfExit, summaryOf } from "./Telemetry.ts"
import type { Watch } from "./Watch.ts"

/**
 * What is read off a query's session, and told to it.
 *
 * @internal
 */
export interface Progress extends Pick<
  Unit,
  "rows" | "countArriving" | "sql" | "parameters" | "traceparent" | "onNotice" | "onCancelled"
> {
  readonly command?: string | undefined
}

/**
 * Who is told of a query, from its turn to its end.
 *
 * @internal
 */
export interface Life {
  /** An attempt, from asking for its session to its end. */
  readonly within: <A, E, R>(number: number, attempt: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** As `within`, for rows that are streamed. */
  readonly streaming: <A, E, R>(rows: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  /** An attempt has its session. */
  readonly started: (unit: Progress, number: number) => void
  /** An attempt is over, before its slot is free again. */
  readonly stopped: () => void
  /** An attempt failed, and there is to be another. */
  readonly retrying: (number: number, error: unknown, delayMillis: number) => void
  /** Something happened to a part of it, which belongs to a run of its own. */
  readonly ofPart: (part: OfPart["part"]) => void
  readonly ended: (exit: Exit.Exit<unknown, unknown>) => void
}

/**
 * What a worker of a run has in hand: it tells the end of a query that it runs itself. That saves a finalizer for each
 * query, which a lookup of the pipelined lane would feel.
 *
 * @internal
 */
export class Hand {
  trail: Trail | undefined

  /** It is over. */
  ended(exit: Exit.Exit<unknown, unknown>): void {
    const { trail } = this
    this.trail = undefined
    trail?.ended(exit)
  }
}

/**
 * Its spans are made as it goes (`followed`), or one at its end if it deserves one: `hidden` where what is around it is
 * told, and `afterwards` where nothing is; or it is only `counted`.
 */
type How = "followed" | "hidden" | "afterwards" | "counted"

/**
 * One for each query: that of a lookup takes 15 µs with all it does, so there is little in it.
 *
 * @internal
 */
export class Trail implements Life {
  private readonly watch: Watch
  private readonly query: QueryInfo
  private readonly how: How
  /** It is a part of another query, whose unit it shares. */
  private readonly joins: boolean
  private readonly beganMillis: number
  private readonly spans: QuerySpans | undefined
  private unit: Progress | undefined
  private attempts = 0
  private over = false

  constructor(watch: Watch, query: QueryInfo, how: How, joins: boolean, nowMillis: number) {
    this.watch = watch
    this.query = query
    this.how = how
    this.joins = joins
    this.beganMillis = nowMillis
    const { tracer } = watch
    this.spans = how === "followed" && tracer !== undefined ? new QuerySpans(watch, tracer, query, joins) : undefined
  }

  within<A, E, R>(number: number, attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const { spans, watch } = this
    const { tracer } = watch
    if (spans !== undefined) {
      return Effect.withFiber((fiber) => Effect.updateContext(attempt, spans.asking(number, fiber)))
    }
    if (this.how !== "hidden" || tracer === undefined) return attempt
    return Effect.updateContext(attempt, (context) => watch.hidden(tracer, context))
  }

  streaming<A, E, R>(rows: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> {
    const { spans, watch } = this
    const { tracer } = watch
    if (spans !== undefined) {
      return Stream.unwrap(
        Effect.withFiber((fiber) => Effect.succeed(Stream.updateContext(rows, spans.asking(1, fiber))))
      )
    }
    if (this.how === "counted" || tracer === undefined) return rows
    return Stream.updateContext(rows, (context) => watch.hidden(tracer, context))
  }

  /** Whether it wants to know of the query's session. */
  get seesSession(): boolean {
    return this.how !== "counted"
  }

  started(unit: Progress, number: number): void {
    const { spans } = this
    this.unit = unit
    this.attempts = number
    if (spans === undefined) return
    spans.started(unit, number)
    if (!this.joins) unit.onCancelled = (end) => spans.cancelled(end)
  }

  stopped(): void {}

  retrying(_: number, error: unknown, delayMillis: number): void {
    const { meter, sqlStateOf } = this.watch.telemetry
    const failure = failureOf(error, sqlStateOf)
    meter?.retried(failure)
    this.spans?.retrying(error, failure, delayMillis)
  }

  /** A part is followed by a trail of its own. */
  ofPart(): void {}

  ended(exit: Exit.Exit<unknown, unknown>): void {
    if (this.over) return
    this.over = true
    const { clock, telemetry } = this.watch
    const failure = failureOfExit(exit, telemetry.sqlStateOf)
    const nowMillis = clock.currentTimeMillisUnsafe()
    if (!this.joins) {
      telemetry.meter?.ended(summaryOf(this.query.name), (nowMillis - this.beganMillis) / 1000, failure)
    }
    if (this.how === "counted") return
    if (this.spans !== undefined) return this.spans.ended(exit, failure)
    const { attempts, beganMillis, joins, unit } = this
    const why = remarkable(failure, attempts, nowMillis - beganMillis)
    if (why === undefined) return
    tellAfterwards(this.watch, this.query, {
      attempts,
      beganMillis,
      exit,
      failure,
      joins,
      nowMillis,
      unit,
      why
    })
  }
}

/** What took as long as this is worth a span. */
const longMillis = 100

/** Why a query that was not followed has a span all the same, if it has. */
const remarkable = (failure: Failure | undefined, attempts: number, tookMillis: number): string | undefined => {
  if (failure !== undefined) return failure.type === "cancelled" ? "cancelled" : "failed"
  return attempts > 1 ? "retried" : tookMillis >= longMillis ? "long" : undefined
}
