import { assert, layer } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Exit, Fiber } from "effect"
import * as Pg from "../../support/Pg.ts"
import * as Server from "../../support/Server.ts"

const makeBench = Effect.gen(function* () {
  const { applicationName, url } = yield* Pg.Pg
  const server = yield* Server.make(url)
  return { applicationName, server, connect: PgConnection.make({ url, applicationName }) }
})

const pidOf = (connection: PgConnection.PgConnection) =>
  Effect.map(connection.queryValues("select pg_backend_pid()"), ([row]) => Number(row?.[0]))

const sleeping = "select pg_sleep(600)"

/** A transaction around its first statements, committed or rolled back with them. */
const transaction = Effect.fnUntraced(function* (
  connection: PgConnection.PgConnection,
  part: (run: Server.Run<unknown, never>) => Effect.Effect<void, unknown>
) {
  yield* connection.query("begin")
  const exit = yield* Effect.exit(part((sql) => connection.query(sql)))
  yield* connection.query(Exit.isSuccess(exit) ? "commit" : "rollback")
  return exit
})

layer(Pg.layer("Server"), { excludeTestServices: true })("the observer of a server", (it) => {
  it.effect("ends a backend by its process id, and all backends of a name", () =>
    Effect.gen(function* () {
      const { applicationName, connect, server } = yield* makeBench
      const [one, other, another] = yield* Effect.all([connect, connect, connect])
      const pid = yield* pidOf(one)
      assert.strictEqual(yield* server.terminate({ pid }), 1)
      yield* server.until({ pid }, "gone")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(one.query("select 1"))))
      yield* other.query("select 1")
      assert.strictEqual(yield* server.terminate({ applicationName }), 2)
      yield* server.until({ applicationName }, "gone")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(another.query("select 1"))))
      assert.strictEqual(yield* server.terminate({ applicationName }), 0)
    })
  )

  it.effect("cancels a statement and leaves its session", () =>
    Effect.gen(function* () {
      const { connect, server } = yield* makeBench
      const connection = yield* connect
      const pid = yield* pidOf(connection)
      const busy = yield* Effect.forkChild(connection.query(sleeping))
      yield* server.until({ pid }, "active")
      assert.strictEqual(yield* server.cancel({ pid }), 1)
      assert.include(String(yield* Fiber.await(busy)), "canceling statement due to user request")
      yield* server.until({ pid }, "idle")
      assert.strictEqual(yield* pidOf(connection), pid)
    })
  )

  it.effect("holds a lock until told, and sees who waits for it", () =>
    Effect.gen(function* () {
      const { applicationName, connect, server } = yield* makeBench
      const connection = yield* connect
      const { release } = yield* server.hold("lock table account in access exclusive mode")
      yield* connection.query("begin")
      yield* server.until({ applicationName }, "idle in transaction")
      const reading = yield* Effect.forkChild(connection.query("select from account where id = 1"))
      yield* server.until({ applicationName }, "waiting for a lock")
      assert.isUndefined(reading.pollUnsafe())
      yield* release
      yield* Fiber.join(reading)
    })
  )

  it.effect("gives locks back with the scope", () =>
    Effect.gen(function* () {
      const { connect, server } = yield* makeBench
      const connection = yield* connect
      yield* Effect.scoped(server.hold("lock table account in access exclusive mode"))
      yield* connection.query("begin")
      yield* connection.query("lock table account in access exclusive mode")
      yield* connection.query("rollback")
    })
  )

  it.effect.each([
    { code: "40P01", kind: "deadlock" },
    { code: "40001", kind: "serializationFailure" }
  ] as const)("makes the one who is meant fail with $code, and not again", ({ code, kind }) =>
    Effect.gen(function* () {
      const { connect, server } = yield* makeBench
      const [one, other] = yield* Effect.all([connect, connect])
      const { survivor, victim } = yield* server[kind]
      const [failed, succeeded] = yield* Effect.all([transaction(one, victim), transaction(other, survivor)], {
        concurrency: 2
      })
      assert.include(JSON.stringify(failed), `"code":"${code}"`)
      assert.isTrue(Exit.isSuccess(succeeded))
      assert.isTrue(Exit.isSuccess(yield* transaction(one, victim)))
    })
  )
})
