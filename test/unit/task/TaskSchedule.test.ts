import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Task from "../../../src/task/Task.ts"
import { StoreFailed, TaskError } from "../../../src/task/TaskError.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import type { Missed, Overlap } from "../../../src/task/TaskSchedule.ts"
import * as TaskSchedule from "../../../src/task/TaskSchedule.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { timePasses } from "../query/timePasses.ts"
import { logged } from "./logged.ts"

const tick = Task.make("tick", { payload: Schema.Finite, session: "none", timeout: "1 hour" })
const inMarch = (text: string): number => Date.parse(`2026-03-${text}Z`)
const moment = (at: number): number => at
const faulty = (at: number): number => {
  if (at === 20) throw new Error("no payload")
  return at === 30 ? Number.NaN : at
}

/** When which of the occurrences ran. */
const running = (takesMillis = 0) => {
  const ran: Array<readonly [moment: number, from: number]> = []
  const ended: Array<number> = []
  const handlers = Task.toLayer(tick, (at) =>
    Effect.gen(function* () {
      ran.push([at, yield* Clock.currentTimeMillis])
      yield* Effect.sleep(takesMillis)
      ended.push(at)
    })
  )
  return { ran, ended, layer: Layer.provide(handlers, TaskRunner.layer({ drain: 0 })) }
}

const runningOf = (schedule: Layer.Layer<never, TaskError, TaskStore>, takesMillis?: number) => {
  const { layer, ...seen } = running(takesMillis)
  const test = <A, E, R>(effect: Effect.Effect<A, E, R | TaskStore>) =>
    Effect.provide(effect, Layer.provideMerge(Layer.merge(schedule, layer), layerMemory()))
  return { ...seen, test }
}

/** The moments that there is a task for. */
const offered = Effect.gen(function* () {
  const { list } = yield* TaskStore
  return (yield* list({ limit: 1000 })).map(({ payload }) => payload)
})

/** A clock that goes as the test's does, and shows so much more. */
const another = Effect.map(Clock.Clock, (clock) => {
  let more = 0
  const shifted: Clock.Clock = {
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + more,
    currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + more),
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
    currentTimeNanos: clock.currentTimeNanos,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
  return { clock: shifted, lead: (millis: number) => void (more = millis) }
})

/** The layer, until it is closed, or to the end of the test. */
const open = Effect.fnUntraced(function* (schedule: Layer.Layer<never, TaskError, TaskStore>, clock?: Clock.Clock) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const build = Layer.buildWithScope(schedule, scope)
  yield* clock === undefined ? build : Effect.provideService(build, Clock.Clock, clock)
  yield* timePasses(0)
  return { close: Scope.close(scope, Exit.void) }
})

/** What becomes in 80 ms of what is due each 10 and takes 25. */
const overlapping = (overlap: Overlap) => {
  const { ended, ran, test } = runningOf(TaskSchedule.every("often", tick, moment, { every: 10, overlap }), 25)
  const passed = Effect.andThen(
    Effect.replicateEffect(timePasses(5), 16, { discard: true }),
    Effect.map(TaskStore, ({ list }) => list)
  )
  return test(
    Effect.gen(function* () {
      const list = yield* passed
      const cancelled = (yield* list({ states: ["cancelled"] })).map(({ payload }) => payload)
      return { ran, ended: [...ended], cancelled }
    })
  )
}

