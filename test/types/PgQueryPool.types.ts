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
  drainTimeout: "10 seconds"
})
expect<Equals<typeof layer, Layer.Layer<Provided, SqlError>>>()

const fromConfig = PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL"), maxConnections: Config.Int("SIZE") })
expect<Equals<typeof fromConfig, Layer.Layer<Provided, SqlError | Config.ConfigError>>>()

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
