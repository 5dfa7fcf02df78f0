/** Six queries of very different length on the pgbench tables, one after another and with a few workers. */
import { Effect, FileSystem } from "effect"
import { fileURLToPath } from "node:url"
import { loadPgbench } from "../../src/cli/pgbench.ts"
import type { Job, Statement } from "../Job.ts"
import { elapsedSeconds } from "../Job.ts"
import { pythonPeers } from "../peers/python.ts"
import { queriesOf, querypool } from "../peers/querypool.ts"
import { sqlPg, statementsOf } from "../peers/sqlPg.ts"
import type { Case, Suite } from "../Suite.ts"
import { failAs } from "../Suite.ts"

const folder = new URL("../../examples/pgbench/", import.meta.url)

const readStatements = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const files = (yield* fs.readDirectory(fileURLToPath(folder))).filter((file) => file.endsWith(".sql")).sort()
  return yield* Effect.forEach(files, (file) =>
    Effect.map(fs.readFileString(fileURLToPath(new URL(file, folder))), (text): Statement => ({
      name: file.slice(0, -".sql".length),
      text,
      parameters: [],
      // Which thousand accounts a limit without an order returns is open: a scan may start where another one is.
      compare: text.includes("pgbench_accounts limit") ? "count" : "rows"
    }))
  )
}).pipe(failAs("six"))

const subjects = (job: Job): Case["subjects"] =>
  Effect.gen(function* () {
    return [
      yield* querypool("querypool", job, elapsedSeconds, queriesOf(job)),
      yield* sqlPg("bare", job, elapsedSeconds, statementsOf(job)),
      ...(yield* pythonPeers({ "gevent QueryPool": ["gevent_querypool.py", "sqlalchemy"] }, job))
    ]
  })

export const six: Suite = {
  name: "six",
  about: ({ scale }) => `six queries on pgbench tables of scale ${scale}, no parallel plans`,
  cases: (effort) =>
    Effect.gen(function* () {
      yield* loadPgbench(effort.scale)
      const statements = yield* readStatements
      return [1, 5, 3, 2].map((workers): Case => {
        // PostgreSQL would split a long scan over processors by itself, which hides what running queries side by side gains.
        const job: Job = { statements, workers, startup: { max_parallel_workers_per_gather: "0" } }
        return {
          name: workers === 1 ? "serial" : `${workers} workers`,
          unit: "s",
          value: (seconds) => seconds,
          subjects: subjects(job)
        }
      })
    })
}
