/**
 * A collector of OpenTelemetry's: a real HTTP server that takes OTLP as JSON, and keeps what it was sent.
 */
import { Effect } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

interface KeyValue {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string; readonly boolValue?: boolean }
}

interface WireSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly attributes: ReadonlyArray<KeyValue>
  readonly status: { readonly code: number; readonly message?: string }
}

interface WireMetric {
  readonly name: string
  readonly unit: string
  readonly sum?: {
    readonly isMonotonic: boolean
    readonly dataPoints: ReadonlyArray<{ readonly attributes: ReadonlyArray<KeyValue> }>
  }
  readonly histogram?: {
    readonly dataPoints: ReadonlyArray<{
      readonly attributes: ReadonlyArray<KeyValue>
      readonly count: number
      readonly explicitBounds: ReadonlyArray<number>
    }>
  }
}

interface Body {
  readonly resourceSpans?: ReadonlyArray<{
    readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<WireSpan> }>
  }>
  readonly resourceMetrics?: ReadonlyArray<{
    readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<WireMetric> }>
  }>
}

export interface Span extends Omit<WireSpan, "attributes"> {
  readonly attributes: Readonly<Record<string, unknown>>
}

export const attributesOf = (pairs: ReadonlyArray<KeyValue>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.boolValue]))

/** One that listens until the scope closes. */
export const make = Effect.gen(function* () {
  const bodies: Array<string> = []
  const server = yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const made = createServer((request, response) => {
        let body = ""
        request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk))
        request.on("end", () => {
          bodies.push(body)
          response.writeHead(200, { "content-type": "application/json" }).end("{}")
        })
      })
      made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) =>
      Effect.callback<void>((resume) => {
        made.closeAllConnections()
        made.close(() => resume(Effect.void))
      })
  )
  const { port } = server.address() as AddressInfo
  const decoded = () => bodies.map((body) => JSON.parse(body) as Body)
  return {
    url: `http://127.0.0.1:${port}`,
    /** All that was sent. */
    text: () => bodies.join("\n"),
    spans: (): ReadonlyArray<Span> =>
      decoded().flatMap(({ resourceSpans = [] }) =>
        resourceSpans.flatMap(({ scopeSpans }) =>
          scopeSpans.flatMap(({ spans }) =>
            spans.map((span) => ({ ...span, attributes: attributesOf(span.attributes) }))
          )
        )
      ),
    metrics: (): ReadonlyArray<WireMetric> =>
      decoded().flatMap(({ resourceMetrics = [] }) =>
        resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
      )
  }
})
