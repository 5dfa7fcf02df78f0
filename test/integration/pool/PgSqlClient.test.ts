import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Queue, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Query, QueryPool } from "querypool"
import * as Pg from "../../support/Pg.ts"

const pidOf = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ readonly pid: number }>`select pg_backend_pid() as pid`, ([row]) => row?.pid)

const insert = (sql: SqlClient.SqlClient, id: number) => sql`insert into account values (${id}, 'test', 0)`

/** Adds an account and ends in some way, as one transaction. */
const ends = <A, E>(id: number, end: Effect.Effect<A, E>) =>
  Query.make("ends", (sql) => Effect.andThen(insert(sql, id), end), { mode: "transaction" })

/** The accounts that a test has added, which are gone after that. */
const added = Effect.gen(function* () {
  const rows = yield* (yield* Pg.Pg).observer.rows("delete from account where id < 0 returning id")
  return rows.map((row) => Number(row["id"])).sort((a, b) => b - a)
})

/** A repository as people write them: it captures the client when its layer is built. */
class Accounts extends Context.Service<
  Accounts,
  {
    readonly pid: Effect.Effect<number | undefined>
    readonly insert: (id: number) => Effect.Effect<void>
  }
>()("test/Accounts") {
  static readonly layer = Layer.effect(
    Accounts,
    Effect.map(SqlClient.SqlClient, (sql) => ({
      pid: Effect.orDie(pidOf(sql)),
      insert: (id: number) => Effect.orDie(Effect.asVoid(insert(sql, id)))
    }))
  )
}

