/** Handlers that misuse their session, and offers in transactions that race, on a real server. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Random, References, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { Query, QueryPool } from "querypool"
import { Task, TaskRunner, TaskState, TaskStoreMemory } from "querypool/task"
import * as Pg from "../../support/Pg.ts"

const note = Task.make("note", { payload: Schema.String, session: "none" })
const texts = Effect.map(Task.list({ task: note }), (tasks) =>
  tasks.map(({ payload }) => (payload._tag === "Success" ? payload.success : "?"))
)
const tidy = Layer.mergeAll(
  TaskStoreMemory.layerMemory(),
  Pg.pool({ maxConnections: 3 }),
  Layer.succeed(References.MinimumLogLevel, "None")
)

/** What a test needs, with handlers. */
const running = (
  handlers: Layer.Layer<never, never, TaskRunner.TaskRunner | QueryPool.QueryPool>,
  options: TaskRunner.Options = {}
) => Layer.provideMerge(Layer.provide(handlers, TaskRunner.layer({ drain: 0, ...options })), tidy)

const busy = Effect.gen(function* () {
  const { observer } = yield* Pg.Pg
  return (yield* observer.backends).filter(({ state }) => state !== "idle")
})

/** Enqueues by itself, and in a savepoint that is rolled back. */
const enqueuing = (name: string, mode: "transaction" | "autocommit") =>
  Query.make(
    name,
    (sql) =>
      Effect.gen(function* () {
        yield* Task.enqueue(note, `${name} outside`)
        yield* Effect.exit(
          sql.withTransaction(Effect.andThen(Task.enqueue(note, `${name} savepoint`), sql`select 1 / 0`))
        )
        if (name === "bad") yield* sql`select 1 / 0`
      }),
    { mode }
  )

