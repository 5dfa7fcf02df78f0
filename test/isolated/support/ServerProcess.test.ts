import { assert, describe, it } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Exit, Fiber, Layer } from "effect"
import { EmbeddedPostgres } from "querypool/embedded"
import * as Faults from "../../support/Faults.ts"
import * as Server from "../../support/Server.ts"
import * as ServerProcess from "../../support/ServerProcess.ts"

const startServer = (settings?: Readonly<Record<string, string | number | boolean>>) =>
  Effect.map(Layer.build(EmbeddedPostgres.layer({ settings })), Context.get(EmbeddedPostgres))

const isRefused = Effect.fnUntraced(function* (server: EmbeddedPostgres["Service"]) {
  return Exit.isFailure(yield* Effect.exit(Effect.scoped(PgConnection.make({ url: server.url }))))
})

describe("a server of the test's own", () => {
  it.effect("has no connection left when it is exhausted, and some when the scope closes", () =>
    Effect.gen(function* () {
      const embedded = yield* startServer({ max_connections: 8 })
      const server = yield* Server.make(embedded.url)
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* server.exhaust, 7)
        const refused = yield* Effect.flip(PgConnection.make({ url: embedded.url }))
        assert.deepInclude(refused.reason.cause, { code: "53300" })
      }).pipe(Effect.scoped)
      yield* server.until({ applicationName: "taker of connections" }, "gone")
      yield* PgConnection.make({ url: embedded.url })
    })
  )

  it.effect.each(["fast", "immediate", "kill -9"] as const)(
    "stops (%s), is away, and starts again with its data on the same port",
    (how) =>
      Effect.gen(function* () {
        const embedded = yield* startServer()
        const server = yield* ServerProcess.make(embedded)
        const connection = yield* PgConnection.make({ url: embedded.url })
        yield* connection.query("create table kept as select 42 as answer")
        yield* connection.query("checkpoint")
        const busy = yield* Effect.forkChild(connection.query("select pg_sleep(600)"))
        const observer = yield* Server.make(embedded.url)
        yield* observer.until({ applicationName: "@effect/sql-pg" }, "active")
        yield* how === "kill -9" ? server.kill : server.stop(how)
        assert.isTrue(yield* isRefused(embedded))
        assert.isTrue(Exit.isFailure(yield* Fiber.await(busy)))
        yield* server.start
        assert.notStrictEqual(server.postmaster(), embedded.processId)
        const next = yield* PgConnection.make({ url: embedded.url })
        assert.deepStrictEqual(yield* next.queryValues("select answer from kept"), [[42]])
        // A second time, the process that ends is one that was started here.
        yield* server.stop()
        yield* server.start
      })
  )

  it.effect("ends every session when one backend is killed, and recovers", () =>
    Effect.gen(function* () {
      const embedded = yield* startServer()
      const server = yield* ServerProcess.make(embedded)
      const [victim, bystander] = yield* Effect.all([
        PgConnection.make({ url: embedded.url, applicationName: "victim" }),
        PgConnection.make({ url: embedded.url, applicationName: "bystander" })
      ])
      const [row] = yield* victim.queryValues("select pg_backend_pid()")
      const busy = yield* Effect.forkChild(bystander.query("select pg_sleep(600)"))
      yield* (yield* Server.make(embedded.url)).until({ applicationName: "bystander" }, "active")
      yield* server.killBackend(Number(row?.[0]))
      assert.isTrue(Exit.isFailure(yield* Fiber.await(busy)))
      yield* server.ready
      assert.strictEqual(server.postmaster(), embedded.processId)
    })
  )

  it.effect("is reached again, through a proxy, by whoever connects after its restart", () =>
    Effect.gen(function* () {
      const embedded = yield* startServer()
      const server = yield* ServerProcess.make(embedded)
      const faults = yield* Faults.make({ host: embedded.host, port: embedded.port })
      const connect = PgConnection.make({ url: faults.through(embedded.url) })
      const connection = yield* connect
      yield* server.stop("fast")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.query("select 1"))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connect)))
      yield* server.start
      assert.deepStrictEqual(yield* (yield* connect).queryValues("select 1"), [[1]])
    })
  )
})
