/** @effect/sql-pg alone: its pool with one statement at a time on a connection, and nothing on top. */
import { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import { Reactivity } from "effect/reactivity"
import { BenchDatabase } from "../Database.ts"
import type { Job, Meter, Results } from "../Job.ts"
import { subject } from "../Job.ts"
import { failAs } from "../Suite.ts"

export const sqlPg = Effect.fnUntraced(function* (
  name: string,
  job: Job,
  meter: Meter,
  work: (sql: PgClient.PgClient) => Effect.Effect<Results, unknown>
) {
  const sql = yield* PgClient.make({
    ...(yield* BenchDatabase),
    maxConnections: job.workers,
    startupParameters: job.startup
  }).pipe(Effect.provide(Reactivity.layer), failAs(name))
  return subject(name, job, meter, work(sql))
})

/** The statements of a job, as they are. */
export const statementsOf = (job: Job) => (sql: PgClient.PgClient) =>
  Effect.forEach(job.statements, (statement) => sql.unsafe(statement.text, statement.parameters), {
    concurrency: job.workers
  })
