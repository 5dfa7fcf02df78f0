/**
 * Lookups by primary key from a stream, by the hundred thousand: each sent without waiting for the answers before it.
 *
 * Nobody keeps results. What each way finds is counted and added up, and compared with what the table must give.
 *
 * `5 ms round trip`: the same over a network that takes 2.5 ms each way. The proxy that makes it one runs in the process
 * that is measured, for all of them alike.
 */
import { Effect } from "effect"
import * as Faults from "../../test/support/Faults.ts"
import { accountText, idOf, loadAccounts, sumOfBalances } from "../Accounts.ts"
import { BenchDatabase } from "../Database.ts"
import { lookupWays } from "../peers/lookupWays.ts"
import type { Task } from "../peers/ownProcess.ts"
import { spentCases } from "../peers/ownProcess.ts"
import { pythonPeers } from "../peers/python.ts"
import type { Case, Effort, Suite } from "../Suite.ts"
import type { Tally } from "../Tally.ts"
import { answerOf, wayHere } from "../Tally.ts"

const expectedOf = (lookups: number): Tally => ({ rows: lookups, sum: sumOfBalances(lookups) })

const lookupsPerSecond = { unit: "lookups/s", value: (measured: number) => measured }

/** Statement by statement over ten connections takes it far longer: it gets a tenth of the lookups. */
const gevent = Effect.fnUntraced(function* (lookups: number) {
  const expected = expectedOf(lookups)
  const statements = Array.from({ length: lookups }, (_, lookup) => ({
    name: "account",
    text: accountText,
    parameters: [idOf(lookup)],
    compare: "count" as const
  }))
  const peers = yield* pythonPeers(
    { "gevent QueryPool": ["gevent_querypool.py", "tally"] },
    { statements, workers: 10, startup: {} }
  )
  return peers.map(({ name, round }) => ({
    name,
    round: Effect.map(round, ({ answer, measured }) => ({
      measured: lookups / measured,
      answer: answerOf({ rows: Number(answer["rows"]), sum: Number(answer["sum"]) }, expected)
    }))
  }))
})

const pipelined = (lookups: number): Case => ({
  name: "pipelined",
  ...lookupsPerSecond,
  subjects: Effect.gen(function* () {
    const server = yield* BenchDatabase
    const expected = expectedOf(lookups)
    const ways = yield* Effect.forEach(Object.entries(lookupWays), ([name, way]) =>
      wayHere(name, way, server, expected)
    )
    return [...ways, ...(yield* gevent(lookups / 10))]
  })
})

const farAway = (lookups: number): Case => ({
  name: "5 ms round trip",
  ...lookupsPerSecond,
  subjects: Effect.gen(function* () {
    const { host, port, ...server } = yield* BenchDatabase
    const faults = yield* Faults.make({ host, port })
    yield* faults.inject(Faults.delay({ millis: 2.5 }))
    const expected = expectedOf(lookups)
    return yield* Effect.forEach(Object.entries(lookupWays), ([name, way]) =>
      wayHere(name, way, { ...server, host: faults.host, port: faults.port }, expected)
    )
  })
})

const task = (way: keyof typeof lookupWays, lookups: number, heapMegabytes?: number): Task => ({
  name: `${way}, ${lookups.toLocaleString("en-US")}${heapMegabytes === undefined ? "" : `, ${heapMegabytes} MB heap`}`,
  kind: "lookups",
  way,
  expected: expectedOf(lookups),
  heapMegabytes
})

const tasksOf = ({ quick }: Effort): ReadonlyArray<Task> => {
  const [many, fewer] = quick ? [5_000, 500] : [1_000_000, 100_000]
  return [
    task("querypool", many),
    task("querypool", fewer),
    task("bare", many),
    task("bare", fewer),
    task("p-map + pg named", many),
    task("p-map + pg pipeline", many),
    task("querypool", many, 64)
  ]
}

export const million: Suite = {
  name: "million",
  about: () => "point lookups from a stream, pipelined",
  cases: Effect.fnUntraced(function* (effort) {
    yield* loadAccounts
    return [
      pipelined(effort.quick ? 5_000 : 50_000),
      farAway(effort.quick ? 500 : 20_000),
      ...(yield* spentCases({ tasks: tasksOf(effort), unit: "lookups" }))
    ]
  })
}
