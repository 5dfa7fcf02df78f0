/**
 * A pool of queries on PostgreSQL.
 *
 * The layer provides `QueryPool` for queries, and `PgClient` and `SqlClient` for everything else: one pool serves
 * every caller of the process, and nothing connects before it is asked for. A repository that captured the client when
 * its layer was built works inside a query, on that query's session, and outside, where each statement and each
 * `withTransaction` takes a session for itself.
 *
 * A session is clean when a query gets it: what another changed there (a `SET`, a temporary table, a lock, an open
 * transaction) is gone.
 *
 * Connections to the server: at most `maxConnections`, one more for each `PgClient.listen`, and a short-lived one for
 * each cancel under way.
 *
 * @since 0.1.0
 */
import { PgClient, PgConnection } from "@effect/sql-pg"
import { Config as EffectConfig, Context, Duration, Effect, Layer, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient } from "effect/sql"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { QueryError } from "../query/QueryError.ts"
import type { QueryInfo } from "../query/QueryPool.ts"
import { QueryPool } from "../query/QueryPool.ts"
import * as PgConnections from "./PgConnections.ts"
import * as PgEndpoint from "./PgEndpoint.ts"
import { toQueryError } from "./PgErrors.ts"
import { PgSession } from "./PgSession.ts"
import * as PgSqlClient from "./PgSqlClient.ts"
import * as PgTextFilter from "./PgTextFilter.ts"
import * as PgWire from "./PgWire.ts"

/**
 * Where the server is, how many connections to keep, and how to talk to it.
 *
 * As `PgClient`'s configuration, without what the pool decides itself: its sockets, and which statements share a
 * connection. In a `url`, `sslmode` means what it means to psql, and no `sslmode` means no TLS.
 *
 * @since 0.1.0
 */
export interface Config extends Omit<PgClient.PgPoolConfig, "stream" | "multiplex" | "multiplexConcurrency"> {
  /** How many connections, and so how many queries at once. Default 10. */
  readonly maxConnections?: number | undefined
  /** How many connections to keep when nothing needs them. Default 0. */
  readonly minConnections?: number | undefined
  /** How long a connection may be idle before it is closed. Default one minute. */
  readonly idleTimeout?: Duration.Input | undefined
  /** How long a connection may live before it is replaced, when no query holds it. Default one hour. */
  readonly connectionTTL?: Duration.Input | undefined
  /**
   * When to reset a session between two queries: `detected` (the default) does so after statements whose text shows
   * that they may leave something behind; `always` is for those who hide `set_config` or advisory locks in functions,
   * and costs a round trip each time.
   */
  readonly reset?: "detected" | "always" | undefined
  /**
   * `decoded` (the default) gives JavaScript values. `text` gives every value as the server renders it, keeps columns
   * of one name apart (`a`, `a_2`) and reports columns, command tags and notices.
   */
  readonly results?: "decoded" | "text" | undefined
}

/**
 * Provides a pool on the server that `config` describes. Fails with `SqlError` when the configuration cannot be used;
 * whether the server can be reached shows when the first query runs.
 *
 * @since 0.1.0
 */
export const layer = (config: Config): Layer.Layer<QueryPool | PgClient.PgClient | SqlClient.SqlClient, SqlError> =>
  Layer.effectContext(make(config)).pipe(Layer.provide(Reactivity.layer))

/**
 * As `layer`, with settings that are read from the program's configuration, such as
 * `layerConfig({ url: Config.Redacted("DATABASE_URL") })`.
 *
 * @since 0.1.0
 */
export const layerConfig = (
  config: EffectConfig.Wrap<Config>
): Layer.Layer<QueryPool | PgClient.PgClient | SqlClient.SqlClient, SqlError | EffectConfig.ConfigError> =>
  Layer.unwrap(Effect.map(EffectConfig.unwrap(config), layer))

