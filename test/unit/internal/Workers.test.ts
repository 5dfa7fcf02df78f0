import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { mapWithWorkers } from "../../../src/internal/mapWithWorkers.ts"
import { Workers } from "../../../src/internal/Workers.ts"
import { below, fewTurns, forSeeds } from "../../support/Chaos.ts"
import { timePasses } from "../query/timePasses.ts"

/** Loops over so many members, and what is known of them. */
const over = (count: number, work: (member: number) => Effect.Effect<void, string>) => {
  const seen = { begun: 0, inWork: 0, mostInWork: 0, done: Array.from({ length: count }, () => 0) }
  const loop = (surplus: () => boolean) => {
    const next: Effect.Effect<void, string> = Effect.suspend(() => {
      if (surplus() || seen.begun === count) return Effect.void
      const member = seen.begun++
      let entered = false
      const entering = Effect.suspend(() => {
        entered = true
        seen.mostInWork = Math.max(seen.mostInWork, ++seen.inWork)
        return work(member)
      })
      return entering.pipe(
        Effect.ensuring(Effect.sync(() => (entered ? seen.inWork-- : 0))),
        Effect.tap(Effect.sync(() => seen.done.splice(member, 1, (seen.done[member] ?? 0) + 1))),
        Effect.andThen(next)
      )
    })
    return next
  }
  return { seen, loop }
}

const once = (count: number) => Array.from({ length: count }, () => 1)

describe("Workers", () => {
  it.effect("let another loop work while one parks, and are no more than before when it is back", () =>
    Effect.gen(function* () {
      const workers = new Workers(2)
      const { loop, seen } = over(9, (member) => (member < 2 ? workers.park(Effect.sleep(100)) : Effect.sleep(40)))
      const fiber = yield* Effect.forkChild(workers.run(loop))
      yield* timePasses(10)
      assert.strictEqual(seen.inWork, 4)
      yield* timePasses(50)
      assert.deepStrictEqual(seen.done, [0, 0, 1, 1, 0, 0, 0, 0, 0])
      yield* timePasses(45)
      // Two are back, and two are at work: that is two too many, so those who end first take no other.
      assert.strictEqual(seen.inWork, 2)
      yield* timePasses(20)
      assert.strictEqual(seen.inWork, 1)
      yield* timePasses(100)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen.done, once(9))
    })
  )

  it.effect("let no more park than may, and the others keep their places", () =>
    Effect.gen(function* () {
      const workers = new Workers(2, 3)
      const { loop, seen } = over(20, () => workers.park(Effect.sleep(100)))
      const fiber = yield* Effect.forkChild(workers.run(loop))
      yield* timePasses(99)
      assert.strictEqual(seen.begun, 2 + 3)
      yield* timePasses(1_000)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen.done, once(20))
      assert.strictEqual(seen.mostInWork, 2 + 3)
    })
  )

  it.effect("give one place for all the waits of one member, until the last of them is over", () =>
    Effect.gen(function* () {
      const workers = new Workers(1)
      const waits = Effect.all(
        Array.from({ length: 10 }, (_, wait) => workers.park(Effect.sleep(10 * (wait + 1)))),
        { concurrency: "unbounded", discard: true }
      )
      const { loop, seen } = over(5, (member) => (member === 0 ? workers.member(waits) : Effect.sleep(30)))
      const fiber = yield* Effect.forkChild(workers.run(loop))
      yield* timePasses(95)
      assert.strictEqual(seen.mostInWork, 2)
      assert.strictEqual(seen.begun, 5)
      yield* timePasses(100)
      yield* Fiber.join(fiber)
      assert.strictEqual(seen.mostInWork, 2)
      assert.deepStrictEqual(seen.done, once(5))
    })
  )

  it.effect("take the mark of another's member for none of their own", () =>
    Effect.gen(function* () {
      const outer = new Workers(1)
      const inner = new Workers(1)
      const { loop, seen } = over(3, () => inner.park(Effect.sleep(10)))
      const both = outer.member(Effect.all([outer.park(Effect.sleep(10)), inner.run(loop)], { concurrency: 2 }))
      const fiber = yield* Effect.forkChild(both)
      yield* timePasses(5)
      assert.strictEqual(seen.inWork, 3)
      yield* timePasses(10)
      yield* Fiber.join(fiber)
    })
  )

  it.effect("take a place back from a wait that is interrupted", () =>
    Effect.gen(function* () {
      const workers = new Workers(1)
      const { loop, seen } = over(6, (member) =>
        member < 3 ? Effect.ignore(Effect.timeoutOption(workers.park(Effect.never), 10)) : Effect.sleep(100)
      )
      const fiber = yield* Effect.forkChild(workers.run(loop))
      yield* timePasses(15)
      assert.strictEqual(seen.inWork, 1)
      yield* timePasses(1_000)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen.done, once(6))
    })
  )

  it.effect("fail with the first failure, once those who park and those who work have stopped", () =>
    Effect.gen(function* () {
      const workers = new Workers(2)
      const stopped: Array<number> = []
      const { loop } = over(5, (member) => {
        if (member === 3) return Effect.delay(Effect.fail("no"), 10)
        const wait = member < 2 ? workers.park(Effect.never) : Effect.never
        return Effect.onInterrupt(wait, () => Effect.sync(() => stopped.push(member)))
      })
      const fiber = yield* Effect.forkChild(Effect.flip(workers.run(loop)))
      yield* timePasses(20)
      assert.strictEqual(yield* Fiber.join(fiber), "no")
      assert.sameMembers(stopped, [0, 1, 2])
    })
  )

  it.effect("begin nothing more once a member has failed at once", () =>
    Effect.gen(function* () {
      const workers = new Workers(3)
      const { loop, seen } = over(5, () => Effect.fail("no"))
      assert.strictEqual(yield* Effect.flip(workers.run(loop)), "no")
      assert.strictEqual(seen.begun, 1)
    })
  )

  it.effect("start one after the other, and not one within the other, when members park without ever waiting", () =>
    Effect.gen(function* () {
      const workers = new Workers(1, 20_000)
      const opened = yield* Deferred.make<void>()
      const { loop, seen } = over(20_000, () => workers.park(Deferred.await(opened)))
      const fiber = yield* Effect.forkChild(workers.run(loop))
      while (seen.begun < 20_000 && fiber.pollUnsafe() === undefined) yield* Effect.yieldNow
      yield* Deferred.succeed(opened, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen.done, once(20_000))
    })
  )

  it.effect("wait for what runs beside them once it has begun, and do not begin it when they have ended", () =>
    Effect.gen(function* () {
      for (const millis of [5, 10, 20]) {
        const workers = new Workers(2)
        const { loop } = over(2, () => Effect.sleep(millis))
        const happened: Array<string> = []
        const work = Effect.gen(function* () {
          happened.push("begun")
          yield* Effect.sleep(100)
          happened.push("ended")
        })
        const fiber = yield* Effect.forkChild(workers.run(loop, { afterMillis: 9, work }))
        yield* timePasses(50)
        assert.strictEqual(fiber.pollUnsafe() === undefined, millis > 5)
        yield* timePasses(100)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(happened, millis > 5 ? ["begun", "ended"] : [])
      }
    })
  )

  it.effect("do each member once, and never more than their number and those who park, in any interleaving", () => {
    let mostEver = 0
    return forSeeds(300, (seed) =>
      Effect.gen(function* () {
        const size = 1 + (seed % 3)
        const mostParked = 1 + (seed % 4)
        const workers = new Workers(size, mostParked)
        const wait = Effect.suspend(() => workers.park(fewTurns))
        const { loop, seen } = over(25, () =>
          Effect.gen(function* () {
            for (let steps = yield* below(4); steps > 0; steps--) {
              const step = yield* below(4)
              if (step === 0) yield* fewTurns
              if (step === 1) yield* wait
              if (step === 2) {
                const three = Effect.all([wait, wait, wait], { concurrency: "unbounded", discard: true })
                yield* workers.member(three)
              }
              // Interrupted between any two of its steps.
              if (step === 3) yield* Effect.raceFirst(wait, fewTurns)
            }
          })
        )
        yield* workers.run(loop)
        assert.deepStrictEqual(seen.done, once(25))
        assert.isAtMost(seen.mostInWork, size + mostParked)
        mostEver = Math.max(mostEver, seen.mostInWork)
        // All places are back: the same workers serve again.
        const again = over(10, () => fewTurns)
        yield* workers.run(again.loop)
        assert.deepStrictEqual(again.seen.done, once(10))
        assert.isAtMost(again.seen.mostInWork, size)
      })
    ).pipe(Effect.tap(Effect.sync(() => assert.strictEqual(mostEver, 3 + 4))))
  })

  it.effect("leave nobody behind when they are interrupted or fail in any interleaving", () =>
    forSeeds(200, (seed) =>
      Effect.gen(function* () {
        const workers = new Workers(1 + (seed % 3), 3)
        const { loop, seen } = over(25, (member) =>
          Effect.gen(function* () {
            yield* fewTurns
            yield* workers.park(fewTurns)
            if (seed % 2 === 0 && member === 12) return yield* Effect.fail("no")
            yield* workers.park(fewTurns)
          })
        )
        const fiber = yield* Effect.forkChild(workers.run(loop))
        if (seed % 2 === 1) {
          for (let turns = seed % 11; turns > 0; turns--) yield* fewTurns
          yield* Fiber.interrupt(fiber)
        }
        const exit = yield* Fiber.await(fiber)
        assert.strictEqual(seen.inWork, 0)
        if (Exit.isSuccess(exit)) assert.deepStrictEqual(seen.done, once(25))
        const { begun } = seen
        yield* timePasses(10)
        assert.strictEqual(seen.begun, begun)
      })
    )
  )
})