layer(Pg.layer("TaskMisuse"), { excludeTestServices: true })("tasks", (it) => {
  it.effect("refuse a session to a fiber that has outlived the handler, and what it enqueues in its transaction", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const late = yield* Deferred.make<ReadonlyArray<Exit.Exit<unknown, unknown>>>()
      const leaver = Task.make("leaver", { payload: Schema.String, session: "transaction" })
      const handler = Task.toLayer(leaver, (_, { sql }) =>
        Effect.gen(function* () {
          const rest = Effect.andThen(
            Deferred.await(gate),
            Effect.all([Effect.exit(sql`select 1`), Effect.exit(Task.enqueue(note, "late"))])
          )
          yield* Effect.forkDetach(Effect.flatMap(rest, (exits) => Deferred.succeed(late, exits)))
        })
      )
      yield* Effect.gen(function* () {
        const handle = yield* Task.enqueue(leaver, "x")
        assert.deepStrictEqual(yield* handle.await, Exit.void)
        yield* Deferred.succeed(gate, undefined)
        const exits = yield* Deferred.await(late)
        assert.deepStrictEqual(exits.map(Exit.isFailure), [true, true])
        assert.include(String(exits[1]), "the transaction has already ended")
        assert.deepStrictEqual(yield* texts, [])
        assert.deepStrictEqual(yield* busy, [])
      }).pipe(Effect.provide(Layer.provideMerge(handler, Layer.provideMerge(TaskRunner.layer(), tidy))))
    })
  )

  it.effect("leave nothing of a transaction whose value does not agree with the schema", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table kept (what text)")
      const wrong = Task.make("wrong", { payload: Schema.String, success: Schema.Finite, session: "transaction" })
      const handler = Task.toLayer(wrong, (what, { sql }) =>
        Effect.as(sql`insert into kept ${sql.insert({ what })}`, what === "good" ? 1 : NaN)
      )
      yield* Effect.gen(function* () {
        const [bad, good] = yield* Task.enqueueAll(wrong, ["bad", "good"])
        const exit = yield* bad?.await ?? Effect.die("no handle")
        assert.include(String(exit), "its success does not agree with its schema")
        assert.deepStrictEqual(yield* good?.await ?? Effect.die("no handle"), Exit.succeed(1))
      }).pipe(Effect.provide(running(handler)))
      assert.deepStrictEqual(yield* observer.rows("select what from kept"), [{ what: "good" }])
    })
  )

  it.effect(
    "with one unique key, offered in two transactions at once, are one; and the other's, if one is rolled back",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient
        for (const isRolledBack of [false, true]) {
          const key = `key ${isRolledBack}`
          const both = yield* Deferred.make<void>()
          const first = sql.withTransaction(
            Effect.gen(function* () {
              const handle = yield* Task.enqueue(note, `first ${key}`, { uniqueKey: key })
              yield* Deferred.await(both)
              return isRolledBack ? yield* Effect.fail("no") : handle
            })
          )
          const second = sql.withTransaction(
            Effect.gen(function* () {
              const handles = yield* Task.enqueueAll(note, [`second ${key}`, `third ${key}`], { uniqueKey: key })
              yield* Deferred.succeed(both, undefined)
              return handles
            })
          )
          const [one, others] = yield* Effect.all([Effect.exit(first), second], { concurrency: 2 })
          const listed = (yield* texts).filter((text) => text.endsWith(key))
          assert.lengthOf(listed, 1)
          if (isRolledBack) assert.deepStrictEqual(listed, [`second ${key}`])
          const handles = [...others, ...(Exit.isSuccess(one) ? [one.value] : [])]
          for (const { status } of handles) assert.strictEqual((yield* status)._tag, "ready")
          assert.isTrue(yield* handles[0]?.cancel ?? Effect.succeed(false))
          for (const { status } of handles) assert.strictEqual((yield* status)._tag, "cancelled")
        }
        const [first, second] = yield* Task.enqueueAll(note, ["a", "b"], { uniqueKey: "same" })
        assert.deepStrictEqual([first?.isNew, second?.isNew, first?.id === second?.id], [true, false, true])
        const refused = yield* Effect.flip(Task.enqueueAll(note, ["c", "d"], { uniqueKey: "two", onDuplicate: "fail" }))
        assert.strictEqual(refused.reason._tag, "Duplicate")
        assert.notInclude(yield* texts, "c")
      }).pipe(Effect.provide(tidy))
  )

  it.effect("that the queries of a run enqueue are there after each one's COMMIT, and never of one that failed", () =>
    Effect.gen(function* () {
      yield* QueryPool.all(
        [enqueuing("good", "transaction"), enqueuing("bad", "transaction"), enqueuing("auto", "autocommit")],
        {
          mode: "outcome",
          concurrency: 3
        }
      )
      assert.sameMembers([...(yield* texts)], ["good outside", "auto outside"])
    }).pipe(Effect.provide(tidy))
  )

  it.effect("that enqueue themselves go on one after the other, and stop with their runner", () =>
    Effect.gen(function* () {
      const chain = Task.make("chain", { payload: Schema.Finite, session: "transaction" })
      const done = yield* Deferred.make<void>()
      const ran: Array<number> = []
      const handler = Task.toLayer(chain, (number) =>
        Effect.gen(function* () {
          ran.push(number)
          if (number < 5) yield* Task.enqueue(chain, number + 1)
          else yield* Deferred.succeed(done, undefined)
        })
      )
      yield* Effect.gen(function* () {
        yield* Task.enqueue(chain, 1)
        yield* Deferred.await(done)
        assert.deepStrictEqual(ran, [1, 2, 3, 4, 5])
      }).pipe(Effect.provide(Layer.provideMerge(handler, Layer.provideMerge(TaskRunner.layer(), tidy))))
    })
  )

  it.effect("give every session back, however they end, are cancelled and queued again", () =>
    Effect.gen(function* () {
      const wild = Task.make("wild", { payload: Schema.Finite, session: "transaction", timeout: "100 millis" })
      const handler = Task.toLayer(wild, (number, { sql }) =>
        Effect.gen(function* () {
          yield* sql`select ${number}`
          switch (number % 8) {
            case 0:
              return
            case 1:
              return yield* Effect.die(new Error("it dies"))
            case 2:
              return yield* Effect.interrupt
            case 3:
              return yield* Effect.asVoid(sql`select pg_sleep(600)`)
            case 4:
              return yield* Effect.asVoid(sql`select 1 / 0`)
            case 5:
              return yield* Effect.asVoid(Effect.uninterruptible(sql`select pg_sleep(0.15)`))
            case 6:
              yield* Effect.forkDetach(Effect.exit(sql`select pg_sleep(0.01)`))
              return
            default:
              return yield* Effect.asVoid(
                Effect.exit(sql.withTransaction(Effect.andThen(sql`select 1 / 0`, Effect.never)))
              )
          }
        })
      )
      yield* Effect.gen(function* () {
        const handles = yield* Task.enqueueAll(
          wild,
          Array.from({ length: 160 }, (_, number) => number)
        )
        yield* Effect.forEach(
          handles,
          (handle) =>
            Effect.gen(function* () {
              yield* Effect.sleep(yield* Random.nextIntBetween(0, 2000))
              if ((yield* Random.nextBoolean) && (yield* handle.cancel)) yield* Task.requeue([handle.id])
            }),
          { concurrency: "unbounded", discard: true }
        ).pipe(Random.withSeed("sessions"))
        yield* Effect.forEach(handles, (handle) => handle.await)
        for (const { status } of handles) assert.isTrue(TaskState.isEnded(yield* status))
        assert.deepStrictEqual(yield* busy, [])
        const names = ["a", "b", "c"]
        yield* QueryPool.all(
          names.map((name) => Query.make(name, (sql) => sql`select pg_sleep(0.01)`)),
          { concurrency: 3 }
        )
      }).pipe(Effect.provide(running(handler, { concurrency: 6 })))
    })
  )

  it.effect("are run once where a handler blocks the event loop for longer than the lease", () =>
    Effect.gen(function* () {
      const ran: Array<number> = []
      const blocking = Task.make("blocking", { payload: Schema.Finite, session: "none" })
      const handler = Task.toLayer(blocking, (number) =>
        Effect.gen(function* () {
          ran.push(number)
          const until = performance.now() + (number === 1 ? 2000 : 0)
          while (performance.now() < until);
          yield* Effect.sleep(50)
        })
      )
      yield* Effect.gen(function* () {
        const handles = yield* Task.enqueueAll(blocking, [1, 2, 3])
        const exits = yield* Effect.forEach(handles, (handle) => handle.await)
        assert.deepStrictEqual(exits, [Exit.void, Exit.void, Exit.void])
        assert.deepStrictEqual(ran, [1, 2, 3])
      }).pipe(Effect.provide(running(handler, { lease: "500 millis" })))
    })
  )
})
