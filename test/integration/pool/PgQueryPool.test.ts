import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Redacted, Result, Schedule, Schema, Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { PgQueryPool, Query, QueryPool } from "querypool"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { inspect } from "node:util"
import * as Pg from "../../support/Pg.ts"

const backendPid = Query.make("which backend", (sql) =>
  Effect.map(sql<{ readonly pid: number }>`select pg_backend_pid() as pid`, ([row]) => row?.pid)
)
const sleeps = Query.make("sleeps", (sql) => sql`select pg_sleep(600)`)

/** Waits for the advisory lock that the observer may hold. */
const waits = (key: number) => Query.make("waits", (sql) => sql`select pg_advisory_xact_lock(${key})`)

const holding = <A, E, R>(key: number, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { observer } = yield* Pg.Pg
    return yield* Effect.acquireUseRelease(
      observer.hold(key),
      () => effect,
      () => observer.release(key)
    )
  })

/** Ends the backend of a query that waits for a lock. */
const lost = <A, E>(query: Effect.Effect<A, E, QueryPool.QueryPool>) =>
  Effect.gen(function* () {
    const { observer } = yield* Pg.Pg
    const fiber = yield* Effect.forkChild(Effect.result(query))
    const { pid } = yield* observer.seen("it waits", (backend) => backend.wait === "Lock:advisory")
    yield* observer.terminate(pid)
    return yield* Fiber.join(fiber)
  })

