import type { PgClient } from "@effect/sql-pg/PgClient"
import type { Layer } from "effect"
import { Config, Effect, Redacted } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Query, QueryError } from "querypool"
import { PgQueryPool, QueryPool } from "querypool"
import type { Duplex } from "node:stream"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

type Provided = QueryPool.QueryPool | PgClient | SqlClient | PgQueryPool.Statistics

const layer = PgQueryPool.layer({
  url: Redacted.make("postgres://localhost/app"),
  maxConnections: 10,
  minConnections: 1,
  idleTimeout: "1 minute",
  connectionTTL: "1 hour",
  reset: "always",
  results: "text",
  queueLimit: 100,
  cancelGrace: "1 second",
  idleInTransactionTimeout: "5 minutes",
  leakThreshold: "1 minute",
  drainTimeout: "10 seconds",
  telemetry: { metrics: true, comments: "trace", spansPerSecond: Infinity, values: false, poolName: "main" }
})
expect<Equals<typeof layer, Layer.Layer<Provided, SqlError>>>()

// Each of them may be left out, also by those who have it in a variable.
accept(PgQueryPool.layer({ telemetry: {} }))
accept(PgQueryPool.layer({ telemetry: undefined }))
accept(
  PgQueryPool.layer({
    telemetry: {
      metrics: undefined,
      comments: undefined,
      spansPerSecond: undefined,
      values: undefined,
      poolName: undefined
    }
  })
)
declare const comments: "none" | "query" | "trace"
accept(PgQueryPool.layer({ telemetry: { comments } }))

const fromConfig = PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL"), maxConnections: Config.Int("SIZE") })
expect<Equals<typeof fromConfig, Layer.Layer<Provided, SqlError | Config.ConfigError>>>()

// What is told is known when the program is written, or read as a whole or in parts.
accept(PgQueryPool.layerConfig({ telemetry: Config.succeed({ metrics: true }) }))
accept(PgQueryPool.layerConfig({ telemetry: { metrics: Config.Boolean("METRICS"), poolName: Config.String("NAME") } }))
// @ts-expect-error -- a text that was read need not be one of the words
accept(PgQueryPool.layerConfig({ telemetry: { comments: Config.String("COMMENTS") } }))

declare const count: Query.Query<number, QueryError.QueryError>
const program = Effect.provide(QueryPool.all([count]), layer)
expect<Equals<typeof program, Effect.Effect<[number], QueryError.QueryError | SqlError>>>()

declare const socket: Duplex

// @ts-expect-error -- a url holds a password, so it is redacted
accept(PgQueryPool.layer({ url: "postgres://localhost/app" }))
// @ts-expect-error -- a password is redacted
accept(PgQueryPool.layer({ password: "secret" }))
// @ts-expect-error -- the pool makes its own sockets
accept(PgQueryPool.layer({ stream: () => socket }))
// @ts-expect-error -- the pool decides which statements share a connection
accept(PgQueryPool.layer({ multiplex: true }))
// @ts-expect-error -- no such option
accept(PgQueryPool.layer({ max: 10 }))
// @ts-expect-error -- no such way to reset
accept(PgQueryPool.layer({ reset: "never" }))
// @ts-expect-error -- no such results
accept(PgQueryPool.layer({ results: "binary" }))
// @ts-expect-error -- no such option
accept(PgQueryPool.layerConfig({ max: Config.Int("SIZE") }))
// @ts-expect-error -- what is told is told one by one
accept(PgQueryPool.layer({ telemetry: true }))
// @ts-expect-error -- metrics are there or not: effect's registry has them
accept(PgQueryPool.layer({ telemetry: { metrics: "otlp" } }))
// @ts-expect-error -- no such comments
accept(PgQueryPool.layer({ telemetry: { comments: true } }))
// @ts-expect-error -- no such comments
accept(PgQueryPool.layer({ telemetry: { comments: "sqlcommenter" } }))
// @ts-expect-error -- how many, not how long
accept(PgQueryPool.layer({ telemetry: { spansPerSecond: "1 second" } }))
// @ts-expect-error -- values are told or not
accept(PgQueryPool.layer({ telemetry: { values: ["email"] } }))
// @ts-expect-error -- a name is a text
accept(PgQueryPool.layer({ telemetry: { poolName: 1 } }))
// @ts-expect-error -- spans are made where there is a tracer
accept(PgQueryPool.layer({ telemetry: { spans: true } }))
