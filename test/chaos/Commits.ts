/** The answer to COMMIT is cut, or COMMIT itself, time and again: nothing may be written twice, and little be unknown. */
import { Effect, Random } from "effect"
import { Query, QueryPool, RetryPolicy } from "querypool"
import * as Faults from "../support/Faults.ts"
import type { Outcome } from "querypool"
import type { Stage } from "./Round.ts"
import { faultyPool, tally } from "./Round.ts"

const commit = /^\s*commit\b/i

/** Where the connection is cut. In the first case the transaction is committed, in the second it cannot be. */
const cuts = {
  answer: { before: Faults.fromServer("CommandComplete", { statement: commit }) },
  statement: { before: Faults.fromClient("Execute", { statement: commit }) }
}

export interface CommitsResult {
  readonly commits: number
  readonly cuts: number
  readonly outcomes: Readonly<Record<string, number>>
  /** Transactions of which there is more than one row. */
  readonly twice: number
  /** Those that are not there though they succeeded, or are there though they are said not to be. */
  readonly misreported: number
}

/** Transactions of one insert each, of which each one's first COMMIT is cut. */
export const run = Effect.fnUntraced(function* (
  stage: Stage,
  options: {
    readonly seed: number
    readonly commits: number
    readonly cut: keyof typeof cuts
    readonly idempotent: boolean
  }
) {
  const { commits, cut, idempotent, seed } = options
  const { server } = stage
  const prefix = `c${seed}-${cut}-${idempotent ? "upsert" : "insert"}`
  const applicationName = `${prefix} ${process.pid}`
  const tokens = Array.from({ length: commits }, (_, index) => `${prefix}-${index}`)
  let struck = 0
  const insert = idempotent
    ? "insert into upserted (token) values ($1) on conflict (token) do update set times = upserted.times + 1"
    : "insert into ledger (token) values ($1)"

  const outcomes = yield* Effect.gen(function* () {
    const { faults, services } = yield* faultyPool(stage, seed, applicationName, { maxConnections: 4 })
    const one = Effect.fnUntraced(function* (token: string) {
      const lost = yield* faults.inject(Faults.cut(), cuts[cut])
      const query = Query.make(token, (sql) => sql.unsafe(insert, [token]), {
        mode: "transaction",
        idempotent,
        retry: RetryPolicy.transient
      })
      const [outcome] = yield* QueryPool.all([query], { mode: "outcome" })
      struck += lost.count()
      yield* lost.lift
      return [token, outcome] as const
    })
    return yield* Effect.provide(Effect.forEach(tokens, one), services)
  }).pipe(Effect.scoped, Random.withSeed(seed))

  yield* server.until({ applicationName }, "gone")
  const rows = yield* server.rows(
    `select token, count(*)::int as count from ${idempotent ? "upserted" : "ledger"} where token like $1 group by token`,
    [`${prefix}-%`]
  )
  yield* server.rows(`delete from ${idempotent ? "upserted" : "ledger"} where token like $1`, [`${prefix}-%`])
  const counts = new Map(rows.map((row) => [String(row["token"]), Number(row["count"])]))
  return {
    commits,
    cuts: struck,
    outcomes: tally(outcomes.map(([, outcome]) => [nameOf(outcome), 1])),
    twice: [...counts.values()].filter((count) => count > 1).length,
    misreported: outcomes.filter(([token, outcome]) => {
      const name = nameOf(outcome)
      return name !== "Failed unknown" && counts.has(token) !== (name === "Succeeded")
    }).length
  } satisfies CommitsResult
})

const nameOf = (outcome: Outcome.Outcome<unknown, { readonly outcome: string }>): string =>
  outcome._tag === "Failed" ? `Failed ${outcome.error.outcome}` : outcome._tag
