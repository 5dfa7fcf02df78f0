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
 * Connections to the server: at most `maxConnections`, one more for each run with a snapshot and for each
 * `PgClient.listen`, one that controls the others while a cancel needs it, and a short-lived one for each cancel under
 * way and for each lost COMMIT that is looked up.
 *
 * @since 0.1.0
 */
import { PgClient, PgConnection } from "@effect/sql-pg"
import { Config as EffectConfig, Context, Duration, Effect, Layer, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import type { QueryError } from "../query/QueryError.ts"
import { ConnectionLost } from "../query/QueryError.ts"
import type { QueryInfo, Terms } from "../query/QueryPool.ts"
import { QueryPool } from "../query/QueryPool.ts"
import type { Snapshot } from "../query/RunSnapshot.ts"
import * as PgConnections from "./PgConnections.ts"
import * as PgEndpoint from "./PgEndpoint.ts"
import type { Classified } from "./PgErrors.ts"
import { classify, toQueryError } from "./PgErrors.ts"
import { PgLedger } from "./PgLedger.ts"
import type { Place } from "./PgPlace.ts"
import { PgRefusal, refusal, rejection } from "./PgRefusal.ts"
import { PgSession } from "./PgSession.ts"
import * as PgSnapshot from "./PgSnapshot.ts"
import { beginReading } from "./PgSnapshot.ts"
import * as PgSqlClient from "./PgSqlClient.ts"
import type * as PgStatistics from "./PgStatistics.ts"
import * as PgTelemetry from "./PgTelemetry.ts"
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
   * How many may wait for a connection; who comes then is refused at once with `QueueFull`, which lets a server shed
   * load. Unlimited by default.
   */
  readonly queueLimit?: number | undefined
  /**
   * How many of the connections the pipelined lane may use (`lane: "pipelined"`), opened when it has work: from 1 to
   * `maxConnections`. Default 2, or 1 of 1: each keeps up to 128 statements on the wire, and over a network more of them
   * hide its delay; beside the server a third adds nothing.
   */
  readonly pipelinedConnections?: number | undefined
  /**
   * How long the server lets a statement of the pipelined lane take, as none can be cancelled there
   * (`statement_timeout`). Default 30 seconds; `Duration.infinity` for no limit.
   */
  readonly pipelinedTimeout?: Duration.Input | undefined
  /**
   * How long an interrupted statement may take to stop; after that its backend is terminated. Default one second.
   */
  readonly cancelGrace?: Duration.Input | undefined
  /**
   * How long a transaction may be idle before the server ends it, for the case that this process stops in the middle of
   * one and does not die. Default five minutes; `Duration.infinity` for never.
   */
  readonly idleInTransactionTimeout?: Duration.Input | undefined
  /** After how long a session that is still held is logged, once, with its query. Default one minute. */
  readonly leakThreshold?: Duration.Input | undefined
  /**
   * After how long a snapshot that is still held is logged, once: it keeps vacuum from its work. Default five minutes;
   * `Duration.infinity` for never.
   */
  readonly snapshotThreshold?: Duration.Input | undefined
  /**
   * How long the end of the pool waits for queries that still run; then it cancels them on the server. Default ten
   * seconds.
   */
  readonly drainTimeout?: Duration.Input | undefined
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
  /** What the pool tells of its queries, beside the spans that it makes where there is a tracer. */
  readonly telemetry?: PgTelemetry.Options | undefined
}

/**
 * What the pool is doing and has done: connections in use and idle, who waits and how long others have waited, what
 * was opened and retired and why.
 *
 * @since 0.1.0
 */
export class Statistics extends Context.Service<
  Statistics,
  {
    readonly get: Effect.Effect<PgStatistics.Statistics>
  }
>()("querypool/pool/PgQueryPool/Statistics") {}

/**
 * What a pool's layer provides.
 *
 * @since 0.1.0
 */
export type Services = QueryPool | PgClient.PgClient | SqlClient.SqlClient | Statistics

