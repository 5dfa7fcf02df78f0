// One query cut into many, which together give exactly its rows, all of one moment: by ranges of a column, where each
// part has as many rows as the others, or by blocks of a table.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schema, Stream } from "effect"
import { Partition, PgQueryPool, Query } from "querypool"

const Reading = Schema.Struct({ id: Schema.Finite, celsius: Schema.NullOr(Schema.Finite) })
const Total = Schema.Struct({ readings: Schema.Finite, sum: Schema.Finite })

const find = {
  name: "readings",
  schema: Reading,
  statement: (sql) => sql`select id, celsius from reading where id > ${0}`
} satisfies Query.Find<typeof Reading>

const readings = Partition.byRange(find, { column: "id", parts: 8 })
const totals = Partition.byBlocks(
  { name: "totals", schema: Total, table: "public.reading" },
  { parts: 8, each: (sql, part) => sql`select count(*)::int as readings, sum(celsius)::int as sum from ${part}` }
)

const prepare = Query.make("prepare", (sql) =>
  Effect.gen(function* () {
    // Nine tenths of the ids are close together, and the others far apart: equal steps would make unequal parts.
    yield* sql`create table reading as
      select case when i % 10 = 0 then i * 1000 else i end as id, i % 40 - 10 as celsius from generate_series(1, 100000) i`
    yield* sql`select pg_stat_force_next_flush()`
    yield* sql`analyze reading`
  })
)

const program = Effect.gen(function* () {
  yield* prepare
  const plan = yield* Partition.plan(readings)
  yield* Console.log(`cut by ${plan.origin}: ${plan.why}`)

  const rows = yield* Partition.findAll(readings, { concurrency: 4 })
  yield* Console.log(`${rows.length} rows, ${new Set(rows.map(({ id }) => id)).size} different ids`)

  const frosty = yield* Partition.stream(readings, { concurrency: 4 }).pipe(
    Stream.filter(({ celsius }) => celsius !== null && celsius < 0),
    Stream.runCount
  )
  yield* Console.log(`frosty: ${frosty}`)

  const parts = yield* Partition.findAll(totals)
  const sum = parts.reduce((all, part) => all + part.sum, 0)
  yield* Console.log(`${parts.length} totals, in sum ${sum}`)
})

program.pipe(Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })), NodeRuntime.runMain)
