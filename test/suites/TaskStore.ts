/** What every store of tasks has to keep. */
import { assert, it } from "@effect/vitest"
import type { Duration } from "effect"
import { Effect, Fiber, Latch, type Layer, Stream } from "effect"
import type { Offer } from "../../src/task/TaskStore.ts"
import { TaskStore } from "../../src/task/TaskStore.ts"
import { joins } from "./TaskStoreJoins.ts"
import { asked, claimOne, ids, stateOf, task, watching } from "./TaskStoreProbes.ts"
import { agree } from "./TaskStoreModel.ts"
import { schedules } from "./TaskStoreSchedules.ts"

interface Options {
  readonly retention?: Duration.Input
  readonly retained?: number
  readonly lostLeases?: number
  readonly aging?: Duration.Input
}

/** A test of a store that keeps as much as the options say. */
export type Has = (promise: string, test: Effect.Effect<void, unknown, TaskStore>, options?: Options) => void

const duplicate = (id: string, uniqueKey: string) => ({ _tag: "Duplicate" as const, id, uniqueKey })

/** To be called where the tests of a store are described. */
export const suite = (
  make: (options?: Options) => Layer.Layer<TaskStore>,
  { sequences }: { readonly sequences: number }
): void => {
  it.effect(
    "agrees with the pure machine in any sequence of commands",
    () =>
      Effect.gen(function* () {
        for (let seed = 0; seed < sequences; seed++) {
          yield* agree(seed, 30, 10).pipe(Effect.provide(make({ aging: "10 millis" })))
        }
      }),
    300_000
  )

  const has: Has = (promise, test, options) => it.effect(promise, () => Effect.provide(test, make(options)))

  has(
    "gives a task back as it was offered",
    Effect.gen(function* () {
      const { get, offer } = yield* TaskStore
      const offered = task("1", {
        payload: { to: ["x", 1, null] },
        priority: 3,
        at: 50,
        uniqueKey: "u",
        limitKey: "l",
        schedule: "s"
      })
      assert.deepStrictEqual(yield* offer([offered], 10), ["1"])
      const [stored] = yield* get(["1", "2"])
      const { awaited, offeredAt, progress, result, state, why, ...rest } =
        stored ?? (yield* Effect.die("it is not there"))
      assert.deepStrictEqual(rest, offered)
      assert.deepStrictEqual([offeredAt, progress, result, why, awaited], [10, ...Array<undefined>(4).fill(undefined)])
      assert.deepStrictEqual(state, { _tag: "scheduled", attempt: 0, at: 50 })
    })
  )

  has(
    "leaves a task as it is whose offer is said again",
    Effect.gen(function* () {
      const { offer, settle } = yield* TaskStore
      yield* offer([task("1")], 0)
      const { token } = yield* claimOne("1", 0)
      yield* settle([{ id: "1", token, input: { _tag: "succeed" } }], 1)
      assert.deepStrictEqual(yield* offer([task("1")], 2), ["1"])
      assert.strictEqual((yield* stateOf("1"))?._tag, "succeeded")
    })
  )

  has(
    "does not hand a claimed task to a second runner while its lease is live, and does when it has run out",
    Effect.gen(function* () {
      const { claim, offer, settle, sweep } = yield* TaskStore
      yield* offer([task("1")], 0)
      const first = yield* claimOne("1", 0)
      yield* sweep(99)
      assert.lengthOf(yield* claim({ ...asked, now: 99 }), 0)
      assert.strictEqual((yield* sweep(100)).next, undefined)
      const second = yield* claimOne("1", 100)
      assert.isAbove(second.token, first.token)
      assert.deepStrictEqual(yield* settle([{ id: "1", token: first.token, input: { _tag: "succeed" } }], 101), [
        { id: "1", token: first.token }
      ])
      assert.strictEqual((yield* stateOf("1"))?._tag, "running")
    })
  )

  has(
    "has a task dead whose lease ran out as often in a row as is allowed, names it, and says why",
    Effect.gen(function* () {
      const { claim, get, offer, requeue, settle, sweep } = yield* TaskStore
      const told = Effect.fnUntraced(function* (now: number) {
        const { expired } = yield* sweep(now)
        return expired.map(({ id, state, why }) => [id, state._tag, why])
      })
      const first = `its lease ran out, at last that of "r", which may have died of it`
      const second = `its lease ran out 2 times in a row, at last that of "r", which may have died of it`
      yield* offer([task("1"), task("2")], 0)
      yield* claim({ ...asked, now: 0 })
      assert.deepStrictEqual(yield* told(99), [])
      assert.deepStrictEqual(yield* told(100), [
        ["1", "ready", first],
        ["2", "ready", first]
      ])
      const [, two] = yield* claim({ ...asked, now: 100 })
      yield* settle([{ id: "2", token: two?.token ?? 0, input: { _tag: "handBack" } }], 150)
      assert.deepStrictEqual(yield* told(200), [["1", "dead", second]])
      yield* claimOne("2", 200)
      assert.deepStrictEqual(yield* told(300), [["2", "ready", first]])
      assert.deepStrictEqual(yield* requeue(["1"], 300), ["1"])
      const [stored] = yield* get(["1"])
      assert.deepStrictEqual(stored?.state, { _tag: "ready", attempt: 0, at: 300, lost: 0 })
    }),
    { lostLeases: 2 }
  )

  has(
    "says which claims are lost when leases are renewed, those of cancelled tasks too",
    Effect.gen(function* () {
      const { cancel, offer, renew, sweep } = yield* TaskStore
      yield* offer([task("1"), task("2"), task("3")], 0)
      const { claim } = yield* TaskStore
      const claims = (yield* claim({ ...asked, now: 0 })).map(({ id, token }) => ({ id, token }))
      yield* cancel(["2"], 10)
      yield* sweep(50)
      assert.deepStrictEqual(ids(yield* renew(claims, 100, 60)), ["2"])
      yield* sweep(159)
      assert.strictEqual((yield* stateOf("1"))?._tag, "running")
      yield* sweep(160)
      assert.strictEqual((yield* stateOf("1"))?._tag, "ready")
    })
  )

  has(
    "keeps result and progress, and progress of the present claim only",
    Effect.gen(function* () {
      const { get, offer, report, settle } = yield* TaskStore
      yield* offer([task("1")], 0)
      const { token } = yield* claimOne("1", 0)
      yield* report([{ id: "1", token, progress: 0.5 }])
      yield* report([{ id: "1", token: token - 1, progress: 0.1 }])
      yield* settle([{ id: "1", token, input: { _tag: "fail" }, result: { is: "no" } }], 1)
      yield* report([{ id: "1", token, progress: 0.9 }])
      const [stored] = yield* get(["1"])
      assert.deepStrictEqual([stored?.progress, stored?.result], [0.5, { is: "no" }])
    })
  )

  has(
    "keeps why a task's last attempt failed until the next one is over, and why it is dead until it is queued again",
    Effect.gen(function* () {
      const { get, offer, requeue, settle } = yield* TaskStore
      const why = Effect.map(get(["1"]), ([stored]) => stored?.why)
      yield* offer([task("1")], 0)
      const first = yield* claimOne("1", 0)
      yield* settle([{ id: "1", token: first.token, input: { _tag: "retry", at: 5 }, why: "busy" }], 1)
      assert.strictEqual(yield* why, "busy")
      const second = yield* claimOne("1", 5)
      assert.strictEqual(yield* why, "busy")
      yield* settle([{ id: "1", token: second.token, input: { _tag: "giveUp" }, why: "broken" }], 6)
      assert.strictEqual(yield* why, "broken")
      yield* requeue(["1"], 7)
      assert.isUndefined(yield* why)
      const third = yield* claimOne("1", 7)
      yield* settle([{ id: "1", token: third.token, input: { _tag: "snooze", at: 9 } }], 8)
      assert.isUndefined(yield* why)
    })
  )

  has(
    "gives a second offer with a unique key the task that has not ended, and after its end a new one",
    Effect.gen(function* () {
      const { cancel, offer } = yield* TaskStore
      const offers = [
        task("1", { uniqueKey: "k" }),
        task("2", { uniqueKey: "k" }),
        task("3", { name: "b", uniqueKey: "k" })
      ]
      assert.deepStrictEqual(yield* offer(offers, 0), ["1", "1", "3"])
      yield* cancel(["1"], 1)
      assert.deepStrictEqual(yield* offer([task("4", { uniqueKey: "k" })], 2), ["4"])
    })
  )

  has(
    "hands over none of several with a unique key that is taken, where that is asked for",
    Effect.gen(function* () {
      const { list, offer } = yield* TaskStore
      yield* offer([task("1", { uniqueKey: "k" })], 0)
      const refused = Effect.fnUntraced(function* (offers: ReadonlyArray<Offer>) {
        return (yield* Effect.flip(offer(offers, 1, { onDuplicate: "fail" }))).reason
      })
      assert.deepInclude(yield* refused([task("2"), task("3", { uniqueKey: "k" })]), duplicate("1", "k"))
      assert.deepInclude(
        yield* refused([task("2", { uniqueKey: "l" }), task("3", { uniqueKey: "l" })]),
        duplicate("2", "l")
      )
      assert.deepStrictEqual(ids(yield* list({})), ["1"])
      const again = [task("1", { uniqueKey: "k" }), task("2", { name: "b", uniqueKey: "k" })]
      assert.deepStrictEqual(yield* offer(again, 2, { onDuplicate: "fail" }), ["1", "2"])
    })
  )

  has(
    "does not queue a task again while another one with its unique key has not ended",
    Effect.gen(function* () {
      const { cancel, offer, requeue } = yield* TaskStore
      yield* offer([task("1", { uniqueKey: "k" })], 0)
      yield* cancel(["1"], 1)
      yield* offer([task("2", { uniqueKey: "k" })], 2)
      assert.deepStrictEqual(yield* requeue(["1", "2"], 3), [])
      yield* cancel(["2"], 4)
      assert.deepStrictEqual(yield* requeue(["1", "2"], 5), ["1"])
    })
  )

  has(
    "hands out by priority, then by waiting, then by id",
    Effect.gen(function* () {
      const { claim, offer } = yield* TaskStore
      yield* offer([task("late")], 20)
      yield* offer([task("2"), task("1"), task("urgent", { priority: 1 }), task("idle", { priority: -1 })], 10)
      yield* offer([task("due", { at: 15 })], 10)
      const request = { ...asked, now: 30 }
      assert.deepStrictEqual(ids(yield* claim(request)), ["urgent", "1", "2", "due", "late", "idle"])
    })
  )

  has(
    "raises the priority of those who wait, so that none waits for ever",
    Effect.gen(function* () {
      const { claim, offer } = yield* TaskStore
      yield* offer([task("low", { priority: -5 })], 0)
      for (let now = 0; now < 1000; now += 10) {
        yield* offer([task(`high ${now}`, { priority: 5 })], now)
        const claimed = yield* claim({ ...asked, queues: [{ queue: "q", limit: 1 }], now })
        if (ids(claimed).includes("low")) return assert.isAtLeast(now, 100)
      }
      assert.fail("it waits for ever")
    }),
    { aging: "10 millis" }
  )

  has(
    "leaves those of other names and of full keys, and takes those behind them",
    Effect.gen(function* () {
      const { claim, offer } = yield* TaskStore
      const many = Array.from({ length: 5 }, (_, index) => task(`1${index}`, { limitKey: "x" }))
      yield* offer([task("0", { name: "unknown" }), ...many, task("2"), task("3", { limitKey: "y" })], 0)
      const keys = new Map([["y", 0]])
      assert.deepStrictEqual(ids(yield* claim({ ...asked, keys, perKey: 2, now: 0 })), ["10", "11", "2"])
      assert.strictEqual((yield* stateOf("0"))?._tag, "ready")
    })
  )

  has(
    "takes no more than asked for in all, from the queues in their order",
    Effect.gen(function* () {
      const { claim, offer } = yield* TaskStore
      yield* offer([task("1"), task("2", { queue: "p" }), task("3", { queue: "p" })], 0)
      const queues = ["p", "q"].map((queue) => ({ queue, limit: 5 }))
      assert.deepStrictEqual(ids(yield* claim({ ...asked, queues, limit: 2, now: 0 })), ["2", "3"])
    })
  )

  has(
    "forgets what has ended after its time, and tells when that is",
    Effect.gen(function* () {
      const { cancel, get, offer, sweep } = yield* TaskStore
      yield* offer([task("1"), task("2")], 0)
      yield* cancel(["1"], 10)
      assert.strictEqual((yield* sweep(10)).next, 1010)
      yield* sweep(1009)
      assert.lengthOf(yield* get(["1"]), 1)
      yield* sweep(1010)
      assert.deepStrictEqual(ids(yield* get(["1", "2"])), ["2"])
    }),
    { retention: "1 second" }
  )

  has(
    "keeps a bounded number that has ended, and what went well does not push out what did not",
    Effect.gen(function* () {
      const { claim, list, offer, settle } = yield* TaskStore
      yield* offer([task("dead")], 0)
      const [first] = yield* claim({ ...asked, now: 0 })
      yield* settle([{ id: "dead", token: first?.token ?? 0, input: { _tag: "giveUp" } }], 0)
      yield* offer(
        Array.from({ length: 9 }, (_, index) => task(`${index}`)),
        0
      )
      const claimed = yield* claim({ ...asked, now: 0 })
      yield* settle(
        claimed.map(({ id, token }) => ({ id, token, input: { _tag: "succeed" } })),
        1
      )
      assert.deepStrictEqual(ids(yield* list({})), ["6", "7", "8", "dead"])
    }),
    { retained: 3 }
  )

  joins(has)
  schedules(has)

  has(
    "lists by state, queue and name, in pages",
    Effect.gen(function* () {
      const { list, offer } = yield* TaskStore
      yield* offer([task("3"), task("1"), task("2", { at: 9 }), task("4", { queue: "p" }), task("5", { name: "b" })], 0)
      assert.deepStrictEqual(ids(yield* list({ states: ["scheduled"] })), ["2"])
      assert.deepStrictEqual(ids(yield* list({ queue: "p" })), ["4"])
      assert.deepStrictEqual(ids(yield* list({ name: "b" })), ["5"])
      assert.deepStrictEqual(ids(yield* list({ limit: 2 })), ["1", "2"])
      assert.deepStrictEqual(ids(yield* list({ limit: 2, after: "2" })), ["3", "4"])
    })
  )

  has(
    "counts by queue, name and state, and nothing where there is none",
    Effect.gen(function* () {
      const { cancel, counts, offer, requeue, sweep } = yield* TaskStore
      const told = Effect.map(counts({}), (all) =>
        all.map(({ count, name, queue, state }) => `${count} ${queue} ${name} ${state}`).toSorted()
      )
      yield* offer([task("1"), task("2"), task("3", { at: 9 }), task("4", { queue: "p" }), task("5", { name: "b" })], 0)
      assert.deepStrictEqual(yield* told, ["1 p a ready", "1 q a scheduled", "1 q b ready", "2 q a ready"])
      yield* claimOne("1", 0)
      yield* cancel(["2", "4", "5"], 1)
      const ends = ["1 p a cancelled", "1 q a cancelled"]
      assert.deepStrictEqual(yield* told, [...ends, "1 q a running", "1 q a scheduled", "1 q b cancelled"])
      yield* requeue(["5"], 2)
      yield* sweep(5000)
      assert.deepStrictEqual(yield* told, ["1 q b ready", "2 q a ready"])
      assert.deepStrictEqual(yield* counts({ name: "b" }), [{ queue: "q", name: "b", state: "ready", count: 1 }])
      assert.deepStrictEqual(yield* counts({ queue: "p" }), [])
    }),
    { retention: "1 second" }
  )

  has(
    "tells who watches of all that changes, and of a slow reader's meantime at once",
    Effect.scoped(
      Effect.gen(function* () {
        const { cancel, offer } = yield* TaskStore
        const gate = yield* Latch.make(true)
        const { next, none } = yield* watching(undefined, gate)
        yield* offer([task("1"), task("2", { at: 9 })], 0)
        assert.deepStrictEqual(yield* next, { ids: ["1", "2"], cancelled: [], ready: ["q"] })
        yield* gate.close
        yield* claimOne("1", 0)
        assert.deepStrictEqual(yield* next, { ids: ["1"], cancelled: [], ready: [] })
        yield* offer([task("3")], 1)
        yield* cancel(["1", "2"], 1)
        yield* gate.open
        assert.deepStrictEqual(yield* next, { ids: ["3", "1", "2"], cancelled: ["1"], ready: ["q"] })
        assert.isTrue(yield* none)
      })
    )
  )

  has(
    "tells who watches one task of that one only",
    Effect.scoped(
      Effect.gen(function* () {
        const { cancel, offer } = yield* TaskStore
        const { next, none } = yield* watching(["2"])
        yield* offer([task("1"), task("2")], 0)
        assert.deepStrictEqual((yield* next).ids, ["2"])
        yield* cancel(["1"], 1)
        assert.isTrue(yield* none)
      })
    )
  )

  has(
    "loses no change between a look and the wait",
    Effect.gen(function* () {
      const { cancel, offer, watch } = yield* TaskStore
      for (let turn = 0; turn < 50; turn++) {
        const id = `${turn}`
        yield* offer([task(id)], 0)
        const seen = watch([id]).pipe(
          Stream.mapEffect(() => stateOf(id)),
          Stream.takeUntil((state) => state?._tag === "cancelled"),
          Stream.runDrain
        )
        const fiber = yield* Effect.forkChild(seen)
        yield* Effect.replicateEffect(Effect.yieldNow, turn % 7, { discard: true })
        yield* cancel([id], 1)
        yield* Fiber.join(fiber)
      }
    })
  )
}
