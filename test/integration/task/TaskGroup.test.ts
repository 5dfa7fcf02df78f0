/** Groups in transactions, and members whose SQL runs on a real server. */
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Task, TaskGroup, TaskRunner, TaskStore, TaskStoreMemory } from "querypool/task"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const store = TaskStoreMemory.layerMemory()
const half = Task.make("half", { payload: Schema.Int, success: Schema.Int, error: Schema.Literal("odd") })
const total = Task.make("total", {
  payload: Schema.Array(TaskGroup.exit(half)),
  success: Schema.Int,
  session: "transaction"
})
const sleep = Task.make("sleep", { payload: Schema.Finite })

const handlers = Layer.mergeAll(
  Task.toLayer(half, (n, { sql }) =>
    Effect.gen(function* () {
      const [row] = yield* sql<{ odd: boolean; half: number }>`select ${n} % 2 = 1 as odd, ${n} / 2 as half`
      return row === undefined || row.odd ? yield* Effect.fail("odd" as const) : row.half
    })
  ),
  Task.toLayer(total, (exits) =>
    Effect.succeed(exits.reduce((sum, exit) => sum + (Exit.isSuccess(exit) ? exit.value : 0), 0))
  ),
  Task.toLayer(sleep, (seconds, { sql }) => Effect.asVoid(sql`select pg_sleep(${seconds})`))
)

const withTasks = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  test.pipe(
    Effect.provide(
      Layer.provideMerge(
        Layer.provide(handlers, TaskRunner.layer()),
        Layer.merge(store, Pg.pool({ maxConnections: 4 }))
      )
    )
  )

const members = [2, 3, 4].map((n) => TaskGroup.member(half, n))
const names = Effect.map(
  Effect.flatMap(TaskStore.TaskStore, ({ list }) => list({})),
  (tasks) => tasks.map(({ name }) => name)
)
const isAsleep = ({ query, state }: Pg.Backend) => state === "active" && query.includes("pg_sleep")

layer(Pg.layer("TaskGroup"), { excludeTestServices: true })("a group", (it) => {
  it.effect("that is offered in a transaction is there after its COMMIT, and never after a ROLLBACK", () =>
    withTasks(
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const chord = TaskGroup.chord(members, total)
        yield* Effect.exit(sql.withTransaction(Effect.andThen(chord, Effect.fail("no"))))
        assert.deepStrictEqual(yield* names, [])
        const { callback } = yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* Effect.exit(sql.withTransaction(Effect.andThen(chord, Effect.fail("no"))))
            const offered = yield* chord
            assert.deepStrictEqual(yield* names, [])
            return offered
          })
        )
        assert.deepStrictEqual(yield* names, ["half", "half", "half", "total"])
        assert.deepStrictEqual(yield* callback.await, Exit.succeed(3))
      })
    )
  )

  it.effect("that would have to be waited for is refused in a transaction, with what to do", () =>
    withTasks(
      Effect.gen(function* () {
        const sql = yield* SqlClient
        for (const group of [TaskGroup.all(members), Stream.runDrain(TaskGroup.stream(members))]) {
          const exit = yield* Effect.exit(sql.withTransaction(group))
          assert.include(String(exit), "runs after its COMMIT. Wait outside of it, or use `TaskGroup.chord`")
        }
        assert.deepStrictEqual(yield* names, [])
        assert.deepStrictEqual(yield* TaskGroup.all(members), [
          Exit.succeed(1),
          Exit.fail("odd" as const),
          Exit.succeed(2)
        ])
      })
    )
  )

  it.effect("that is interrupted ends on the server", () =>
    withTasks(
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const group = TaskGroup.all({ first: TaskGroup.member(sleep, 600), second: TaskGroup.member(sleep, 601) })
        const waiting = yield* Effect.forkChild(group)
        yield* observer.seen("one sleeps", isAsleep)
        yield* Fiber.interrupt(waiting)
        const { list } = yield* TaskStore.TaskStore
        assert.deepStrictEqual(
          (yield* list({})).map(({ state }) => state._tag),
          ["cancelled", "cancelled"]
        )
        yield* waitUntil(
          "nobody sleeps",
          Effect.map(observer.everyBackend, (all) => !all.some(isAsleep))
        )
      })
    )
  )
})
