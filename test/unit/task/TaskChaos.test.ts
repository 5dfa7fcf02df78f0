/**
 * Tasks under chance: handlers that end in any way, cancels, requeues, stops, a store that fails, two runners on it, and
 * fibers that yield at any step. Each round follows from its number alone; a message of a failure begins with it.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Exit } from "effect"
import { Deferred, Effect, Fiber, Layer, Random, Schedule, Schema, Scheduler, Scope } from "effect"
import * as Exits from "effect/Exit"
import { TestTime } from "querypool/testing"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { isEnded } from "../../../src/task/TaskState.ts"
import type { Claim, TaskId } from "../../../src/task/TaskStore.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { outage } from "./outage.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", {}) {}

const bounds = { all: 4, a: 2, key: 1 }

const one = (queue: string) =>
  Task.make(queue, {
    payload: Schema.Finite,
    error: Busy,
    session: "none",
    queue,
    timeout: "40 millis",
    limitKey: (number) => `key ${number % 3}`,
    retry: RetryPolicy.make({ on: ["Busy"], schedule: Schedule.upTo(Schedule.spaced(5), { times: 2 }) })
  })
const tasks = [one("a"), one("b")] as const

/** What must not be, counted by handlers that say when they begin and end. */
class Watch {
  readonly runner: string
  private readonly now = new Map<string, number>()
  readonly faults: Array<string> = []
  begun = 0

  constructor(runner: string) {
    this.runner = runner
  }

  private count(what: string, more: 1 | -1, most: number): void {
    const count = (this.now.get(what) ?? 0) + more
    this.now.set(what, count)
    if (count > most) this.faults.push(`${this.runner}: ${count} of ${what} at once`)
  }

  move(id: TaskId, queue: string, number: number, more: 1 | -1): void {
    if (more === 1) this.begun++
    this.count(`task ${id}`, more, 1)
    this.count("all", more, bounds.all)
    this.count(`key ${number % 3}`, more, bounds.key)
    this.count(`queue ${queue}`, more, queue === "a" ? bounds.a : bounds.all)
  }

  get left(): number {
    return this.now.get("all") ?? 0
  }
}

/** A handler that ends in one of many ways, some of them late. */
const handler =
  (queue: string, watch: Watch) =>
  (number: number, { id }: { readonly id: TaskId }) =>
    Effect.gen(function* () {
      yield* Effect.sleep(yield* Random.nextIntBetween(0, 20))
      const how = yield* Random.nextIntBetween(0, 10)
      if (how < 3) return
      if (how === 3) return yield* new Busy()
      if (how === 4) return yield* Effect.die(new Error("it dies"))
      if (how === 5) return yield* Effect.interrupt
      if (how === 6) return yield* Task.snooze(yield* Random.nextIntBetween(0, 9))
      if (how === 7) return yield* Task.discard("no")
      if (how === 8) return yield* Effect.never
      // It swallows its interruption, and goes on for a while.
      yield* Effect.uninterruptible(Effect.sleep(30))
    }).pipe(
      Effect.onExit(() => Effect.sleep(3)),
      (effect) =>
        Effect.acquireUseRelease(
          Effect.sync(() => watch.move(id, queue, number, 1)),
          () => effect,
          () => Effect.sync(() => watch.move(id, queue, number, -1))
        )
    )

const textOf = ({ id, token }: Claim): string => `${id} ${token}`

/** A store whose settlements and claims are looked at. */
const looking = (faults: Array<string>) => {
  const settled = new Set<string>()
  const claimed = new Set<string>()
  return Layer.effect(
    TaskStore,
    Effect.map(TaskStore, (store) => ({
      ...store,
      claim: (request: Parameters<typeof store.claim>[0]) =>
        Effect.tap(store.claim(request), (claims) => {
          for (const claim of claims) {
            if (claimed.has(textOf(claim))) faults.push(`claimed twice: ${textOf(claim)}`)
            claimed.add(textOf(claim))
          }
          return Effect.void
        }),
      settle: (settlements: Parameters<typeof store.settle>[0], now: number) =>
        Effect.tap(store.settle(settlements, now), (stale) => {
          const staleOnes = new Set(stale.map(textOf))
          for (const one of settlements) {
            const text = textOf(one)
            if (staleOnes.has(text)) continue
            if (settled.has(text)) faults.push(`settled twice: ${text}`)
            settled.add(text)
          }
          return Effect.void
        })
    }))
  )
}

const runner = (watch: Watch) =>
  Layer.provide(
    Layer.mergeAll(Task.toLayer(tasks[0], handler("a", watch)), Task.toLayer(tasks[1], handler("b", watch))),
    Layer.fresh(
      TaskRunner.layer({
        name: watch.runner,
        concurrency: bounds.all,
        queues: { a: { concurrency: bounds.a } },
        perKey: bounds.key,
        drain: 10
      })
    )
  )