const make = Effect.fnUntraced(function* (config: Config) {
  const endpoint = yield* Effect.fromResult(PgEndpoint.make(config))
  const maxConnections = config.maxConnections ?? 10
  if (!Number.isSafeInteger(maxConnections) || maxConnections < 1) {
    return yield* invalid(`Expected \`maxConnections\` to be an integer from 1, got ${String(maxConnections)}`)
  }
  const driver = driverConfig(config, endpoint)
  const keepAliveMillis = config.keepAlive === undefined ? undefined : Duration.toMillis(config.keepAlive)
  const openSocket: PgConnections.Config["openSocket"] = (observed) =>
    PgWire.open(endpoint, {
      keepAliveMillis,
      filter: config.results !== "text" || observed === undefined ? undefined : PgTextFilter.make(observed)
    })
  const { current, transaction } = PgSqlClient.makeKeys()
  const connections = yield* PgConnections.make({
    transaction,
    maxConnections,
    minConnections: config.minConnections ?? 0,
    idleTimeout: Duration.fromInputUnsafe(config.idleTimeout ?? "1 minute"),
    connectionTTL: Duration.fromInputUnsafe(config.connectionTTL ?? "1 hour"),
    driver,
    openSocket,
    alwaysReset: config.reset === "always"
  })

  const provide = PgSqlClient.makeProvide(current)
  const sql = yield* PgSqlClient.make({
    config: { ...driver, ...config },
    current,
    transaction,
    use: (f) => connections.use("statement", f),
    lease: connections.lease("transaction"),
    connect: Effect.suspend(() => PgConnection.make({ ...driver, stream: () => openSocket(undefined) }))
  })

  /** The session that a query started in this context joins: that of the query around it, or of a transaction. */
  const around = (context: Context.Context<never>): PgSession | undefined => {
    const session = Context.getOrUndefined(context, current)
    if (session !== undefined) return session
    const connection = Context.getOrUndefined(context, transaction)?.[0]
    return connection instanceof PgSession ? connection : undefined
  }

  const asUnit =
    (query: QueryInfo) =>
    <A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
      query.options.mode === "transaction" ? sql.withTransaction(body) : body

  const use: QueryPool["Service"]["use"] = (query, body) => {
    const run = (session: PgSession) => asUnit(query)(Effect.suspend(() => body(sql, session)))
    return named(
      query.name,
      Effect.withFiber((fiber) => {
        const joined = around(fiber.context)
        if (joined !== undefined) return joined.over() ?? run(joined)
        return connections.use(query.name, (session) => provide(run(session), session))
      })
    )
  }

  const stream: QueryPool["Service"]["stream"] = (query, body) =>
    Stream.mapError(
      Stream.unwrap(
        Effect.gen(function* () {
          const joined = around(yield* Effect.context<never>())
          if (joined !== undefined) {
            yield* joined.over() ?? Effect.void
            return body(sql, joined)
          }
          const session = yield* connections.lease(query.name)
          return Stream.provideService(body(sql, session), current, session)
        })
      ),
      (error) => toTyped(query.name, error)
    )

  const pool = QueryPool.of({ use, stream, within: (context) => Context.getOrUndefined(context, current)?.query })
  return Context.make(QueryPool, pool).pipe(Context.add(PgClient.PgClient, sql), Context.add(SqlClient.SqlClient, sql))
})

const invalid = (message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation: "connect" }) })

/** The driver's settings: the endpoint's for where, the configuration's for how. */
const driverConfig = (config: Config, endpoint: PgEndpoint.PgEndpoint): Omit<PgConnection.Config, "stream"> => ({
  host: endpoint.host,
  port: endpoint.port,
  database: endpoint.database,
  username: endpoint.username,
  password: config.password ?? endpoint.password,
  // The socket that the pool opens is encrypted already where it has to be.
  ssl: false,
  connectTimeout:
    config.connectTimeout ??
    (endpoint.connectTimeoutSeconds === undefined ? undefined : Duration.seconds(endpoint.connectTimeoutSeconds)),
  applicationName: config.applicationName ?? endpoint.applicationName ?? "querypool",
  startupParameters: config.startupParameters,
  startupOptions: config.startupOptions ?? endpoint.startupOptions,
  types: config.types,
  // What was prepared before is not described again, and the names of its columns would be missing.
  prepare: config.results === "text" ? false : config.prepare,
  preparedStatementCacheSize: config.preparedStatementCacheSize,
  maxMessageSize: config.maxMessageSize
})

const named = <A, E, R>(
  query: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, Exclude<E, SqlError> | QueryError, R> => Effect.mapError(effect, (error) => toTyped(query, error))

const toTyped = <E>(query: string, error: E): Exclude<E, SqlError> | QueryError =>
  // That what is no SqlError is the rest of E is what `Exclude` says, and what narrowing cannot.
  error instanceof SqlError ? toQueryError(query, error) : (error as Exclude<E, SqlError>)