describe("a stream over workers", () => {
  it.effect.each([false, true])("loses and repeats nothing when work parks, also in order: %s", (ordered) =>
    forSeeds(100, (seed) =>
      Effect.gen(function* () {
        const workers = new Workers(1 + (seed % 4), 3)
        let inWork = 0
        let pulled = 0
        let given = 0
        const elements = Array.from({ length: 30 }, (_, element) => element)
        const source = Stream.mapEffect(Stream.fromIterable(elements, { chunkSize: 1 + (seed % 3) }), (element) =>
          Effect.map(fewTurns, () => {
            pulled++
            return element
          })
        )
        let done = 0
        const work = (element: number) =>
          Effect.gen(function* () {
            inWork++
            yield* fewTurns
            if ((yield* below(3)) === 0) yield* workers.park(fewTurns)
            inWork--
            return Option.some(element)
          })
        const results = yield* Stream.runCollect(
          Stream.mapEffect(
            mapWithWorkers(source, () => ({ work, done: () => done++ }), workers, { ordered }),
            (found) =>
              Effect.gen(function* () {
                // What is at work or ready, what the reader was given at once, and the source's own chunk and its next.
                assert.isAtMost(pulled - given, 2 * workers.size + 2 * workers.size + 2 * (1 + (seed % 3)))
                yield* fewTurns
                given++
                return Option.getOrThrow(found)
              })
          )
        )
        assert.strictEqual(inWork, 0)
        assert.strictEqual(done, elements.length)
        if (ordered) assert.deepStrictEqual(results, elements)
        else assert.sameMembers(results, elements)
      })
    )
  )
})
