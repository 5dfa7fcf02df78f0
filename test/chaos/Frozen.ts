/**
 * A server that says nothing any more: queries end by their own timeout, while it is still silent, and when it comes
 * back the pool is what it was.
 */
import { Effect, Random } from "effect"
import { Query, QueryPool } from "querypool"
import * as Faults from "../support/Faults.ts"
import { waitUntil } from "../support/waitUntil.ts"
import { describeEnd } from "./Bookkeeping.ts"
import type { Stage } from "./Round.ts"
import { faultyPool, tally } from "./Round.ts"

const timeoutMillis = 100
const graceMillis = 100

export interface FrozenResult {
  /** How queries ended while the server was frozen. */
  readonly outcomes: Readonly<Record<string, number>>
  /** From the start to the end, of the slowest. */
  readonly slowestMillis: number
  /** How queries ended after the thaw. */
  readonly afterwards: Readonly<Record<string, number>>
  readonly slotsInUse: number
}

export const run = Effect.fnUntraced(function* (
  stage: Stage,
  options: { readonly seed: number; readonly thaws: number }
) {
  const { seed, thaws } = options
  const applicationName = `frozen ${seed} ${process.pid}`
  const maxConnections = 4
  const during: Array<string> = []
  const after: Array<string> = []
  let slowestMillis = 0

  const slotsInUse = yield* Effect.gen(function* () {
    const { faults, services, statistics } = yield* faultyPool(stage, seed, applicationName, {
      maxConnections,
      cancelGrace: graceMillis
    })
    const runAll = (name: string, timeout: number, ends: Array<string>) => {
      // As many as there are slots: none waits for one, and its timeout begins with the run.
      const queries = Array.from({ length: maxConnections }, (_, index) =>
        Query.make(`${name} ${index}`, (sql) => sql`select pg_sleep(0.001)`, { timeout })
      )
      let startedAt = 0
      return QueryPool.report(queries, {
        onEvent: (event) => {
          if (event._tag === "RunStarted") startedAt = event.at
          if (event._tag !== "Ended") return
          ends.push(describeEnd(event))
          if (ends === during) slowestMillis = Math.max(slowestMillis, event.at - startedAt)
        }
      })
    }
    yield* Effect.gen(function* () {
      yield* runAll("before", 20_000, [])
      for (let thaw = 0; thaw < thaws; thaw++) {
        // Between two queries, and in the middle of one.
        const freeze = yield* faults.inject(
          Faults.freeze(),
          thaw % 2 === 0 ? {} : { after: Faults.fromClient("Execute", { statement: "pg_sleep" }), hits: "everything" }
        )
        yield* runAll("frozen", timeoutMillis, during)
        yield* freeze.lift
        yield* runAll("after", 20_000, after)
      }
    }).pipe(Effect.provide(services))
    const inUse = Effect.map(statistics, (now) => now.inUse)
    yield* waitUntil(
      "all slots are free",
      Effect.map(inUse, (count) => count === 0),
      5
    )
    return yield* inUse
  }).pipe(Effect.scoped, Random.withSeed(seed))

  yield* stage.server.until({ applicationName }, "gone")
  return {
    outcomes: tally(during.map((end) => [end, 1])),
    slowestMillis: Math.round(slowestMillis),
    afterwards: tally(after.map((end) => [end, 1])),
    slotsInUse
  } satisfies FrozenResult
})
