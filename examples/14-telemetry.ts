// Where there is a tracer in the context, each query is a span, as OpenTelemetry wants it of a database client. Metrics,
// and tags by which whoever looks at the server finds the query, are for those who ask. No value is told.
//
//     OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 OTEL_TRACES_EXPORTER=otlp OTEL_METRICS_EXPORTER=otlp node …
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schedule, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import { PgQueryPool, Query, QueryPool, RetryPolicy } from "querypool"

const account = Query.findOne({
  name: "account",
  schema: Schema.Struct({ owner: Schema.String }),
  statement: (sql) => sql`select ${"a customer's name"}::text as owner`
})

// Fails at its first attempt: its span has two spans for attempts below it, and the wait in between.
let attempts = 0
const flaky = Query.make("flaky", (sql) => sql`select 1 / ${attempts++}::int as one`, {
  mode: "readOnly",
  retry: RetryPolicy.make({ on: ["Rejected"], schedule: Schedule.spaced("10 millis") })
})

// What an administrator sees of a query that runs: the application's name, and the query's in a comment.
const activity = Query.findOne({
  name: "who am I",
  schema: Schema.Struct({ application: Schema.String, tag: Schema.String }),
  statement: (sql) => sql`select application_name as application, substring(query from '[^ ]+$') as tag
    from pg_stat_activity where pid = pg_backend_pid()`
})

const program = Effect.gen(function* () {
  const { queries } = yield* QueryPool.report([account, flaky], { concurrency: 2 })
  for (const { attempts, name, outcome } of queries) yield* Console.log(`${name}: ${outcome} at attempt ${attempts}`)
  const { application, tag } = yield* activity
  yield* Console.log(`${application}: ${tag}`)
}).pipe(Effect.withSpan("request"))

const pool = PgQueryPool.layerConfig({
  url: Config.Redacted("DATABASE_URL"),
  applicationName: Config.succeed("billing"),
  telemetry: Config.succeed({ metrics: true, comments: "query" } as const)
})
const exporter = Otlp.layerFromConfig({ resource: { serviceName: "billing" } }).pipe(
  Layer.provide(OtlpSerialization.layerJson),
  Layer.provide(FetchHttpClient.layer)
)

program.pipe(Effect.provide(Layer.provideMerge(pool, exporter)), NodeRuntime.runMain)
