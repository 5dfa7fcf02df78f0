/** Lookups by primary key, of which nothing is told, or all that a pool tells unless it is asked for more. */
import { Effect } from "effect"
import { loadAccounts, sumOfBalances } from "../Accounts.ts"
import { BenchDatabase } from "../Database.ts"
import { bare, collector, telling } from "../peers/telemetry.ts"
import type { Case, Suite } from "../Suite.ts"
import type { Way } from "../Tally.ts"
import { wayHere } from "../Tally.ts"

const on = { metrics: true, comments: "query" } as const

const caseOf = (lane: "pinned" | "pipelined", lookups: number): Case => ({
  name: lane,
  unit: "lookups/s",
  value: (measured) => measured,
  subjects: Effect.gen(function* () {
    const server = yield* BenchDatabase
    const url = yield* collector
    const ways: Readonly<Record<string, Way>> = {
      off: telling(lane, {}),
      metrics: telling(lane, { metrics: true }),
      "metrics, tags, spans": telling(lane, on, url),
      "a span for each": telling(lane, { ...on, spansPerSecond: Infinity }, url),
      bare: bare(lane)
    }
    const expected = { rows: lookups, sum: sumOfBalances(lookups) }
    return yield* Effect.forEach(Object.entries(ways), ([name, way]) => wayHere(name, way, server, expected))
  })
})

export const telemetry: Suite = {
  name: "telemetry",
  about: () => "point lookups by primary key",
  // Each subject's first turn uses up what its quota of spans has saved, and of its second two seconds are left.
  cases: ({ quick }) =>
    Effect.as(loadAccounts, [caseOf("pinned", quick ? 2_000 : 60_000), caseOf("pipelined", quick ? 5_000 : 150_000)])
}
