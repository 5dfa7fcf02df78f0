import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { Faults, TestTime } from "querypool/testing"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { logged } from "./logged.ts"
import { outage } from "./outage.ts"

const one = (name: string) => Task.make(name, { payload: Schema.Finite, session: "none", queue: name })
const [a, b, c] = [one("a"), one("b"), one("c")]

type Handlers = Layer.Layer<never, never, TaskRunner.TaskRunner>

const forever = (task: typeof a): Handlers => Task.toLayer(task, () => Effect.never)

/** Runs handlers until their scope is closed. */
const built = Effect.fnUntraced(function* (layer: Layer.Layer<never, never, TaskStore>) {
  const scope = yield* Scope.make()
  yield* Layer.buildWithScope(layer, scope)
  return { close: Effect.forkChild(Scope.close(scope, Exit.void)) }
})

const stateOf = Effect.fnUntraced(function* (id: string | undefined) {
  const { get } = yield* TaskStore
  const [stored] = yield* get(id === undefined ? [] : [id])
  return stored === undefined ? "none" : `${stored.state._tag} ${stored.state.attempt}`
})

const runner = TaskRunner.layer({ drain: 1000 })

/** In a scope of its own each, which close one after the other: nobody can know of the next one. */
const apart = (...all: ReadonlyArray<Handlers>): Handlers =>
  Layer.effectDiscard(
    Effect.forEach(all, (handlers) =>
      Effect.acquireRelease(
        Effect.flatMap(Scope.make(), (scope) => Effect.as(Layer.buildWithScope(handlers, scope), scope)),
        (scope) => Scope.close(scope, Exit.void)
      )
    )
  )

