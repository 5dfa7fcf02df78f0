/** What a run says of the time that is left to it. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Result, Schema } from "effect"
import { planned } from "../../../src/query/Members.ts"
import * as Makespan from "../../../src/query/Makespan.ts"
import * as Plan from "../../../src/query/Plan.ts"
import * as Progress from "../../../src/query/Progress.ts"
import * as Query from "../../../src/query/Query.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Of each query how many seconds it takes, and how far before it stands what it needs, if that is there. */
const Script = Schema.Struct({
  queries: Schema.NonEmptyArray(Schema.Struct({ seconds: integer(0, 9), needs: Schema.Array(integer(1, 9)) })).check(
    Schema.isMaxLength(9)
  ),
  workers: integer(1, 4),
  order: Schema.Literals(["given", "longest-first"])
})

/** Never in the same moment as anything that takes whole seconds. */
const lookEveryMillis = 997

interface Look extends Progress.Progress {
  readonly at: number
}

/** Runs queries that take so long, and looks at the run again and again. */
const perform = (
  queries: ReadonlyArray<{ readonly name: string; readonly millis: number; readonly needs?: ReadonlyArray<string> }>,
  options: Progress.Options & { readonly concurrency: number; readonly planned?: boolean }
) =>
  Effect.gen(function* () {
    const pool = yield* TestQueryPool.make()
    const plan = Result.getOrThrow(
      Plan.make(queries.map(({ name, needs = [] }) => ({ name, needs, expected: options.expected?.(name) })))
    )
    const order = options.order ?? "given"
    const { add, progress } = Progress.collector({ ...options, plan: options.planned === true ? plan : undefined })
    const members = queries.map(({ millis, name }) => Query.make(name, () => Effect.sleep(millis)))
    const known =
      options.planned === true ? planned(members, { needs: plan.needs, order: Makespan.orderOf(plan, order) }) : members
    const { concurrency } = options
    let end = 0
    const onEvent = (event: QueryEvent) => {
      add(event)
      end = event.at
    }
    const startedAt = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(
      pool.provide(QueryPool.report(known, { concurrency, order: options.planned === true ? "given" : order, onEvent }))
    )
    const looks: Array<Look> = []
    while (fiber.pollUnsafe() === undefined) {
      yield* timePasses(lookEveryMillis)
      const at = yield* Clock.currentTimeMillis
      if (fiber.pollUnsafe() === undefined) looks.push({ ...progress(at), at: at - startedAt })
    }
    yield* Fiber.join(fiber)
    return { looks, makespan: end - startedAt }
  })

const take = (name: string, millis: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `${name}${index}`, millis }))

const ifKnown = (name: string) => (name.startsWith("known") ? 4_000 : undefined)
const ifLong = (name: string) => (name.startsWith("long") ? 9_000 : 2_000)

const remainingOf = ({ remainingMillis }: Look) => remainingMillis

