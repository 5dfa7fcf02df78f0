import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import * as Agenda from "../../../src/query/Agenda.ts"
import { timePasses } from "./timePasses.ts"

/** Takes until there is nothing. */
const drain = <A>(agenda: Agenda.Agenda<A>): ReadonlyArray<A> => {
  const members: Array<A> = []
  for (let turn = agenda.take(); turn !== undefined; turn = agenda.take()) members.push(turn.member)
  return members
}

const indicesOf = (turns: ReadonlyArray<Agenda.Turn<unknown>>): ReadonlyArray<number> => turns.map(({ index }) => index)

describe("the order given", () => {
  it("pulls what it gives and no more, and closes the source", () => {
    let pulled = 0
    let isClosed = false
    const source = function* () {
      try {
        for (;;) yield pulled++
      } finally {
        isClosed = true
      }
    }
    const agenda = Agenda.given(source())
    assert.deepStrictEqual(agenda.take(), { index: 0, member: 0 })
    assert.deepStrictEqual(agenda.take(), { index: 1, member: 1 })
    assert.strictEqual(pulled, 2)
    assert.deepStrictEqual(
      agenda.takeAll(() => true),
      []
    )
    agenda.close()
    assert.isTrue(isClosed)
  })

  it("gives a known member once, whether it is taken alone or with all of its kind", () => {
    const agenda = Agenda.given(["a", "b", "c", "d", "e"])
    assert.strictEqual(agenda.take()?.member, "a")
    assert.deepStrictEqual(
      agenda.takeAll((member) => member !== "c"),
      [
        { index: 1, member: "b" },
        { index: 3, member: "d" },
        { index: 4, member: "e" }
      ]
    )
    assert.deepStrictEqual(agenda.take(), { index: 2, member: "c" })
    assert.isUndefined(agenda.take())
  })
})

describe("longest first", () => {
  it("keeps the order given of equals, and takes the mean of the others for what is not known", () => {
    const turns = Agenda.longestFirst(["a", "b", "c", "d", "e", "f"], [1, 5, undefined, 3, 5, Number.NaN])
    assert.deepStrictEqual(
      turns?.map(({ member }) => member),
      // The mean is 3.5.
      ["b", "e", "c", "f", "d", "a"]
    )
  })

  it("is the order given where nothing is known, or all are expected to take the same", () => {
    const members = ["a", "b", "c"]
    for (const estimates of [[], [undefined, undefined], [7, 7, 7], [undefined, 7, Number.NaN], [0, 0, 0]]) {
      assert.isUndefined(Agenda.longestFirst(members, estimates))
    }
    assert.isUndefined(Agenda.longestFirst([], []))
  })

  it("gives each member at its own place", () => {
    const agenda = Agenda.ordered(Agenda.longestFirst(["a", "b", "c", "d"], [1, 4, 2, 3]) ?? [])
    assert.deepStrictEqual(agenda.take(), { index: 1, member: "b" })
    assert.deepStrictEqual(
      agenda.takeAll((member) => member !== "a"),
      [
        { index: 3, member: "d" },
        { index: 2, member: "c" }
      ]
    )
    assert.deepStrictEqual(agenda.take(), { index: 0, member: "a" })
    assert.isUndefined(agenda.take())
  })
})

/** load <- users <- report, load <- orders <- report; vacuum. */
const daily = (order = [0, 1, 2, 3, 4]) =>
  new Agenda.Frontier(["report", "users", "orders", "load", "vacuum"], [[1, 2], [3], [3], [], []], order)

