/** This library, as its users see it. */
import { Effect, Layer } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"
import { BenchDatabase } from "../Database.ts"
import type { Job, Meter, Results } from "../Job.ts"
import { subject } from "../Job.ts"
import { failAs } from "../Suite.ts"

type Work = Effect.Effect<Results, unknown, QueryPool.QueryPool>

export const querypool = Effect.fnUntraced(function* (name: string, job: Job, meter: Meter, work: Work) {
  const { database, host, password, port, username } = yield* BenchDatabase
  const pool = yield* Layer.build(
    PgQueryPool.layer({
      host,
      port,
      username,
      password,
      database,
      maxConnections: job.workers,
      startupParameters: job.startup
    })
  ).pipe(failAs(name))
  return subject(name, job, meter, Effect.provideContext(work, pool))
})

/** The statements of a job, as they are. */
export const queriesOf = (job: Job): Work =>
  Effect.suspend(() =>
    QueryPool.all(
      job.statements.map(({ name, parameters, text }) => Query.make(name, (sql) => sql.unsafe(text, parameters))),
      { concurrency: job.workers }
    )
  )
