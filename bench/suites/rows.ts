/** One query of very many rows, streamed to a sink that counts them: what a row costs, and whether any is kept. */
import { Effect } from "effect"
import { BenchDatabase } from "../Database.ts"
import type { Task } from "../peers/ownProcess.ts"
import { spentCases } from "../peers/ownProcess.ts"
import { rowWays } from "../peers/rowWays.ts"
import type { Case, Effort, Suite } from "../Suite.ts"
import { wayHere } from "../Tally.ts"

const rowsOf = ({ quick }: Effort): number => (quick ? 100_000 : 10_000_000)

const streamed = (rows: number): Case => ({
  name: "streamed",
  unit: "rows/s",
  value: (measured) => measured,
  subjects: Effect.gen(function* () {
    const server = yield* BenchDatabase
    return yield* Effect.forEach(Object.entries(rowWays), ([name, way]) => wayHere(name, way, server, { rows, sum: 0 }))
  })
})

const task = (way: keyof typeof rowWays, rows: number): Task => ({
  name: `${way}, ${rows.toLocaleString("en-US")}`,
  kind: "rows",
  way,
  expected: { rows, sum: 0 }
})

const tasksOf = (rows: number): ReadonlyArray<Task> => [
  task("querypool", rows),
  task("querypool", rows / 10),
  task("querypool typed", rows),
  task("bare", rows)
]

export const rows: Suite = {
  name: "rows",
  about: (effort) => `${rowsOf(effort).toLocaleString("en-US")} rows of one query`,
  cases: (effort) =>
    Effect.map(spentCases({ tasks: tasksOf(rowsOf(effort)), unit: "rows" }), (spent) => [
      streamed(rowsOf(effort)),
      ...spent
    ])
}
