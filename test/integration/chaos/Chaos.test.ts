import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Commits from "../../chaos/Commits.ts"
import * as Frozen from "../../chaos/Frozen.ts"
import * as Interrupts from "../../chaos/Interrupts.ts"
import * as Round from "../../chaos/Round.ts"
import { schema } from "../../chaos/Work.ts"
import * as Pg from "../../support/Pg.ts"
import * as Server from "../../support/Server.ts"

/** The file's database, with the tables of chaos, and an observer of it. */
const stage = Effect.gen(function* () {
  const { observer, url } = yield* Pg.Pg
  const isThere = yield* observer.value("select to_regclass('ledger') is not null")
  if (isThere !== true) for (const statement of schema) yield* observer.rows(statement)
  return { url, server: yield* Server.make(url) }
})

/** Other rounds than the long runs of `npm run chaos` begin with, and always the same. */
const firstSeed = 500_000

const replay = ({ describe = "", seed, wrong }: Round.RoundResult): string =>
  `npm run chaos -- --seed ${seed} --rounds 1:\n${wrong.join("\n")}\n${describe}`

layer(Pg.layer("Chaos"), { excludeTestServices: true })("queries that everything happens to", (it) => {
  it.effect("end once, keep what is said of them, write nothing twice, and leave a pool that answers", () =>
    Effect.gen(function* () {
      const on = yield* stage
      const results = yield* Effect.forEach(Array.from({ length: 20 }), (_, index) => Round.run(on, firstSeed + index))
      for (const result of results) assert.deepStrictEqual(result.wrong, [], replay(result))
      // Rounds in which nothing happened would prove nothing.
      const faults = Round.tally(results.flatMap((result) => Object.entries(result.faults)))
      assert.isAbove(Object.keys(faults).length, 8, JSON.stringify(faults))
      assert.isAbove(
        results.reduce((sum, { retries }) => sum + retries, 0),
        20
      )
    })
  )

  it.effect("are found to write twice when every query is retried as if it were idempotent", () =>
    Effect.gen(function* () {
      const on = yield* stage
      const results = yield* Effect.forEach(Array.from({ length: 3 }), (_, index) =>
        Round.run(on, firstSeed + index, { sabotaged: true })
      )
      const wrong = results.flatMap((result) => result.wrong)
      assert.isTrue(
        wrong.some((text) => /was written [2-9] times/.test(text)),
        `the judge found no more than ${JSON.stringify(wrong)}`
      )
    })
  )

  it.effect("are committed once when the answer to COMMIT is lost, and nobody is left in doubt", () =>
    Effect.gen(function* () {
      const on = yield* stage
      for (const cut of ["answer", "statement"] as const) {
        for (const idempotent of [false, true]) {
          const result = yield* Commits.run(on, { seed: firstSeed, commits: 5, cut, idempotent })
          assert.deepStrictEqual(result, {
            commits: 5,
            cuts: 5,
            outcomes: { Succeeded: 5 },
            twice: 0,
            misreported: 0
          })
        }
      }
    })
  )

  it.effect("stop on the server when they are interrupted, at whatever moment, and nobody else does", () =>
    Effect.gen(function* () {
      const result = yield* Interrupts.run(yield* stage, { seed: firstSeed, interrupts: 200 })
      assert.deepStrictEqual(Object.keys(result.moments).toSorted(), [
        "in a transaction",
        "queued or connecting",
        "running",
        "streaming",
        "waiting for a retry"
      ])
      assert.isAbove(result.innocent.queries, 3)
      assert.deepInclude(result, { busyBackends: 0, kept: 0, slotsInUse: 0, unexpected: [] })
      assert.deepInclude(result.innocent, { cancelled: 0, failed: 0 })
    })
  )

  it.effect("fail by their timeout while the server is frozen, and not by the kernel's, and run again after it", () =>
    Effect.gen(function* () {
      // Each freeze is lifted only when all queries have ended: did they wait for the network, this would not end.
      const { afterwards, outcomes, slotsInUse } = yield* Frozen.run(yield* stage, { seed: firstSeed, thaws: 4 })
      const ends = Object.keys(outcomes)
      assert.isTrue(
        ends.every((end) => end.startsWith("Failed TimedOut")),
        JSON.stringify(outcomes)
      )
      assert.deepStrictEqual({ afterwards, slotsInUse }, { afterwards: { Succeeded: 16 }, slotsInUse: 0 })
    })
  )
})