describe("a schedule", () => {
  it.effect("offers its task at each moment of the calendar, to the millisecond, also when clocks change", () => {
    const { ran, test } = runningOf(
      TaskSchedule.cron("night", tick, moment, { cron: "30 2 * * *", timeZone: "Europe/Berlin" })
    )
    return Effect.gen(function* () {
      yield* TestClock.setTime(inMarch("28T00:00"))
      yield* Effect.gen(function* () {
        for (const expected of ["28T01:30", "29T01:30", "30T00:30"].map(inMarch)) {
          yield* timePasses(expected - 1 - (yield* Clock.currentTimeMillis))
          assert.isUndefined(ran.find(([, from]) => from >= expected - 1))
          yield* timePasses(1)
          assert.deepStrictEqual(ran.at(-1), [expected, expected])
        }
        assert.lengthOf(ran, 3)
      }).pipe(test)
    })
  })

  it.effect("offers its task at an interval, at the same moments whenever it began", () => {
    const { ran, test } = runningOf(TaskSchedule.every("often", tick, moment, { every: 10 }))
    return Effect.gen(function* () {
      yield* TestClock.setTime(1003)
      yield* Effect.gen(function* () {
        yield* timePasses(6)
        assert.deepStrictEqual(ran, [])
        yield* timePasses(1)
        yield* timePasses(29)
        assert.deepStrictEqual(ran, [
          [1010, 1010],
          [1020, 1020],
          [1030, 1030]
        ])
      }).pipe(test)
    })
  })

  it.effect("has each occurrence wait for its jitter, and the task know nothing of it", () => {
    const { ran, test } = runningOf(TaskSchedule.every("often", tick, moment, { every: 1000, jitter: 900 }))
    return Effect.gen(function* () {
      for (let second = 0; second < 21; second++) yield* timePasses(1000)
      const by = ran.map(([at, from]) => from - at)
      assert.deepStrictEqual(
        ran.slice(0, 20).map(([at]) => at),
        Array.from({ length: 20 }, (_, index) => (index + 1) * 1000)
      )
      assert.isTrue(by.every((millis) => millis >= 0 && millis <= 900))
      assert.isAbove(new Set(by).size, 15)
    }).pipe(test)
  })

  it.effect("leaves out what is due while it runs, unless it is told otherwise", () =>
    Effect.gen(function* () {
      const { cancelled, ended, ran } = yield* overlapping("skip")
      assert.deepStrictEqual(ran, [
        [10, 10],
        [40, 40],
        [70, 70]
      ])
      assert.deepStrictEqual([ended, cancelled], [[10, 40], []])
      const byDefault = runningOf(TaskSchedule.every("often", tick, moment, { every: 10 }), 25)
      yield* byDefault.test(Effect.replicateEffect(timePasses(5), 16, { discard: true }))
      assert.deepStrictEqual(
        byDefault.ran.map(([at]) => at % 80),
        [10, 40, 70]
      )
    })
  )

  it.effect("has what is due while it runs wait, if it is to be queued", () =>
    Effect.gen(function* () {
      const { cancelled, ended, ran } = yield* overlapping("queue")
      assert.deepStrictEqual(ran, [
        [10, 10],
        [20, 35],
        [30, 60]
      ])
      assert.deepStrictEqual([ended, cancelled], [[10, 20], []])
    })
  )

  it.effect("cancels what runs when the next is due, if it is to be replaced", () =>
    Effect.gen(function* () {
      const { cancelled, ended, ran } = yield* overlapping("replace")
      assert.deepStrictEqual(
        ran,
        [10, 20, 30, 40, 50, 60, 70, 80].map((at) => [at, at] as const)
      )
      assert.deepStrictEqual([ended, cancelled], [[], [10, 20, 30, 40, 50, 60, 70]])
    })
  )

  it.effect("does not begin the one that replaces another before that one has stopped", () => {
    const events: Array<string> = []
    const slow = Task.toLayer(tick, (at) => {
      const stopped = Effect.sync(() => events.push(`${at} stopped`))
      return Effect.andThen(
        Effect.sync(() => events.push(`${at} begins`)),
        Effect.onInterrupt(Effect.never, () => (at === 10 ? Effect.andThen(Effect.sleep(4), stopped) : Effect.void))
      )
    })
    const schedule = TaskSchedule.every("often", tick, moment, { every: 10, overlap: "replace" })
    return Effect.gen(function* () {
      const { close } = yield* open(Layer.merge(schedule, Layer.provide(slow, TaskRunner.layer({ drain: 0 }))))
      yield* timePasses(23)
      assert.deepStrictEqual(events, ["10 begins"])
      yield* timePasses(1)
      assert.deepStrictEqual(events, ["10 begins", "10 stopped", "20 begins"])
      yield* close
    }).pipe(Effect.provide(layerMemory()))
  })

  const expectedOf: Readonly<Record<Missed, ReadonlyArray<number>>> = {
    skip: [],
    once: [3 * 3_600_000],
    all: [1, 2, 3].map((hour) => hour * 3_600_000)
  }
  for (const missed of ["skip", "once", "all"] as const) {
    const hourly = TaskSchedule.cron("hourly", tick, moment, { cron: "0 * * * *", missed, overlap: "queue" })
    const made = { skip: "nothing", once: "the last", all: "all" }[missed]

    it.effect(`makes up for ${made} of what was due while no process had it`, () => {
      const { lines, logger } = logged()
      return Effect.gen(function* () {
        const { close } = yield* open(hourly)
        yield* timePasses(120_000)
        yield* close
        yield* timePasses(3 * 3_600_000)
        assert.deepStrictEqual(yield* offered, [])
        const { close: again } = yield* open(hourly)
        assert.sameMembers([...(yield* offered)], [...expectedOf[missed]])
        assert.lengthOf(lines, 1)
        assert.match(lines[0] ?? "", /Warn: Schedule "hourly" missed what was due since 1970-01-01T01:00:00.000Z: /)
        yield* timePasses(58 * 60_000)
        assert.sameMembers([...(yield* offered)], [...expectedOf[missed], 4 * 3_600_000])
        yield* again
      }).pipe(Effect.provide(Layer.merge(layerMemory(), logger)))
    })

    it.effect(`makes up for ${made} of what was due while the machine slept`, () =>
      Effect.gen(function* () {
        const { clock, lead } = yield* another
        const { close } = yield* open(hourly, clock)
        yield* timePasses(90_000)
        lead(3 * 3_600_000 + 120_000)
        yield* timePasses(29_999)
        assert.deepStrictEqual(yield* offered, [])
        yield* timePasses(1)
        assert.sameMembers([...(yield* offered)], [...expectedOf[missed]])
        yield* timePasses(3_600_000 - 120_000 - (yield* Clock.currentTimeMillis))
        assert.sameMembers([...(yield* offered)], [...expectedOf[missed], 4 * 3_600_000])
        yield* close
      }).pipe(Effect.provide(layerMemory()))
    )
  }

  it.effect("runs what it makes up for one after the other, whatever is to become of overlapping ones", () =>
    Effect.gen(function* () {
      for (const overlap of ["skip", "queue", "replace"] as const) {
        const { ended, layer } = running(10)
        const schedule = TaskSchedule.every("hourly", tick, moment, { every: "1 hour", missed: "all", overlap })
        const hours = (yield* Clock.currentTimeMillis) / 3_600_000
        const missed = [1, 2, 3].map((hour) => (Math.floor(hours) + hour) * 3_600_000)
        yield* Effect.gen(function* () {
          yield* (yield* open(schedule)).close
          yield* timePasses(3 * 3_600_000)
          const { close } = yield* open(Layer.merge(schedule, layer))
          for (let turn = 0; turn < 7; turn++) yield* timePasses(5)
          assert.deepStrictEqual(ended, missed, overlap)
          yield* close
        }).pipe(Effect.provide(layerMemory()))
      }
    })
  )

  it.effect("makes up for a great many in parts, each with its place, and says so once", () => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      const schedule = TaskSchedule.every("often", tick, moment, { every: "1 second", missed: "all" })
      yield* (yield* open(schedule)).close
      yield* timePasses(500_000)
      const { close } = yield* open(schedule)
      for (let turn = 0; turn < 10; turn++) yield* timePasses(0)
      assert.lengthOf(yield* offered, 500)
      assert.lengthOf(lines, 1)
      yield* close
    }).pipe(Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect("says of nothing that it was missed which another process had in time", () => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      const schedule = TaskSchedule.every("hourly", tick, moment, { every: "1 hour", overlap: "queue" })
      const { clock, lead } = yield* another
      const { close: first } = yield* open(schedule)
      const { close: second } = yield* open(schedule, clock)
      lead(-3 * 3_600_000)
      yield* timePasses(3 * 3_600_000 + 120_000)
      lead(0)
      yield* timePasses(3_600_000)
      assert.lengthOf(yield* offered, 4)
      assert.deepStrictEqual(lines, [])
      yield* first
      yield* second
    }).pipe(Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect("offers each occurrence once where two processes have it", () => {
    const { layer, ran } = running()
    return Effect.gen(function* () {
      for (const overlap of ["queue", "skip"] as const) {
        ran.length = 0
        const schedule = TaskSchedule.cron("minutely", tick, moment, { cron: "* * * * *", overlap, jitter: 100 })
        const [first, second] = yield* Effect.all([open(schedule), open(schedule)])
        for (let minute = 0; minute < 5; minute++) yield* timePasses(60_000)
        yield* first.close
        for (let minute = 0; minute < 5; minute++) yield* timePasses(60_000)
        yield* timePasses(100)
        yield* second.close
        const moments = ran.map(([at]) => at)
        assert.lengthOf(moments, 10)
        assert.deepStrictEqual(moments, [...new Set(moments)])
      }
    }).pipe(Effect.provide(Layer.provideMerge(layer, layerMemory())))
  })

  it.effect("stops with its layer", () =>
    Effect.gen(function* () {
      const { close } = yield* open(TaskSchedule.every("often", tick, moment, { every: 10 }))
      yield* timePasses(10)
      yield* close
      yield* timePasses(100)
      assert.deepStrictEqual(yield* offered, [10])
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("names its occurrences by its own name and the moment", () =>
    Effect.gen(function* () {
      const { close } = yield* open(TaskSchedule.every("often", tick, 7, { every: "90 minutes", jitter: 1000 }))
      yield* timePasses(2 * 5_400_000)
      const { list } = yield* TaskStore
      const [first] = yield* list({})
      assert.deepStrictEqual(
        [first?.id, first?.schedule, first?.payload],
        ["often@1970-01-01T01:30:00.000Z", "often", 7]
      )
      yield* close
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("asks a store again that could not be asked, and leaves nothing out", () => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      const store = yield* TaskStore
      const error = new TaskError({ reason: new StoreFailed({ message: "no" }) })
      const said = `Warn: Schedule "often" could not ask the store ${error.message}`
      let asked = 0
      const failing = TaskStore.of({
        ...store,
        advance: (advances, now) =>
          asked++ === 0 || (asked > 2 && asked < 5) ? Effect.fail(error) : store.advance(advances, now)
      })
      const schedule = TaskSchedule.every("often", tick, moment, { every: "10 seconds" })
      const { close } = yield* Effect.provideService(open(schedule), TaskStore, failing)
      yield* timePasses(10_000)
      assert.deepStrictEqual(yield* offered, [])
      yield* timePasses(2000)
      assert.deepStrictEqual(yield* offered, [10_000])
      assert.deepStrictEqual(
        lines,
        Array.from({ length: 3 }, () => said)
      )
      yield* close
    }).pipe(Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect("begins anew where the store has lost its place", () =>
    Effect.gen(function* () {
      const stores = [yield* TaskStore, Context.get(yield* Layer.build(Layer.fresh(layerMemory())), TaskStore)] as const
      let [store] = stores
      const schedule = TaskSchedule.every("often", tick, moment, { every: 10, missed: "all" })
      const proxy = TaskStore.of({ ...store, advance: (advances, now) => store.advance(advances, now) })
      const { close } = yield* Effect.provideService(open(schedule), TaskStore, proxy)
      yield* timePasses(10)
      store = stores[1]
      yield* timePasses(10)
      yield* timePasses(10)
      assert.deepStrictEqual(yield* Effect.provideService(offered, TaskStore, stores[1]), [30])
      yield* close
    }).pipe(Effect.provide(layerMemory()), Effect.scoped)
  )

  it.effect("leaves out an occurrence whose payload cannot be made, tells of it, and goes on", () => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      const { close } = yield* open(TaskSchedule.every("often", tick, faulty, { every: 10, overlap: "queue" }))
      yield* timePasses(40)
      assert.deepStrictEqual(yield* offered, [10, 40])
      assert.match(lines[0] ?? "", /^Error: Schedule "often" leaves out 1970-01-01T00:00:00.020Z .*Error: no payload$/)
      assert.match(lines[1] ?? "", /^Error: Schedule "often" leaves out 1970-01-01T00:00:00.030Z .*finite number/)
      assert.lengthOf(lines, 2)
      yield* close
    }).pipe(Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect("does not begin with a payload that never agrees with its schema", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Layer.build(TaskSchedule.every("often", tick, Number.NaN, { every: 10 })).pipe(Effect.scoped)
      )
      const error =
        Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail" ? exit.cause.reasons[0].error : undefined
      assert.strictEqual(error?.reason._tag, "Unfit")
    }).pipe(Effect.provide(layerMemory()))
  )
})
