/**
 * The spans of one query.
 *
 *     query      its turn ------------------------------------------------ its end
 *     attempt    asks for a slot ------- its end        (only with a policy; else the query is its own attempt)
 *     wait       asks for a slot -- has its session     (where that took a millisecond)
 *     cancel               first request -- known how it ended
 *     wait                                       failed -- tried again
 *
 * A query's span is of the kind `client`, as it tells of its one statement, or is what its statements are parts of.
 *
 * @internal
 */
import type { Context as EffectContext, Tracer } from "effect"
import { Context, Exit, Tracer as Tracers } from "effect"
import type { CancelEnd } from "./QueryEvent.ts"
import type { QueryInfo } from "./QueryPool.ts"
import type { AnyFiber } from "./Spans.ts"
import { open, setAll, tell } from "./Spans.ts"
import type { Attributes } from "./StatementSpan.ts"
import type { Failure, Telemetry } from "./Telemetry.ts"
import { exitOfSpan, summaryOf } from "./Telemetry.ts"
import type { Progress } from "./Trail.ts"
import { attributesOf, UnitTracer } from "./UnitTracer.ts"
import type { Watch } from "./Watch.ts"

/** What took less was no wait: a slot was free, and a connection idle. */
const waitNanos = 1_000_000n

const nanosOf = (millis: number): bigint => BigInt(Math.round(millis * 1e6))

type Exited = Exit.Exit<unknown, unknown>

/** @internal */
export class QuerySpans {
  private readonly watch: Watch
  private readonly outside: Tracer.Tracer
  private readonly query: QueryInfo
  private readonly joins: boolean
  private readonly beganAt: bigint
  private span: Tracer.Span | undefined
  /** Of the attempt that runs, or ran last, where the query has a policy. */
  private attempt: Tracer.Span | undefined
  private tracer: UnitTracer | undefined
  private unit: Progress | undefined
  private attempts = 0
  /** Since when it waits for a slot and a session, if it does. */
  private askedAt: bigint | undefined
  /** It waits before it asks for another. */
  private delay: { readonly from: bigint; readonly to: bigint } | undefined

  constructor(watch: Watch, outside: Tracer.Tracer, query: QueryInfo, joins: boolean) {
    this.watch = watch
    this.outside = outside
    this.query = query
    this.joins = joins
    this.beganAt = this.askedAt = watch.now()
  }

  /** An attempt asks for its session. Gives what its context is to be. */
  asking(number: number, fiber: AnyFiber): <R>(context: EffectContext.Context<R>) => EffectContext.Context<R> {
    const { outside, query, watch } = this
    // Not before: what is interrupted before its first step has no end either.
    const parent = watch.parentOf(fiber)
    const span = (this.span ??= open(outside, {
      ...described(query, watch.telemetry),
      startedAt: this.beganAt,
      parent,
      fiber
    }))
    this.endDelay(span)
    const around = query.options.retry === undefined ? span : this.openAttempt(span, number)
    const inside = (this.tracer = new UnitTracer(outside, around, watch.telemetry))
    return (context) => Context.add(Context.add(context, Tracers.ParentSpan, around), Tracers.Tracer, inside)
  }

  private openAttempt(parent: Tracer.Span, number: number): Tracer.Span {
    const before = this.attempt
    this.attempt = open(this.outside, {
      name: "attempt",
      kind: "internal",
      startedAt: this.askedAt ?? this.watch.now(),
      parent,
      links: before === undefined ? [] : [{ span: before, attributes: { "querypool.link": "retry of" } }],
      attributes: { "querypool.attempt": number }
    })
    return this.attempt
  }

  /** It has its session. */
  started(unit: Progress, number: number): void {
    this.unit = unit
    this.attempts = number
    if (this.tracer === undefined) return
    this.tracer.unit = unit
    this.endWait()
    const { sampled, spanId, traceId } = this.tracer.around
    if (sampled && !this.joins) unit.traceparent = `00-${traceId.padStart(32, "0")}-${spanId}-01`
  }

  /** An attempt has failed, and there is to be another. */
  retrying(error: unknown, failure: Failure, delayMillis: number): void {
    const from = this.endAttempt(Exit.fail(error), failure)
    this.delay = { from, to: from + nanosOf(delayMillis) }
  }

  cancelled(end: CancelEnd): void {
    const { outside, span, watch } = this
    const parent = this.attempt ?? span
    if (parent !== undefined) tellCancel(outside, end, watch.now(), parent)
  }

  ended(exit: Exited, failure: Failure | undefined): void {
    const { outside, query, watch } = this
    const { telemetry } = watch
    // It may have waited in vain for its first slot.
    const span = (this.span ??= open(outside, {
      ...described(query, telemetry),
      startedAt: this.beganAt,
      parent: watch.run?.own
    }))
    this.endDelay(span)
    const at = this.endAttempt(exit, failure)
    setAll(span, this.statement)
    end(span, query, telemetry, { ...this.facts, at, exit, failure })
  }

