/** Many tiny queries: one row by primary key each, so that what a pool costs per query is what shows. */
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Query, QueryPool } from "querypool"
import type { Job } from "../Job.ts"
import { elapsedSeconds } from "../Job.ts"
import { nodePostgres } from "../peers/pg.ts"
import { postgresJs } from "../peers/postgresJs.ts"
import { pythonPeers } from "../peers/python.ts"
import { querypool } from "../peers/querypool.ts"
import { sqlPg } from "../peers/sqlPg.ts"
import type { Case, Effort, Suite } from "../Suite.ts"

const accounts = 100_000
const connections = 10

/** Like pgbench_accounts, with balances that differ: a sum of zeros would agree with anything. */
const load = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table accounts (aid int primary key, bid int, abalance int, filler char(84))`
  yield* sql`insert into accounts select aid, 1, (aid * 37) % 10007 - 5000, '' from generate_series(1, ${accounts}::int) aid`
  yield* sql`vacuum analyze accounts`
})

const jobOf = (effort: Effort): Job => ({
  statements: Array.from({ length: effort.quick ? 2_000 : 30_000 }, (_, index) => ({
    name: "account",
    text: "select aid, bid, abalance, filler from accounts where aid = $1",
    // A stride that shares no factor with the number of accounts: all ids differ, neighbours are on different pages.
    parameters: [((index * 7_919) % accounts) + 1],
    compare: "rows"
  })),
  workers: connections,
  startup: {}
})

const Account = Schema.Struct({
  aid: Schema.Int,
  bid: Schema.Int,
  abalance: Schema.Int,
  filler: Schema.String
})

const select = (sql: SqlClient.SqlClient, id: number) =>
  sql<typeof Account.Type>`select aid, bid, abalance, filler from accounts where aid = ${id}`

const find = (id: number) => Query.findOne({ name: "account", schema: Account, statement: (sql) => select(sql, id) })

const rows = (job: Job): Case["subjects"] =>
  Effect.gen(function* () {
    const ids = job.statements.flatMap((statement) => statement.parameters)
    return [
      yield* querypool(
        "querypool",
        job,
        elapsedSeconds,
        Effect.suspend(() =>
          QueryPool.all(
            ids.map((id) => Query.make("account", (sql) => select(sql, id))),
            { concurrency: connections }
          )
        )
      ),
      yield* sqlPg("bare", job, elapsedSeconds, (sql) =>
        Effect.forEach(ids, (id) => select(sql, id), { concurrency: connections })
      ),
      yield* nodePostgres("p-map + pg", job, elapsedSeconds, { named: false }),
      yield* nodePostgres("p-map + pg named", job, elapsedSeconds, { named: true }),
      yield* postgresJs(
        "p-map + postgres.js",
        job,
        elapsedSeconds,
        (sql, id) => sql`select aid, bid, abalance, filler from accounts where aid = ${id}`
      ),
      ...(yield* pythonPeers(
        {
          "gevent QueryPool": ["gevent_querypool.py", "sqlalchemy"],
          "gevent QueryPool (autocommit)": ["gevent_querypool.py", "autocommit"],
          "gevent QueryPool (raw psycopg2)": ["gevent_querypool.py", "raw"],
          asyncpg: ["asyncpg_pool.py"]
        },
        job
      ))
    ]
  })

const typed = (job: Job): Case["subjects"] =>
  Effect.gen(function* () {
    const ids = job.statements.flatMap((statement) => statement.parameters)
    const asResults = Effect.map((accounts: ReadonlyArray<typeof Account.Type>) => accounts.map((account) => [account]))
    return [
      yield* querypool(
        "querypool",
        job,
        elapsedSeconds,
        Effect.suspend(() => asResults(QueryPool.all(ids.map(find), { concurrency: connections })))
      ),
      yield* sqlPg("bare", job, elapsedSeconds, (sql) => {
        const request = SqlSchema.findOne({
          Request: Schema.Int,
          Result: Account,
          execute: (id) => select(sql, id)
        })
        return asResults(Effect.forEach(ids, (id) => request(id), { concurrency: connections }))
      })
    ]
  })

export const lookups: Suite = {
  name: "lookups",
  about: () => `point lookups by primary key, ${connections} connections`,
  cases: (effort) => {
    const job = jobOf(effort)
    const perSecond = { unit: "lookups/s", value: (seconds: number) => job.statements.length / seconds }
    return Effect.as(load, [
      { name: "rows", ...perSecond, subjects: rows(job) },
      { name: "typed", ...perSecond, subjects: typed(job) }
    ])
  }
}
