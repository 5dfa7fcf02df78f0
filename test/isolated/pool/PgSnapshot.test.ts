import { assert, describe, it } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { PgQueryPool, Query, QueryError, QueryPool } from "querypool"
import { EmbeddedPostgres } from "querypool/embedded"
import * as ServerProcess from "../../support/ServerProcess.ts"

const one = Query.make("one", (sql) => Effect.map(sql<{ one: number }>`select 1 as one`, ([row]) => row?.one))

const startServer = (settings?: Readonly<Record<string, number>>) =>
  Effect.map(Layer.build(EmbeddedPostgres.layer({ settings })), Context.get(EmbeddedPostgres))

describe("a run with a snapshot", () => {
  it.effect("is refused on a standby, unless that is allowed", () =>
    Effect.gen(function* () {
      const embedded = yield* startServer()
      yield* ServerProcess.degrade(embedded)
      const pool = PgQueryPool.layer({ url: embedded.url })
      const error = yield* Effect.flip(Effect.provide(QueryPool.all([one], { snapshot: true }), pool))
      assert.match(error.message, /the server is a standby: a snapshot on it holds back its replay/)
      assert.match(error.message, /hint: run it on the primary, or allow it by `snapshot: \{ allowStandby: true \}`/)
      const allowed = QueryPool.all([one, one], { snapshot: { allowStandby: true } })
      assert.deepStrictEqual(yield* Effect.provide(allowed, pool), [1, 1])
    })
  )

  it.effect("is not continued on a server that was started again, whatever names its snapshots have", () =>
    Effect.gen(function* () {
      const embedded = yield* startServer()
      const server = yield* ServerProcess.make(embedded)
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const first = Query.make("first", (sql) =>
        Effect.andThen(Effect.andThen(sql`select 1`, Deferred.succeed(begun, undefined)), Deferred.await(go))
      )
      yield* Effect.gen(function* () {
        const run = yield* Effect.forkChild(
          QueryPool.all([first, one, one], { concurrency: 1, snapshot: true, mode: "outcome" })
        )
        yield* Deferred.await(begun)
        yield* server.stop("immediate")
        yield* server.start
        // Others export theirs now, from the places that the run's leader had among the processes of the server.
        const others = yield* Effect.replicateEffect(PgConnection.make({ url: embedded.url }), 12)
        for (const other of others) {
          yield* other.query("begin isolation level repeatable read", [], false)
          for (let count = 0; count < 3; count++) yield* other.query("select pg_export_snapshot()", [], false)
        }
        yield* Deferred.succeed(go, undefined)
        const [, ...later] = yield* Fiber.join(run)
        for (const outcome of later) {
          assert.strictEqual(outcome._tag, "Failed")
          const error = outcome._tag === "Failed" ? outcome.error : undefined
          assert.strictEqual(error instanceof QueryError.QueryError ? error.reason._tag : undefined, "SnapshotLost")
        }
      }).pipe(Effect.provide(PgQueryPool.layer({ url: embedded.url })))
    })
  )

  it.effect("takes one connection more than its pool, and no other", () =>
    Effect.gen(function* () {
      // Of these the server keeps some for superusers only where it is told to.
      const embedded = yield* startServer({ max_connections: 5, superuser_reserved_connections: 0 })
      const sleeps = Query.make("sleeps", (sql) => Effect.as(sql`select pg_sleep(0.05)`, 1))
      const run = QueryPool.all(
        Array.from({ length: 12 }, () => sleeps),
        { concurrency: 4, snapshot: true }
      )
      const answers = yield* Effect.provide(run, PgQueryPool.layer({ url: embedded.url, maxConnections: 4 }))
      assert.lengthOf(answers, 12)
    })
  )
})