  private get facts() {
    const { attempts, joins, unit } = this
    return { attempts, joins, unit }
  }

  /** What is told of its only statement, if it had just one. */
  private get statement(): Attributes {
    const { tracer, unit } = this
    return tracer?.hasStatements === true
      ? (tracer.onlyStatement ?? {})
      : ofLane(this.query, unit, this.watch.telemetry)
  }

  private endAttempt(exit: Exited, failure: Failure | undefined): bigint {
    // Where it got no session, all of it was waiting.
    this.endWait()
    const { attempt, query, watch } = this
    const now = watch.now()
    if (attempt === undefined || attempt.status._tag === "Ended") return now
    if (failure !== undefined) setAll(attempt, attributesOfFailure(failure))
    attempt.end(now, exitOfSpan(exit, failure, { origin: query.origin, values: watch.telemetry.values }))
    return now
  }

  private endWait(): void {
    const { askedAt } = this
    this.askedAt = undefined
    if (askedAt !== undefined) this.tellWait("session", askedAt, this.watch.now(), this.attempt ?? this.span)
  }

  private endDelay(span: Tracer.Span): void {
    const { delay } = this
    this.delay = undefined
    if (delay === undefined) return
    const now = this.watch.now()
    // What comes after it is a wait for a slot. It may have been cut short.
    const to = (this.askedAt = delay.to < now ? delay.to : now)
    this.tellWait("retry", delay.from, to, span)
  }

  private tellWait(what: "session" | "retry", from: bigint, to: bigint, parent: Tracer.Span | undefined): void {
    if (to - from < waitNanos) return
    const attributes = { "querypool.wait.for": what }
    tell(this.outside, { name: "wait", kind: "internal", startedAt: from, parent, attributes }, to, Exit.void)
  }
}

const described = ({ name, options: { lane, mode } }: QueryInfo, { attributes }: Telemetry) => {
  const summary = summaryOf(name)
  return {
    name: summary,
    kind: "client",
    attributes: {
      ...attributes,
      "db.query.summary": summary,
      "querypool.query.name": summary === name ? undefined : name,
      "querypool.query.lane": lane,
      "querypool.query.mode": mode
    }
  } as const
}

const attributesOfFailure = ({ sqlState, type }: Failure): Attributes => ({
  "error.type": type,
  "db.response.status_code": sqlState
})

/** In the pipelined lane a query is nothing but its statement. */
const ofLane = ({ options }: QueryInfo, unit: Progress | undefined, telemetry: Telemetry): Attributes =>
  options.lane !== "pipelined" || unit?.sql === undefined ? {} : attributesOf(telemetry, unit.sql, unit)

interface Facts {
  readonly unit: Progress | undefined
  readonly attempts: number
  readonly joins: boolean
  readonly exit: Exited
  readonly failure: Failure | undefined
}

const end = (
  span: Tracer.Span,
  { origin }: QueryInfo,
  { values }: Telemetry,
  { at, attempts, exit, failure, joins, unit }: Facts & { readonly at: bigint }
): void => {
  // The rows of a unit are those of all its queries.
  if (unit !== undefined && !joins) span.attribute("db.response.returned_rows", unit.rows)
  if (attempts > 1) span.attribute("querypool.query.attempts", attempts)
  if (failure !== undefined) setAll(span, attributesOfFailure(failure))
  span.end(at, exitOfSpan(exit, failure, { origin, values }))
}

const tellCancel = (tracer: Tracer.Tracer, { how, tookMillis }: CancelEnd, to: bigint, parent: Tracer.Span): void => {
  const startedAt = to - nanosOf(tookMillis)
  tell(
    tracer,
    { name: "cancel", kind: "internal", startedAt, parent, attributes: { "querypool.cancel.how": how } },
    to,
    Exit.void
  )
}

/**
 * The span of a query that was not followed, if there is one left. What it was a part of, other than
 * its run, is not known any more.
 *
 * @internal
 */
export const tellAfterwards = (
  watch: Watch,
  query: QueryInfo,
  facts: Facts & {
    /** What is remarkable about it. */
    readonly why: string
    readonly beganMillis: number
    readonly nowMillis: number
  }
): void => {
  const { beganMillis, nowMillis, unit, why } = facts
  const { run, telemetry, tracer } = watch
  if (tracer === undefined || !telemetry.remarkable.take(nowMillis)) return
  watch.toldAfterwards()
  const span = open(tracer, { ...described(query, telemetry), startedAt: nanosOf(beganMillis), parent: run?.own })
  const at = nanosOf(nowMillis)
  setAll(span, { ...ofLane(query, unit, telemetry), "querypool.query.told_afterwards": why })
  end(span, query, telemetry, { ...facts, at })
}
