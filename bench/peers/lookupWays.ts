/** Lookups by primary key, by the hundred thousand: statements that share a connection, one behind the other. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schema, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlSchema } from "effect/sql"
import { pMapIterable } from "p-map"
import { Client, Pool } from "pg"
import postgres from "postgres"
import { PgQueryPool, QueryPool } from "querypool"
import { Account, accountText, findAccount, idOf, selectAccount } from "../Accounts.ts"
import type { Connection } from "../Database.ts"
import type { Tally, Way } from "../Tally.ts"

/** How many at a time: twice what querypool's and effect's driver keep on the wire. */
const atATime = 256

const connections = 10

type Balance = Pick<typeof Account.Type, "abalance">

const nothing = (): Tally => ({ rows: 0, sum: 0 })

const add = ({ rows, sum }: Tally, { abalance }: Balance): Tally => ({ rows: rows + 1, sum: sum + abalance })

const ids = (count: number): Stream.Stream<number> => Stream.map(Stream.range(0, count - 1), idOf)

const querypool: Way = Effect.fnUntraced(function* (server, count) {
  const pool = yield* Layer.build(PgQueryPool.layer({ ...server, maxConnections: connections }))
  const queries = Stream.map(ids(count), (id) => findAccount(id, { lane: "pipelined" }))
  const work = QueryPool.stream(queries, { concurrency: atATime }).pipe(
    Stream.runFold(nothing, (tally, { outcome }) => (outcome._tag === "Succeeded" ? add(tally, outcome.value) : tally)),
    Effect.provideContext(pool)
  )
  return { work }
})

const bare: Way = Effect.fnUntraced(function* (server, count) {
  const sql = yield* PgClient.make({
    ...server,
    maxConnections: 1,
    multiplex: true,
    // Of its own accord it would let 32 share a connection.
    multiplexConcurrency: atATime
  }).pipe(Effect.provide(Reactivity.layer))
  const find = SqlSchema.findOne({ Request: Schema.Int, Result: Account, execute: (id) => selectAccount(sql, id) })
  const work = Stream.runFold(
    Stream.mapEffect(ids(count), find, { concurrency: atATime, unordered: true }),
    nothing,
    add
  )
  return { work }
})

/** p-map at its best: as they come, in any order, and none kept. */
const mapped = (count: number, concurrency: number, find: (id: number) => Promise<Iterable<Balance>>) => ({
  work: Effect.tryPromise(async (signal) => {
    let rows = 0
    let sum = 0
    const found = pMapIterable(idsOf(count), find, { concurrency, preserveOrder: false })
    for await (const accounts of found) {
      if (signal.aborted) break
      for (const { abalance } of accounts) {
        rows++
        sum += abalance
      }
    }
    return { rows, sum }
  })
})

function* idsOf(count: number): Generator<number> {
  for (let lookup = 0; lookup < count; lookup++) yield idOf(lookup)
}

const pgOptions = ({ database, host, password, port, username }: Connection) => ({
  host,
  port,
  user: username,
  password: Redacted.value(password),
  database
})

const nodePostgres: Way = (server, count) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Pool({ ...pgOptions(server), max: connections })),
      (pool) => Effect.promise(() => pool.end())
    ),
    (pool) =>
      mapped(
        count,
        connections,
        async (id) => (await pool.query<Balance>({ name: "account", text: accountText, values: [id] })).rows
      )
  )

const nodePostgresPipeline: Way = (server, count) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new Client({ ...pgOptions(server), pipeline: true })
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.end())
    ),
    (client) =>
      mapped(
        count,
        atATime,
        async (id) => (await client.query<Balance>({ name: "account", text: accountText, values: [id] })).rows
      )
  )

const postgresJs = (max: number): Way =>
  Effect.fnUntraced(function* ({ password, ...server }, count) {
    const sql = yield* Effect.acquireRelease(
      Effect.sync(() => postgres({ ...server, password: Redacted.value(password), max })),
      (sql) => Effect.promise(() => sql.end())
    )
    return mapped(
      count,
      atATime,
      (id) => sql<Array<Balance>>`select aid, bid, abalance, filler from accounts where aid = ${id}`
    )
  })

export const lookupWays = {
  querypool,
  bare,
  "p-map + pg named": nodePostgres,
  "p-map + pg pipeline": nodePostgresPipeline,
  "p-map + postgres.js": postgresJs(1),
  "p-map + postgres.js, 10 connections": postgresJs(connections)
} satisfies Readonly<Record<string, Way>>