layer(Pg.layer("PgQueryPool"), { excludeTestServices: true })("a pool on PostgreSQL", (it) => {
  it.effect("connects only when the first query runs", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* QueryPool.QueryPool
      assert.lengthOf(yield* observer.backends, 0)
      yield* backendPid
      assert.lengthOf(yield* observer.backends, 1)
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("opens, for a server that it cannot reach, and tells when the first query runs", () =>
    Effect.gen(function* () {
      const server = createServer().listen(0, "127.0.0.1")
      const { port } = yield* Effect.promise(
        () =>
          new Promise<AddressInfo>((resolve) =>
            server.once("listening", () => resolve(server.address() as AddressInfo))
          )
      )
      yield* Effect.promise(() => new Promise((resolve) => server.close(resolve)))
      const error = yield* Effect.flip(backendPid).pipe(
        Effect.provide(PgQueryPool.layer({ url: Redacted.make(`postgres://postgres@127.0.0.1:${port}/postgres`) }))
      )
      assert.strictEqual(error.reason._tag, "ConnectFailed")
      assert.match(error.message, /^Query "which backend" failed: .*ECONNREFUSED/)
      assert.deepInclude(error, { connection: "gone" })
    })
  )

  it.effect("says which password is wrong without saying the password", () =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const wrong = new URL(Redacted.value(url))
      wrong.password = "hunter2secret"
      const error = yield* Effect.flip(backendPid).pipe(
        Effect.provide(PgQueryPool.layer({ url: Redacted.make(wrong.href) }))
      )
      assert.deepInclude(error.reason, { _tag: "ConnectFailed", sqlState: "28P01" })
      for (const text of [error.message, String(error), JSON.stringify(error), inspect(error, { depth: 10 })]) {
        assert.notInclude(text, "hunter2secret")
      }
    })
  )

  it.effect("never has more connections than it may, whatever its queries do", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const most: Array<number> = []
      const polls = observer.backends.pipe(
        Effect.map((all) => most.push(all.length)),
        Effect.repeat(Schedule.forever)
      )
      const load = QueryPool.all(
        Array.from({ length: 400 }, (_, n) =>
          n % 7 === 0
            ? Query.make("discards", (sql) => sql`discard all`)
            : n % 7 === 1
              ? Query.make("fails", (sql) => sql`select 1 / 0`)
              : n % 7 === 2
                ? Effect.timeoutOption(sleeps, "2 millis")
                : n % 7 === 3
                  ? Query.make("dies", (sql) =>
                      Effect.andThen(backendPid, (pid) => sql`select pg_terminate_backend(${pid})`)
                    )
                  : backendPid
        ),
        { concurrency: 20, mode: "outcome" }
      )
      yield* Effect.raceFirst(load, polls)
      assert.isAbove(Math.max(...most), 1)
      assert.isAtMost(Math.max(...most), 3)
      assert.lengthOf(yield* QueryPool.all([backendPid, backendPid, backendPid]), 3)
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 3 })))
  )

  describe("stops on the server", () => {
    it.effect("a query that is interrupted, before its fiber ends, and goes on to serve", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const fiber = yield* Effect.forkChild(sleeps)
        const { pid } = yield* observer.seen("it sleeps", (backend) => backend.query.includes("pg_sleep(600)"))
        yield* Fiber.interrupt(fiber)
        const backends = yield* observer.backends
        assert.isFalse(backends.some((backend) => backend.pid === pid && backend.state === "active"))
        assert.notStrictEqual(yield* backendPid, pid)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("the others of a run whose first has failed", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const fails = Query.make("fails", (sql) =>
          Effect.andThen(
            observer.seen("the others sleep", (backend) => backend.query.includes("pg_sleep(600)")),
            sql`select 1 / 0`
          )
        )
        const error = yield* Effect.flip(QueryPool.all([sleeps, fails, sleeps, sleeps]))
        assert.include(String(error), "division by zero")
        const backends = yield* observer.backends
        assert.isFalse(backends.some((backend) => backend.state === "active"))
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 4 })))
    )

    it.effect("a query that waits for a lock, a stream, and one that waits for its connection", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const rows = Stream.runDrain(
          Query.stream({
            name: "rows",
            schema: Schema.Unknown,
            statement: (sql) => sql`select n, pg_sleep(0.2) from generate_series(1, 1000) n`
          })
        )
        yield* holding(
          11,
          Effect.gen(function* () {
            const blocked = yield* Effect.forkChild(waits(11))
            yield* observer.seen("it waits", (backend) => backend.wait === "Lock:advisory")
            const queued = yield* Effect.forkChild(rows, { startImmediately: true })
            yield* Fiber.interrupt(queued)
            yield* Fiber.interrupt(blocked)
            const streams = yield* Effect.forkChild(rows)
            yield* observer.seen("it streams", (backend) => backend.query.includes("generate_series"))
            yield* Fiber.interrupt(streams)
            assert.isFalse((yield* observer.backends).some((backend) => backend.state === "active"))
          })
        )
        assert.isDefined(yield* backendPid)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("a query that runs longer than a timeout of Effect lets it", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.timeout(sleeps, "20 millis"))))
        assert.isFalse((yield* observer.backends).some((backend) => backend.state === "active"))
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("gives a typed error for a connection that is lost", () => {
    it.effect.each([
      { what: "in a statement", query: waits(12) },
      {
        what: "in a transaction",
        query: Query.make("transacts", (sql) => Effect.andThen(sql`select 1`, sql`select pg_advisory_xact_lock(12)`), {
          mode: "transaction"
        })
      },
      {
        what: "in a savepoint",
        query: Query.make(
          "nests",
          (sql) => sql.withTransaction(Effect.andThen(sql`select 1`, sql`select pg_advisory_xact_lock(12)`)),
          { mode: "transaction" }
        )
      },
      {
        what: "in a stream",
        query: Stream.runDrain(
          Query.stream({
            name: "streams",
            schema: Schema.Unknown,
            statement: (sql) => sql`select n, pg_advisory_xact_lock(12) from generate_series(1, 3) n`
          })
        )
      }
    ])("$what", ({ query }) =>
      Effect.gen(function* () {
        const result = yield* holding(12, lost(query))
        const error = Result.isFailure(result) ? result.failure : undefined
        assert.strictEqual(error?._tag, "QueryError")
        assert.deepInclude(error, { connection: "gone" })
        assert.strictEqual(error?.reason._tag, "ConnectionLost")
        assert.match(error?.message ?? "", /connection/i)
        assert.isDefined(yield* backendPid)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("and for a COMMIT on it", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const query = Query.make(
          "commits",
          (sql) =>
            Effect.gen(function* () {
              const [row] = yield* sql<{ readonly pid: number }>`select pg_backend_pid() as pid`
              if (row !== undefined) yield* observer.terminate(row.pid)
            }),
          { mode: "transaction" }
        )
        const error = yield* Effect.flip(query)
        assert.strictEqual(error._tag === "QueryError" ? error.reason._tag : error._tag, "ConnectionLost")
        assert.isDefined(yield* backendPid)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("but none for one that was idle: the next query has another", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const before = yield* backendPid
        yield* observer.terminate(before ?? 0)
        const after = yield* Effect.result(backendPid)
        // The news of its end may come after it was lent: then that query says so, and the next one has another.
        if (Result.isFailure(after)) assert.strictEqual(after.failure.reason._tag, "ConnectionLost")
        assert.notStrictEqual(yield* backendPid, before)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  it.effect("closes what is idle for too long, and what has lived long enough", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const idle = yield* Layer.build(Pg.pool({ idleTimeout: 1 }))
      yield* Effect.provideContext(QueryPool.all([backendPid, backendPid]), idle)
      yield* observer.gone
      const shortLived = yield* Layer.build(Pg.pool({ maxConnections: 1, connectionTTL: 0 }))
      const first = yield* Effect.provideContext(backendPid, shortLived)
      const second = yield* Effect.provideContext(backendPid, shortLived)
      assert.notStrictEqual(first, second)
      yield* observer.gone
    })
  )

  it.effect("waits with its end for what runs, and leaves no backend", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Pg.pool({ maxConnections: 2 }), scope)
      const fiber = yield* holding(
        13,
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(Effect.provideContext(waits(13), context))
          yield* observer.seen("it waits", (backend) => backend.wait === "Lock:advisory")
          const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
          const refused = yield* Effect.flip(Effect.provideContext(backendPid, context))
          assert.include(refused.message, "The pool is closed")
          return [fiber, closing] as const
        })
      )
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber[0])))
      yield* Fiber.join(fiber[1])
      assert.lengthOf(yield* observer.backends, 0)
    })
  )

  it.effect("lets plain statements and queries share its connections in the order of asking", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const order: Array<string> = []
      const note = (what: string) => Effect.sync(() => order.push(what))
      const inside = yield* Deferred.make<void>()
      yield* holding(
        14,
        Effect.gen(function* () {
          const { observer } = yield* Pg.Pg
          const first = yield* Effect.forkChild(Effect.andThen(Deferred.succeed(inside, undefined), waits(14)))
          yield* Deferred.await(inside)
          yield* observer.seen("it waits", (backend) => backend.wait === "Lock:advisory")
          const others = yield* Effect.forEach(
            [
              Effect.tap(sql`select 1`, () => note("statement")),
              Effect.tap(backendPid, () => note("query")),
              Effect.tap(sql.withTransaction(sql`select 1`), () => note("transaction")),
              Effect.tap(Stream.runDrain(sql`select 1`.stream), () => note("stream"))
            ],
            (effect) => Effect.forkChild(effect, { startImmediately: true })
          )
          yield* observer.release(14)
          yield* Fiber.join(first)
          for (const fiber of others) yield* Fiber.await(fiber)
          yield* observer.hold(14)
        })
      )
      assert.deepStrictEqual(order, ["statement", "query", "transaction", "stream"])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )
})
