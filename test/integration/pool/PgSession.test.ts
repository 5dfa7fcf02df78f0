import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Latch, Schema, Stream } from "effect"
import { Query } from "querypool"
import * as Pg from "../../support/Pg.ts"

const backendPid = Query.make("which backend", (sql) =>
  Effect.map(sql<{ readonly pid: number }>`select pg_backend_pid() as pid`, ([row]) => row?.pid)
)

/** Everything about a session that a unit could have changed, and that must be as in a new one. */
const stateOfSession = Query.make("state of the session", (sql) =>
  Effect.map(
    sql`select
      current_setting('work_mem') as setting,
      current_setting('search_path') as path,
      current_setting('querypool.own', true) as own,
      current_user::text as role, session_user::text as login,
      (select count(*)::int from pg_class where relnamespace = pg_my_temp_schema()) as temporary,
      (select count(*)::int from pg_prepared_statements where from_sql) as prepared,
      (select count(*)::int from pg_cursors where is_holdable) as cursors,
      (select count(*)::int from pg_listening_channels()) as channels,
      (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
      current_setting('transaction_read_only') as readonly`,
    ([row]) => row
  )
)

const clean = {
  setting: "4MB",
  path: '"$user", public',
  role: "postgres",
  login: "postgres",
  temporary: 0,
  prepared: 0,
  cursors: 0,
  channels: 0,
  locks: 0,
  readonly: "off"
}

interface Change {
  readonly what: string
  readonly statements: ReadonlyArray<string>
  /** What becomes of the connection. */
  readonly connection: "kept" | "replaced" | "either"
  readonly reset?: "always"
}

const changes: ReadonlyArray<Change> = [
  { what: "SET", statements: ["set work_mem = '5MB'"], connection: "kept" },
  { what: "a setting of one's own", statements: ["set querypool.own = 'mine'"], connection: "kept" },
  {
    what: "SET LOCAL in a transaction",
    statements: ["begin", "set local work_mem = '5MB'", "commit"],
    connection: "kept"
  },
  { what: "SET in a transaction", statements: ["begin", "set work_mem = '5MB'", "commit"], connection: "kept" },
  { what: "SET behind a comment", statements: ["/* x */ -- y\n set work_mem = '5MB'"], connection: "kept" },
  {
    what: "SET SESSION CHARACTERISTICS",
    statements: ["set session characteristics as transaction read only"],
    connection: "kept"
  },
  { what: "a temporary table", statements: ["create temp table t (a int)"], connection: "kept" },
  { what: "SELECT INTO TEMP", statements: ["select 1 as a into temp t"], connection: "kept" },
  { what: "SELECT INTO pg_temp", statements: ["select 1 as a into pg_temp.t"], connection: "kept" },
  {
    what: "EXPLAIN ANALYZE of a temporary table",
    statements: ["explain analyze create temp table t as select 1"],
    connection: "kept"
  },
  { what: "PREPARE", statements: ["prepare p as select 1"], connection: "kept" },
  { what: "LISTEN", statements: ["listen c"], connection: "kept" },
  {
    what: "a WITH HOLD cursor",
    statements: ["begin", "declare c cursor with hold for select 1", "commit"],
    connection: "kept"
  },
  { what: "an advisory lock", statements: ["select pg_advisory_lock(1)"], connection: "kept" },
  { what: "a shared advisory lock, tried", statements: ["select pg_try_advisory_lock_shared(1)"], connection: "kept" },
  { what: "a function under a quoted name", statements: [`select "pg_advisory_lock"(1)`], connection: "kept" },
  { what: "SET ROLE", statements: ["set role pg_monitor"], connection: "kept" },
  { what: "SET SESSION AUTHORIZATION", statements: ["set session authorization pg_monitor"], connection: "kept" },
  { what: "set_config", statements: ["select set_config('work_mem', '5MB', false)"], connection: "kept" },
  {
    what: "set_config in a CTE",
    statements: ["with x as (select set_config('work_mem', '5MB', false)) select * from x"],
    connection: "kept"
  },
  { what: "a search_path full of traps", statements: ["set search_path = pg_temp, public"], connection: "kept" },
  { what: "an open BEGIN", statements: ["begin", "insert into account values (-1, 'open', 0)"], connection: "kept" },
  {
    what: "an open transaction behind COMMIT AND CHAIN",
    statements: ["begin", "commit and chain"],
    connection: "kept"
  },
  { what: "a transaction that failed", statements: ["begin", "select 1/0"], connection: "kept" },
  {
    what: "a transaction that was begun twice",
    statements: ["begin", "begin", "set local work_mem = '5MB'"],
    connection: "kept"
  },
  { what: "START TRANSACTION READ ONLY", statements: ["start transaction read only"], connection: "kept" },
  { what: "a default of read only", statements: ["set default_transaction_read_only = on"], connection: "kept" },
  { what: "DISCARD ALL", statements: ["discard all"], connection: "replaced" },
  { what: "DEALLOCATE ALL", statements: ["deallocate all"], connection: "replaced" },
  { what: "DO that sets", statements: ["do $$ begin set work_mem = '5MB'; end $$"], connection: "kept" },
  {
    what: "a function that hides set_config",
    statements: ["select hidden_setting()"],
    connection: "kept",
    reset: "always"
  },
  { what: "a function that hides a lock", statements: ["select hidden_lock(1)"], connection: "kept", reset: "always" },
  {
    what: "a timeout too short for the reset",
    statements: ["set statement_timeout = 1", "select pg_advisory_lock(1)"],
    connection: "either"
  }
]