layer(Pg.layer("PgSqlClient"), { excludeTestServices: true })("the pool's SqlClient", (it) => {
  describe("outside of a query", () => {
    it.effect("runs statements and transactions, each on a session of its own", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* insert(sql, -1)
        yield* sql.withTransaction(Effect.andThen(insert(sql, -2), insert(sql, -3)))
        const exit = yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(sql, -4), Effect.fail("no"))))
        assert.deepStrictEqual(exit, Exit.fail("no"))
        assert.deepStrictEqual(yield* Stream.runCollect(sql`select 5 as n`.stream), [{ n: 5 }])
        assert.deepStrictEqual(yield* sql`select 1 as a, 2 as b`.values, [[1, 2]])
        assert.deepStrictEqual(yield* added, [-1, -2, -3])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("leaves no session behind of a statement that cannot be compiled", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        // `sql.update` without a row has no columns to name.
        const exit = yield* Effect.exit(Effect.suspend(() => sql`select ${Symbol("no parameter") as never}`))
        assert.isTrue(Exit.isFailure(exit))
        assert.isDefined(yield* pidOf(sql))
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("lets a query join a transaction", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const query = Query.make("joins", (sql) => Effect.andThen(insert(sql, -1), pidOf(sql)))
        yield* sql
          .withTransaction(
            Effect.gen(function* () {
              assert.strictEqual(yield* query, yield* pidOf(sql))
              return yield* Effect.fail("rolls back")
            })
          )
          .pipe(Effect.ignore)
        assert.deepStrictEqual(yield* added, [])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("lets a run join a transaction, whose rollback undoes all of it", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const writes = Array.from({ length: 10 }, (_, n) =>
          Query.make("writes", (sql) => insert(sql, -1 - n), { mode: n % 2 === 0 ? "transaction" : undefined })
        )
        const run = QueryPool.all(writes, { concurrency: 4 })
        yield* Effect.ignore(sql.withTransaction(Effect.andThen(run, Effect.fail("rolls back"))))
        assert.deepStrictEqual(yield* added, [])
        yield* sql.withTransaction(run)
        assert.lengthOf(yield* added, 10)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("refuses a run in the body of a query, which could wait for that query's session", () =>
      Effect.gen(function* () {
        const run = QueryPool.all([Query.make("q", (sql) => sql`select 1`)])
        for (const body of [run, Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(run))]) {
          const exit = yield* Effect.exit(
            Query.make("outer", () => Effect.asVoid<unknown, unknown, QueryPool.QueryPool | SqlClient.SqlClient>(body))
          )
          assert.match(String(exit), /A run was started inside the body of query "outer"/)
        }
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("runs what waits for a commit, after it, and forgets it with a rollback", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const seen: Array<unknown> = []
        const later = (what: string) =>
          sql.afterCommit(
            Effect.map(Effect.orDie(sql`select count(*)::int as n from account where id < 0`), ([row]) => {
              seen.push(what, row?.["n"])
            })
          )
        yield* sql.withTransaction(Effect.andThen(insert(sql, -1), later("committed")))
        yield* Effect.ignore(sql.withTransaction(Effect.andThen(later("rolled back"), Effect.fail("no"))))
        yield* Query.make("inside", (sql) => sql.withTransaction(Effect.andThen(insert(sql, -2), later("in a query"))))
        assert.deepStrictEqual(seen, ["committed", 1, "in a query", 2])
        yield* added
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("inside of a query", () => {
    it.effect("is the same one that a repository captured when its layer was built", () =>
      Effect.gen(function* () {
        const accounts = yield* Accounts
        const outside = yield* accounts.pid
        yield* Query.make(
          "uses a repository",
          (sql) =>
            Effect.gen(function* () {
              yield* sql`set local work_mem = '5MB'`
              assert.strictEqual(yield* accounts.pid, yield* pidOf(sql))
              yield* accounts.insert(-1)
              return yield* Effect.fail("rolls back")
            }),
          { mode: "transaction" }
        ).pipe(Effect.ignore)
        assert.deepStrictEqual(yield* added, [])
        assert.isDefined(outside)
      }).pipe(Effect.provide(Layer.provideMerge(Accounts.layer, Pg.pool({ maxConnections: 2 }))))
    )

    it.effect("nests transactions as savepoints", () =>
      Effect.gen(function* () {
        yield* Query.make("nests", (sql) =>
          sql.withTransaction(
            Effect.gen(function* () {
              yield* insert(sql, -1)
              yield* Effect.ignore(sql.withTransaction(Effect.andThen(insert(sql, -2), Effect.fail("only this"))))
              yield* Effect.ignore(sql.withTransaction(Effect.andThen(insert(sql, -3), sql`select 1 / 0`)))
              yield* sql.withTransaction(insert(sql, -4))
              yield* Query.make("inner", (sql) => insert(sql, -5), { mode: "transaction" })
              yield* Effect.ignore(
                Query.make("inner", (sql) => Effect.andThen(insert(sql, -6), Effect.fail("no")), {
                  mode: "transaction"
                })
              )
            })
          )
        )
        assert.deepStrictEqual(yield* added, [-1, -4, -5])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("gives the same client for a reserved connection, a stream and raw results", () =>
      Effect.gen(function* () {
        const pids = yield* Query.make("many ways", (sql) =>
          Effect.gen(function* () {
            const reserved = yield* Effect.scoped(
              Effect.flatMap(sql.reserve, (connection) => connection.executeValues("select pg_backend_pid()", []))
            )
            const streamed = yield* Stream.runCollect(sql`select pg_backend_pid() as pid`.stream)
            const unprepared = yield* sql`select pg_backend_pid() as pid`.unprepared
            return [reserved[0]?.[0], streamed[0]?.["pid"], unprepared[0]?.["pid"], yield* pidOf(sql)]
          })
        )
        assert.lengthOf(new Set(pids), 1)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 3 })))
    )
  })

  describe('with `mode: "transaction"`', () => {
    it.effect("commits when the query succeeds, and rolls back when it fails, dies or is interrupted", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* ends(-1, Effect.void)
        assert.deepStrictEqual(yield* Effect.exit(ends(-2, Effect.fail("no"))), Exit.fail("no"))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(ends(-3, Effect.die("no")))))
        const waiting = yield* Effect.forkChild(ends(-4, Effect.never))
        yield* observer.seen("the insert is done", (backend) => backend.state === "idle in transaction")
        yield* Fiber.interrupt(waiting)
        const sleeping = yield* Effect.forkChild(
          Query.make("sleeps", (sql) => Effect.andThen(insert(sql, -5), sql`select pg_sleep(600)`), {
            mode: "transaction"
          })
        )
        yield* observer.seen("it sleeps", (backend) => backend.query.includes("pg_sleep(600)"))
        yield* Fiber.interrupt(sleeping)
        assert.deepStrictEqual(yield* added, [-1])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("fails when its COMMIT was a rollback, because a statement had failed", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(
          Query.make("ignores an error", (sql) => Effect.andThen(insert(sql, -1), Effect.ignore(sql`select 1 / 0`)), {
            mode: "transaction"
          })
        )
        assert.match(error.message, /^Query "ignores an error" failed: The transaction was rolled back, not committed/)
        assert.deepInclude(error, { connection: "usable" })
        assert.deepStrictEqual(yield* added, [])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("fails when its COMMIT fails, and the session serves on", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table deferred (id int unique deferrable initially deferred); ".replace("; ", ""))
        const error = yield* Effect.flip(
          Query.make("twice", (sql) => sql`insert into deferred values (1), (1)`, { mode: "transaction" })
        )
        assert.strictEqual(error.reason._tag === "Rejected" ? error.reason.sqlState : undefined, "23505")
        assert.deepStrictEqual(yield* Query.make("next", (sql) => sql`select count(*)::int as n from deferred`), [
          { n: 0 }
        ])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  it.effect("keeps two pools apart: a query of one in the body of a query of the other has its own session", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const a = yield* Layer.build(Pg.pool({ maxConnections: 1 }))
      const b = yield* Layer.build(Pg.pool({ maxConnections: 1 }))
      const pid = Query.make("pid", pidOf)
      const both = Query.make("outer", (sql) =>
        Effect.all([
          pidOf(sql),
          pid,
          Effect.provideContext(pid, b),
          QueryPool.all([pid]).pipe(Effect.provideContext(b))
        ])
      )
      const check = Effect.gen(function* () {
        const [outer, joined, other, [ofRun]] = yield* both
        assert.strictEqual(joined, outer)
        assert.notStrictEqual(other, outer)
        assert.strictEqual(ofRun, other)
      })
      yield* Effect.provideContext(check, a)
      // A run of one query at a time: the inner query must not wait for the slot of the outer one.
      yield* QueryPool.all([check, both], { concurrency: 1 }).pipe(Effect.provideContext(a))
      assert.lengthOf(yield* observer.backends, 2)
    })
  )

  it.effect("tells who listens, over a connection beside the pool's, what another notifies", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const sql = yield* PgClient.PgClient
      yield* Effect.scoped(
        Effect.gen(function* () {
          const queue = yield* sql.listen("news")
          yield* sql.notify("news", "from the pool")
          yield* Query.make("notifies", () => sql.notify("news", "from a query"))
          yield* observer.rows("select pg_notify('news', 'from elsewhere')")
          const heard = [yield* Queue.take(queue), yield* Queue.take(queue), yield* Queue.take(queue)]
          assert.deepStrictEqual(
            heard.map(({ channel, payload }) => [channel, payload]),
            [
              ["news", "from the pool"],
              ["news", "from a query"],
              ["news", "from elsewhere"]
            ]
          )
          assert.lengthOf(yield* observer.backends, 2)
        })
      )
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("tells who listens that the connection for it is lost", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const sql = yield* PgClient.PgClient
      const error = yield* Effect.scoped(
        Effect.gen(function* () {
          const queue = yield* sql.listen("news")
          const [listener] = yield* observer.backends
          yield* observer.terminate(listener?.pid ?? 0)
          return yield* Effect.flip(Queue.take(queue))
        })
      )
      assert.strictEqual(error._tag, "SqlError")
      yield* sql.notify("news", "the pool is well")
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )
})
