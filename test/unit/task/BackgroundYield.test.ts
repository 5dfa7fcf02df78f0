import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { readFile } from "node:fs"
import * as Background from "../../../src/task/Background.ts"
import { Dice } from "../../chaos/Dice.ts"

/** A loop whose time goes on with the work alone, and that notes how long it was kept in each of its turns. */
class Loop implements Background.EventLoop {
  private millis = 0
  private turnedAt = 0
  readonly kept: Array<number> = []

  readonly now = () => this.millis
  readonly usage = () => ({ active: this.millis, idle: 0 })
  readonly nextTurn = (callback: () => void) => {
    setImmediate(() => {
      this.turn()
      callback()
    })
  }

  work(millis: number): void {
    this.millis += millis
  }

  turn(): void {
    this.kept.push(this.millis - this.turnedAt)
    this.turnedAt = this.millis
  }
}

const beside = <A, E, R>(loop: Loop, test: Effect.Effect<A, E, R>) =>
  Effect.provideService(test, Background.EventLoop, loop)

const naturals = function* () {
  for (let number = 0; ; number++) yield number
}

/** The first of them. */
const first = (count: number) => Array.from({ length: count }, (_, index) => index)

const workThrough = (loop: Loop, source: Iterable<number>, every: Background.Every | undefined, millis: number) =>
  Effect.gen(function* () {
    const seen: Array<number> = []
    for (const next of Background.yieldEvery(source, every)) {
      seen.push(yield* next)
      loop.work(millis)
    }
    loop.turn()
    return seen
  })

const streamThrough = (
  loop: Loop,
  source: Stream.Stream<number>,
  every: Background.Every | undefined,
  millis: number
) =>
  Effect.gen(function* () {
    const seen = yield* source.pipe(
      Background.yieldEvery(every),
      Stream.map((element) => {
        loop.work(millis)
        return element
      }),
      Stream.runCollect
    )
    loop.turn()
    return seen
  })

const seeds = Array.from({ length: 200 }, (_, seed) => seed)