/**
 * Provides a pool on the server that `config` describes. Fails with `SqlError` when the configuration cannot be used;
 * whether the server can be reached shows when the first query runs.
 *
 * @since 0.1.0
 */
export const layer = (config: Config): Layer.Layer<Services, SqlError> =>
  Layer.effectContext(make(config)).pipe(Layer.provide(Reactivity.layer))

/**
 * As `layer`, with settings that are read from the program's configuration, such as
 * `layerConfig({ url: Config.Redacted("DATABASE_URL") })`.
 *
 * @since 0.1.0
 */
export const layerConfig = (
  config: EffectConfig.Wrap<Config>
): Layer.Layer<Services, SqlError | EffectConfig.ConfigError> =>
  Layer.unwrap(Effect.map(EffectConfig.unwrap(config), layer))

const make = Effect.fnUntraced(function* (config: Config) {
  const endpoint = yield* Effect.fromResult(PgEndpoint.make(config))
  const maxConnections = config.maxConnections ?? 10
  if (!Number.isSafeInteger(maxConnections) || maxConnections < 1) {
    return yield* invalid(`Expected \`maxConnections\` to be an integer from 1, got ${String(maxConnections)}`)
  }
  const queueLimit = config.queueLimit ?? Infinity
  if (queueLimit !== Infinity && (!Number.isSafeInteger(queueLimit) || queueLimit < 0)) {
    return yield* invalid(`Expected \`queueLimit\` to be an integer from 0, got ${String(queueLimit)}`)
  }
  const pipelinedConnections = config.pipelinedConnections ?? Math.min(2, maxConnections)
  if (
    !Number.isSafeInteger(pipelinedConnections) ||
    pipelinedConnections < 1 ||
    pipelinedConnections > maxConnections
  ) {
    return yield* invalid(
      `Expected \`pipelinedConnections\` to be an integer from 1 to \`maxConnections\`, got ${String(pipelinedConnections)}`
    )
  }
  const told = config.telemetry ?? {}
  const fault = PgTelemetry.faultOf(told)
  if (fault !== undefined) return yield* invalid(fault)
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
    alwaysReset: config.reset === "always",
    tags: PgTelemetry.tagsOf(told),
    queueLimit,
    leakThreshold: Duration.fromInputUnsafe(config.leakThreshold ?? "1 minute"),
    drainTimeout: Duration.fromInputUnsafe(config.drainTimeout ?? "10 seconds"),
    pipelined: {
      connections: pipelinedConnections,
      statementTimeout: Duration.fromInputUnsafe(config.pipelinedTimeout ?? "30 seconds"),
      transformRows:
        config.transformResultNames === undefined
          ? undefined
          : Statement.defaultTransforms(config.transformResultNames, config.transformJson).array
    },
    cancelGrace: Duration.fromInputUnsafe(config.cancelGrace ?? "1 second"),
    idleInTransactionTimeout: Duration.fromInputUnsafe(config.idleInTransactionTimeout ?? "5 minutes")
  })

  const { counts, now } = connections
  const source = { minConnections: config.minConnections ?? 0, counts, now }
  const telemetry = yield* PgTelemetry.make(told, endpoint, source, config.spanAttributes)
  const provide = PgSqlClient.makeProvide(current)
  const sql = yield* PgSqlClient.make({
    config: { ...driver, ...config },
    spanAttributes: [telemetry.ofClient.mark, ...Object.entries(telemetry.attributes)],
    current,
    transaction,
    use: (f) => connections.use({ name: "statement" }, f),
    lease: connections.lease({ name: "transaction" }),
    lookUp: connections.lookUp,
    connect: Effect.suspend(() => PgConnection.make({ ...driver, stream: () => openSocket(undefined) }))
  })

  /** The session that a query started in this context joins: that of the query around it, or of a transaction. */
  const around = (context: Context.Context<never>): PgSession | undefined => {
    const session = Context.getOrUndefined(context, current)
    if (session !== undefined) return session
    const connection = Context.getOrUndefined(context, transaction)?.[0]
    return connection instanceof PgSession ? connection : undefined
  }

  /** Runs an effect as a transaction that begins in a way of its own. */
  const begunBy = <A, E, R>(begin: string, body: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.withFiber((fiber) => {
      // Within: a transaction of another client in the body begins in its own way.
      const own = Effect.provideService(body, SqlClient.BeginTransaction, fiber.getRef(SqlClient.BeginTransaction))
      return Effect.provideService(sql.withTransaction(own), SqlClient.BeginTransaction, begin)
    })

  const asUnit =
    (query: QueryInfo) =>
    <A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> => {
      if (query.options.mode === "transaction") return sql.withTransaction(body)
      // Behind a pooler that gives sessions out by the transaction, the session's setting may be with another.
      return query.options.mode === "readOnly" && connections.shared() ? begunBy("BEGIN READ ONLY", body) : body
    }

  /** Runs a unit as a transaction that sees a snapshot. */
  const reading = <A, E, R>(
    snapshot: Effect.Effect<Snapshot, SqlError>,
    unit: PgSession,
    body: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | SqlError, R> =>
    Effect.flatMap(joinable(snapshot), (taken) => begunBy(beginReading, Effect.andThen(unit.join(taken), body)))

  const pipelined = <A, E, R>(
    query: QueryInfo,
    body: (place: Place) => Effect.Effect<A, E, R>,
    limits: Terms | undefined
  ): Effect.Effect<A, Exclude<E, SqlError> | QueryError, R> => {
    let place: Place | undefined
    const lent = (unit: Place) => {
      place = unit
      return body(unit)
    }
    return Effect.mapError(connections.pipeline(query.options.mode === "readOnly").use(query, lent, limits), (error) =>
      error instanceof SqlError ? toQueryError(query, inLane(error, place)) : asTyped(error)
    )
  }

  const use: QueryPool["Service"]["use"] = (query, body, terms) => {
    const isPinned = query.options.lane !== "pipelined" || terms?.snapshot !== undefined
    if (isPinned || (query.options.mode === "readOnly" && connections.shared())) return pinned(query, body, terms)
    return Effect.withFiber((fiber) =>
      around(fiber.context) === undefined
        ? pipelined(query, (unit) => body(sql, unit), limitsOf(terms))
        : pinned(query, body, terms)
    )
  }

  const pinned: QueryPool["Service"]["use"] = (query, body, terms) => {
    let session: PgSession | undefined
    const snapshot = terms?.snapshot
    const limits = limitsOf(terms)
    const run = (unit: PgSession) => asUnit(query)(Effect.suspend(() => body(sql, unit)))
    return Effect.mapError(
      Effect.withFiber((fiber) => {
        const joined = around(fiber.context)
        if (joined === undefined) {
          return connections.use(
            snapshot === undefined ? query : reader(query),
            (lent) => {
              session = lent
              if (snapshot !== undefined) {
                const unit = Effect.suspend(() => body(sql, lent))
                return provide(reading(snapshot, lent, unit), lent)
              }
              lent.looksUp = query.options.retry !== undefined
              return provide(run(lent), lent)
            },
            limits
          )
        }
        session = joined
        const refused = joined.over() ?? apart(snapshot)
        if (refused !== undefined) return refused
        const limit = terms?.running?.()
        if (limit === undefined) return run(joined)
        return Effect.timeoutOrElse(run(joined), {
          duration: limit.millis,
          orElse: () => Effect.fail(refusal(limit.reason))
        })
      }),
      (error) => toTyped(query, session, error)
    )
  }

  const stream: QueryPool["Service"]["stream"] = (query, body, terms) => {
    let session: PgSession | undefined
    const snapshot = terms?.snapshot
    return Stream.mapError(
      Stream.unwrap(
        Effect.gen(function* () {
          session = around(yield* Effect.context<never>())
          if (session !== undefined) {
            yield* session.over() ?? apart(snapshot) ?? Effect.void
            return body(sql, session)
          }
          session = yield* connections.lease(snapshot === undefined ? query : reader(query))
          if (snapshot !== undefined) yield* session.read(yield* joinable(snapshot))
          return Stream.provideService(body(sql, session), current, session)
        })
      ),
      (error) => toTyped(query, session, error)
    )
  }

  const snapshotThreshold = Duration.fromInputUnsafe(config.snapshotThreshold ?? "5 minutes")
  const snapshot: QueryPool["Service"]["snapshot"] = (options) =>
    PgSnapshot.take({
      ...options,
      connect: (restore) => connections.beside("snapshot", restore),
      shared: connections.shared,
      threshold: snapshotThreshold
    })

  const pool = QueryPool.of({
    use,
    stream,
    snapshot,
    within: (context) => Context.getOrUndefined(context, current)?.query.name,
    telemetry
  })
  return Context.make(QueryPool, pool).pipe(
    Context.add(PgClient.PgClient, sql),
    Context.add(SqlClient.SqlClient, sql),
    Context.add(Statistics, { get: Effect.sync(now) })
  )
})

