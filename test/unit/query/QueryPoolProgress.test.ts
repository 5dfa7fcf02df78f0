import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { DurationHistory } from "../../../src/query/Learning.ts"
import * as Query from "../../../src/query/Query.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

const takes = (name: string, millis: number) => Query.make(name, () => Effect.sleep(millis))

type Look = Stream.Success<ReturnType<typeof QueryPool.progress>>

const short = ({ elapsedMillis, failed, remainingMillis, running, succeeded, waiting }: Look) =>
  `${elapsedMillis}: ${waiting} wait, ${running.map(({ name }) => name).join(" and ")} run, ` +
  `${succeeded} succeeded, ${failed} failed, ${remainingMillis} left`

/** Reads a stream of progress while time passes. */
const read = (stream: Stream.Stream<Look>, seconds: number) =>
  Effect.gen(function* () {
    const looks: Array<Look> = []
    const fiber = yield* Effect.forkChild(Stream.runForEach(stream, (look) => Effect.sync(() => void looks.push(look))))
    for (let second = 0; second < seconds; second++) yield* timePasses(1_000)
    return { looks, fiber }
  })

describe("QueryPool.progress", () => {
  it.effect("looks once every period, and once more when the run is over, with its report", () =>
    Effect.gen(function* () {
      const { provideStream } = yield* pool()
      const queries = [takes("a", 2_500), Query.make("b", () => Effect.fail("no")), takes("c", 1_300)]
      const run = QueryPool.progress(queries, { concurrency: 1, progressEvery: "2 seconds" })
      const { fiber, looks } = yield* read(provideStream(run), 5)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(looks.map(short), [
        "2000: 2 wait, a run, 0 succeeded, 0 failed, undefined left",
        // Two took 2.5 and 0 seconds, of which the second taught nothing.
        "3800: 0 wait,  run, 2 succeeded, 1 failed, 0 left"
      ])
      const last = looks.at(-1)
      assert.isUndefined(looks[0]?.report)
      assert.isTrue(last?.isOver)
      assert.deepStrictEqual(
        last?.report?.queries.map(({ outcome }) => outcome),
        ["Succeeded", "Failed", "Succeeded"]
      )
    })
  )

  it.effect("looks once a second where nothing is said, and tells others of the events, too", () =>
    Effect.gen(function* () {
      const { provideStream } = yield* pool()
      const events: Array<QueryEvent["_tag"]> = []
      const run = QueryPool.progress({ a: takes("a", 2_500) }, { onEvent: ({ _tag }) => events.push(_tag) })
      const { fiber, looks } = yield* read(provideStream(run), 3)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        looks.map(({ elapsedMillis }) => elapsedMillis),
        [1_000, 2_000, 2_500]
      )
      assert.deepStrictEqual(events, ["RunStarted", "Submitted", "Started", "Ended", "RunEnded"])
    })
  )

  it.effect("tells of the rows so far", () =>
    Effect.gen(function* () {
      const { provideStream } = yield* pool()
      const query = Query.make("a", (sql) => Effect.forever(Effect.andThen(sql`rows`, Effect.sleep(700))))
      const { fiber, looks } = yield* read(provideStream(QueryPool.progress([query])), 3)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(
        looks.map(({ running }) => running[0]?.rows),
        [2, 6, 8]
      )
    })
  )

  it.effect("goes by the history in the context", () =>
    Effect.gen(function* () {
      const { provideStream } = yield* pool()
      const history = DurationHistory.of({
        recall: Effect.succeed((name) => (name === "long" ? 6_000 : 2_000)),
        learn: () => Effect.void
      })
      const queries = [takes("short", 2_000), takes("long", 6_000), takes("other", 2_000)]
      const run = QueryPool.progress(queries, { concurrency: 2, order: "longest-first", progressEvery: 1_500 })
      const stream = Stream.provideService(provideStream(run), DurationHistory, history)
      const { fiber, looks } = yield* read(stream, 6)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(looks.map(short), [
        "1500: 1 wait, long and short run, 0 succeeded, 0 failed, 4500 left",
        "3000: 0 wait, long and other run, 1 succeeded, 0 failed, 3000 left",
        "4500: 0 wait, long run, 2 succeeded, 0 failed, 1500 left",
        "6000: 0 wait,  run, 3 succeeded, 0 failed, 0 left"
      ])
    })
  )

  it.effect("waits for a slow reader, and its run does not", () =>
    Effect.gen(function* () {
      const { provideStream } = yield* pool()
      const run = provideStream(QueryPool.progress([takes("a", 1_500), takes("b", 2_500)]))
      const slow = Stream.tap(run, () => Effect.sleep(10_000))
      const fiber = yield* Effect.forkChild(Stream.runCollect(slow))
      for (let second = 0; second < 25; second++) yield* timePasses(1_000)
      const looks = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        looks.map(({ elapsedMillis, isOver }) => [elapsedMillis, isOver]),
        [
          [1_000, false],
          [2_500, true]
        ]
      )
    })
  )

  it.effect("interrupts the run when it is left early", () =>
    Effect.gen(function* () {
      const { ledger, provideStream } = yield* pool()
      const events: Array<QueryEvent> = []
      const run = QueryPool.progress([takes("a", 60_000)], { onEvent: (event) => events.push(event) })
      const fiber = yield* Effect.forkChild(Stream.runDrain(Stream.take(provideStream(run), 1)))
      yield* timePasses(1_000)
      yield* Fiber.join(fiber)
      assert.strictEqual(ledger.inUse, 0)
      assert.includeDeepMembers(
        events.map((event) => (event._tag === "Ended" ? [event.name, event.outcome] : event._tag)),
        [["a", "Cancelled"], "RunEnded"]
      )
    })
  )

  it.effect("dies of what its listener throws, and of options that are none", () =>
    Effect.gen(function* () {
      const { provideStream } = yield* pool()
      const faulty = [
        QueryPool.progress([takes("a", 0)], { onEvent: () => assert.fail("a fault") }),
        QueryPool.progress([takes("a", 0)], { concurrency: 0 }),
        QueryPool.progress([takes("a", 0)], { progressEvery: 0 }),
        QueryPool.progress([takes("a", 0)], { progressEvery: Number.NaN })
      ]
      const said = ["a fault", "`concurrency`", "`progressEvery`", "`progressEvery`"]
      for (const [index, stream] of faulty.entries()) {
        const fiber = yield* Effect.forkChild(Effect.exit(Stream.runDrain(provideStream(stream))))
        yield* timePasses(1_000)
        const exit = yield* Fiber.join(fiber)
        assert.isTrue(Exit.hasDies(exit))
        assert.include(String(exit), said[index] ?? "nothing")
      }
    })
  )
})

const pool = () =>
  Effect.map(
    TestQueryPool.make(() => [{}, {}]),
    ({ ledger, pool }) => ({
      ledger,
      provideStream: Stream.provideService(QueryPool.QueryPool, pool)
    })
  )
