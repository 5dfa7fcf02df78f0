/**
 * A tracer that keeps its spans: of Effect's own kind, so that passwords are looked for in them.
 */
import { Effect, Exit, Option, Tracer } from "effect"
import { inspect } from "node:util"

export interface Recorder {
  readonly tracer: Tracer.Tracer
  readonly spans: ReadonlyArray<Tracer.NativeSpan>
  /** Those of a name, in the order of their making. */
  readonly named: (name: string) => ReadonlyArray<Tracer.NativeSpan>
  /** The one of a name. */
  readonly one: (name: string) => Tracer.NativeSpan
  /** The names of those whose parent is a span. */
  readonly under: (span: Tracer.Span) => ReadonlyArray<string>
  /** All that they tell, as text. */
  readonly text: string
}

export const make = (): Recorder => {
  const spans: Array<Tracer.NativeSpan> = []
  const sampled = () => spans.filter((span) => span.sampled)
  const named = (name: string) => sampled().filter((span) => span.name === name)
  return {
    tracer: Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    }),
    get spans() {
      return sampled()
    },
    named,
    one: (name) => {
      const found = named(name)
      const [first] = found
      if (first === undefined || found.length > 1) throw new Error(`${found.length} spans have the name ${name}`)
      return first
    },
    under: (span) => sampled().flatMap((other) => (parentId(other) === span.spanId ? [other.name] : [])),
    get text() {
      return sampled()
        .map((span) =>
          inspect([span.name, [...span.attributes], span.events, span.status, messagesOf(span)], { depth: 10 })
        )
        .join("\n")
    }
  }
}

const parentId = ({ parent }: Tracer.Span): string | undefined => Option.getOrUndefined(parent)?.spanId

/** What an exporter would make of a failure. */
const messagesOf = ({ status }: Tracer.Span): ReadonlyArray<string> =>
  status._tag === "Started" || Exit.isSuccess(status.exit)
    ? []
    : status.exit.cause.reasons.map((reason) =>
        reason._tag === "Fail" && reason.error instanceof Error ? String(reason.error.stack) : reason._tag
      )

export const failureOf = (span: Tracer.Span): string | undefined => {
  const [message] = messagesOf(span)
  return message?.split("\n")[0]
}

export const millisOf = ({ status }: Tracer.Span): number =>
  status._tag === "Started" ? NaN : Number(status.endTime - status.startTime) / 1e6

export const recorded =
  (recorder: Recorder) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withTracer(effect, recorder.tracer)
