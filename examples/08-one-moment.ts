// Queries side by side that all see one moment of the database, while others write; and very many small ones that share
// a connection.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schema, Stream } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

const Sum = Schema.Struct({ sum: Schema.Finite })
const Price = Schema.Struct({ cents: Schema.Finite })

const sum = (name: string) =>
  Query.findOne({ name, schema: Sum, statement: (sql) => sql`select sum(cents)::int from price where id <= 50` })

// Every query of the run, with each retry, sees the moment in which the first one starts. Others go on writing.
const oneMoment = QueryPool.all(
  Array.from({ length: 20 }, (_, index) => sum(`sum ${index}`)),
  { snapshot: true }
)

// Statements share a connection and wait for no answers: two to three times as many small ones in the same time.
const price = (id: number) =>
  Query.findOne(
    { name: "price", schema: Price, statement: (sql) => sql`select cents from price where id = ${id}` },
    { lane: "pipelined" }
  )
const prices = QueryPool.stream(Stream.map(Stream.range(1, 100), price), { concurrency: 100 })

const prepare = Query.make(
  "prepare",
  (sql) => sql`create table price as select id, 100 as cents from generate_series(1, 100) id`
)

const write = Query.make("write", (sql) => sql`update price set cents = cents + 1 where id = 1`)

const program = Effect.gen(function* () {
  yield* prepare
  yield* Effect.forkScoped(Effect.forever(write))
  const sums = yield* oneMoment
  yield* Console.log(`different sums of one moment: ${new Set(sums.map(({ sum }) => sum)).size}`)
  const found = yield* Stream.runCount(Stream.filter(prices, ({ outcome }) => outcome._tag === "Succeeded"))
  yield* Console.log(`prices found: ${found}`)
})

program.pipe(
  Effect.scoped,
  Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })),
  NodeRuntime.runMain
)
