import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Background from "../../../src/task/Background.ts"
import { Dice } from "../../chaos/Dice.ts"

/** So busy, until then, in milliseconds from the start of the test's clock. */
interface Stretch {
  readonly until: number
  readonly busy: number
}

const always = (busy: number): ReadonlyArray<Stretch> => [{ until: Infinity, busy }]

/** For how long the loop has been at work by a moment. */
const activeUntil = (script: ReadonlyArray<Stretch>, moment: number): number => {
  let active = 0
  let from = 0
  for (const { busy, until } of script) {
    active += (Math.min(until, moment) - from) * busy
    if (until >= moment) return active
    from = until
  }
  return active
}

const busyBetween = (script: ReadonlyArray<Stretch>, from: number, to: number): number =>
  (activeUntil(script, to) - activeUntil(script, from)) / (to - from)

/** Runs a test beside a loop that is as busy as the script says. */
const beside = <A, E, R>(script: ReadonlyArray<Stretch>, test: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const usage = () => {
      const now = clock.currentTimeMillisUnsafe()
      const active = activeUntil(script, now)
      return { active, idle: now - active }
    }
    const loop: Background.EventLoop = { usage, now: () => clock.currentTimeMillisUnsafe(), nextTurn: setImmediate }
    return yield* Effect.provideService(test, Background.EventLoop, loop)
  })

interface Start {
  readonly asked: number
  readonly longestWait: number
  readonly started: number
}

/** Asks for starts at these times, lets all of them pass, and says when each began. */
const startsOf = (script: ReadonlyArray<Stretch>, asks: ReadonlyArray<Omit<Start, "started">>) =>
  beside(
    script,
    Effect.gen(function* () {
      const fibers = yield* Effect.forEach(asks, ({ asked, longestWait }) =>
        Clock.currentTimeMillis.pipe(
          Background.idle({ longestWait }),
          Effect.delay(asked),
          Effect.map((started): Start => ({ asked, longestWait, started })),
          Effect.forkChild
        )
      )
      yield* TestClock.adjust(Math.max(...asks.map(({ asked, longestWait }) => asked + longestWait)))
      return yield* Fiber.joinAll(fibers)
    })
  )

const seeds = Array.from({ length: 1_000 }, (_, seed) => seed)

const scriptOf = (dice: Dice): ReadonlyArray<Stretch> => {
  const script: Array<Stretch> = []
  for (let until = 0; until < 8_000;) {
    until += dice.between(1, 900)
    script.push({ until, busy: dice.pick([0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.875, 1]) })
  }
  return [...script, ...always(1)]
}

describe("idle", () => {
  it.effect("never starts under load, always within its longest wait, and one after the other in their order", () =>
    Effect.forEach(
      seeds,
      Effect.fnUntraced(
        function* (seed) {
          const dice = new Dice(seed)
          const script = scriptOf(dice)
          const asks = Array.from({ length: dice.between(1, 12) }, () => ({
            asked: dice.between(0, 5_000),
            longestWait: dice.between(0, 2_500)
          }))
          const starts = yield* startsOf(script, asks)
          for (const { asked, longestWait, started } of starts) assert.isAtMost(started, asked + longestWait, `${seed}`)
          const early = starts
            .filter(({ asked, longestWait, started }) => started < asked + longestWait)
            .toSorted((a, b) => a.started - b.started)
          for (const [index, { asked, started }] of early.entries()) {
            assert.isBelow(busyBetween(script, started - 100, started), 0.5, `${seed}`)
            const { asked: askedBefore, started: startedBefore } = early[index - 1] ?? { asked: 0, started: asked }
            // After a window of its own.
            assert.isAtLeast(started, Math.max(asked, startedBefore) + 100, `${seed}`)
            assert.isAtLeast(asked, askedBefore, `${seed}`)
          }
        },
        Effect.provide(TestClock.layer(), { local: true })
      )
    )
  )

  it.effect("starts after one window beside an idle loop, and the next in line after another", () =>
    Effect.gen(function* () {
      const asks = Array.from({ length: 3 }, () => ({ asked: 0, longestWait: 60_000 }))
      const starts = yield* startsOf(always(0.2), asks)
      assert.deepStrictEqual(
        starts.map(({ started }) => started),
        [100, 200, 300]
      )
    })
  )

  it.effect("waits for the load to end", () =>
    Effect.gen(function* () {
      const script = [{ until: 1_030, busy: 1 }, ...always(0)]
      const [start] = yield* startsOf(script, [{ asked: 0, longestWait: 60_000 }])
      // In the window before this one, the loop was at work for 30 ms.
      assert.strictEqual(start?.started, 1_100)
    })
  )

  it.effect("starts at its longest wait to the millisecond, under whatever load, and at once without one", () =>
    Effect.gen(function* () {
      const asks = [0, 1, 99, 100, 101, 12_345].map((longestWait) => ({ asked: 0, longestWait }))
      const starts = yield* startsOf(always(1), asks)
      for (const { longestWait, started } of starts) assert.strictEqual(started, longestWait)
    })
  )

  it.effect("counts as busy what it is told to", () =>
    beside(
      always(0.7),
      Effect.gen(function* () {
        const started = Background.idle(Clock.currentTimeMillis, { longestWait: "1 minute", busyFrom: 0.8 })
        const fiber = yield* Effect.forkChild(started)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(fiber), 100)
      })
    )
  )

  it.effect("leaves the line when it is interrupted", () =>
    beside(
      always(0),
      Effect.gen(function* () {
        const ask = Effect.forkChild(Background.idle(Clock.currentTimeMillis, { longestWait: "1 minute" }))
        const [first, second, third] = [yield* ask, yield* ask, yield* ask]
        yield* TestClock.adjust(50)
        yield* Fiber.interruptAll([first, second])
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(third), 150)
      })
    )
  )

  it.effect("starts beside a loop that has not begun to count", () =>
    Effect.gen(function* () {
      const loop: Background.EventLoop = { usage: () => ({ active: 0, idle: 0 }), now: () => 0, nextTurn: setImmediate }
      const started = Background.idle(Clock.currentTimeMillis, { longestWait: "1 minute" })
      const fiber = yield* Effect.forkChild(Effect.provideService(started, Background.EventLoop, loop))
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(fiber), 100)
    })
  )

  it("refuses a wait without an end, and a load that cannot be", () => {
    assert.throws(() => Background.idle({ longestWait: Infinity })(Effect.void), "Expected `longestWait`")
    assert.throws(() => Background.idle({ longestWait: -1 })(Effect.void), "finite and from 0, got -1")
    assert.throws(() => Background.idle({ longestWait: 0, busyFrom: 0 })(Effect.void), "Expected `busyFrom`")
    assert.throws(() => Background.idle({ longestWait: 0, busyFrom: 1.1 })(Effect.void), "at most 1, got 1.1")
  })

  it.live("looks at the loop of this thread by default", () =>
    Effect.gen(function* () {
      const { usage } = yield* Background.EventLoop
      const before = usage()
      const until = performance.now() + 20
      while (performance.now() < until);
      yield* Effect.yieldNow
      assert.isAtLeast(usage().active - before.active, 19)
    })
  )
})