describe("yieldEvery", () => {
  it.live("keeps the loop for a slice and what an eighth of one may exceed it by, whatever an element costs", () =>
    Effect.forEach(
      seeds,
      Effect.fnUntraced(function* (seed) {
        const dice = new Dice(seed)
        const millis = 2 ** dice.between(-12, 3)
        const elements = first(Math.min(3_000, Math.ceil(20 / millis)))
        const pieces = Stream.fromIterable(elements, { chunkSize: dice.between(1, 4_096) })
        const loop = new Loop()
        const seen = yield* beside(
          loop,
          dice.chance(0.5)
            ? workThrough(loop, elements, undefined, millis)
            : streamThrough(loop, pieces, undefined, millis)
        )
        assert.deepStrictEqual(seen, elements, `${seed}`)
        assert.isAtMost(Math.max(...loop.kept), 1 + Math.max(1 / 8, millis), `${seed}`)
        // And it has no turn that nobody needs.
        for (const kept of loop.kept.slice(0, -1)) assert.isAtLeast(kept, 1, `${seed}`)
      })
    )
  )

  it.live("notices after 128 elements that they cost more than before", () =>
    Effect.gen(function* () {
      const loop = new Loop()
      let done = 0
      const run = Stream.range(0, 9_999).pipe(
        Background.yieldEvery(),
        Stream.map(() => loop.work(done++ < 5_000 ? 0 : 1)),
        Stream.runDrain
      )
      yield* beside(loop, run)
      const [before = 0] = loop.kept
      assert.isAtMost(before, 128)
      assert.isAtMost(Math.max(...loop.kept.slice(1)), 1)
    })
  )

  it.live("turns after so many elements as it is told, of a stream of whatever chunks and of an iterable", () =>
    Effect.gen(function* () {
      const elements = first(1_000)
      for (const chunkSize of [1, 7, 64, 1_000]) {
        const loop = new Loop()
        assert.deepStrictEqual(
          yield* beside(loop, streamThrough(loop, Stream.fromIterable(elements, { chunkSize }), 150, 1)),
          elements
        )
        assert.deepStrictEqual(loop.kept, [150, 150, 150, 150, 150, 150, 100])
      }
      const loop = new Loop()
      assert.deepStrictEqual(yield* beside(loop, workThrough(loop, elements, 300, 1)), elements)
      assert.deepStrictEqual(loop.kept, [300, 300, 300, 100])
    })
  )

  it.live("turns after the time it is told", () =>
    Effect.gen(function* () {
      const loop = new Loop()
      yield* beside(loop, workThrough(loop, first(100), "10 millis", 1))
      assert.deepStrictEqual(
        loop.kept,
        Array.from({ length: 10 }, () => 10)
      )
    })
  )

  it.live("gives all loops that wait one slice of a turn together, in their order", () =>
    Effect.gen(function* () {
      const loop = new Loop()
      const order: Array<number> = []
      const loops = first(10).map((number) =>
        Effect.gen(function* () {
          for (const next of Background.yieldEvery(first(5), 1)) {
            yield* next
            order.push(number)
            loop.work(0.5)
          }
        })
      )
      yield* beside(loop, Effect.all(loops, { concurrency: "unbounded", discard: true }))
      // All ten begin before there is a turn; then there are two to a turn.
      assert.deepStrictEqual(loop.kept, [5, ...Array.from({ length: 19 }, () => 1)])
      assert.deepStrictEqual(order, [...first(10), ...first(10), ...first(10), ...first(10), ...first(10)])
    })
  )

  it.live("does not let a loop on twice in a turn", () =>
    Effect.gen(function* () {
      const loop = new Loop()
      yield* beside(loop, workThrough(loop, first(10), 1, 0.1))
      assert.lengthOf(loop.kept, 10)
    })
  )

  it.live("lets an interruption through, and what is left waits for no turn", () =>
    Effect.gen(function* () {
      const loop = new Loop()
      const fiber = yield* Effect.forkChild(beside(loop, workThrough(loop, naturals(), undefined, 1)))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      const turns = loop.kept.length
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      assert.isAtMost(loop.kept.length, turns + 1)
    })
  )

  it.live("lets files and sockets have their turn", () =>
    Effect.gen(function* () {
      let isRead = false
      readFile(import.meta.filename, () => (isRead = true))
      // Without end, unless the file is read meanwhile.
      for (const next of Background.yieldEvery(naturals(), 100)) {
        yield* next
        if (isRead) break
      }
      isRead = false
      readFile(import.meta.filename, () => (isRead = true))
      yield* Stream.fromIterable(naturals()).pipe(
        Background.yieldEvery(),
        Stream.takeUntil(() => isRead),
        Stream.runDrain
      )
    })
  )

  it.live("passes on an end and a failure of the stream as they are", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Stream.runCollect(Background.yieldEvery(Stream.empty)), [])
      const failing = Stream.concat(Stream.make(1, 2, 3), Stream.fail("broken"))
      const seen: Array<number> = []
      const run = failing.pipe(
        Background.yieldEvery(2),
        Stream.runForEach((element) => Effect.sync(() => seen.push(element)))
      )
      assert.strictEqual(yield* Effect.flip(run), "broken")
      assert.deepStrictEqual(seen, [1, 2, 3])
    })
  )

  it.live("closes an iterator that is left early", () =>
    Effect.gen(function* () {
      let isClosed = false
      const source = function* () {
        try {
          yield* naturals()
        } finally {
          isClosed = true
        }
      }
      for (const next of Background.yieldEvery(source())) if ((yield* next) === 3) break
      assert.isTrue(isClosed)
    })
  )

  it.live("works in Effect.forEach, as many at once as there may be", () =>
    Effect.gen(function* () {
      const doubled = Effect.forEach(
        Background.yieldEvery(first(100), 10),
        Effect.map((element) => element * 2),
        {
          concurrency: 5
        }
      )
      assert.deepStrictEqual(
        yield* doubled,
        first(100).map((element) => element * 2)
      )
    })
  )

  it("refuses what is neither a number of elements nor a time", () => {
    assert.throws(() => Background.yieldEvery([], 0), "a number of elements from 1, or a time, got 0")
    assert.throws(() => Background.yieldEvery(Stream.empty, 1.5), "got 1.5")
    assert.throws(() => Background.yieldEvery([], "0 millis"), "a time above 0, or a number of elements, got 0 millis")
    assert.throws(() => Background.yieldEvery([], "Infinity"), "a time above 0")
  })
})
