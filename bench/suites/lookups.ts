/** Many tiny queries: one row by primary key each, so that what a pool costs per query is what shows. */
import { Effect, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Query, QueryPool } from "querypool"
import { Account, accountText, findAccount, idOf, loadAccounts, selectAccount } from "../Accounts.ts"
import type { Job } from "../Job.ts"
import { elapsedSeconds } from "../Job.ts"
import { nodePostgres } from "../peers/pg.ts"
import { postgresJs } from "../peers/postgresJs.ts"
import { pythonPeers } from "../peers/python.ts"
import { querypool } from "../peers/querypool.ts"
import { sqlPg } from "../peers/sqlPg.ts"
import type { Case, Effort, Suite } from "../Suite.ts"

const connections = 10

const jobOf = (effort: Effort): Job => ({
  statements: Array.from({ length: effort.quick ? 2_000 : 30_000 }, (_, index) => ({
    name: "account",
    text: accountText,
    parameters: [idOf(index)],
    compare: "rows"
  })),
  workers: connections,
  startup: {}
})

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
            ids.map((id) => Query.make("account", (sql) => selectAccount(sql, id))),
            { concurrency: connections }
          )
        )
      ),
      yield* sqlPg("bare", job, elapsedSeconds, (sql) =>
        Effect.forEach(ids, (id) => selectAccount(sql, id), { concurrency: connections })
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
        Effect.suspend(() =>
          asResults(
            QueryPool.all(
              ids.map((id) => findAccount(id)),
              { concurrency: connections }
            )
          )
        )
      ),
      yield* sqlPg("bare", job, elapsedSeconds, (sql) => {
        const request = SqlSchema.findOne({
          Request: Schema.Int,
          Result: Account,
          execute: (id) => selectAccount(sql, id)
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
    return Effect.as(loadAccounts, [
      { name: "rows", ...perSecond, subjects: rows(job) },
      { name: "typed", ...perSecond, subjects: typed(job) }
    ])
  }
}
