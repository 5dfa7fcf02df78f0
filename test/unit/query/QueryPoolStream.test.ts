import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Query from "../../../src/query/Query.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import { below, forSeeds } from "../../support/Chaos.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

/** A query that takes its time and gives its name. */
const takes = (name: string, millis: number) => Query.make(name, () => Effect.as(Effect.sleep(millis), name))

/** A source of endless queries that counts its pulls and its ends. */
const endless = (millis: number) => {
  const counts = { pulled: 0, closed: 0 }
  const queries = function* () {
    try {
      while (true) yield takes(`${counts.pulled++}`, millis)
    } finally {
      counts.closed++
    }
  }
  return { counts, queries: queries() }
}

/** A source that throws after its first query. */
const broken = function* () {
  yield takes("before", 10)
  throw new Error("the list is broken")
}

const brokenAsync = async function* () {
  yield* broken()
}

const many = function* () {
  for (let id = 0; id < 100_001; id++) yield Effect.succeed(`an effect of its own: ${id}`)
}

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const heapAfterCollection = (): number => {
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}

describe("QueryPool.stream", () => {
  it.effect.each([1, 2, 5])(
    "takes an iterable, an async iterable and a stream, %i at a time, and gives each query with its outcome",
    (concurrency) =>
      Effect.gen(function* () {
        const { provide } = yield* TestQueryPool.make()
        const queries = Array.from({ length: 7 }, (_, id) => Query.make(`${id}`, () => Effect.succeed(id)))
        const asynchronous = async function* () {
          yield* queries
        }
        const sources = [queries, new Set(queries), queries.values(), asynchronous(), Stream.fromIterable(queries)]
        for (const source of sources) {
          const results = yield* Stream.runCollect(QueryPool.stream(source, { concurrency, preserveOrder: true })).pipe(
            provide
          )
          assert.deepStrictEqual(
            results,
            queries.map((query, value) => ({ query, outcome: { _tag: "Succeeded", value } }))
          )
        }
      })
  )

  it.effect("gives nothing for nothing", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      for (const source of [[], Stream.empty]) {
        assert.deepStrictEqual(yield* Stream.runCollect(QueryPool.stream(source)).pipe(provide), [])
      }
    })
  )

  it.effect.each([
    { preserveOrder: false, order: ["b", "d", "c", "a"] },
    { preserveOrder: true, order: ["a", "b", "c", "d"] }
  ])("gives results as they end, or in the order of the source: $preserveOrder", ({ order, preserveOrder }) =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const queries = [takes("a", 40), takes("b", 10), takes("c", 30), takes("d", 20)]
      const results = QueryPool.stream(queries, { concurrency: 4, preserveOrder })
      const fiber = yield* Effect.forkChild(Stream.runCollect(results).pipe(provide))
      yield* timePasses(40)
      assert.deepStrictEqual(
        (yield* Fiber.join(fiber)).map(({ query }) => query.name),
        order
      )
      assert.deepStrictEqual(ledger.closed, ["b", "d", "c", "a"])
    })
  )

  it.effect("makes an outcome of every failure and interruption, and goes on", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const ends: ReadonlyArray<Effect.Effect<number, string>> = [
        Effect.fail("no"),
        Effect.interrupt,
        Effect.succeed(1)
      ]
      const queries = ends.map((end, id) => Query.make(`${id}`, () => end))
      for (const concurrency of [1, 3]) {
        const results = yield* Stream.runCollect(QueryPool.stream(queries, { concurrency, preserveOrder: true })).pipe(
          provide
        )
        assert.deepStrictEqual(
          results.map(({ outcome }) => outcome),
          [{ _tag: "Failed", error: "no" }, { _tag: "Cancelled" }, { _tag: "Succeeded", value: 1 }]
        )
      }
    })
  )

  it.effect.each([false, true])("pulls its source as workers become free, also in its order: %s", (preserveOrder) =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const { counts, queries } = endless(10)
      const results = QueryPool.stream(queries, { concurrency: 3, preserveOrder })
      const fiber = yield* Effect.forkChild(Stream.runDrain(results).pipe(provide))
      for (let round = 0; round < 5; round++) {
        yield* timePasses(round === 0 ? 5 : 10)
        assert.strictEqual(counts.pulled, 3 * (round + 1))
        assert.strictEqual(ledger.inUse, 3)
      }
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect.each([false, true])("pulls no more while nobody reads its results, also in order: %s", (preserveOrder) =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const { counts, queries } = endless(10)
      const results = QueryPool.stream(queries, { concurrency: 3, preserveOrder })
      const reader = Stream.runForEach(results, () => Effect.never).pipe(provide)
      const fiber = yield* Effect.forkChild(reader)
      for (let round = 0; round < 5; round++) yield* timePasses(100)
      // What the reader was given at once, and two for each worker.
      assert.isAtMost(counts.pulled, 3 + 2 * 3)
      assert.strictEqual(ledger.inUse, 0)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("closes a generator when it is left early or interrupted", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      for (const preserveOrder of [false, true]) {
        const left = endless(0)
        const results = QueryPool.stream(left.queries, { concurrency: 2, preserveOrder })
        const reader = yield* Effect.forkChild(Stream.runCollect(Stream.take(results, 1)).pipe(provide))
        yield* timePasses(1)
        assert.lengthOf(yield* Fiber.join(reader), 1)
        assert.strictEqual(left.counts.closed, 1)
        const stopped = endless(10)
        const fiber = yield* Effect.forkChild(
          Stream.runDrain(QueryPool.stream(stopped.queries, { concurrency: 2, preserveOrder })).pipe(provide)
        )
        yield* timePasses(5)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(stopped.counts.closed, 1)
      }
    })
  )

  it.effect("closes an async generator when it is left early", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      let closed = 0
      const asynchronous = async function* () {
        try {
          while (true) yield Query.make("a", () => Effect.void)
        } finally {
          closed++
        }
      }
      const results = QueryPool.stream(asynchronous(), { concurrency: 2 })
      assert.lengthOf(yield* Stream.runCollect(Stream.take(results, 3)).pipe(provide), 3)
      assert.strictEqual(closed, 1)
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect("ends with the defect of a source that throws, after what it gave before", () =>
    Effect.gen(function* () {
      for (const preserveOrder of [false, true]) {
        for (const source of [broken(), brokenAsync(), Stream.fromIterable(broken(), { chunkSize: 1 })]) {
          const { ledger, provide } = yield* TestQueryPool.make()
          const seen: Array<string> = []
          const run = Stream.runForEach(
            QueryPool.stream(source, { concurrency: 2, preserveOrder }),
            ({ query, outcome }) => Effect.sync(() => seen.push(`${query.name} ${outcome._tag}`))
          ).pipe(Effect.catchDefect(Effect.fail), Effect.flip, provide)
          const fiber = yield* Effect.forkChild(run)
          yield* timePasses(10)
          assert.deepStrictEqual(yield* Fiber.join(fiber), new Error("the list is broken"))
          assert.deepStrictEqual(seen, ["before Succeeded"])
          assert.deepStrictEqual([ledger.closed, ledger.inUse], [["before"], 0])
        }
      }
    })
  )

  it.effect("fails with the error of a stream of queries, after what it gave before", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const source = Stream.concat(Stream.make(takes("before", 10)), Stream.fail("no more queries"))
      const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.result(QueryPool.stream(source))).pipe(provide))
      yield* timePasses(10)
      const results = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        results.map((result) => (result._tag === "Failure" ? result.failure : result.success.query.name)),
        ["before", "no more queries"]
      )
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect.each([false, true])("keeps nothing of the queries that are through, also in order: %s", (preserveOrder) =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const heap = new Map<number, number>()
      let read = 0
      yield* Stream.runForEach(QueryPool.stream(many(), { preserveOrder }), () =>
        Effect.sync(() => {
          read++
          if (read === 10_000 || read === 100_000) heap.set(read, heapAfterCollection())
        })
      ).pipe(provide)
      assert.strictEqual(read, 100_001)
      // A reference to each of 90,000 would take 720,000 bytes, without what it refers to.
      const grown = (heap.get(100_000) ?? Infinity) - (heap.get(10_000) ?? 0)
      assert.isBelow(grown, 500_000)
    })
  )

  it.effect("gives each query once, is never far ahead of its reader, and leaves nothing, in any interleaving", () => {
    const ends = new Map<string, number>()
    return forSeeds(50, () =>
      Effect.gen(function* () {
        const { ledger, provide } = yield* TestQueryPool.make(
          {},
          {
            connect: () => Effect.flatMap(below(3), Effect.sleep),
            release: () => Effect.yieldNow
          }
        )
        const concurrency = 1 + (yield* below(4))
        const preserveOrder = (yield* below(2)) === 0
        const hasRetries = (yield* below(2)) === 0
        const most = (yield* below(4)) === 0 ? 1 + (yield* below(10)) : Infinity
        const interruptAt = (yield* below(4)) === 0 ? 1 + (yield* below(60)) : Infinity
        const isBroken = (yield* below(4)) === 0
        const slowness = yield* below(12)
        const count = 24
        let [pulled, read, closed] = [0, 0, 0]
        const members = Array.from({ length: count }, (_, id) => {
          let attempts = 0
          const body = () =>
            Effect.gen(function* () {
              yield* Effect.sleep(yield* below(10))
              const end = yield* below(8)
              if (end === 0 || (hasRetries && end < 4 && attempts++ === 0)) return yield* Effect.fail("no")
              if (end === 1) return yield* Effect.interrupt
              return id
            })
          const again = RetryPolicy.make({
            on: () => true,
            schedule: Schedule.spaced(15)
          })
          return hasRetries ? Query.make(`${id}`, body, { retry: again }) : Query.make(`${id}`, body)
        })
        const source = function* () {
          try {
            for (const member of members) {
              pulled++
              yield member
            }
            if (isBroken) throw new Error("the list is broken")
          } finally {
            closed++
          }
        }
        const names: Array<string> = []
        const results = QueryPool.stream(source(), { concurrency, preserveOrder })
        const reader = Stream.runForEach(Stream.take(results, most), ({ query }) =>
          Effect.andThen(
            Effect.flatMap(below(1 + slowness), Effect.sleep),
            Effect.sync(() => {
              read++
              names.push(query.name)
            })
          )
        )
        const fiber = yield* Effect.forkChild(Effect.exit(reader.pipe(provide)))
        for (let millis = 0; millis < 2_000 && fiber.pollUnsafe() === undefined; millis++) {
          if (millis === interruptAt) yield* Effect.forkChild(Fiber.interrupt(fiber))
          yield* timePasses(1)
          assert.isAtMost(ledger.inUse, concurrency)
          // The reader has as many as can lie ready when the last worker begins.
          if (!hasRetries) assert.isAtMost(pulled - read, 4 * concurrency - 2)
        }
        const exit = fiber.pollUnsafe() ?? assert.fail("it has ended by then")
        const wasInterrupted = interruptAt !== Infinity && exit._tag === "Failure"
        const expected = members.slice(0, Math.min(most, count)).map(({ name }) => name)
        const given = preserveOrder ? names : names.toSorted((a, b) => Number(a) - Number(b))
        assert.lengthOf(new Set(names), names.length)
        if (!wasInterrupted && most === Infinity) assert.deepStrictEqual(given, expected)
        else if (preserveOrder) assert.deepStrictEqual(given, expected.slice(0, names.length))
        if (!wasInterrupted) assert.lengthOf(names, expected.length)
        assert.deepStrictEqual([closed, ledger.inUse, ledger.closed.length], [1, 0, ledger.opened.length])
        const [opened, taken] = [ledger.opened.length, pulled]
        yield* timePasses(100)
        assert.deepStrictEqual([ledger.opened.length, pulled], [opened, taken])
        const end = wasInterrupted ? "interrupted" : most !== Infinity ? "left" : isBroken ? "broken" : "read"
        ends.set(end, (ends.get(end) ?? 0) + 1)
      })
    ).pipe(
      Effect.tap(
        Effect.sync(() => {
          for (const end of ["read", "broken", "left", "interrupted"]) assert.isAbove(ends.get(end) ?? 0, 2, end)
        })
      )
    )
  })
})