describe("a frontier", () => {
  it("gives a member when all that it needs have succeeded, the first in its order first", () => {
    const frontier = daily([4, 3, 2, 1, 0])
    const [vacuum, load] = [frontier.take(), frontier.take()]
    assert.deepStrictEqual([vacuum?.member, load?.member], ["vacuum", "load"])
    assert.deepStrictEqual([frontier.take(), frontier.waits], [undefined, true])
    if (vacuum !== undefined) frontier.ended(vacuum, true)
    assert.isUndefined(frontier.take())
    if (load !== undefined) frontier.ended(load, true)
    const [orders, users] = [frontier.take(), frontier.take()]
    assert.deepStrictEqual([orders?.member, users?.member], ["orders", "users"])
    if (users !== undefined) frontier.ended(users, true)
    assert.deepStrictEqual([frontier.take(), frontier.waits], [undefined, true])
    if (orders !== undefined) frontier.ended(orders, true)
    assert.strictEqual(frontier.take()?.member, "report")
    assert.isFalse(frontier.waits)
  })

  it("skips all that need one that did not succeed, by however many steps, and goes on with the others", () => {
    const frontier = daily()
    const load = frontier.take()
    assert.strictEqual(load?.member, "load")
    if (load !== undefined) assert.deepStrictEqual(indicesOf(frontier.ended(load, false)), [0, 1, 2])
    assert.deepStrictEqual(drain(frontier), ["vacuum"])
    assert.isFalse(frontier.waits)
  })

  it("skips nobody twice", () => {
    const frontier = new Agenda.Frontier(["a", "b", "c"], [[], [], [0, 1]], [0, 1, 2])
    const [a, b] = [frontier.take(), frontier.take()]
    if (a !== undefined) assert.deepStrictEqual(indicesOf(frontier.ended(a, false)), [2])
    if (b !== undefined) assert.deepStrictEqual(indicesOf(frontier.ended(b, false)), [])
    assert.isFalse(frontier.waits)
  })

  it("gives nobody again who was taken with all of its kind, and skips nobody of these", () => {
    const frontier = daily()
    const load = frontier.take()
    assert.deepStrictEqual(indicesOf(frontier.takeAll((member) => member !== "report")), [1, 2, 4])
    if (load !== undefined) assert.deepStrictEqual(frontier.ended(load, true), [])
    assert.deepStrictEqual([frontier.take(), frontier.waits], [undefined, true])
    assert.deepStrictEqual(indicesOf(frontier.ended({ index: 1, member: "users" }, false)), [0])
    assert.isFalse(frontier.waits)
  })

  it.effect("wakes as many as there are turns, and all when there will be none", () =>
    Effect.gen(function* () {
      const frontier = daily()
      const [load, vacuum] = [frontier.take(), frontier.take()]
      if (load === undefined || vacuum === undefined) return assert.fail("two are ready")
      const fibers = yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkChild(frontier.change))
      const woken = () => fibers.filter((fiber) => fiber.pollUnsafe() !== undefined).length
      yield* timePasses(0)
      assert.strictEqual(woken(), 0)
      frontier.ended(vacuum, true)
      yield* timePasses(0)
      assert.strictEqual(woken(), 0)
      frontier.ended(load, true)
      yield* timePasses(0)
      assert.strictEqual(woken(), 2)
      // One that was woken and takes no turn passes it on.
      frontier.wake()
      yield* timePasses(0)
      assert.strictEqual(woken(), 4)
      yield* Fiber.join(yield* Effect.forkChild(frontier.change))

      const rest = [frontier.take(), frontier.take()]
      const last = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(frontier.change))
      yield* timePasses(0)
      assert.isTrue(last.every((fiber) => fiber.pollUnsafe() === undefined))
      if (rest[0] !== undefined) frontier.ended(rest[0], false)
      for (const fiber of last) yield* Fiber.join(fiber)
    })
  )

  it.effect("forgets whoever was interrupted while it waited", () =>
    Effect.gen(function* () {
      const frontier = daily()
      const load = frontier.take()
      frontier.take()
      const [first, second, third] = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(frontier.change))
      yield* timePasses(0)
      if (first !== undefined) yield* Fiber.interrupt(first)
      if (load !== undefined) frontier.ended(load, true)
      yield* timePasses(0)
      assert.isDefined(second?.pollUnsafe())
      assert.isDefined(third?.pollUnsafe())
    })
  )
})

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("any frontier", () => {
  it.prop(
    "gives or skips each member exactly once, the skipped exactly when it needs one that did not succeed",
    [
      Schema.Array(Schema.Struct({ needs: Schema.Array(integer(0, 19)), fails: Schema.Boolean })).check(
        Schema.isMaxLength(20)
      ),
      Schema.Array(integer(0, 1_000))
    ],
    ([members, dice]) => {
      const needs = members.map((member, index) => [...new Set(member.needs.filter((need) => need < index))])
      const frontier = new Agenda.Frontier(
        members,
        needs,
        members.map((_, index) => index)
      )
      const fate = members.map(() => "none")
      const running: Array<Agenda.Turn<(typeof members)[number]>> = []
      for (let step = 0; ; step++) {
        const toss = dice[step % Math.max(1, dice.length)] ?? 0
        const turn = toss % 2 === 0 || running.length === 0 ? frontier.take() : undefined
        if (turn !== undefined) {
          assert.strictEqual(fate[turn.index], "none")
          for (const need of needs[turn.index] ?? []) assert.strictEqual(fate[need], "succeeded")
          fate[turn.index] = "running"
          running.push(turn)
          continue
        }
        const [ended] = running.splice(toss % Math.max(1, running.length), 1)
        if (ended === undefined) break
        fate[ended.index] = ended.member.fails ? "failed" : "succeeded"
        for (const skipped of frontier.ended(ended, !ended.member.fails)) {
          assert.strictEqual(fate[skipped.index], "none")
          fate[skipped.index] = "skipped"
        }
      }
      assert.isFalse(frontier.waits)
      const expected: Array<string> = []
      for (const [index, { fails }] of members.entries()) {
        const isHeld = needs[index]?.some((need) => expected[need] !== "succeeded") === true
        expected.push(isHeld ? "skipped" : fails ? "failed" : "succeeded")
      }
      assert.deepStrictEqual(fate, expected)
    },
    { arbitrary: { runs: 300, seed: 20_260_102 } }
  )
})