describe("a stop", () => {
  it.effect.each([
    ["merged", Layer.mergeAll(forever(a), forever(b), forever(c))],
    ["on top of each other", forever(a).pipe(Layer.provideMerge(forever(b)), Layer.provideMerge(forever(c)))],
    ["in scopes of their own", apart(forever(a), forever(b), forever(c))]
  ] as const)("takes one drain limit for all handlers: %s", ([, handlers]) =>
    Effect.gen(function* () {
      const { close } = yield* built(Layer.provide(handlers, runner))
      const [task] = yield* Task.enqueueAll(a, [1])
      yield* Task.enqueue(b, 1)
      yield* Task.enqueue(c, 1)
      yield* TestTime.advance(10)
      assert.strictEqual(yield* stateOf(task?.id), "running 1")
      const closing = yield* close
      yield* TestTime.advance(999)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestTime.advance(1)
      assert.isDefined(closing.pollUnsafe())
      assert.strictEqual(yield* stateOf(task?.id), "ready 0")
      assert.deepStrictEqual(
        (yield* Task.counts()).map(({ count, name, state }) => `${count} ${name} ${state}`).toSorted(),
        ["1 a ready", "1 b ready", "1 c ready"]
      )
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect.each([
    ["merged", (first: Handlers, second: Handlers) => Layer.mergeAll(first, second)],
    ["on top of each other", (first: Handlers, second: Handlers) => Layer.provideMerge(first, second)]
  ] as const)("begins nothing more, of handlers that close later neither: %s", ([, together]) =>
    Effect.gen(function* () {
      const ran: Array<number> = []
      const noting = Task.toLayer(b, (number) => Effect.sync(() => ran.push(number)).pipe(Effect.asVoid))
      const { close } = yield* built(Layer.provide(together(forever(a), noting), runner))
      yield* Task.enqueue(a, 1)
      yield* Task.enqueue(b, 1)
      yield* TestTime.advance(10)
      const closing = yield* close
      yield* TestTime.advance(500)
      const late = yield* Task.enqueueAll(b, [2, 3])
      const lateToo = yield* Task.enqueue(a, 2)
      yield* TestTime.advance(500)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(ran, [1])
      for (const { id } of [...late, lateToo]) assert.strictEqual(yield* stateOf(id), "ready 0")
    }).pipe(Effect.provide(layerMemory()))
  )

  it.effect("of one handler lets the others go on", () =>
    Effect.gen(function* () {
      const ran: Array<number> = []
      const noting = Task.toLayer(b, (number) => Effect.sync(() => ran.push(number)).pipe(Effect.asVoid))
      const context = yield* Layer.build(runner)
      const shared = Layer.succeedContext(context)
      yield* Layer.build(Layer.provide(noting, shared))
      const { close } = yield* built(Layer.provide(forever(a), shared))
      const first = yield* Task.enqueue(a, 1)
      yield* TestTime.advance(10)
      const closing = yield* close
      yield* Task.enqueue(b, 1)
      yield* TestTime.advance(1000)
      yield* Fiber.join(closing)
      yield* Task.enqueue(b, 2)
      yield* TestTime.advance(1)
      assert.deepStrictEqual(ran, [1, 2])
      assert.strictEqual(yield* stateOf(first.id), "ready 0")
      // Another stop, later, has a limit of its own.
      const { close: again } = yield* built(Layer.provide(forever(a), shared))
      yield* TestTime.advance(5000)
      const second = yield* again
      yield* TestTime.advance(999)
      assert.isUndefined(second.pollUnsafe())
      yield* TestTime.advance(1)
      yield* Fiber.join(second)
    }).pipe(Effect.scoped, Effect.provide(layerMemory()))
  )

  it.effect("hands back what a claim under way still brings, and it has not begun", () =>
    Effect.gen(function* () {
      let begun = 0
      const counting = Task.toLayer(a, () => Effect.sync(() => void begun++))
      const { close } = yield* built(Layer.provide(counting, runner))
      yield* TestTime.advance(10)
      const { id } = yield* Task.enqueue(a, 1)
      yield* TestTime.advance(10)
      assert.strictEqual(yield* stateOf(id), "ready 0")
      const closing = yield* close
      yield* TestTime.advance(500)
      yield* Fiber.join(closing)
      assert.strictEqual(yield* stateOf(id), "ready 0")
      assert.strictEqual(begun, 0)
    }).pipe(
      Effect.provide(
        Layer.provideMerge(Faults.store([{ operation: "claim", fault: Faults.delay(100) }]), layerMemory())
      )
    )
  )

  it.effect("does not wait for a handler that cannot be interrupted, and names it", () => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      const gate = yield* Effect.acquireRelease(Deferred.make<void>(), (gate) => Deferred.succeed(gate, undefined))
      const stubborn = Task.toLayer(a, () => Effect.uninterruptible(Deferred.await(gate)))
      const { close } = yield* built(Layer.provide(stubborn, runner))
      const { id } = yield* Task.enqueue(a, 1)
      yield* TestTime.advance(10)
      const closing = yield* close
      yield* TestTime.advance(5999)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestTime.advance(1)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(lines, [`Error: Task "a" (${id}) does not stop, and is left: it will run again`])
      assert.strictEqual(yield* stateOf(id), "running 1")
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layerMemory(), logger)))
  })

  it.effect.each(["fails", "hangs"] as const)(
    "is bounded while the store %s, and names what it could not tell it",
    (how) => {
      const { lines, logger } = logged()
      const { failing, hanging, store } = outage()
      return Effect.gen(function* () {
        const handlers = Task.toLayer(a, (number) => (number === 1 ? Effect.sleep(100) : Effect.never))
        const { close } = yield* built(Layer.provide(handlers, runner))
        const [ends, never] = yield* Task.enqueueAll(a, [1, 2])
        yield* TestTime.advance(10)
        const down = how === "fails" ? failing : hanging
        for (const operation of ["claim", "renew", "settle", "report", "sweep"] as const) down.add(operation)
        const closing = yield* close
        yield* TestTime.advance(10_999)
        assert.isUndefined(closing.pollUnsafe())
        const from = yield* Clock.currentTimeMillis
        yield* TestTime.advance(2)
        yield* Fiber.join(closing)
        assert.isAtMost((yield* Clock.currentTimeMillis) - from, 2)
        const told = lines.filter((line) => line.includes("(")).toSorted()
        assert.deepStrictEqual(
          told,
          [
            `Error: Task "a" (${ends?.id}) ended here (succeed), and the store could not be told: it will run again`,
            `Error: Task "a" (${never?.id}) ended here (handBack), and the store could not be told: it will run again`
          ].toSorted()
        )
      }).pipe(Effect.provide(Layer.merge(store, logger)))
    }
  )

  it.effect("hands back what dies while it is being stopped, and settles what ends meanwhile", () =>
    Effect.gen(function* () {
      const handlers = Task.toLayer(a, (number) =>
        number === 1
          ? Effect.onInterrupt(Effect.never, () => Effect.die(new Error("it dies of it")))
          : Effect.onInterrupt(Effect.never, () => Effect.sleep(100))
      )
      const { close } = yield* built(Layer.provide(handlers, runner))
      const [dies, slow] = yield* Task.enqueueAll(a, [1, 2])
      yield* TestTime.advance(10)
      const closing = yield* close
      yield* TestTime.advance(1099)
      assert.isUndefined(closing.pollUnsafe())
      yield* TestTime.advance(1)
      yield* Fiber.join(closing)
      assert.strictEqual(yield* stateOf(dies?.id), "ready 0")
      assert.strictEqual(yield* stateOf(slow?.id), "ready 0")
    }).pipe(Effect.provide(layerMemory()))
  )
})
