import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Metric, Schedule, Schema, Stream } from "effect"
import { Query, QueryPool, RetryPolicy } from "querypool"
import { PgMetrics } from "../../../src/pool/PgMetrics.ts"
import { PgStatistics } from "../../../src/pool/PgStatistics.ts"
import * as Pg from "../../support/Pg.ts"

const lookup = Query.findOne({
  name: "lookup",
  schema: Schema.Struct({ n: Schema.Int }),
  statement: (sql) => sql`select ${1}::int as n`
})

type Series = Metric.Metric.Snapshot

/** In a registry of its own. */
const measured = <A, E>(
  effect: Effect.Effect<A, E, QueryPool.QueryPool | Pg.Pg>,
  { metrics = true, ...config }: Parameters<typeof Pg.pool>[0] & { readonly metrics?: boolean } = {}
) =>
  effect.pipe(
    Effect.provide(Pg.pool({ ...config, telemetry: { metrics, poolName: "main" } })),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

const find = (series: ReadonlyArray<Series>, id: string, attributes: Readonly<Record<string, string>> = {}) =>
  series.find(
    (one) => one.id === id && Object.entries(attributes).every(([key, value]) => one.attributes?.[key] === value)
  )

const countOf = (series: Series | undefined): number | undefined =>
  series?.type === "Counter" || series?.type === "Histogram" ? Number(series.state.count) : undefined

layer(Pg.layer("PgMetrics"), { excludeTestServices: true })("the metrics of a pool", (it) => {
  it.effect("are its connections, who waits, and how long they were used", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.hold(42)
      const held = Query.make("held", (sql) => sql`select pg_advisory_lock(42), pg_advisory_unlock(42)`)
      const meanwhile = Effect.gen(function* () {
        yield* observer.seen("it waits for the lock", ({ wait }) => wait === "Lock:advisory")
        const second = yield* Effect.forkChild(lookup)
        yield* Effect.yieldNow
        const series = yield* Metric.snapshot
        yield* observer.release(42)
        yield* Fiber.join(second)
        return series
      })
      const [during, after] = yield* measured(
        Effect.gen(function* () {
          const first = yield* Effect.forkChild(held)
          const during = yield* meanwhile
          yield* Fiber.join(first)
          return [during, yield* Metric.snapshot] as const
        }),
        { maxConnections: 1 }
      )
      const pool = { "db.client.connection.pool.name": "main" }
      const connections = (series: ReadonlyArray<Series>, state: string) =>
        countOf(find(series, "db.client.connection.count", { ...pool, "db.client.connection.state": state }))
      assert.deepStrictEqual([connections(during, "used"), connections(during, "idle")], [1, 0])
      assert.deepStrictEqual([connections(after, "used"), connections(after, "idle")], [0, 1])
      assert.strictEqual(countOf(find(during, "db.client.connection.pending_requests", pool)), 1)
      assert.strictEqual(countOf(find(after, "db.client.connection.max", pool)), 1)
      assert.strictEqual(countOf(find(after, "db.client.connection.wait_time", pool)), 2)
      assert.strictEqual(countOf(find(after, "db.client.connection.use_time", pool)), 2)
      assert.strictEqual(countOf(find(after, "db.client.connection.create_time", pool)), 1)
    })
  )

  it.effect("are how long queries took, by their names and how they failed, in the buckets of the conventions", () =>
    Effect.gen(function* () {
      const bad = Query.make("bad", (sql) => sql`select 1 / ${0}::int`)
      const series = yield* measured(
        Effect.andThen(QueryPool.report([lookup, lookup, bad]), Effect.andThen(lookup, Metric.snapshot))
      )
      const took = find(series, "db.client.operation.duration", { "db.query.summary": "lookup" })
      assert.strictEqual(countOf(took), 3)
      assert.deepStrictEqual(
        took?.type === "Histogram" ? took.state.buckets.map(([bound]) => bound) : [],
        [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
      )
      assert.deepInclude(took?.attributes, { "db.system.name": "postgresql", unit: "s" })
      const failed = find(series, "db.client.operation.duration", { "db.query.summary": "bad" })
      assert.deepInclude(failed?.attributes, { "error.type": "22012", "db.response.status_code": "22012" })
    })
  )

  it.effect("count each query of a run once, however it and its run end", () =>
    Effect.gen(function* () {
      const bad = Query.make("bad", (sql) => sql`select 1 / ${0}::int`)
      const slow = Query.make("slow", (sql) => sql`select pg_sleep(600)`)
      const options = { concurrency: 3 }
      const series = yield* measured(
        Effect.gen(function* () {
          yield* Effect.exit(QueryPool.all([bad, slow], options))
          yield* QueryPool.all([lookup, lookup], { concurrency: 1 })
          yield* QueryPool.all([lookup, bad, lookup], { ...options, mode: "outcome" })
          yield* Stream.runDrain(QueryPool.stream([lookup, bad], options))
          yield* Stream.runDrain(Stream.take(QueryPool.stream([lookup, slow], options), 1))
          return yield* Metric.snapshot
        })
      )
      const ended = (name: string, error: Readonly<Record<string, string>> = {}) =>
        countOf(find(series, "db.client.operation.duration", { "db.query.summary": name, ...error }))
      assert.deepStrictEqual(
        [ended("lookup"), ended("bad", { "error.type": "22012" }), ended("slow", { "error.type": "cancelled" })],
        [6, 3, 2]
      )
      assert.strictEqual(series.filter(({ id }) => id === "db.client.operation.duration").length, 3)
    })
  )

  it.effect("are retries by what they followed, cancels by how they ended, and waits that were too long", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      let attempts = 0
      const retry = RetryPolicy.make({ on: ["Rejected"], schedule: Schedule.recurs(3) })
      const flaky = Query.make("flaky", (sql) => sql`select 1 / ${attempts++}::int`, { mode: "readOnly", retry })
      const slow = Query.make("slow", (sql) => sql`select pg_sleep(600)`, { timeout: "50 millis" })
      const series = yield* measured(
        Effect.gen(function* () {
          yield* flaky
          yield* Effect.exit(slow)
          const sleeping = yield* Effect.forkChild(Query.make("holds", (sql) => sql`select pg_sleep(599)`))
          yield* observer.seen("it sleeps", ({ query }) => query.includes("599"))
          yield* QueryPool.report([lookup], { queueTimeout: "100 millis" })
          yield* Fiber.interrupt(sleeping)
          // How cancels ended is known when the metrics before were read.
          yield* Metric.snapshot
          return yield* Metric.snapshot
        }),
        { maxConnections: 1 }
      )
      assert.strictEqual(countOf(find(series, "querypool.query.retries", { "error.type": "22012" })), 1)
      assert.strictEqual(countOf(find(series, "querypool.cancel.duration", { "querypool.cancel.how": "idle" })), 2)
      assert.strictEqual(countOf(find(series, "db.client.connection.timeouts")), 1)
      const slowed = { "db.query.summary": "slow", "error.type": "TimedOut" }
      assert.strictEqual(countOf(find(series, "db.client.operation.duration", slowed)), 1)
    })
  )

  it.effect("are told once more after the end of their pool, and there are none unless they are asked for", () =>
    Effect.gen(function* () {
      const registry: Metric.MetricRegistry = new Map()
      const use = (metrics: boolean) =>
        Effect.andThen(
          lookup,
          Effect.sync(() => registry.size)
        ).pipe(
          Effect.provide(Pg.pool({ telemetry: { metrics } })),
          Effect.provideService(Metric.MetricRegistry, registry)
        )
      assert.isAbove(yield* use(true), 5)
      const context = yield* Effect.provideService(Effect.context<never>(), Metric.MetricRegistry, registry)
      const last = Metric.snapshotUnsafe(context)
      assert.strictEqual(countOf(find(last, "db.client.operation.duration")), 1)
      assert.strictEqual(countOf(find(last, "db.client.connection.count", { "db.client.connection.state": "idle" })), 0)
      assert.strictEqual(registry.size, 0)
      assert.strictEqual(yield* use(false), 0)
    })
  )

  it.effect("are bounded in number, whatever queries are called", () =>
    Effect.gen(function* () {
      const registry: Metric.MetricRegistry = new Map()
      const context = yield* Effect.provideService(Effect.context<never>(), Metric.MetricRegistry, registry)
      const counts = new PgStatistics()
      const now = () =>
        counts.snapshot({
          maxConnections: 1,
          inUse: 0,
          idle: 0,
          waiting: 0,
          pipelined: { connections: 0, inFlight: 0, waiting: 0 }
        })
      const metrics = new PgMetrics(context, { server: {}, poolName: "p", minConnections: 0, counts, now })
      for (let n = 0; n < 5_000; n++) metrics.ended(`made up ${n}`, 0.1, undefined)
      const series = Metric.snapshotUnsafe(context)
      assert.isBelow(series.length, 2_020)
      assert.strictEqual(
        countOf(find(series, "db.client.operation.duration", { "otel.metric.overflow": "true" })),
        3_000
      )
    })
  )
})