layer(Pg.layer("PgSession"), { excludeTestServices: true })("a session", (it) => {
  describe("that a unit has changed is as new for the next one:", () => {
    it.effect.each(changes)("$what", ({ connection, reset, statements }) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const before = yield* backendPid
        yield* Effect.exit(
          Query.make("changes", (sql) => Effect.forEach(statements, (statement) => sql.unsafe(statement)))
        )
        const { own, ...state } = (yield* stateOfSession) ?? { own: "nothing" }
        assert.deepStrictEqual(state, clean)
        assert.oneOf(own, [null, ""])
        assert.deepInclude((yield* observer.backends)[0], { state: "idle" })
        const after = yield* backendPid
        if (connection === "kept") assert.strictEqual(after, before)
        if (connection === "replaced") assert.notStrictEqual(after, before)
        assert.strictEqual(yield* observer.value("select count(*)::int from account where id < 0"), 0)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, reset })))
    )
  })

  it.effect.each([
    { what: "a lookup", mode: undefined, sql: "select 1 as one", last: "select 1 as one" },
    { what: "a transaction", mode: "transaction", sql: "select 2 as two", last: "COMMIT" },
    { what: "a setting", mode: undefined, sql: "set work_mem = '5MB'", last: "DO" }
  ] as const)(
    "is reset only where it may have to be: the last statement of $what is $last",
    ({ last, mode, sql: text }) =>
      Effect.gen(function* () {
        yield* Query.make("one statement", (sql) => sql.unsafe(text), { mode })
        const [backend] = yield* (yield* Pg.Pg).observer.backends
        assert.strictEqual(backend?.query.startsWith(last), true, backend?.query)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("is the same for a query in the body of another, whose transaction and settings it sees", () =>
    Effect.gen(function* () {
      const inner = Query.make("inner", (sql) =>
        Effect.map(
          sql<{ readonly pid: number; readonly mem: string; readonly balance: number }>`
            select pg_backend_pid() as pid, current_setting('work_mem') as mem, balance from account where id = 1`,
          ([row]) => row
        )
      )
      const rows = Query.stream({
        name: "inner rows",
        schema: Schema.Struct({ pid: Schema.Finite, n: Schema.Finite }),
        statement: (sql) => sql`select pg_backend_pid() as pid, n from generate_series(1, 3) n`
      })
      const seen = yield* Query.make(
        "outer",
        Effect.fnUntraced(function* (sql) {
          yield* sql`set local work_mem = '6MB'`
          yield* sql`update account set balance = 7 where id = 1`
          return { pid: yield* backendPid, inner: yield* inner, rows: yield* Stream.runCollect(rows) }
        }),
        { mode: "transaction" }
      )
      assert.deepStrictEqual(seen.inner, { pid: seen.pid ?? 0, mem: "6MB", balance: 7 })
      assert.deepStrictEqual(
        seen.rows,
        [1, 2, 3].map((n) => ({ pid: seen.pid ?? 0, n }))
      )
      const { observer } = yield* Pg.Pg
      assert.lengthOf(yield* observer.backends, 1)
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 3 })))
  )

  it.effect("goes on to serve others after an error of one query", () =>
    Effect.gen(function* () {
      const before = yield* backendPid
      const failing = Query.make("divides", (sql) => sql`select 1 / 0`)
      const error = yield* Effect.flip(failing)
      assert.strictEqual(error.reason._tag === "Rejected" ? error.reason.sqlState : error.reason._tag, "22012")
      assert.strictEqual(error.connection, "usable")
      assert.strictEqual(yield* backendPid, before)
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("goes on to serve its own unit after an error that the unit handles", () =>
    Effect.gen(function* () {
      const answer = yield* Query.make("careful", (sql) =>
        Effect.catch(sql`select 1 / 0 as n`, () => sql`select 42 as n`)
      )
      assert.deepStrictEqual(answer, [{ n: 42 }])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("lets the statements of two fibers of its unit take turns", () =>
    Effect.gen(function* () {
      const results = yield* Query.make("many fibers", (sql) =>
        Effect.forEach(
          Array.from({ length: 50 }, (_, n) => n),
          (n) =>
            Effect.orElseSucceed(
              Effect.map(
                sql<{
                  readonly n: number
                }>`select case ${n}::int % 10 when 3 then 1 / (random() * 0)::int else ${n}::int end as n`,
                ([row]) => row?.n
              ),
              () => "failed"
            ),
          { concurrency: "unbounded" }
        )
      )
      assert.deepStrictEqual(
        results,
        Array.from({ length: 50 }, (_, n) => (n % 10 === 3 ? "failed" : n))
      )
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("keeps a fiber's statement out of the transaction that another fiber has open", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      yield* Query.make("two fibers", (sql) =>
        Effect.gen(function* () {
          const inside = yield* Deferred.make<void>()
          const mayEnd = yield* Latch.make()
          const first = yield* Effect.forkChild(
            sql.withTransaction(
              Effect.gen(function* () {
                yield* sql`insert into account values (-3, 'rolled back', 0)`
                yield* Deferred.succeed(inside, undefined)
                yield* mayEnd.await
                order.push("transaction")
                return yield* Effect.fail("rolls back" as const)
              })
            )
          )
          yield* Deferred.await(inside)
          const second = yield* Effect.forkChild(
            Effect.tap(sql`insert into account values (-4, 'kept', 0)`, () =>
              Effect.sync(() => order.push("statement"))
            ),
            { startImmediately: true }
          )
          const third = yield* Effect.forkChild(
            Effect.tap(
              Stream.runCollect(sql`select count(*)::int as n from account where id in (-3, -4)`.stream),
              (rows) => Effect.sync(() => order.push(`stream ${JSON.stringify(rows)}`))
            ),
            { startImmediately: true }
          )
          yield* mayEnd.open
          assert.strictEqual(yield* Effect.flip(Fiber.join(first)), "rolls back")
          yield* Fiber.join(second)
          yield* Fiber.join(third)
        })
      )
      assert.deepStrictEqual(order, ["transaction", "statement", 'stream [{"n":1}]'])
      const { observer } = yield* Pg.Pg
      assert.deepStrictEqual(yield* observer.rows("delete from account where id < 0 returning id"), [{ id: -4 }])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )
})
