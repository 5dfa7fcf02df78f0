/** One query of very many rows, read to its end by a sink that only counts. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Schema, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import type { SqlClient } from "effect/sql"
import { PgQueryPool, Query } from "querypool"
import type { Way } from "../Tally.ts"

// In the select list the series is sent as it is made; in the from clause the server would write it all to disk first.
const select = (sql: SqlClient.SqlClient, count: number) =>
  sql`select n, n::int8 as wide, lpad(n::text, 20, '0') as label from (select generate_series(1, ${count}::int) as n) as series`

const counted = <E, R>(rows: Stream.Stream<unknown, E, R>) =>
  Effect.map(Stream.runCount(rows), (count) => ({ rows: count, sum: 0 }))

const querypool = (schema: Schema.ConstraintDecoder<unknown>): Way =>
  Effect.fnUntraced(function* (server, count) {
    const pool = yield* Layer.build(PgQueryPool.layer(server))
    const rows = Query.stream({ name: "rows", schema, statement: (sql) => select(sql, count) })
    return { work: Effect.provideContext(counted(rows), pool) }
  })

const bare: Way = Effect.fnUntraced(function* (server, count) {
  const sql = yield* PgClient.make({ ...server, maxConnections: 1 }).pipe(Effect.provide(Reactivity.layer))
  return { work: counted(select(sql, count).stream) }
})

export const rowWays = {
  querypool: querypool(Schema.Unknown),
  "querypool typed": querypool(Schema.Struct({ n: Schema.Int })),
  bare
} satisfies Readonly<Record<string, Way>>
