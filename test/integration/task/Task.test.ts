/** Tasks whose handlers have sessions, and offers in transactions, on a real server. */
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Query } from "querypool"
import { Task, TaskRunner, TaskStore, TaskStoreMemory } from "querypool/task"
import * as Pg from "../../support/Pg.ts"

const store = TaskStoreMemory.layerMemory()
const note = Task.make("note", { payload: Schema.String, session: "none" })
const texts = Effect.map(
  Effect.flatMap(TaskStore.TaskStore, ({ list }) => list({})),
  (tasks) => tasks.map(({ payload }) => payload)
)

const write = (by: string, sql: SqlClient) => sql`insert into written ${sql.insert({ by })}`
const isAsleep = ({ query, state }: Pg.Backend) => state === "active" && query.includes("pg_sleep")

layer(Pg.layer("Task"), { excludeTestServices: true })("a task", (it) => {
  it.effect("that is offered in a transaction is there after its COMMIT only, and never after a ROLLBACK", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* Task.enqueue(note, "kept")
          yield* Effect.exit(sql.withTransaction(Effect.andThen(Task.enqueue(note, "savepoint"), Effect.fail("no"))))
          yield* sql.withTransaction(Task.enqueue(note, "inner"))
          assert.deepStrictEqual(yield* texts, [])
        })
      )
      assert.deepStrictEqual(yield* texts, ["kept", "inner"])
      yield* Effect.exit(sql.withTransaction(Effect.andThen(Task.enqueue(note, "lost"), Effect.fail("no"))))
      yield* Effect.exit(sql.withTransaction(Effect.andThen(Task.enqueue(note, "lost"), sql`select 1 / 0`)))
      yield* Query.make("unit", () => Effect.andThen(Task.enqueue(note, "unit"), Effect.void), {
        mode: "transaction"
      })
      assert.deepStrictEqual(yield* texts, ["kept", "inner", "unit"])
    }).pipe(Effect.provide(Layer.merge(store, Pg.pool({ maxConnections: 2 }))))
  )

  it.effect("has one id for two offers with a unique key, also in a transaction", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const [first, second] = yield* sql.withTransaction(
        Effect.all([Task.enqueue(note, "a", { uniqueKey: "k" }), Task.enqueue(note, "b", { uniqueKey: "k" })])
      )
      assert.deepStrictEqual(yield* texts, ["a"])
      assert.isTrue(yield* second.cancel)
      assert.strictEqual((yield* first.status)._tag, "cancelled")
    }).pipe(Effect.provide(Layer.merge(store, Pg.pool({ maxConnections: 2 }))))
  )

  it.effect("that awaits others of its transaction finds them, also one that another task turned out to be", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const { cancel, get, offer } = yield* TaskStore.TaskStore
      const one = { name: "note", queue: "q", priority: 0, payload: null, at: 0 }
      yield* offer([{ ...one, id: "before", uniqueKey: "k" }], 0)
      const states = Effect.map(get(["a", "c", "join"]), (tasks) => tasks.map(({ id, state }) => [id, state._tag]))
      const offers = [
        { ...one, id: "a", uniqueKey: "l" },
        { ...one, id: "b", uniqueKey: "k" },
        { ...one, id: "c", uniqueKey: "l" },
        { ...one, id: "join", awaits: ["a", "b", "c"] }
      ]
      yield* Effect.exit(sql.withTransaction(Effect.andThen(offer(offers, 0), Effect.fail("no"))))
      assert.deepStrictEqual(yield* states, [])
      yield* sql.withTransaction(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* offer(offers, 0), ["a", "before", "c", "join"])
          assert.deepStrictEqual(yield* states, [])
        })
      )
      yield* cancel(["a"], 1)
      assert.deepInclude(yield* states, ["join", "awaiting"])
      yield* cancel(["before"], 2)
      assert.deepInclude(yield* states, ["join", "ready"])
      const [join] = yield* get(["join"])
      assert.deepStrictEqual(
        join?.awaited?.map(({ id, state }) => [id, state]),
        [
          ["a", "cancelled"],
          ["before", "cancelled"],
          ["a", "cancelled"]
        ]
      )
    }).pipe(Effect.provide(Layer.merge(store, Pg.pool({ maxConnections: 2 }))))
  )

  it.effect("gives its session back however it ends, and touches no other's", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table written (by text)")
      const work = Task.make("work", { payload: Schema.String, session: "transaction", timeout: "200 millis" })
      const handlers = Task.toLayer(work, (how, { sql }) =>
        Effect.gen(function* () {
          yield* write(how, sql)
          if (how === "fails") yield* sql`select 1 / 0`
          if (how === "dies") return yield* Effect.die(new Error("it dies"))
          if (how === "hangs") yield* sql`select pg_sleep(600)`
          if (how === "snoozes") return yield* Task.discard("no")
        })
      )
      const pool = Pg.pool({ maxConnections: 2 })
      const test = Effect.gen(function* () {
        const how = ["good", "fails", "dies", "hangs", "snoozes", "good"]
        const handles = yield* Task.enqueueAll(work, [...how, ...how])
        const ends = yield* Effect.forEach(handles, (handle) => handle.await)
        assert.deepStrictEqual(
          ends.map(Exit.isSuccess),
          [...how, ...how].map((one) => one === "good")
        )
        const busy = (yield* observer.backends).filter(({ state }) => state !== "idle")
        assert.deepStrictEqual(busy, [])
        assert.isAtMost((yield* observer.backends).length, 2)
      })
      yield* test.pipe(
        Effect.provide(Layer.provideMerge(Layer.provide(handlers, TaskRunner.layer()), Layer.merge(store, pool)))
      )
      const written = yield* observer.rows("select by, count(*)::int from written group by by")
      assert.deepStrictEqual(written, [{ by: "good", count: 4 }])
    })
  )

  it.effect("that is cancelled, or that does not end in time when it has to stop, ends on the server", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const sleep = Task.make("sleep", { payload: Schema.Finite })
      const handlers = Task.toLayer(sleep, (seconds, { sql }) => Effect.asVoid(sql`select pg_sleep(${seconds})`))
      const runner = TaskRunner.layer({ drain: 50 })
      yield* Effect.gen(function* () {
        const first = yield* Task.enqueue(sleep, 600)
        yield* observer.seen("it sleeps", isAsleep)
        yield* Effect.gen(function* () {
          yield* first.cancel
          assert.isTrue(Exit.isFailure(yield* first.await))
          yield* Task.enqueue(sleep, 601)
          yield* observer.seen("another sleeps", isAsleep)
        })
      }).pipe(
        Effect.provide(
          Layer.provideMerge(Layer.provide(handlers, runner), Layer.merge(store, Pg.pool({ maxConnections: 2 })))
        )
      )
      assert.deepStrictEqual((yield* observer.everyBackend).filter(isAsleep), [])
    })
  )
})
