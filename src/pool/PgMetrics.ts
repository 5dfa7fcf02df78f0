/**
 * A pool's metrics, by OpenTelemetry's conventions for database clients, in effect's registry.
 *
 * What a pool counts anyway is read when somebody exports, so nothing is counted twice, and a pool whose metrics nobody
 * asked for does the same as one whose metrics are read. Only how long each query took has to be counted for this.
 *
 * After the pool's end they are read once more: an exporter does so at its own end, which comes after that of a pool
 * whose layer stands on it, and what a short program did would be told to nobody.
 *
 * @internal
 */
import type { Context } from "effect"
import { Metric } from "effect"
import type { HistogramState } from "../internal/Histogram.ts"
import { Histogram } from "../internal/Histogram.ts"
import type { Failure, Meter } from "../query/Telemetry.ts"
import type { PgStatistics, Statistics } from "./PgStatistics.ts"
import { boundsSeconds } from "./PgStatistics.ts"

/**
 * More than that are counted as one, which has `otel.metric.overflow`: names that are made up as the program runs, and
 * errors of one's own, are as many as there are queries. OpenTelemetry's own limit is the same.
 */
const mostSeries = 2_000

type Attributes = Readonly<Record<string, string>>

/** @internal */
export interface Source {
  /** What every metric says of the server. */
  readonly server: Attributes
  /** `db.client.connection.pool.name`. */
  readonly poolName: string
  readonly minConnections: number
  readonly counts: PgStatistics
  readonly now: () => Statistics
}

/** @internal */
export class PgMetrics implements Meter {
  private readonly context: Context.Context<never>
  private readonly source: Source
  private readonly pool: Attributes
  /** By the query's name, and what it failed with. */
  private readonly durations = new Map<string, Histogram>()
  private readonly retries = new Map<string, { count: number }>()
  /** How cancels ended of which there is a metric. */
  private readonly cancels = new Set<string>()
  private isOver = false

  constructor(context: Context.Context<never>, source: Source) {
    this.context = context
    this.source = source
    this.pool = { "db.client.connection.pool.name": source.poolName }
    this.ofConnections()
  }

  /** The pool ends: each is taken out of the registry by whoever reads it next. */
  end(): void {
    this.ofCancels()
    this.isOver = true
  }

  ended(summary: string, seconds: number, failure: Failure | undefined): void {
    const key = failure === undefined ? summary : `${summary}\0${failure.type}`
    const known = this.durations.get(key)
    if (known !== undefined) known.add(seconds)
    else this.newDurations(key, summary, failure).add(seconds)
  }

  private newDurations(key: string, summary: string, failure: Failure | undefined): Histogram {
    const isOne = this.durations.size < mostSeries
    const known = isOne ? undefined : this.durations.get(overflowKey)
    if (known !== undefined) return known
    const made = new Histogram(boundsSeconds)
    this.durations.set(isOne ? key : overflowKey, made)
    this.histogram(
      "db.client.operation.duration",
      "Duration of queries, from their turn to their end, with all waits and retries.",
      { ...this.source.server, ...(isOne ? ofQuery(summary, failure) : overflow) },
      () => made.state
    )
    return made
  }

  retried({ type }: Failure): void {
    const isOne = this.retries.has(type) || this.retries.size < mostSeries
    const key = isOne ? type : overflowKey
    const known = this.retries.get(key)
    if (known !== undefined) {
      known.count++
      return
    }
    const counted = { count: 1 }
    this.retries.set(key, counted)
    this.counter(
      "querypool.query.retries",
      "Attempts that failed and were followed by another.",
      "{attempt}",
      { ...this.source.server, ...(isOne ? { "error.type": type } : overflow) },
      true,
      () => counted.count
    )
  }

  private ofConnections(): void {
    const { counts, minConnections, now } = this.source
    const { pool } = this
    const connections = (name: string, description: string, attributes: Attributes, read: () => number): void =>
      this.counter(name, description, "{connection}", { ...pool, ...attributes }, false, read)
    const count = "The number of connections that are currently in state described by the state attribute."
    for (const [state, read] of [
      // Slots that are taken and have no connection yet are on their way to one.
      ["used", () => now().inUse],
      ["idle", () => now().idle]
    ] as const) {
      connections("db.client.connection.count", count, { "db.client.connection.state": state }, read)
    }
    connections("db.client.connection.max", "The most connections there can be.", {}, () => now().maxConnections)
    connections("db.client.connection.idle.min", "Connections that are kept.", {}, () => minConnections)
    this.counter(
      "db.client.connection.pending_requests",
      "The number of current pending requests for an open connection.",
      "{request}",
      pool,
      false,
      () => now().waiting
    )
    this.counter(
      "db.client.connection.timeouts",
      "The number of times that waiting for a connection took longer than it may.",
      "{timeout}",
      pool,
      true,
      () => counts.timedOut
    )
    const histogram = (name: string, description: string, read: () => HistogramState): void =>
      this.histogram(`db.client.connection.${name}`, description, pool, read)
    histogram("wait_time", "The time it took to get a slot of the pool.", () => counts.waitSeconds)
    histogram("create_time", "The time it took to create a new connection.", () => counts.creates.state)
    histogram("use_time", "The time between borrowing a connection and returning it.", () => {
      this.ofCancels()
      return counts.uses.state
    })
  }

  /** How cancels end shows only when some have. */
  private ofCancels(): void {
    for (const [how, times] of this.source.counts.cancels) {
      if (this.cancels.has(how)) continue
      this.cancels.add(how)
      this.histogram(
        "querypool.cancel.duration",
        "How long cancels took, by how they ended.",
        { ...this.pool, "querypool.cancel.how": how },
        () => times.state
      )
    }
  }

  private histogram(id: string, description: string, attributes: Attributes, read: () => HistogramState): void {
    const metric = Metric.histogram(id, {
      description,
      attributes: { ...attributes, unit: "s" },
      boundaries: boundsSeconds
    })
    this.register(metric, read)
  }

  private counter(
    id: string,
    description: string,
    unit: string,
    attributes: Attributes,
    incremental: boolean,
    read: () => number
  ): void {
    const metric = Metric.counter(id, { description, attributes: { ...attributes, unit }, incremental })
    this.register(metric, () => ({ count: read(), incremental }))
  }

  private register<Input, State>(metric: Metric.Metric<Input, State>, read: () => State): void {
    const get = () => {
      if (this.isOver) registration.remove()
      return read()
    }
    const registration = Metric.registerUnsafe(metric, this.context, { get, update: unused, modify: unused })
  }
}

const overflowKey = "\0overflow"
const overflow: Attributes = { "otel.metric.overflow": "true" }

const ofQuery = (summary: string, failure: Failure | undefined): Attributes => ({
  "db.query.summary": summary,
  ...(failure === undefined ? {} : { "error.type": failure.type }),
  ...(failure?.sqlState === undefined ? {} : { "db.response.status_code": failure.sqlState })
})

const unused = (): void => {}
