/** node-postgres, with p-map for the concurrency. */
import { Effect, Redacted } from "effect"
import pMap from "p-map"
import { Pool } from "pg"
import { BenchDatabase } from "../Database.ts"
import type { Job, Meter, Statement } from "../Job.ts"
import { promiseSubject } from "../Job.ts"

/** With `named`, each text is prepared once per connection; without it, it is parsed each time. */
export const nodePostgres = Effect.fnUntraced(function* (
  name: string,
  job: Job,
  meter: Meter,
  options: { readonly named: boolean }
) {
  const { database, host, password, port, username } = yield* BenchDatabase
  const settings = Object.entries(job.startup).map(([key, value]) => `-c ${key}=${value}`)
  const pool = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new Pool({
          host,
          port,
          user: username,
          password: Redacted.value(password),
          database,
          max: job.workers,
          options: settings.join(" ")
        })
    ),
    (pool) => Effect.promise(() => pool.end())
  )
  const query = options.named
    ? ({ name, parameters, text }: Statement) => pool.query<object>({ name, text, values: [...parameters] })
    : ({ parameters, text }: Statement) => pool.query<object>(text, [...parameters])
  return promiseSubject(name, job, meter, (signal) =>
    pMap(job.statements, async (statement) => (await query(statement)).rows, { concurrency: job.workers, signal })
  )
})
