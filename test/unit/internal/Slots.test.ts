import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { Slots, withSlot } from "../../../src/internal/Slots.ts"
import { timePasses } from "../query/timePasses.ts"
import { below, fewTurns, forSeeds } from "../../support/Chaos.ts"

const take = (slots: Slots) => Effect.uninterruptibleMask((restore) => slots.take(restore))

/** How many can be taken without waiting. They are given back. */
const free = (slots: Slots): number => {
  let count = 0
  while (slots.tryTake()) count++
  for (let given = 0; given < count; given++) slots.give()
  return count
}

describe("Slots", () => {
  it.effect("gives so many at once, and the next one when one comes back", () =>
    Effect.gen(function* () {
      const slots = new Slots(2)
      assert.isTrue(slots.tryTake())
      assert.isTrue(slots.tryTake())
      assert.isFalse(slots.tryTake())
      const waits = yield* Effect.forkChild(take(slots), { startImmediately: true })
      assert.isUndefined(waits.pollUnsafe())
      slots.give()
      yield* Fiber.join(waits)
      assert.isFalse(slots.tryTake())
      slots.give()
      slots.give()
      assert.strictEqual(free(slots), 2)
    })
  )

  it.effect("serves who waits before who comes, in the order of asking", () =>
    Effect.gen(function* () {
      const slots = new Slots(1)
      slots.tryTake()
      const order: Array<number> = []
      const fibers = yield* Effect.forEach([0, 1, 2, 3, 4], (n) =>
        Effect.forkChild(
          withSlot(
            slots,
            Effect.sync(() => order.push(n))
          ),
          { startImmediately: true }
        )
      )
      yield* Fiber.interrupt(fibers[1] ?? (yield* Effect.die("no fiber")))
      slots.give()
      assert.isFalse(slots.tryTake())
      yield* Effect.forEach(fibers, Fiber.await)
      assert.deepStrictEqual(order, [0, 2, 3, 4])
    })
  )

  it.effect("gives a slot back that was handed over to one who is interrupted before it wakes", () =>
    Effect.gen(function* () {
      const slots = new Slots(1)
      slots.tryTake()
      const waits = yield* Effect.forkChild(take(slots), { startImmediately: true })
      slots.give()
      // The slot is the waiting one's now, who has not run since.
      yield* Fiber.interrupt(waits)
      assert.strictEqual(free(slots), 1)
    })
  )

  it.effect("gives a slot back when its effect fails, dies or is interrupted", () =>
    Effect.gen(function* () {
      const slots = new Slots(1)
      yield* Effect.exit(withSlot(slots, Effect.fail("no")))
      yield* Effect.exit(withSlot(slots, Effect.die("no")))
      yield* Effect.exit(withSlot(slots, Effect.interrupt))
      const fiber = yield* Effect.forkChild(withSlot(slots, Effect.never), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(free(slots), 1)
    })
  )

  it.effect("lets nobody wait longer than its patience, and loses no slot when one comes at that very moment", () =>
    Effect.gen(function* () {
      for (const given of [5, 10, 20]) {
        const slots = new Slots(1)
        slots.tryTake()
        const patience = { millis: 10, orElse: Effect.fail("no slot") }
        const fibers = yield* Effect.forEach([1, 2], () =>
          Effect.forkChild(Effect.exit(withSlot(slots, Effect.void, patience)), { startImmediately: true })
        )
        yield* Effect.forkChild(
          Effect.delay(
            Effect.sync(() => slots.give()),
            given
          )
        )
        for (let millis = 0; millis < 20; millis += 5) yield* timePasses(5)
        const exits = yield* Effect.forEach(fibers, Fiber.join)
        // Both or none: whether the slot or the end of the patience is first at 10 ms is nobody's business.
        if (given !== 10) {
          assert.deepStrictEqual(
            exits.map(Exit.isSuccess),
            exits.map(() => given < 10)
          )
        }
        assert.strictEqual(slots.queue, 0)
        assert.strictEqual(free(slots), 1)
      }
    })
  )

  it.effect("hands over through 100,000 waiters without growing the stack", () =>
    Effect.gen(function* () {
      const slots = new Slots(1)
      let ran = 0
      yield* Effect.forEach(
        Array.from({ length: 100_000 }),
        () =>
          withSlot(
            slots,
            Effect.sync(() => ran++)
          ),
        { concurrency: "unbounded", discard: true }
      )
      assert.strictEqual(ran, 100_000)
      assert.strictEqual(free(slots), 1)
    })
  )

  it.effect(
    "gives never more than there are, in order, and loses none, in any interleaving of takes and interrupts",
    () =>
      forSeeds(150, (seed) =>
        Effect.gen(function* () {
          const size = 1 + (seed % 4)
          const slots = new Slots(size)
          /** Who waits, in the order of asking, as it should be. */
          const model: Array<number> = []
          let held = 0
          const asks = (id: number) =>
            Effect.uninterruptibleMask((restore) =>
              Effect.gen(function* () {
                if (!slots.tryTake()) {
                  model.push(id)
                  const exit = yield* Effect.exit(slots.take(restore))
                  const place = model.indexOf(id)
                  if (Exit.isFailure(exit)) {
                    model.splice(place, 1)
                    return yield* exit
                  }
                  // Those before it were handed a slot too, and have only not run yet.
                  assert.isBelow(place, size)
                  model.splice(place, 1)
                }
                held++
                assert.isAtMost(held, size)
                yield* restore(fewTurns).pipe(
                  Effect.ensuring(
                    Effect.sync(() => {
                      held--
                      slots.give()
                    })
                  )
                )
              })
            )
          const fibers = yield* Effect.forEach(
            Array.from({ length: 30 }, (_, id) => id),
            (id) => Effect.tap(Effect.forkChild(asks(id)), () => fewTurns)
          )
          for (let interrupts = 0; interrupts < 15; interrupts++) {
            const victim = fibers[yield* below(fibers.length)]
            if (victim !== undefined) yield* Effect.forkChild(Fiber.interrupt(victim))
            yield* fewTurns
          }
          const exits = yield* Effect.forEach(fibers, Fiber.await)
          for (const exit of exits) if (Exit.isFailure(exit)) assert.isTrue(Exit.hasInterrupts(exit), String(exit))
          assert.strictEqual(held, 0)
          assert.strictEqual(free(slots), size)
        })
      )
  )
})
