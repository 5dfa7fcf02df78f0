/**
 * The PostgreSQL that is measured: the one of `BENCH_DATABASE_URL`, or a throw-away server.
 *
 * Every suite gets a database of its own, made for it and dropped when its scope closes, so that nothing that is
 * already on the server is touched.
 */
import { PgClient } from "@effect/sql-pg"
import { Config, Context, Effect, Layer, Option, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient } from "effect/sql/SqlClient"
import { randomUUID } from "node:crypto"
import { EmbeddedPostgres } from "querypool/embedded"
import { BenchError, failAs } from "./Suite.ts"

/** How to reach a database; TCP without TLS. */
export interface Connection {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: Redacted.Redacted
  readonly database: string
}

/** The server to measure, by its maintenance database. */
export class BenchServer extends Context.Service<BenchServer, Connection>()("querypool/bench/BenchServer") {
  static readonly layer = Layer.effect(
    BenchServer,
    Effect.gen(function* () {
      const url = yield* Config.option(Config.Redacted("BENCH_DATABASE_URL"))
      return yield* Option.match(url, { onNone: () => startServer, onSome: parse })
    }).pipe(failAs("server"))
  )
}

// The largest table of the default scale is 128 MB: it stays in memory, whichever subject reads it. A suite cancels a
// hundred queries, each on a connection, and others to cancel them.
const startServer = Effect.gen(function* () {
  const context = yield* Layer.build(
    EmbeddedPostgres.layer({ settings: { shared_buffers: "512MB", max_connections: "300" } })
  )
  const { database, host, password, port, username } = Context.get(context, EmbeddedPostgres)
  return { host, port, username, password, database }
}).pipe(failAs("embedded"))

const parse = (value: Redacted.Redacted): Effect.Effect<Connection, BenchError> => {
  const url = URL.parse(Redacted.value(value))
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol) || url.hostname === "" || url.search !== "") {
    return Effect.fail(
      new BenchError({
        message: "Expected BENCH_DATABASE_URL to be postgres://user:password@host:port/database without parameters"
      })
    )
  }
  return Effect.succeed({
    host: url.hostname,
    port: Number(url.port || 5432),
    username: decodeURIComponent(url.username || "postgres"),
    password: Redacted.make(decodeURIComponent(url.password)),
    database: decodeURIComponent(url.pathname.slice(1) || "postgres")
  })
}

/** The database of the suite that runs. */
export class BenchDatabase extends Context.Service<BenchDatabase, Connection>()("querypool/bench/BenchDatabase") {
  /** An empty database, and a client to load it with. It is dropped when the scope closes, whoever is connected. */
  static readonly layer = Layer.effectContext(
    Effect.gen(function* () {
      const server = yield* BenchServer
      const admin = yield* PgClient.makeClient(server)
      const database = `querypool_bench_${randomUUID().replaceAll("-", "")}`
      yield* Effect.acquireRelease(admin`create database ${admin(database)}`, () =>
        Effect.orDie(admin`drop database ${admin(database)} with (force)`)
      )
      const client = yield* PgClient.make({ ...server, database, maxConnections: 1 })
      return Context.make(BenchDatabase, { ...server, database }).pipe(Context.add(SqlClient, client))
    }).pipe(failAs("database"))
  ).pipe(Layer.provide(Reactivity.layer))
}
