/** Moments and durations that cannot be, and a clock that is set or stood still. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Exit, Layer, Schema } from "effect"
import { TestTime } from "querypool/testing"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import * as TaskSchedule from "../../../src/task/TaskSchedule.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"

const work = Task.make("work", { payload: Schema.Finite, session: "none" })

/** A clock that can be set, beside that of tests, which moves timers. */
const settable = Effect.map(Clock.Clock, (clock) => {
  let ahead = 0
  const set: Clock.Clock = {
    ...clock,
    sleep: (duration) => clock.sleep(duration),
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + ahead,
    currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + ahead)
  }
  return { clock: set, by: (millis: number) => void (ahead += millis) }
})

const impossible = (options: Task.EnqueueOptions) =>
  Effect.map(Effect.flip(Task.enqueue(work, 1, options)), (error) => {
    assert.strictEqual(error.reason._tag, "Impossible")
    return error.message
  })

const daily = (cron: string) => () => TaskSchedule.cron("daily", work, 1, { cron })

describe("a task", () => {
  it.effect("is refused where its time cannot be, and told why", () =>
    Effect.gen(function* () {
      for (const delay of [-1, NaN, Infinity, -Infinity, "-1 second", Duration.infinity, 1e300] as const) {
        assert.include(yield* impossible({ delay }), "`delay` is a duration from 0 that ends, got")
      }
      for (const at of [NaN, Infinity, -Infinity, new Date(NaN), 1e17]) {
        assert.include(yield* impossible({ at }), "`at` is a moment, got")
      }
      assert.include(yield* impossible({ at: 8.64e15, delay: 1 }), "a moment that no date can be")
      for (const priority of [0.5, NaN, Infinity, 2 ** 31]) {
        assert.include(yield* impossible({ priority }), "`priority` is an integer of 32 bits")
      }
      assert.deepStrictEqual(yield* Task.list(), [])
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("whose time is long past runs at once, and none that is put off for ever holds the runner", () =>
    Effect.gen(function* () {
      const ran: Array<number> = []
      const handler = Task.toLayer(work, (number) =>
        number === 3 ? Task.snooze(8.64e15) : Effect.sync(() => ran.push(number)).pipe(Effect.asVoid)
      )
      yield* Layer.build(Layer.provide(handler, TaskRunner.layer({ lease: "1 day" })))
      yield* Task.enqueue(work, 1, { at: -8.64e15 })
      yield* Task.enqueue(work, 2, { at: DateTime.makeUnsafe("1970-01-01T00:00:00Z") })
      const late = yield* Task.enqueue(work, 3)
      yield* Task.enqueue(work, 4, { delay: "3 days" })
      yield* TestTime.advance(1)
      assert.deepStrictEqual(ran, [1, 2])
      assert.deepInclude(yield* late.status, { _tag: "scheduled", at: 8.64e15 })
      yield* TestTime.advance("2 days")
      assert.deepStrictEqual(ran, [1, 2])
      yield* TestTime.advance("1 day")
      assert.deepStrictEqual(ran, [1, 2, 4])
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  )

  it.effect("runs within a minute of its time where the machine was suspended meanwhile", () =>
    Effect.gen(function* () {
      const { by, clock } = yield* settable
      const ran: Array<number> = []
      const handler = Task.toLayer(work, (number) => Effect.sync(() => ran.push(number)).pipe(Effect.asVoid))
      yield* Effect.gen(function* () {
        yield* Layer.build(Layer.provide(handler, TaskRunner.layer()))
        yield* Task.enqueue(work, 1, { delay: "10 hours" })
      }).pipe(Effect.provideService(Clock.Clock, clock))
      yield* TestTime.advance(1000)
      by(10 * 3600_000)
      yield* TestTime.advance("1 minute")
      assert.deepStrictEqual(ran, [1])
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  )

  it.effect("runs once, and is kept from nobody, while the clock is set back and forth", () =>
    Effect.gen(function* () {
      const { by, clock } = yield* settable
      const begun: Array<number> = []
      const handler = Task.toLayer(work, (number) =>
        Effect.andThen(
          Effect.sync(() => begun.push(number)),
          Effect.sleep("3 minutes")
        )
      )
      const running = TaskRunner.layer({ concurrency: 3, lease: "30 seconds" })
      const handles = yield* Effect.gen(function* () {
        yield* Layer.build(Layer.provide(handler, running))
        return yield* Task.enqueueAll(work, [1, 2, 3, 4, 5, 6])
      }).pipe(Effect.provideService(Clock.Clock, clock))
      for (const hours of [1, -2, 5, -4, 24, -24]) {
        yield* TestTime.advance("30 seconds")
        by(hours * 3600_000)
      }
      yield* TestTime.advance("10 minutes")
      for (const handle of handles) assert.deepStrictEqual(yield* handle.await, Exit.void)
      assert.deepStrictEqual(begun, [1, 2, 3, 4, 5, 6])
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  )
})

describe("a schedule", () => {
  it("is refused where it never comes, cannot be read or has no time", () => {
    for (const cron of ["0 0 30 2 *", "61 * * * *", "", "* * *", "x", "0 0 0 1 *", "* * * * * * *"]) {
      assert.throws(daily(cron), RangeError, 'Expected `cron` of schedule "daily"')
    }
    for (const every of [0, -1, 0.5, NaN, Infinity] as const) {
      assert.throws(() => TaskSchedule.every("often", work, 1, { every }), RangeError, "`every`")
    }
    assert.throws(
      () => TaskSchedule.cron("daily", work, 1, { cron: "0 0 * * *", timeZone: "Mars/Olympus" }),
      RangeError
    )
  })
})
