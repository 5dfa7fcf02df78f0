import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { Task, TaskError, TaskRunner, TaskStore, TaskStoreMemory } from "querypool/task"
import { Faults, TestTasks, TestTime } from "querypool/testing"

const count = Task.make("count", { payload: Schema.Finite, success: Schema.Finite, session: "none" })
const down = Faults.fail(new TaskError.StoreFailed({ message: "down" }))

const store = (rules: ReadonlyArray<Faults.StoreRule>, options?: Faults.Options) =>
  Layer.provide(Faults.store(rules, options), TaskStoreMemory.layerMemory())

const reasonOf = (effect: Effect.Effect<unknown, TaskError.TaskError, TaskStore.TaskStore>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => `${reason._tag}: ${reason.message}`)

const all = Effect.flatMap(TaskStore.TaskStore, ({ list }) => list({}))

describe("the faults of a store", () => {
  it.effect("let an operation fail before it changes anything, or lose the answer of one that has", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* reasonOf(Task.enqueue(count, 1)), "StoreFailed: down")
      assert.lengthOf(yield* all, 0)
      assert.match(yield* reasonOf(Task.enqueue(count, 2)), /^StoreFailed: the connection was lost before the answer/)
      assert.lengthOf(yield* all, 1)
      yield* Task.enqueue(count, 3)
      assert.lengthOf(yield* all, 2)
    }).pipe(
      Effect.provide(
        store([
          { operation: "offer", nth: [1], fault: down },
          { operation: ["offer", "settle"], nth: [2], fault: Faults.loseAnswer }
        ])
      )
    )
  )

  it.effect("delay it, and let it hang until it is interrupted", () =>
    Effect.gen(function* () {
      const slow = yield* Effect.forkChild(Task.enqueue(count, 1))
      yield* TestTime.advance(999)
      assert.isUndefined(slow.pollUnsafe())
      yield* TestTime.advance(1)
      yield* Fiber.join(slow)
      const { get } = yield* TaskStore.TaskStore
      const stuck = yield* Effect.forkChild(get([]))
      yield* TestTime.advance("1 day")
      assert.isUndefined(stuck.pollUnsafe())
      yield* Fiber.interrupt(stuck)
      assert.lengthOf(yield* all, 1)
    }).pipe(
      Effect.provide(
        store([
          { operation: "offer", fault: Faults.delay("1 second") },
          { operation: "get", fault: Faults.hang }
        ])
      )
    )
  )

  it.effect("happen to every operation that there is", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      yield* Effect.gen(function* () {
        const { watch, ...operations } = yield* TaskStore.TaskStore
        for (const operation of Object.values(operations)) {
          const asked: Effect.Effect<unknown, unknown> = Reflect.apply(operation, undefined, [[], 0])
          assert.isTrue(Exit.isFailure(yield* Effect.exit(asked)))
        }
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Stream.runDrain(watch()))))
        const { watch: _, ...expected } = operations as TaskStore.TaskStore["Service"]
        assert.sameMembers(seen, [...Object.keys(expected), "watch"])
      }).pipe(Effect.provide(store([{ fault: down }], { onFault: ({ name }) => seen.push(name) })))
    })
  )

  it.effect("end a watch whose answer is lost after its first change", () =>
    Effect.gen(function* () {
      const { watch } = yield* TaskStore.TaskStore
      const changes: Array<unknown> = []
      const exit = yield* Effect.exit(Stream.runForEach(watch(), (change) => Effect.sync(() => changes.push(change))))
      assert.isTrue(Exit.isFailure(exit))
      assert.lengthOf(changes, 1)
    }).pipe(Effect.provide(store([{ operation: "watch", fault: Faults.loseAnswer }])))
  )

  it.effect("are told by whoever runs tasks where the test stands", () =>
    Effect.gen(function* () {
      yield* Task.enqueue(count, 1)
      assert.strictEqual(yield* reasonOf(TestTasks.drain().pipe(Effect.provide(TestTasks.layer))), "StoreFailed: down")
    }).pipe(Effect.provide(store([{ operation: "claim", fault: down }])))
  )
})

describe("a runner whose store has faults", () => {
  /** Every operation, now and then, before it is done and after. */
  const rules: ReadonlyArray<Faults.StoreRule> = [
    { operation: ["claim", "settle", "renew", "sweep", "watch"], chance: 0.15, fault: down },
    { operation: ["claim", "settle", "renew"], chance: 0.15, fault: Faults.loseAnswer },
    { operation: ["claim", "settle", "sweep"], chance: 0.1, fault: Faults.delay("3 seconds") }
  ]

  it.effect.each([1, 2, 3, 4, 5, 6, 7, 8])("runs every task to its end all the same, with the seed %i", (seed) => {
    const runs = new Map<number, number>()
    const faults: Array<string> = []
    const handler = Task.toLayer(count, (n) =>
      Effect.as(
        Effect.delay(
          Effect.sync(() => void runs.set(n, (runs.get(n) ?? 0) + 1)),
          (n % 7) * 300
        ),
        n * 10
      )
    )
    const program = Effect.gen(function* () {
      const handles = yield* Task.enqueueAll(
        count,
        Array.from({ length: 40 }, (_, n) => n)
      )
      return yield* Effect.forEach(handles, (handle) => handle.await, { concurrency: 40 })
    }).pipe(
      Effect.provide(
        // Those that wait for the tasks have the store as it is.
        Layer.provide(handler, TaskRunner.layer({ concurrency: 5, lease: "20 seconds" })).pipe(
          Layer.provide(Faults.store(rules, { seed, onFault: ({ fault, name }) => faults.push(`${name} ${fault}`) })),
          Layer.provideMerge(TaskStoreMemory.layerMemory({ lostLeases: 1000 }))
        )
      )
    )
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(program)
      // Until the runner has stopped, which takes time where its store does.
      for (let turn = 0; turn < 900 && fiber.pollUnsafe() === undefined; turn++) yield* TestTime.advance("1 second")
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        Array.from({ length: 40 }, (_, n) => Exit.succeed(n * 10))
      )
      assert.strictEqual(runs.size, 40)
      assert.isAbove(new Set(faults).size, 4, String(faults))
    })
  })
})