describe("the time that is left to a run", () => {
  it.effect.prop(
    "is exact where each query takes what was expected of it, whatever it needs and who is next",
    [Script],
    ([{ order, queries, workers }]) =>
      Effect.gen(function* () {
        const named = queries.map(({ needs, seconds }, index) => ({
          name: `q${index}`,
          millis: seconds * 1_000,
          needs: needs.filter((back) => back <= index).map((back) => `q${index - back}`)
        }))
        const expected = (name: string) => named.find((query) => query.name === name)?.millis
        const { looks, makespan } = yield* perform(named, { order, expected, concurrency: workers, planned: true })
        for (const { at, remainingMillis = NaN } of looks) assert.closeTo(at + remainingMillis, makespan, 1e-6)
      }),
    { arbitrary: { runs: 150, seed: 20_260_204 } }
  )

  it.effect("comes close in a run that is twice as slow as expected, the closer the further it is", () =>
    Effect.gen(function* () {
      const queries = take("q", 2_000, 40)
      const { looks, makespan } = yield* perform(queries, { expected: () => 1_000, concurrency: 4 })
      const errors = looks.map(({ at, remainingMillis = NaN }) => Math.abs(at + remainingMillis - makespan) / makespan)
      const worst = (from: number) => Math.max(...errors.slice(Math.floor(errors.length * from)))
      assert.isAtMost(worst(0), 0.5)
      assert.isBelow(worst(0.2), 0.2)
      assert.isBelow(worst(0.5), 0.1)
    })
  )

  it.effect("takes a query for slow that runs for longer than it should, and not only once it has ended", () =>
    Effect.gen(function* () {
      const queries = [...take("slow", 30_000, 1), ...take("q", 10_000, 3)]
      const { looks } = yield* perform(queries, { expected: () => 10_000, concurrency: 1 })
      const at = (second: number) => looks[second - 1]?.remainingMillis ?? NaN
      assert.closeTo(at(9), 31_000, 100)
      assert.isAbove(at(20), 45_000)
      assert.isAbove(at(29), at(20))
    })
  )

  it.effect("is not said once all that is left has taken more than twice what it was to take", () =>
    Effect.gen(function* () {
      for (const expected of [undefined, () => 2_000]) {
        const queries = [...take("q", 2_000, 8), ...take("stuck", 40_000, 2)]
        const { looks } = yield* perform(queries, { expected, concurrency: 2 })
        const at = (second: number) => looks.find((look) => look.at > second * 1_000)
        assert.isDefined(at(9)?.remainingMillis)
        assert.deepInclude(at(30), { succeeded: 8, remainingMillis: undefined })
      }
    })
  )

  it.effect("is not said where nothing was learned, before as many have ended as run at once", () =>
    Effect.gen(function* () {
      const { looks, makespan } = yield* perform(take("q", 5_000, 9), { concurrency: 3 })
      for (const { at, remainingMillis, succeeded } of looks) {
        if (succeeded < 3) assert.isUndefined(remainingMillis)
        else assert.closeTo(at + (remainingMillis ?? NaN), makespan, 1)
      }
      assert.isDefined(looks.at(-1)?.remainingMillis)
    })
  )

  it.effect("does not take those that ended first for all: the long ones count from their beginning", () =>
    Effect.gen(function* () {
      const queries = [...take("short", 1_000, 6), ...take("long", 100_000, 6)]
      const { looks } = yield* perform(queries, { concurrency: 4 })
      const at = (second: number) => looks.find((look) => look.at > second * 1_000)?.remainingMillis ?? NaN
      // Six short ones a second long would leave six seconds for the rest.
      assert.isAbove(at(60), 25_000)
    })
  )

  it.effect("lets the mean of the learned stand for a few that are new, and not for most", () =>
    Effect.gen(function* () {
      const queries = [...take("known", 4_000, 4), ...take("new", 4_000, 4)]
      const half = yield* perform(queries, { expected: ifKnown, concurrency: 2 })
      for (const { at, remainingMillis = NaN } of half.looks) assert.closeTo(at + remainingMillis, half.makespan, 1)
      const few = yield* perform([...queries, ...take("newer", 4_000, 1)], { expected: ifKnown, concurrency: 2 })
      assert.isUndefined(few.looks[0]?.remainingMillis)
    })
  )

  it.effect("goes by the longest where that is first, and that is left alone in the end where it is last", () =>
    Effect.gen(function* () {
      const queries = [...take("q", 2_000, 6), ...take("long", 9_000, 1)]
      for (const order of ["given", "longest-first"] as const) {
        const { looks, makespan } = yield* perform(queries, { order, expected: ifLong, concurrency: 2 })
        const [first] = looks.map(remainingOf)
        // A run in an order of its own needs a history in its context, and without one is in the order given.
        assert.closeTo((first ?? NaN) + lookEveryMillis, order === "given" ? makespan : 11_000, 1)
      }
    })
  )

  it("counts a wait for another attempt, in which others may run", () => {
    const { add, progress } = Progress.collector({ expected: () => 1_000 })
    add({ _tag: "RunStarted", at: 0, concurrency: 1, queries: 2 })
    for (const id of [0, 1]) add({ _tag: "Submitted", at: 0, id, name: "q" })
    add({ _tag: "Started", at: 0, id: 0, name: "q", worker: 0, attempt: 1 })
    add({ _tag: "Retrying", at: 0, id: 0, name: "q", attempt: 1, error: "", delayMillis: 5_000 })
    add({ _tag: "Started", at: 0, id: 1, name: "q", worker: 0, attempt: 1 })
    assert.strictEqual(progress(0).remainingMillis, 6_000)
  })

  it("shares out equally what is too much to be laid out, with the longest as the least", () => {
    const { add, progress } = Progress.collector({ expected: (name) => Number(name) })
    const queries = 3_000
    add({ _tag: "RunStarted", at: 0, concurrency: 10, queries })
    for (let id = 0; id < queries; id++) add({ _tag: "Submitted", at: 0, id, name: id === 7 ? "5000" : "10" })
    assert.strictEqual(progress(0).remainingMillis, 5_000)
    add({ _tag: "Ended", at: 0, id: 7, name: "5000", outcome: "Skipped", rows: 0 })
    assert.strictEqual(progress(0).remainingMillis, ((queries - 1) * 10) / 10)
  })
})
