import { assert, describe, layer } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, Redacted, Schedule, Stream } from "effect"
import { PgQueryPool, Query, QueryError, QueryPool, RetryPolicy } from "querypool"
import type { QueryEvent } from "querypool"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const sleeps = Query.make("sleeps", (sql) => sql`select pg_sleep(600)`)
const answers = Query.make("answers", (sql) => sql<{ readonly one: number }>`select 1 as one`)

const reasonOf = <A>(exit: Exit.Exit<A, unknown>): string => {
  const failure = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason) : undefined
  const error: unknown = failure?.error
  return error instanceof QueryError.QueryError ? error.reason._tag : "none"
}

const limit = (timeout?: "1 second") =>
  Query.make("limit", (sql) => sql<{ readonly limit: string }>`select current_setting('statement_timeout') as limit`, {
    timeout
  })

const write = (mode: "autocommit" | "readOnly", transaction: boolean) =>
  Query.make(
    "writes",
    (sql) => {
      const insert = sql`insert into notes values ('x')`
      return transaction ? sql.withTransaction(insert) : insert
    },
    { mode }
  )

const outcome = (name: string, statements: ReadonlyArray<string>, mode: "autocommit" | "transaction") =>
  Query.make(name, (sql) => Effect.forEach(statements, (statement) => sql.unsafe(statement)), { mode }).pipe(
    Effect.flip,
    Effect.map((error) => error.outcome)
  )

const lost = (on: "before" | "after") =>
  Effect.gen(function* () {
    const { observer, url } = yield* Pg.Pg
    yield* observer.rows("create table if not exists commits (id int)")
    yield* observer.rows("truncate commits")
    const target = new URL(Redacted.value(url))
    const faults = yield* Faults.make({ host: target.hostname, port: Number(target.port) })
    let cuts = 0
    const writes = Query.make(
      "writes",
      (sql) =>
        Effect.gen(function* () {
          yield* sql`insert into commits values (1)`
          if (cuts++ > 0) return
          const statement = "COMMIT"
          yield* faults.inject(Faults.cut(), {
            before:
              on === "after"
                ? Faults.fromServer("CommandComplete", { statement })
                : Faults.fromClient("Parse", { statement })
          })
        }),
      { mode: "transaction", retry: RetryPolicy.make({ on: ["ConnectionLost"], schedule: Schedule.recurs(3) }) }
    )
    const proxied = Pg.pool({}, (to) => {
      to.hostname = faults.host
      to.port = String(faults.port)
    })
    yield* Effect.provide(writes, proxied)
    return [yield* observer.value("select count(*)::int from commits"), cuts]
  })

