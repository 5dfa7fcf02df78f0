import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Schema } from "effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { TestTime } from "querypool/testing"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import type { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { logged } from "./logged.ts"

const mail = Task.make("mail", { payload: Schema.Finite, session: "none", queue: "mail" })
const other = Task.make("other", { payload: Schema.Finite, session: "none" })

const limiter = Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory)

/** When tasks began, in their order. */
const noting = () => {
  const starts: Array<number> = []
  return { starts, note: Effect.map(Clock.currentTimeMillis, (now) => void starts.push(now)) }
}

const withRunner = <A, E>(
  handlers: Layer.Layer<never, never, TaskRunner.TaskRunner>,
  options: TaskRunner.Options,
  test: Effect.Effect<A, E, TaskStore>,
  shared: Layer.Layer<RateLimiter.RateLimiter> = limiter
) =>
  Effect.provide(
    test,
    Layer.provideMerge(
      Layer.provide(handlers, Layer.provide(Layer.fresh(TaskRunner.layer(options)), shared)),
      layerMemory()
    )
  )

const passes = (millis: number, step: number) =>
  Effect.forEach(Array.from({ length: millis / step }), () => TestTime.advance(step), { discard: true })

describe("a queue's rate limit", () => {
  it.effect("lets as many begin in each window as it says, to the millisecond", () => {
    const { note, starts } = noting()
    return withRunner(
      Task.toLayer(mail, () => note),
      { queues: { mail: { rateLimit: { limit: 4, window: "1 second" } } } },
      Effect.gen(function* () {
        yield* Task.enqueueAll(mail, [1, 2, 3, 4, 5, 6, 7, 8, 9])
        yield* TestTime.advance(999)
        assert.deepStrictEqual(starts, [0, 0, 0, 0])
        yield* TestTime.advance(1)
        assert.deepStrictEqual(starts, [0, 0, 0, 0, 1000, 1000, 1000, 1000])
        yield* TestTime.advance(1000)
        assert.deepStrictEqual(starts.slice(8), [2000])
      })
    )
  })

  it.effect("lets one begin after the other, as a bucket fills, where that is asked for", () => {
    const { note, starts } = noting()
    return withRunner(
      Task.toLayer(mail, () => note),
      { queues: { mail: { rateLimit: { limit: 2, window: "1 second", algorithm: "token-bucket" } } } },
      Effect.gen(function* () {
        yield* Task.enqueueAll(mail, [1, 2, 3, 4, 5])
        yield* passes(2000, 100)
        assert.deepStrictEqual(starts, [0, 0, 500, 1000, 1500])
      })
    )
  })

  it.effect("holds nothing while it waits, and no other queue", () => {
    const { note, starts } = noting()
    const others = noting()
    return withRunner(
      Layer.merge(
        Task.toLayer(mail, () => note),
        Task.toLayer(other, () => Effect.andThen(others.note, Effect.sleep(10)))
      ),
      { concurrency: 2, queues: { mail: { rateLimit: { limit: 1, window: "1 minute" } } } },
      Effect.gen(function* () {
        const [, waiting] = yield* Task.enqueueAll(mail, [1, 2])
        yield* Task.enqueueAll(other, [1, 2, 3, 4])
        yield* passes(60, 10)
        assert.deepStrictEqual(starts, [0])
        assert.deepStrictEqual(others.starts.length, 4)
        assert.deepInclude(yield* waiting?.status ?? Effect.die("no handle"), { _tag: "ready", attempt: 0 })
      })
    )
  })

  it.effect("counts each attempt", () => {
    const { note, starts } = noting()
    return withRunner(
      Task.toLayer(mail, (_, { attempt }) => Effect.andThen(note, attempt < 3 ? Task.retryIn(0) : Effect.void)),
      { queues: { mail: { rateLimit: { limit: 1, window: 100 } } } },
      Effect.gen(function* () {
        yield* Task.enqueue(mail, 1)
        yield* passes(300, 50)
        assert.deepStrictEqual(starts, [0, 100, 200])
      })
    )
  })

  it.effect(
    "is kept to by all who share a limiter, and what one of them has claimed for nothing is handed back",
    () => {
      const { note, starts } = noting()
      // Between the look and the claim others have their turn.
      const slow = Layer.effect(
        RateLimiter.RateLimiter,
        Effect.map(RateLimiter.RateLimiter, (whole) => ({
          ...whole,
          consume: (options: Parameters<typeof whole.consume>[0]) =>
            Effect.andThen(options.tokens === 0 ? Effect.void : Effect.sleep(5), whole.consume(options))
        }))
      ).pipe(Layer.provide(limiter))
      const attempts: Array<number> = []
      return Effect.gen(function* () {
        const shared = Layer.succeedContext(yield* Layer.build(slow))
        const one = withRunner(
          Task.toLayer(mail, (_, { attempt }) =>
            Effect.andThen(
              note,
              Effect.sync(() => attempts.push(attempt))
            )
          ),
          { queues: { mail: { rateLimit: { limit: 3, window: "1 second" } } } },
          Effect.gen(function* () {
            const handles = yield* Task.enqueueAll(mail, [1, 2, 3, 4])
            yield* Effect.forEach(handles, ({ await: ended }) => ended)
          }),
          shared
        )
        yield* Effect.forkScoped(Effect.all([one, one, one], { concurrency: "unbounded" }))
        yield* passes(5000, 5)
        assert.lengthOf(starts, 12)
        for (const from of starts) {
          const inWindow = starts.filter((at) => at >= from && at < from + 1000)
          assert.isBelow(inWindow.length, 6, starts.join())
        }
        assert.lengthOf(
          starts.filter((at) => at < 300),
          3
        )
        assert.deepStrictEqual(new Set(attempts), new Set([1]))
      })
    }
  )

  it.effect("that cannot be asked for lets none begin, and says so once", () => {
    const { note, starts } = noting()
    const { lines, logger } = logged()
    let isDown = true
    const failing = Layer.effect(
      RateLimiter.RateLimiter,
      Effect.map(RateLimiter.RateLimiter, (whole) => ({
        ...whole,
        consume: (options: Parameters<typeof whole.consume>[0]) =>
          Effect.suspend(() => {
            if (!isDown) return whole.consume(options)
            const reason = new RateLimiter.RateLimitStoreError({ message: "gone" })
            return Effect.fail(new RateLimiter.RateLimiterError({ reason }))
          })
      }))
    ).pipe(Layer.provide(limiter))
    return withRunner(
      Task.toLayer(mail, () => note),
      { queues: { mail: { rateLimit: { limit: 3, window: "1 second" } } } },
      Effect.gen(function* () {
        yield* Task.enqueue(mail, 1)
        yield* passes(5000, 500)
        assert.deepStrictEqual(starts, [])
        isDown = false
        yield* passes(1000, 500)
        assert.lengthOf(starts, 1)
        assert.deepStrictEqual(
          lines.map((line) => line.replace(" and is asked again each second: ", "")),
          [
            "Warn: The store of tasks cannot be asked for tasks,A task: the store could not be asked: the rate limiter: gone",
            "Info: The store of tasks can be asked for tasks again"
          ]
        )
      }),
      failing
    ).pipe(Effect.provide(logger))
  })

  it.each([
    ["limit", { limit: 0, window: 1000 }],
    ["limit", { limit: 1.5, window: 1000 }],
    ["limit", { limit: NaN, window: 1000 }],
    ["window", { limit: 1, window: 0 }],
    ["window", { limit: 1, window: "-1 seconds" as const }],
    ["window", { limit: 1, window: Infinity }]
  ])("is refused with a %s that cannot be: %o", (option, rateLimit) => {
    const expected = `Expected \`queues.mail.rateLimit.${option}\``
    assert.throws(() => TaskRunner.layer({ queues: { mail: { rateLimit } } }), RangeError, expected)
  })
})
