/**
 * The tracer that a query sees which is not followed.
 *
 * effect/sql makes a span for each statement, and fills it with attributes that nobody reads here. So all statements of
 * such a query have one span that keeps nothing, which is also the one that they are under. Other spans go to the tracer
 * outside, and are not sampled: an error is told with their names, whether they are told or not.
 *
 * @internal
 */
import type { Tracer } from "effect"
import { Context, Option, Tracer as Tracers } from "effect"
import type { SpanOptions } from "./StatementSpan.ts"

const nothing: ReadonlyMap<string, unknown> = new Map()

/** A span that is not told. */
class UntoldSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name = "not followed"
  readonly kind = "internal"
  readonly sampled = false
  readonly attributes = nothing
  readonly links: ReadonlyArray<Tracer.SpanLink> = []
  readonly annotations = Context.empty()
  readonly status: Tracer.SpanStatus = { _tag: "Started", startTime: 0n }
  readonly parent: Option.Option<Tracer.AnySpan>
  private readonly of: Tracer.AnySpan

  /** In the name of another, whose ids it has. */
  constructor(of: Tracer.AnySpan, parent: Tracer.AnySpan | undefined) {
    this.of = of
    this.parent = Option.fromUndefinedOr(parent)
  }

  get spanId(): string {
    return this.of.spanId
  }

  get traceId(): string {
    return this.of.traceId
  }

  attribute(): void {}
  event(): void {}
  addLinks(): void {}
  end(): void {}
}

/** @internal */
export class QuietTracer implements Tracer.Tracer {
  readonly outside: Tracer.Tracer
  readonly context: Tracer.Tracer["context"]
  readonly untold: Tracer.Span
  private readonly ofClient: string

  /** Under a span, or where there is none; for statements whose spans have a name. */
  constructor(outside: Tracer.Tracer, parent: Tracer.AnySpan | undefined, ofClient: string) {
    this.outside = outside
    this.context = outside.context
    this.ofClient = ofClient
    this.untold = new UntoldSpan(parent ?? unsampledRoot(outside), parent)
  }

  span(options: SpanOptions): Tracer.Span {
    const isStatement = !options.sampled && options.kind === "client" && options.name === this.ofClient
    return isStatement ? this.untold : this.outside.span(options)
  }

  /** A context under which nothing is told. */
  over<R>(context: Context.Context<R>): Context.Context<R> {
    return Context.add(Context.add(context, Tracers.ParentSpan, this.untold), Tracers.Tracer, this)
  }
}

const unsampledRoot = (tracer: Tracer.Tracer): Tracer.Span =>
  tracer.span({
    name: "not followed",
    kind: "internal",
    parent: Option.none(),
    annotations: Context.empty(),
    links: [],
    startTime: 0n,
    root: true,
    sampled: false
  })