layer(Pg.layer("PgLimits"), { excludeTestServices: true })("a pool on PostgreSQL", (it) => {
  describe("whose slots are taken", () => {
    it.effect("refuses at once who finds the queue full, and says how long the queue may be", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const running = yield* Effect.forkChild(sleeps)
        yield* observer.seen("it runs", ({ query }) => query.includes("pg_sleep"))
        const waiting = yield* Effect.forkChild(answers, { startImmediately: true })
        const { get } = yield* PgQueryPool.Statistics
        yield* waitUntil(
          "one waits",
          Effect.map(get, (now) => now.waiting === 1)
        )
        const error = yield* Effect.flip(answers)
        assert.deepInclude({ ...error.reason }, { _tag: "QueueFull", limit: 1 })
        assert.deepInclude(error, { connection: "usable", outcome: "notApplied" })
        assert.strictEqual((yield* get).refused, 1)
        yield* Fiber.interrupt(running)
        assert.deepStrictEqual(yield* Fiber.join(waiting), [{ one: 1 }])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, queueLimit: 1 })))
    )

    it.effect("fails with QueueTimeout who waits for longer than its run lets it, and goes on to serve others", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const running = yield* Effect.forkChild(sleeps)
        yield* observer.seen("it runs", ({ query }) => query.includes("pg_sleep"))
        const error = yield* Effect.flip(QueryPool.all([answers], { queueTimeout: "50 millis" }))
        assert.deepInclude({ ...error.reason }, { _tag: "QueueTimeout", afterMillis: 50 })
        yield* Fiber.interrupt(running)
        assert.deepStrictEqual(yield* answers, [{ one: 1 }])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("whose query takes too long", () => {
    it.effect("stops it on the server, and says that it was not applied, as the server confirmed", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const error = yield* Effect.flip(
          Query.make("late", (sql) => sql`select pg_sleep(600)`, { timeout: "100 millis" })
        )
        assert.deepInclude({ ...error.reason }, { _tag: "TimedOut", limit: "timeout", afterMillis: 100 })
        assert.deepInclude(error, { connection: "gone", outcome: "notApplied" })
        assert.isFalse((yield* observer.backends).some(({ state }) => state === "active"))
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("ends it by the run's deadline where that is nearer, and every other query of the run", () =>
      Effect.gen(function* () {
        const outcomes = yield* QueryPool.all([sleeps, sleeps, answers], {
          concurrency: 2,
          deadline: "150 millis",
          mode: "outcome"
        })
        const limits = outcomes.map((outcome) => outcome._tag === "Failed" && outcome.error.reason)
        for (const reason of limits) assert.deepInclude({ ...reason }, { _tag: "TimedOut", limit: "deadline" })
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("has the server end it later by itself, and leaves the next unit without a limit", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* limit(), [{ limit: "0" }])
        assert.deepStrictEqual(yield* limit("1 second"), [{ limit: "8192ms" }])
        assert.deepStrictEqual(yield* limit(), [{ limit: "0" }])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("whose query only reads", () => {
    it.effect("has the server refuse its writes, also in a transaction of its own, and lets the next one write", () =>
      Effect.gen(function* () {
        yield* Query.make("table", (sql) => sql`create table if not exists notes (note text)`)
        for (const transaction of [false, true]) {
          const error = yield* Effect.flip(write("readOnly", transaction))
          assert.deepInclude({ ...error.reason }, { _tag: "Rejected", sqlState: "25006" })
          assert.strictEqual(error.outcome, "notApplied")
          yield* write("autocommit", transaction)
        }
        const { observer } = yield* Pg.Pg
        assert.strictEqual(yield* observer.value("select count(*)::int from notes"), 2)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("whose query fails", () => {
    const table = Query.make("table", (sql) => sql`create table if not exists entries (id int primary key, note text)`)

    it.effect("says that nothing, a part, or the unknown of it is kept", () =>
      Effect.gen(function* () {
        yield* table
        const insert = "insert into entries values (1) on conflict do nothing"
        const fails = "select 1 / 0"
        assert.strictEqual(yield* outcome("first", [fails], "autocommit"), "notApplied")
        assert.strictEqual(yield* outcome("second", [insert, fails], "autocommit"), "partial")
        assert.strictEqual(yield* outcome("in a transaction", [insert, fails], "transaction"), "notApplied")
        assert.strictEqual(yield* outcome("own commit", ["begin", insert, "commit", fails], "autocommit"), "partial")
        assert.strictEqual(yield* outcome("own rollback", ["begin", insert, fails], "autocommit"), "notApplied")
        assert.strictEqual(
          yield* outcome(
            "commits on its way",
            ["do $$ begin insert into entries values (2); commit; perform 1 / 0; end $$"],
            "autocommit"
          ),
          "unknown"
        )
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect(
      "knows what the server said of it, also where the connection is lost before a slow reader hears of it",
      () =>
        Effect.gen(function* () {
          const { observer, url } = yield* Pg.Pg
          const target = new URL(Redacted.value(url))
          const faults = yield* Faults.make({ host: target.hostname, port: Number(target.port) })
          const statement = "select 1 / (100 - id) as fraction from generate_series(1, 100) id"
          const cut = yield* faults.inject(Faults.cut(), { after: Faults.fromServer("ReadyForQuery", { statement }) })
          const reads = Query.make("reads", (sql) =>
            Stream.runForEachArray(sql.unsafe(statement).stream, () =>
              // By the time the server has answered another, this end has heard of the cut.
              Effect.andThen(cut.fired, Effect.orDie(observer.value("select 1")))
            )
          )
          const error = yield* Effect.flip(reads).pipe(
            Effect.provide(
              Pg.pool({}, (to) => {
                to.hostname = faults.host
                to.port = String(faults.port)
              })
            )
          )
          assert.deepInclude({ ...error.reason }, { _tag: "Rejected", sqlState: "22012" })
          assert.strictEqual(error.outcome, "notApplied")
        })
    )

    it.effect("tries it again on a fresh session where nothing was kept, and tells of each attempt", () =>
      Effect.gen(function* () {
        yield* table
        const { observer } = yield* Pg.Pg
        const pids: Array<unknown> = []
        const events: Array<QueryEvent.QueryEvent["_tag"]> = []
        const loses = Query.make(
          "loses",
          (sql) =>
            Effect.gen(function* () {
              const [row] = yield* sql<{ readonly pid: number }>`select pg_backend_pid() as pid`
              pids.push(row?.pid)
              yield* sql`insert into entries values (10) on conflict do nothing`
              if (pids.length < 3) yield* observer.terminate(row?.pid ?? 0)
              yield* sql`select 1`
            }),
          { mode: "transaction", retry: RetryPolicy.make({ on: ["ConnectionLost"], schedule: Schedule.recurs(5) }) }
        )
        const [report] = (yield* QueryPool.report([loses], { onEvent: (event) => events.push(event._tag) })).queries
        assert.deepInclude(report, { outcome: "Succeeded", attempts: 3 })
        assert.strictEqual(new Set(pids).size, 3)
        assert.deepStrictEqual(
          events.filter((tag) => tag === "Started" || tag === "Retrying" || tag === "Ended"),
          ["Started", "Retrying", "Started", "Retrying", "Started", "Ended"]
        )
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("does not try it again where a statement had completed, unless it says that it may", () =>
      Effect.gen(function* () {
        let tries = 0
        const failing = (options: Pick<Query.Options, "idempotent" | "mode">) =>
          Query.make(
            "failing",
            (sql) =>
              Effect.gen(function* () {
                tries++
                yield* sql`select 1`
                return yield* Effect.fail("no" as const)
              }),
            { ...options, retry: RetryPolicy.make({ on: (error) => error === "no", schedule: Schedule.recurs(2) }) }
          )
        const triesOf = (options: Pick<Query.Options, "idempotent" | "mode">) =>
          Effect.suspend(() => {
            tries = 0
            return Effect.map(Effect.exit(failing(options)), () => tries)
          })
        assert.strictEqual(yield* triesOf({}), 1)
        assert.strictEqual(yield* triesOf({ mode: "transaction" }), 3)
        assert.strictEqual(yield* triesOf({ mode: "readOnly" }), 3)
        assert.strictEqual(yield* triesOf({ idempotent: true }), 3)
      }).pipe(Effect.provide(Pg.pool()))
    )
  })

  describe("whose answer to a COMMIT is lost", () => {
    it.effect("finds out that it was committed, and does not write again", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* lost("after"), [1, 1])
      })
    )

    it.effect("finds out that it was not, and writes again", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* lost("before"), [1, 2])
      })
    )
  })

  it.effect("logs once who holds a session for too long, with its name and place", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ message }) => logged.push(String(message)))
      const done = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        const holder = yield* Effect.forkChild(Query.make("holds", () => Deferred.await(done)))
        yield* waitUntil(
          "it is logged",
          Effect.sync(() => logged.length > 0)
        )
        const { get } = yield* PgQueryPool.Statistics
        assert.strictEqual((yield* get).inUse, 1)
        yield* Deferred.succeed(done, undefined)
        yield* Fiber.join(holder)
      }).pipe(Effect.provide(Layer.provideMerge(Pg.pool({ leakThreshold: "20 millis" }), Logger.layer([logger]))))
      assert.lengthOf(logged, 1)
      assert.match(logged[0] ?? "", /Query "holds" \(.*PgLimits\.test\.ts:\d+:\d+\) has held its session for 0 s/)
    })
  )

  it.effect("counts what it opened, what it retired and why, and how long others waited", () =>
    Effect.gen(function* () {
      const { get } = yield* PgQueryPool.Statistics
      yield* QueryPool.all([answers, answers, answers], { concurrency: 3 })
      yield* Effect.exit(Query.make("late", (sql) => sql`select pg_sleep(600)`, { timeout: "50 millis" }))
      const now = yield* get
      assert.deepInclude(now, { maxConnections: 1, inUse: 0, waiting: 0, opened: 1, refused: 0 })
      assert.deepStrictEqual(now.retired, { cancelled: 1 })
      assert.strictEqual(now.waits.count, 4)
      assert.strictEqual(
        now.waits.buckets.reduce((sum, { count }) => sum + count, 0),
        4
      )
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("waits at its end for what runs, and cancels it on the server when that takes too long", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const exit = yield* Effect.gen(function* () {
        const running = yield* Effect.forkDetach(Effect.exit(sleeps))
        yield* observer.seen("it runs", ({ query }) => query.includes("pg_sleep"))
        return running
      }).pipe(Effect.provide(Pg.pool({ drainTimeout: "50 millis" })), Effect.flatMap(Fiber.join))
      assert.strictEqual(reasonOf(exit), "ConnectionLost")
      yield* observer.gone
    })
  )
})
