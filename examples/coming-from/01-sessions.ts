// Six queries, five at a time, each on a session of its own.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

const squares = Array.from({ length: 6 }, (_, index) => index + 1).map((n) =>
  Query.make(`${n} squared`, (sql) => sql<{ square: number }>`select ${n}::int * ${n}::int as square`)
)

const program = Effect.gen(function* () {
  // The first failure stops the others, on the server too; mode: "outcome" gives an outcome for each.
  const found = yield* QueryPool.all(squares, { concurrency: 5 })
  for (const [index, rows] of found.entries()) yield* Console.log(`${squares[index]?.name}: ${rows[0]?.square}`)
})

program.pipe(Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })), NodeRuntime.runMain)
