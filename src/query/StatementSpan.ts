/**
 * A span that effect/sql made, and that may be one of a statement of the pool's own client.
 *
 * Which client it is of shows only when effect/sql sets its attributes, at once after it was made. Then it is either one
 * of the pool's own, of which is told in another way, or the span of somebody else, who gets what was asked for.
 *
 * @internal
 */
import type { Context, Exit, Option, Tracer } from "effect"

/** @internal */
export type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/** @internal */
export type Attributes = Readonly<Record<string, unknown>>

interface Facts {
  readonly options: SpanOptions
  readonly endedAt: bigint
  readonly exit: Exit.Exit<unknown, unknown>
  /** What the user annotates all spans with. */
  readonly attributes: Attributes
}

interface Ways {
  /** The attribute that only spans of the pool's own client have. */
  readonly mark: readonly [key: string, value: string]
  /** Where a statement of the own client is told of. */
  readonly ended: (sql: string, facts: Facts) => void
  /** Makes the span that somebody else asked for. */
  readonly other: () => Tracer.Span
}

/** @internal */
export class StatementSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly links: ReadonlyArray<Tracer.SpanLink>
  private readonly options: SpanOptions
  private readonly around: Tracer.Span
  private readonly ways: Ways
  private readonly annotated: Record<string, unknown> = {}
  private isOwn = false
  private sql: string | undefined
  private other: Tracer.Span | undefined
  private over = false

  constructor(options: SpanOptions, around: Tracer.Span, ways: Ways) {
    this.name = options.name
    this.kind = options.kind
    this.links = options.links
    this.options = options
    this.around = around
    this.ways = ways
  }

  attribute(key: string, value: unknown): void {
    if (this.other !== undefined) return this.other.attribute(key, value)
    if (this.isOwn) {
      if (key === "db.query.text") this.sql = String(value)
      return
    }
    const [markKey, mark] = this.ways.mark
    if (key === markKey && value === mark) this.isOwn = true
    else this.annotated[key] = value
    // A span of another client has its own idea of where it was sent.
    if (key === "db.query.text") this.others()
  }

  end(endedAt: bigint, exit: Exit.Exit<unknown, unknown>): void {
    if (this.over) return
    this.over = true
    if (!this.isOwn) return this.others().end(endedAt, exit)
    const { annotated: attributes, options, sql } = this
    if (sql !== undefined) this.ways.ended(sql, { options, endedAt, exit, attributes })
  }

  event(name: string, startTime: bigint, attributes?: Record<string, unknown>): void {
    if (!this.isOwn) this.others().event(name, startTime, attributes)
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    if (!this.isOwn) this.others().addLinks(links)
  }

  /** It is not of the own client, or somebody wants to know of it what only a real one has. */
  private others(): Tracer.Span {
    if (this.other !== undefined) return this.other
    this.other = this.ways.other()
    for (const [key, value] of Object.entries(this.annotated)) this.other.attribute(key, value)
    return this.other
  }

  private get seen(): Tracer.Span {
    return this.isOwn ? this.around : this.others()
  }

  get spanId(): string {
    return this.seen.spanId
  }

  get traceId(): string {
    return this.seen.traceId
  }

  get parent(): Option.Option<Tracer.AnySpan> {
    return this.options.parent
  }

  get annotations(): Context.Context<never> {
    return this.options.annotations
  }

  get status(): Tracer.SpanStatus {
    const { startTime } = this.options
    return this.other?.status ?? { _tag: "Started", startTime }
  }

  get attributes(): ReadonlyMap<string, unknown> {
    return this.seen.attributes
  }

  get sampled(): boolean {
    return this.options.sampled
  }
}