const round = Effect.fnUntraced(function* (seed: number) {
  const { failing, store } = outage()
  const faults: Array<string> = []
  const watches = ["first", "second"].map((name) => new Watch(name))
  const test = Effect.gen(function* () {
    const { get, list } = yield* TaskStore
    const scopes: Array<Scope.Closeable> = []
    const start = Effect.fnUntraced(function* (watch: Watch) {
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(runner(watch), scope)
      scopes.push(scope)
    })
    for (const watch of watches) yield* start(watch)
    const ids: Array<TaskId> = []
    const waiting: Array<Fiber.Fiber<Exit.Exit<void, unknown>>> = []
    for (let step = 0; step < 12; step++) {
      const task = tasks[yield* Random.nextIntBetween(0, 2)] ?? tasks[0]
      const what = yield* Random.nextIntBetween(0, 8)
      const some = yield* Random.nextIntBetween(0, Math.max(1, ids.length))
      const id = ids[some]
      if (what < 4) {
        const options = { delay: (yield* Random.nextIntBetween(0, 2)) * 7 }
        const handles = yield* Task.enqueueAll(task, [step, step + 1, step + 2], options)
        ids.push(...handles.map((handle) => handle.id))
        for (const handle of handles) waiting.push(yield* Effect.forkChild(handle.await))
      } else if (what === 4 && id !== undefined) {
        yield* Effect.flatMap(Task.handle(task, id), (handle) => handle.cancel)
      } else if (what === 5 && id !== undefined) {
        yield* Effect.flatMap(Task.handle(task, id), (handle) => handle.cancel)
        yield* Task.requeue([id])
      } else if (what === 6) {
        for (const name of ["claim", "settle", "sweep", "renew"] as const) failing.add(name)
      } else if (what === 7 && scopes.length > 1) {
        const scope = scopes.shift()
        if (scope !== undefined) yield* Effect.forkChild(Scope.close(scope, Exits.void))
      }
      yield* TestTime.advance(yield* Random.nextIntBetween(0, 12))
      if (what !== 6) failing.clear()
    }
    failing.clear()
    yield* TestTime.advance("1 minute")
    const stored = yield* get(ids)
    assert.lengthOf(stored, ids.length, `round ${seed}: accepted and not known any more`)
    const open = stored.filter(({ state }) => !isEnded(state))
    assert.deepStrictEqual(open, [], `round ${seed}: accepted, and not ended`)
    yield* Effect.forEach(waiting, Fiber.await)
    const closing = yield* Effect.forkChild(
      Effect.forEach(scopes, (scope) => Scope.close(scope, Exits.void), { discard: true })
    )
    yield* TestTime.advance("30 seconds")
    yield* Fiber.join(closing)
    assert.deepStrictEqual([...faults, ...watches.flatMap((watch) => watch.faults)], [], `round ${seed}`)
    assert.deepStrictEqual(
      watches.map(({ left }) => left),
      [0, 0],
      `round ${seed}: handlers that run still`
    )
    assert.lengthOf(yield* list({ states: ["running"] }), 0)
    return watches.reduce((sum, { begun }) => sum + begun, 0)
  })
  return yield* test.pipe(
    Effect.provide(Layer.provideMerge(looking(faults), store)),
    Random.withSeed(`round ${seed}`),
    // Others have their turn at any step, and not every 2,048.
    Effect.provideService(Scheduler.MaxOpsBeforeYield, seed % 3 === 0 ? 2048 : 3 + (seed % 50))
  )
})

describe("whatever happens", () => {
  it.effect(
    "each accepted task ends once, no handler of one runs twice at a time, and no bound is exceeded",
    () =>
      Effect.gen(function* () {
        let begun = 0
        for (let seed = 0; seed < 150; seed++) begun += yield* round(seed)
        assert.isAbove(begun, 1500)
      }),
    { timeout: 240_000 }
  )
})

describe("a cancel", () => {
  const work = Task.make("work", { payload: Schema.Finite, success: Schema.Finite, session: "none" })

  it.effect(
    "that races with the end of its task is told of once, and whoever waits hears the same",
    () =>
      Effect.gen(function* () {
        const counts = { cancelled: 0, ended: 0 }
        for (let seed = 0; seed < 1000; seed++) {
          yield* Effect.gen(function* () {
            const gate = yield* Deferred.make<void>()
            const handler = Task.toLayer(work, (number) => Effect.as(Deferred.await(gate), number))
            yield* Layer.build(Layer.provide(handler, TaskRunner.layer({ drain: 0 })))
            const handle = yield* Task.enqueue(work, seed)
            for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
            const yields = yield* Random.nextIntBetween(0, 8)
            const cancel = Effect.andThen(Effect.replicateEffect(Effect.yieldNow, yields), handle.cancel)
            const open = Effect.andThen(
              Effect.replicateEffect(Effect.yieldNow, yield* Random.nextIntBetween(0, 4)),
              Deferred.succeed(gate, undefined)
            )
            const [first, second, , exit, again] = yield* Effect.all(
              [cancel, cancel, open, handle.await, handle.await],
              { concurrency: "unbounded" }
            )
            const isCancelled = Exits.isFailure(exit)
            assert.strictEqual(Number(first) + Number(second), isCancelled ? 1 : 0, `round ${seed}`)
            assert.deepStrictEqual(again, exit, `round ${seed}`)
            assert.strictEqual((yield* handle.status)._tag, isCancelled ? "cancelled" : "succeeded", `round ${seed}`)
            assert.isFalse(yield* handle.cancel)
            counts[isCancelled ? "cancelled" : "ended"]++
          }).pipe(Effect.scoped, Effect.provide(layerMemory()), Random.withSeed(seed))
        }
        assert.isAbove(counts.cancelled, 50)
        assert.isAbove(counts.ended, 50)
      }),
    { timeout: 60_000 }
  )
})
