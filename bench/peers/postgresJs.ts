/** postgres.js, with p-map for the concurrency. It prepares every text once per connection. */
import { Effect, Redacted } from "effect"
import pMap from "p-map"
import postgres from "postgres"
import { BenchDatabase } from "../Database.ts"
import type { Job, Meter } from "../Job.ts"
import { promiseSubject } from "../Job.ts"

/** `run` runs a statement by its only parameter: the tagged template is the way postgres.js wants to be called. */
export const postgresJs = Effect.fnUntraced(function* (
  name: string,
  job: Job,
  meter: Meter,
  run: (sql: postgres.Sql, parameter: number) => Promise<ReadonlyArray<object>>
) {
  const { database, host, password, port, username } = yield* BenchDatabase
  const sql = yield* Effect.acquireRelease(
    Effect.sync(() =>
      postgres({
        host,
        port,
        username,
        password: Redacted.value(password),
        database,
        max: job.workers,
        connection: job.startup
      })
    ),
    (sql) => Effect.promise(() => sql.end())
  )
  const parameters = job.statements.flatMap((statement) => statement.parameters)
  return promiseSubject(name, job, meter, (signal) =>
    pMap(parameters, (parameter) => run(sql, parameter), { concurrency: job.workers, signal })
  )
})
