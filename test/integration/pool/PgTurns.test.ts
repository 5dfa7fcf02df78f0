import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Query, QueryPool } from "querypool"
import * as Pg from "../../support/Pg.ts"

const table = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`drop table if exists kept`
  yield* sql`create table kept (n int)`
})
const kept = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return (yield* sql<{ readonly n: number }>`select n from kept order by n`).map((row) => row.n)
})

/** A fiber that does nothing for so many steps: it moves the moments at which others come to their turn. */
const steps = (count: number) =>
  Effect.gen(function* () {
    for (let step = 0; step < count; step++) yield* Effect.void
  })

describe("fibers of one unit on its session", () => {
  layer(Pg.layer("PgTurns"), { excludeTestServices: true })("take turns", (it) => {
    it.effect("never lose a write in another fiber's transaction, however they interleave", () =>
      Effect.gen(function* () {
        yield* table
        const lost: Array<number> = []
        for (let count = 1000; count < 1120; count++) {
          const done = yield* Query.make("siblings", (sql) =>
            Effect.all(
              [
                Effect.andThen(steps(count), sql`insert into kept values (${count})`),
                Effect.exit(
                  sql.withTransaction(Effect.andThen(sql`select pg_sleep(0.001)`, Effect.fail("rolled back" as const)))
                )
              ],
              { concurrency: 2 }
            )
          )
          assert.isTrue(Exit.isFailure(done[1]))
          const sql = yield* SqlClient.SqlClient
          const found = yield* sql`select 1 from kept where n = ${count}`
          if (found.length !== 1) lost.push(count)
        }
        assert.deepStrictEqual(lost, [])
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("keep a statement of the transaction out of a savepoint that another fiber rolls back", () =>
      Effect.gen(function* () {
        yield* table
        yield* Query.make(
          "savepoint",
          (sql) =>
            Effect.gen(function* () {
              const opened = yield* Deferred.make<void>()
              const inner = sql.withTransaction(
                sql`insert into kept values (1)`.pipe(
                  Effect.andThen(Deferred.succeed(opened, undefined)),
                  Effect.andThen(sql`select pg_sleep(0.02)`),
                  Effect.andThen(Effect.fail("rolled back" as const))
                )
              )
              const outer = Effect.andThen(Deferred.await(opened), sql`insert into kept values (2)`)
              yield* Effect.all([Effect.exit(inner), outer], { concurrency: 2 })
            }),
          { mode: "transaction" }
        )
        assert.deepStrictEqual(yield* kept, [2])
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("leave an open transaction to nobody when its COMMIT was interrupted before it was sent", () =>
      Effect.gen(function* () {
        yield* table
        yield* Query.make("interrupted commit", (sql) =>
          Effect.gen(function* () {
            yield* sql`begin`
            yield* sql`insert into kept values (1)`
            const slow = yield* Effect.forkChild(sql`select pg_sleep(0.2)`)
            const commit = yield* Effect.forkChild(sql`commit`)
            yield* Effect.yieldNow
            yield* Fiber.interrupt(commit)
            yield* Fiber.await(slow)
          })
        )
        yield* Query.make("insert", (sql) => sql`insert into kept values (2)`)
        assert.include(yield* kept, 2)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("may reserve the session they are on", () =>
      Effect.gen(function* () {
        const outside = yield* Query.make("reserve", (sql) =>
          Effect.scoped(Effect.andThen(sql.reserve, sql<{ readonly one: number }>`select 1 as one`))
        )
        assert.deepStrictEqual(outside, [{ one: 1 }])
        const sql = yield* SqlClient.SqlClient
        const inside = yield* sql.withTransaction(
          Effect.scoped(Effect.andThen(sql.reserve, sql<{ readonly one: number }>`select 1 as one`))
        )
        assert.deepStrictEqual(inside, [{ one: 1 }])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 2 })))
    )

    it.effect("get a typed error, and no defect, when a handled failure has aborted the outer transaction", () =>
      Effect.gen(function* () {
        yield* table
        const query = Query.make(
          "handled",
          (sql) =>
            Effect.andThen(sql.withTransaction(Effect.ignore(sql`select 1 / 0`)), sql`insert into kept values (1)`),
          { mode: "transaction" }
        )
        const exit = yield* Effect.exit(query)
        assert.isTrue(Exit.isFailure(exit))
        const error = yield* Effect.flip(query)
        assert.strictEqual(error.reason._tag, "Rejected")
        assert.deepStrictEqual(yield* kept, [])
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("fail a ROLLBACK of the user's own that the server refuses", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(
          Query.make("own rollback", (sql) => Effect.andThen(sql`begin`, sql.unsafe("ROLLBACK TO nowhere").unprepared))
        )
        assert.strictEqual(error.reason._tag, "Rejected")
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("go on behind a ROLLBACK of the user's own, however it is sent", () =>
      Effect.gen(function* () {
        yield* table
        const left = Query.make("left", (sql) =>
          Effect.gen(function* () {
            yield* sql`begin`
            yield* sql`insert into kept values (1)`
            yield* sql.unsafe("ROLLBACK").unprepared
            return yield* sql`select * from kept`
          })
        )
        assert.deepStrictEqual(yield* left, [])
        const within = Query.make(
          "within",
          (sql) =>
            Effect.gen(function* () {
              yield* sql`insert into kept values (1)`
              yield* sql.unsafe("ROLLBACK").unprepared
              return yield* sql`select * from kept`
            }),
          { mode: "transaction" }
        )
        assert.deepStrictEqual(yield* within, [])
        assert.deepStrictEqual(yield* kept, [])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("begin a transaction in the user's own words", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const level = sql<{ readonly transaction_isolation: string }>`show transaction_isolation`
        const query = Query.make("serializable", () => level, { mode: "transaction" }).pipe(
          Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL SERIALIZABLE")
        )
        assert.deepStrictEqual(yield* query, [{ transaction_isolation: "serializable" }])
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("let the readers of streams run queries of the same run", () =>
      Effect.gen(function* () {
        const Row = Schema.Struct({ i: Schema.Finite })
        const rows = Query.stream({
          name: "rows",
          schema: Row,
          statement: (sql) => sql`select i from generate_series(1, 5) i`
        })
        const one = Query.make("one", (sql) => sql`select 1`)
        const members = Array.from({ length: 5 }, () => Stream.runForEach(rows, () => one))
        const report = yield* QueryPool.report(members, { concurrency: 5 })
        assert.strictEqual(report.queries.filter((query) => query.outcome === "Succeeded").length, 30)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 10 })))
    )
  })
})
