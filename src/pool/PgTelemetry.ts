/**
 * What a pool tells of its queries: spans, metrics, and tags on its statements.
 *
 * - Spans are made where there is a `Tracer` in the context, such as `OtlpTracer.layer` of `effect/observability` puts
 *   there. Without one, and with nothing asked for here, telling costs nothing.
 * - Names and attributes are OpenTelemetry's for databases. A query's own name is `db.query.summary`, which is also the
 *   name of its span.
 * - No value is told unless asked for: none of a parameter, none that stands in a statement without parameters, and
 *   none that a server repeats in its error. A password is told in no case.
 *
 * docs/telemetry.md has the tables of all spans, attributes and metrics.
 *
 * @since 0.1.0
 */
import type { Scope } from "effect"
import { Context, Effect, Metric } from "effect"
import { SpanQuota } from "../query/SpanQuota.ts"
import type { Telemetry } from "../query/Telemetry.ts"
import type { PgEndpoint } from "./PgEndpoint.ts"
import { sqlStateOf } from "./PgErrors.ts"
import type { Source } from "./PgMetrics.ts"
import { PgMetrics } from "./PgMetrics.ts"
import { Tags } from "./PgTags.ts"
import { withoutConstants } from "./StatementText.ts"

/**
 * What is told beside the spans, and how much of it.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Whether there are metrics of the pool and its queries, in effect's registry. Default false. */
  readonly metrics?: boolean | undefined
  /**
   * What stands behind each statement of a query, as a comment in the sqlcommenter format, for whoever looks at
   * pg_stat_activity or at the server's log: `query` has the query's name, and `trace` also the trace that it is a part
   * of, where that is told. A statement with a trace is not prepared, as no other has its text. Default `none`.
   */
  readonly comments?: "none" | "query" | "trace" | undefined
  /**
   * How many queries a second have spans, as a number from 0. Of those beyond, only one that failed, was cancelled, was
   * tried again or took 100 ms or more has one, and of these so many a second as well; the others have none, nor has
   * what their bodies make. Default 1,000; `Infinity` for all.
   */
  readonly spansPerSecond?: number | undefined
  /** Whether values are told: of parameters, and in the words of errors. Default false. */
  readonly values?: boolean | undefined
  /**
   * `db.client.connection.pool.name`, by which the metrics of several pools are told apart. Default `host:port/database`.
   */
  readonly poolName?: string | undefined
}

const mostSpans = 1_000

/**
 * What is wrong with the options, if anything.
 *
 * @internal
 */
export const faultOf = ({ comments, spansPerSecond }: Options): string | undefined => {
  if (spansPerSecond !== undefined && !(spansPerSecond >= 0)) {
    return `Expected \`telemetry.spansPerSecond\` to be a number from 0, got ${String(spansPerSecond)}`
  }
  if (comments !== undefined && comments !== "none" && comments !== "query" && comments !== "trace") {
    return `Expected \`telemetry.comments\` to be "none", "query" or "trace", got ${String(comments)}`
  }
  return undefined
}

/**
 * What spans say of a server. The socket's file is its address, where it is reached by that.
 *
 * @internal
 */
export const serverOf = ({ database, host, path, port, username }: PgEndpoint) => ({
  "db.system.name": "postgresql",
  "db.namespace": database ?? username ?? "postgres",
  "server.address": path ?? host,
  ...(path === undefined ? { "server.port": port } : {})
})

/** @internal */
export const poolNameOf = (endpoint: PgEndpoint, { poolName }: Options): string => {
  const { database, host, path, port, username } = endpoint
  return poolName ?? `${path ?? `${host}:${port}`}/${database ?? username ?? "postgres"}`
}

/** @internal */
export const tagsOf = ({ comments = "none" }: Options): Tags | undefined =>
  comments === "none" ? undefined : new Tags(comments === "trace")

/**
 * Metrics are in the registry until the scope closes, and then until they are read once more.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function* (
  options: Options,
  endpoint: PgEndpoint,
  source: Pick<Source, "minConnections" | "counts" | "now">,
  spanAttributes: Readonly<Record<string, unknown>> = {}
): Effect.fn.Return<Telemetry, never, Scope.Scope> {
  const attributes = serverOf(endpoint)
  const poolName = poolNameOf(endpoint, options)
  const { spansPerSecond = mostSpans, values = false } = options
  let meter: PgMetrics | undefined
  if (options.metrics === true) {
    const context = Context.make(Metric.MetricRegistry, yield* Metric.MetricRegistry)
    const server = Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)]))
    meter = yield* Effect.acquireRelease(
      Effect.sync(() => new PgMetrics(context, { ...source, server, poolName })),
      (metrics) => Effect.sync(() => metrics.end())
    )
  }
  return {
    attributes: { ...spanAttributes, ...attributes },
    ofClient: { name: attributes["db.namespace"], mark: ["db.client.connection.pool.name", poolName] },
    quota: new SpanQuota(spansPerSecond),
    remarkable: new SpanQuota(spansPerSecond),
    values,
    textOf: remembering(withoutConstants),
    sqlStateOf,
    meter
  }
})

/** Texts are few, or else too many to keep; and long ones, such as inserts of many rows, are read each time. */
const remembered = 1_000
const rememberedLength = 2_000

const remembering = (f: (text: string) => string): ((text: string) => string) => {
  const known = new Map<string, string>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    const made = f(text)
    if (text.length > rememberedLength) return made
    if (known.size >= remembered) known.clear()
    known.set(text, made)
    return made
  }
}
