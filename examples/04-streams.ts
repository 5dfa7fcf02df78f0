// Streams of any length in memory that does not grow: rows with backpressure down to the socket, and queries that are
// made as workers become free.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schema, Stream } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

const Row = Schema.Struct({ i: Schema.Finite })

const numbers = Query.stream({
  name: "numbers",
  schema: Row,
  statement: (sql) => sql`select i from generate_series(1, 1000000) i`
})
const square = (i: number) =>
  Query.findOne({ name: `square of ${i}`, schema: Row, statement: (sql) => sql`select ${i}::int * ${i}::int as i` })

const program = Effect.gen(function* () {
  const even = yield* numbers.pipe(
    Stream.filter((row) => row.i % 2 === 0),
    Stream.runCount
  )
  yield* Console.log(`${even} even numbers`)

  const squares = Stream.map(Stream.range(1, 10_000), square)
  const sum = yield* QueryPool.stream(squares, { concurrency: 10 }).pipe(
    Stream.runFold(
      () => 0,
      (sum, { outcome }) => (outcome._tag === "Succeeded" ? sum + outcome.value.i : sum)
    )
  )
  yield* Console.log(`sum of the squares: ${sum}`)
})

program.pipe(Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })), NodeRuntime.runMain)
