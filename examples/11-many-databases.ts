// The same queries on many databases at once. `LayerMap` of effect makes a pool for a database when one is first asked
// for, and closes it when nobody has for a while. What is down fails alone, and nobody waits for it.
//
// `querypool run queries/ --targets databases.txt` does this for .sql files.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, LayerMap, Schema } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

class Databases extends LayerMap.Service<Databases>()("Databases", {
  lookup: (database: string) =>
    PgQueryPool.layerConfig({
      url: Config.Redacted("DATABASE_URL"),
      database: Config.succeed(database),
      maxConnections: Config.succeed(2)
    }),
  idleTimeToLive: "1 minute"
}) {}

const orders = Query.findOne({
  name: "orders",
  schema: Schema.Struct({ count: Schema.Finite, total: Schema.Finite }),
  statement: (sql) => sql`select count(*)::int as count, sum(total)::int as total from orders`
})
const city = Query.findOne({
  name: "city",
  schema: Schema.Struct({ name: Schema.String }),
  statement: (sql) => sql`select current_database() as name`
})

const ask = (database: string) =>
  QueryPool.all({ city, orders }, { concurrency: 2 }).pipe(
    Effect.provide(Databases.get(database)),
    Effect.map(({ city, orders }) => `${city.name}: ${orders.count} orders, ${orders.total} in all`),
    Effect.catchTag("QueryError", ({ reason }) => Effect.succeed(`${database}: ${reason._tag}, ${reason.message}`))
  )

const prepare = Effect.forEach(["berlin", "paris"], (database, index) => {
  const create = Query.make("create", (sql) => sql`create database ${sql(database)}`)
  const fill = Query.make("fill", (sql) => sql`create table orders as select generate_series(1, ${3 + index}) as total`)
  return Effect.andThen(
    Effect.provide(create, Databases.get("postgres")),
    Effect.provide(fill, Databases.get(database))
  )
})

const program = Effect.gen(function* () {
  yield* prepare
  const answers = yield* Effect.forEach(["berlin", "atlantis", "paris"], ask, { concurrency: "unbounded" })
  for (const answer of answers) yield* Console.log(answer)
})

program.pipe(Effect.provide(Databases.layer), NodeRuntime.runMain)
