/**
 * Who follows the queries that a fiber starts: the tracer in its context, and the pool's meter.
 *
 *     run --> query --> attempt 1, attempt 2   where the query has a policy
 *               |          '--> wait, statement, cancel
 *               '--> wait before the next attempt
 *
 * - Where there is neither, there is no watch, and a query costs what it would without.
 * - A query whose turn comes when its pool has no more spans for this second is not followed: nothing under it is told
 *   either, as under any span that is not sampled. If it then fails, is cancelled, is tried again or takes long, it has a
 *   span all the same, made at its end.
 *
 * So that queries that are not followed cost next to nothing, the queries of a run are under a span that is not told,
 * with the ids of the run's own, and only those that are followed are put under the run's own.
 *
 * @internal
 */
import type { Exit, Tracer } from "effect"
import { Clock, Context, Effect, Stream, Tracer as Tracers } from "effect"
import type { SnapshotEnded, SnapshotTaken } from "./QueryEvent.ts"
import type { QueryInfo } from "./QueryPool.ts"
import { QuietTracer } from "./QuietTracer.ts"
import type { Where } from "./Run.ts"
import type { AnyFiber } from "./Spans.ts"
import { open, parentOf } from "./Spans.ts"
import type { Attributes } from "./StatementSpan.ts"
import type { Telemetry } from "./Telemetry.ts"
import { exitOfSpan, failureOfExit } from "./Telemetry.ts"
import { Trail } from "./Trail.ts"
import { UnitTracer } from "./UnitTracer.ts"

/** The span of a run, and what its queries are under. */
class RunSpan {
  readonly own: Tracer.Span
  readonly quiet: QuietTracer

  constructor(own: Tracer.Span, tracer: Tracer.Tracer, { ofClient }: Telemetry) {
    this.own = own
    this.quiet = new QuietTracer(tracer, own, ofClient.name)
  }

  /** For its queries, of which those that are followed have a span all the same. */
  quietly<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.updateContext(effect, (context) => this.quiet.over(context))
  }

  /** As `quietly`, for a stream of their results. */
  quietlyStreamed<A, E, R>(results: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> {
    return Stream.updateContext(results, (context: Context.Context<R>) => this.quiet.over(context))
  }
}

/** @internal */
export class Watch {
  readonly tracer: Tracer.Tracer | undefined
  readonly telemetry: Telemetry
  readonly clock: Clock.Clock
  /** Of the run, if it is for one that has a span. */
  run: RunSpan | undefined
  private queries = 0
  /** Queries that got no span. */
  private untold = 0

  constructor(tracer: Tracer.Tracer | undefined, telemetry: Telemetry, clock: Clock.Clock) {
    this.tracer = tracer
    this.telemetry = telemetry
    this.clock = clock
  }

  /** Who follows what a fiber does with a pool, if anybody does. */
  static of(fiber: AnyFiber, telemetry: Telemetry | undefined): Watch | undefined {
    if (telemetry === undefined) return undefined
    const { tracer, tracerEnabled } = fiber.cache
    if ((tracer === undefined || !tracerEnabled) && telemetry.meter === undefined) return undefined
    const outside = tracer instanceof UnitTracer ? tracer.outside : tracer
    return new Watch(tracerEnabled ? outside : undefined, telemetry, fiber.getRef(Clock.Clock))
  }

  /** As `of`, for the fiber that asks. */
  static here(telemetry: Telemetry | undefined): Effect.Effect<Watch | undefined> {
    return Effect.withFiber((fiber) => Effect.succeed(Watch.of(fiber, telemetry)))
  }

  /** The beginning of a run. */
  beginRun(fiber: AnyFiber, name: string, attributes: Attributes): void {
    const { tracer } = this
    const parent = parentOf(fiber)
    if (tracer === undefined || parent?.sampled === false) return
    const own = open(tracer, { name, kind: "internal", startedAt: this.now(), parent, attributes, fiber })
    if (own.sampled) this.run = new RunSpan(own, tracer, this.telemetry)
  }

  endRun(exit: Exit.Exit<unknown, unknown>): void {
    const { queries, run, telemetry, untold } = this
    if (run === undefined) return
    run.own.attribute("querypool.run.queries", queries)
    if (untold > 0) run.own.attribute("querypool.run.queries.without_span", untold)
    const failure = failureOfExit(exit, telemetry.sqlStateOf)
    if (failure !== undefined) run.own.attribute("error.type", failure.type)
    run.own.end(this.now(), exitOfSpan(exit, failure, telemetry))
  }

  /** What became of the run's snapshot. */
  event(event: Omit<SnapshotTaken, "at"> | Omit<SnapshotEnded, "at">): void {
    const own = this.run?.own
    if (event._tag === "SnapshotTaken") own?.event("snapshot taken", this.now())
    else own?.event("snapshot ended", this.now(), { "querypool.snapshot.lost": event.lost })
  }

  /** The turn of a query has come. Without a fiber it is a member of the run itself. */
  begin(query: QueryInfo, where: Where | undefined): Trail {
    this.queries++
    const fiber = where?.fiber
    const joins = where?.joins === true
    const nowMillis = this.clock.currentTimeMillisUnsafe()
    if (!this.isTold(fiber)) return new Trail(this, query, "counted", joins, nowMillis)
    if (this.telemetry.quota.take(nowMillis)) return new Trail(this, query, "followed", joins, nowMillis)
    this.untold++
    return new Trail(this, query, fiber === undefined ? "afterwards" : "hidden", joins, nowMillis)
  }

  /** What is under a span that is not sampled is not told. */
  private isTold(fiber: AnyFiber | undefined): boolean {
    if (this.tracer === undefined) return false
    return fiber === undefined ? this.run !== undefined : this.parentOf(fiber)?.sampled !== false
  }

  /** A query that was not followed has a span after all. */
  toldAfterwards(): void {
    this.untold--
  }

  /** What the span of a query in this fiber is a part of. */
  parentOf(fiber: AnyFiber): Tracer.AnySpan | undefined {
    const parent = parentOf(fiber)
    return parent !== undefined && parent === this.run?.quiet.untold ? this.run.own : parent
  }

  /** A context under which nothing is told. */
  hidden<R>(tracer: Tracer.Tracer, context: Context.Context<R>): Context.Context<R> {
    const parent = Context.getOrUndefined(context, Tracers.ParentSpan)
    return new QuietTracer(tracer, parent, this.telemetry.ofClient.name).over(context)
  }

  now(): bigint {
    return this.clock.currentTimeNanosUnsafe()
  }
}
