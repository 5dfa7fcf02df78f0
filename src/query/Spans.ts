/**
 * Making spans: as `Effect.withSpan` makes them, and also for what is over already.
 *
 * @internal
 */
import type { Exit, Fiber } from "effect"
import { Context, LogLevel, Option, References, Tracer } from "effect"
import type { Attributes } from "./StatementSpan.ts"

/** @internal */
export type AnyFiber = Fiber.Fiber<unknown, unknown>

interface Opened {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly startedAt: bigint
  readonly parent: Tracer.AnySpan | undefined
  readonly links?: ReadonlyArray<Tracer.SpanLink> | undefined
  readonly attributes?: Attributes | undefined
  /** In which it begins: its user may annotate, link and leave out spans. */
  readonly fiber?: AnyFiber | undefined
}

/** @internal */
export const setAll = (span: Tracer.Span, attributes: Attributes): void => {
  for (const key in attributes) {
    const value = attributes[key]
    if (value !== undefined) span.attribute(key, value)
  }
}

const isLeftOut = (fiber: AnyFiber): boolean =>
  LogLevel.isGreaterThan(fiber.getRef(Tracer.MinimumTraceLevel), fiber.getRef(Tracer.CurrentTraceLevel))

/**
 * A span that is to be ended.
 *
 * @internal
 */
export const open = (
  tracer: Tracer.Tracer,
  { attributes, fiber, kind, links = [], name, parent, startedAt }: Opened
): Tracer.Span => {
  const span = tracer.span({
    name,
    kind,
    parent: Option.fromUndefinedOr(parent),
    annotations: Context.empty(),
    links: fiber === undefined ? [...links] : [...fiber.getRef(References.TracerSpanLinks), ...links],
    startTime: startedAt,
    root: false,
    sampled: parent?.sampled !== false && (fiber === undefined || !isLeftOut(fiber))
  })
  if (fiber !== undefined) setAll(span, fiber.getRef(References.TracerSpanAnnotations))
  if (attributes !== undefined) setAll(span, attributes)
  return span
}

/**
 * A span of what is over.
 *
 * @internal
 */
export const tell = (
  tracer: Tracer.Tracer,
  opened: Opened,
  endedAt: bigint,
  exit: Exit.Exit<unknown, unknown>
): Tracer.Span => {
  const span = open(tracer, opened)
  span.end(endedAt, exit)
  return span
}

/**
 * The span that one of a fiber is a part of.
 *
 * @internal
 */
export const parentOf = (fiber: AnyFiber): Tracer.AnySpan | undefined => {
  let span = fiber.cache.span
  while (span !== undefined && Context.get(span.annotations, Tracer.DisablePropagation)) {
    span = span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined
  }
  return span
}
