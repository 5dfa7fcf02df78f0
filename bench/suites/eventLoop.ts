/**
 * How long the event loop is kept from other work while five heavy queries return many rows.
 *
 * A timer that should fire every millisecond is watched; what counts is how late it fires, the millisecond included.
 */
import { Effect, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Query, QueryPool } from "querypool"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { loadPgbench } from "../../src/cli/pgbench.ts"
import type { Job, Meter, Statement } from "../Job.ts"
import { nodePostgres } from "../peers/pg.ts"
import { queriesOf, querypool } from "../peers/querypool.ts"
import { sqlPg, statementsOf } from "../peers/sqlPg.ts"
import type { Case, Suite } from "../Suite.ts"

/** Twenty accounts to a row, and a fifth of the accounts left out, another one by each query. */
const statements = [0, 1, 2, 3, 4].map((remainder): Statement => ({
  name: `remainder ${remainder}`,
  text: `select aid / 20 as bucket, count(*)::int as accounts, max(abalance) as most, min(filler) as filler from pgbench_accounts where aid % 5 <> ${remainder} group by 1`,
  parameters: [],
  compare: "rows"
}))

const Bucket = Schema.Struct({ bucket: Schema.Int, accounts: Schema.Int, most: Schema.Int, filler: Schema.String })

const job: Job = { statements, workers: statements.length, startup: {} }

const nanosPerMilli = 1e6

/** The given percentile of the delays while the work runs, in milliseconds; 100 is the longest. */
const delay =
  (percentile: number): Meter =>
  (work) =>
    Effect.suspend(() => {
      const delays = monitorEventLoopDelay({ resolution: 1 })
      delays.enable()
      return work.pipe(
        // A block that lasts to the end of the work is recorded when the watched timer fires after it.
        Effect.tap(() => Effect.sleep("10 millis")),
        Effect.map((result) => {
          delays.disable()
          return [delays.percentile(percentile) / nanosPerMilli, result] as const
        })
      )
    })

const rows = (meter: Meter): Case["subjects"] =>
  Effect.gen(function* () {
    return [
      yield* querypool("querypool", job, meter, queriesOf(job)),
      yield* sqlPg("bare", job, meter, statementsOf(job)),
      yield* nodePostgres("p-map + pg", job, meter, { named: false })
    ]
  })

const typed = (meter: Meter): Case["subjects"] =>
  Effect.gen(function* () {
    return [
      yield* querypool(
        "querypool",
        job,
        meter,
        Effect.suspend(() =>
          QueryPool.all(
            statements.map(({ name, text }) =>
              Query.findAll({ name, schema: Bucket, statement: (sql) => sql.unsafe(text) })
            ),
            { concurrency: job.workers }
          )
        )
      ),
      yield* sqlPg("bare", job, meter, (sql) => {
        const find = SqlSchema.findAll({ Request: Schema.String, Result: Bucket, execute: (text) => sql.unsafe(text) })
        return Effect.forEach(statements, (statement) => find(statement.text), { concurrency: job.workers })
      })
    ]
  })

export const eventLoop: Suite = {
  name: "eventLoop",
  about: ({ scale }) => `delay of the event loop, five queries of ${(scale * 5_000).toLocaleString("en-US")} rows each`,
  cases: (effort) => {
    const p99 = { unit: "ms p99", value: (millis: number) => millis }
    const longest = { ...p99, unit: "ms" }
    return Effect.as(loadPgbench(effort.scale), [
      { name: "rows", ...p99, subjects: rows(delay(99)) },
      { name: "typed", ...p99, subjects: typed(delay(99)) },
      // One long block is one late firing: the percentile of a long run does not see it, the longest delay does.
      { name: "rows, longest", ...longest, subjects: rows(delay(100)) },
      { name: "typed, longest", ...longest, subjects: typed(delay(100)) }
    ])
  }
}