/** A run's snapshot is its pool's: another's names a moment of another database. */
const joinable = (snapshot: Effect.Effect<Snapshot, SqlError>): Effect.Effect<PgSnapshot.PgSnapshot, SqlError> =>
  Effect.filterOrElse(
    snapshot,
    (taken) => taken instanceof PgSnapshot.PgSnapshot,
    () => Effect.die(new Error("The snapshot was taken by a pool of another kind"))
  )

/** The refusal of what has to see a run's snapshot, and is in a transaction that began outside of its queries. */
const apart = (snapshot: Terms["snapshot"]): Effect.Effect<never, SqlError> | undefined =>
  snapshot === undefined
    ? undefined
    : Effect.fail(
        rejection(
          "it is in a transaction that does not see the snapshot of its run",
          "leave the transaction out: each query of such a run is one"
        )
      )

/** A query by its name alone: its transaction says what it may do. */
const reader = ({ name, origin }: QueryInfo) => ({ name, origin, options: {} })

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

const toTyped = <E>(query: QueryInfo, session: PgSession | undefined, error: E): Exclude<E, SqlError> | QueryError => {
  if (!(error instanceof SqlError)) return asTyped(error)
  const { cause } = error.reason
  if (cause instanceof PgRefusal) {
    return toQueryError(query, {
      reason: cause.reason,
      // Where it was interrupted in the middle, its connection is retired.
      connection: session === undefined || cause.reason._tag === "SnapshotLost" ? "usable" : "gone",
      outcome: session?.outcome ?? "notApplied"
    })
  }
  if (session?.connection.aborting === true) {
    const reason = new ConnectionLost({ message: "the pool was closed while the query ran" })
    return toQueryError(query, { reason, connection: "gone", outcome: session.outcome })
  }
  return toQueryError(
    query,
    classify({
      error,
      phase: session === undefined ? "connect" : session.committing ? "commit" : "statement",
      sql: session?.sql,
      unit: session?.ledger ?? untouched,
      cancelled: session?.connection.cancelled !== undefined
    })
  )
}

/** The fast ways are for those without limits. */
const limitsOf = (terms: Terms | undefined): Terms | undefined =>
  terms?.queue === undefined && terms?.running === undefined ? undefined : terms

/** What became of a query in the pipelined lane. */
const inLane = (error: SqlError, place: Place | undefined): Classified => {
  const { cause } = error.reason
  if (cause instanceof PgRefusal) {
    return { reason: cause.reason, connection: "usable", outcome: place?.outcome ?? "notApplied" }
  }
  return classify({
    error,
    phase: place === undefined ? "connect" : "statement",
    sql: place?.sql,
    unit: place?.facts ?? untouched,
    cancelled: false
  })
}

// That what is no SqlError is the rest of E is what `Exclude` says, and what narrowing cannot.
const asTyped = <E>(error: E) => error as Exclude<E, SqlError>

const untouched = new PgLedger()
