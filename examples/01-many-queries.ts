// Two queries at once, each on a session of its own, their rows typed by a schema.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schema } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

const Planet = Schema.Struct({ name: Schema.String, moons: Schema.Finite })

const planets = Query.findAll({
  name: "planets",
  schema: Planet,
  statement: (sql) => sql`select * from (values ('Earth', 1), ('Mars', 2), ('Jupiter', 101)) as planet (name, moons)`
})
const sum = Query.make("sum", (sql) => sql<{ sum: bigint }>`select sum(i) from generate_series(1, 1000000) i`)

const program = Effect.gen(function* () {
  const all = yield* QueryPool.all({ planets, sum }, { concurrency: 5 })
  yield* Console.log(all.planets.map((planet) => `${planet.name}: ${planet.moons}`).join(", "))
  yield* Console.log(`sum: ${all.sum[0]?.sum}`)
})

program.pipe(Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })), NodeRuntime.runMain)
