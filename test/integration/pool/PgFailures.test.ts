/** What docs/failures.md says of single queries, and no other test does. */
import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Schedule, Schema, Stream } from "effect"
import type { QueryError, QueryEvent } from "querypool"
import { PgQueryPool, Query, QueryPool, RetryPolicy } from "querypool"
import { endpointOf } from "../../chaos/Round.ts"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"
import * as Server from "../../support/Server.ts"

type Options = Query.Options<QueryError.QueryError>

const sleeps = (options: Options) => Query.make("sleeps", (sql) => sql`select pg_sleep(600)`, options)
const answers = Query.make("answers", (sql) => sql<{ readonly one: number }>`select 1 as one`)

/** Fails a query by what `act` does to its backend while it sleeps; gives the error. */
const failing = Effect.fnUntraced(function* (options: Options, act: (pid: number) => Effect.Effect<unknown, unknown>) {
  const { observer } = yield* Pg.Pg
  const acts = Effect.flatMap(
    observer.seen("it sleeps", ({ wait }) => wait === "Timeout:PgSleep"),
    ({ pid }) => act(pid)
  )
  const [error] = yield* Effect.all([Effect.flip(sleeps(options)), Effect.orDie(acts)], { concurrency: 2 })
  return error
})

/** A pool behind a proxy. */
const proxied = Effect.fnUntraced(function* (config?: Omit<PgQueryPool.Config, "applicationName" | "url">) {
  const { applicationName, url } = yield* Pg.Pg
  const faults = yield* Faults.make(endpointOf(url))
  return { faults, pool: PgQueryPool.layer({ ...config, url: faults.through(url), applicationName }) }
})

layer(Pg.layer("PgFailures"), { excludeTestServices: true })("a query", (it) => {
  describe("whose statement an administrator stops", () => {
    it.effect.each<Pick<QueryError.QueryError, "outcome"> & Pick<Options, "mode">>([
      { mode: "autocommit", outcome: "unknown" },
      { mode: "transaction", outcome: "notApplied" }
    ])("by ending its backend, in $mode, has lost its connection, and what it did is $outcome", ({ mode, outcome }) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const error = yield* failing({ mode }, observer.terminate)
        assert.strictEqual(error.reason._tag, "ConnectionLost")
        assert.deepInclude(error, { connection: "gone", outcome })
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect.each<Pick<Options, "mode">>([{ mode: "autocommit" }, { mode: "transaction" }])(
      "by a cancel, in $mode, keeps its session, has done nothing, and is tried again by no preset",
      ({ mode }) =>
        Effect.gen(function* () {
          const { observer } = yield* Pg.Pg
          for (const retry of [RetryPolicy.connect, RetryPolicy.transient, RetryPolicy.serializable]) {
            const error = yield* failing({ mode, retry }, (pid) => observer.rows("select pg_cancel_backend($1)", [pid]))
            assert.deepInclude({ ...error.reason }, { _tag: "CancelledByServer", sqlState: "57014" })
            assert.deepInclude(error, { connection: "usable", outcome: "notApplied", attempt: 1 })
          }
          const { get } = yield* PgQueryPool.Statistics
          assert.strictEqual((yield* get).opened, 1)
        }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("by the server's statement_timeout is told the same", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(sleeps({}))
        assert.deepInclude({ ...error.reason }, { _tag: "CancelledByServer", sqlState: "57014" })
        assert.match(error.message, /canceling statement due to statement timeout/)
        assert.deepInclude(error, { connection: "usable", outcome: "notApplied" })
      }).pipe(Effect.provide(Pg.pool({ startupParameters: { statement_timeout: "50ms" } })))
    )
  })

  describe("that meets another transaction", () => {
    const conflicts = Effect.gen(function* () {
      const server = yield* Server.make((yield* Pg.Pg).url)
      return [
        { conflict: yield* server.deadlock, reason: "Deadlock" },
        { conflict: yield* server.serializationFailure, reason: "SerializationFailure" }
      ]
    })
    type Played = Effect.Success<typeof conflicts>[number]["conflict"]

    const parts = (conflict: Played, retry?: Options["retry"]) => {
      const options = { mode: "transaction", retry } as const
      const victim = Query.make(
        "victim",
        (sql) => Effect.catchTag(conflict.victim(sql.unsafe), "WaitedTooLong", Effect.die),
        options
      )
      return [victim, Query.make("survivor", (sql) => conflict.survivor(sql.unsafe), options)] as const
    }

    it.effect("fails with what the server says, in a session that goes on", () =>
      Effect.gen(function* () {
        for (const { conflict, reason } of yield* conflicts) {
          const [victim, survivor] = yield* QueryPool.all(parts(conflict), { mode: "outcome" })
          assert.strictEqual(survivor._tag, "Succeeded")
          const error = victim._tag === "Failed" ? victim.error : undefined
          assert.strictEqual(error?.reason._tag, reason)
          assert.deepInclude(error, { connection: "usable", outcome: "notApplied" })
        }
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect.each([
      { name: "serializable", retry: RetryPolicy.serializable },
      { name: "transient", retry: RetryPolicy.transient }
    ])("succeeds at its second attempt with RetryPolicy.$name", ({ retry }) =>
      Effect.gen(function* () {
        for (const { conflict } of yield* conflicts) {
          const [victim] = (yield* QueryPool.report(parts(conflict, retry))).queries
          assert.deepInclude(victim, { outcome: "Succeeded", attempts: 2 })
        }
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("fails with LockTimeout where the server is told how long to wait for a lock", () =>
      Effect.gen(function* () {
        const server = yield* Server.make((yield* Pg.Pg).url)
        yield* server.hold("lock table account")
        for (const mode of ["autocommit", "transaction"] as const) {
          const error = yield* Effect.flip(Query.make("waits", (sql) => sql`select from account`, { mode }))
          assert.deepInclude({ ...error.reason }, { _tag: "LockTimeout", sqlState: "55P03" })
          assert.deepInclude(error, { connection: "usable", outcome: "notApplied" })
        }
      }).pipe(Effect.provide(Pg.pool({ startupParameters: { lock_timeout: "20ms" } })))
    )
  })

  describe("whose answer to a COMMIT is lost", () => {
    it.effect.each([
      { policy: "any policy", retry: RetryPolicy.serializable, end: "Succeeded" },
      { policy: "no policy", retry: undefined, end: "ConnectionLost, unknown" }
    ])("and that has $policy ends as $end, and has written once", ({ end, retry }) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("drop table if exists committed")
        yield* observer.rows("create table committed (id int)")
        const { faults, pool } = yield* proxied()
        yield* faults.inject(Faults.cut(), { before: Faults.fromServer("CommandComplete", { statement: /^commit/i }) })
        const writes = Query.make("writes", (sql) => sql`insert into committed values (1)`, {
          mode: "transaction",
          retry
        })
        const [outcome] = yield* QueryPool.all([writes], { mode: "outcome" }).pipe(Effect.provide(pool))
        const said = outcome._tag === "Failed" ? `${outcome.error.reason._tag}, ${outcome.error.outcome}` : outcome._tag
        assert.deepStrictEqual([said, yield* observer.value("select count(*)::int from committed")], [end, 1])
      })
    )
  })

  describe("whose network freezes", () => {
    it.effect("ends by its timeout, in doubt and unconfirmed, and the server stops when the network is back", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const { faults, pool } = yield* proxied({ cancelGrace: "50 millis" })
        yield* Effect.gen(function* () {
          yield* answers
          const frozen = yield* faults.inject(Faults.freeze(), {
            after: Faults.fromClient("Execute", { statement: "pg_sleep" }),
            hits: "everything"
          })
          const ends: Array<QueryEvent.CancelEnd["how"]> = []
          const [error] = yield* QueryPool.all([Effect.flip(sleeps({ timeout: "500 millis" }))], {
            onEvent: (event) => event._tag === "CancelEnded" && ends.push(event.how)
          })
          assert.strictEqual(error.reason._tag, "TimedOut")
          assert.deepInclude(error, { connection: "gone", outcome: "unknown" })
          assert.deepStrictEqual(ends, ["unconfirmed"])
          assert.isTrue((yield* observer.backends).some(({ state }) => state === "active"))
          yield* frozen.lift
          assert.deepStrictEqual(yield* answers, [{ one: 1 }])
        }).pipe(Effect.provide(pool))
        yield* observer.gone
      })
    )
  })

  describe("that waits for itself", () => {
    it.effect("as queries for the rows of a stream do that has the only connection, has its run's time to wait", () =>
      Effect.gen(function* () {
        const rows = Query.stream({
          name: "rows",
          schema: Schema.Unknown,
          statement: (sql) => sql`select n from generate_series(1, 5) n`
        })
        const error = yield* Effect.flip(
          QueryPool.all([Stream.runForEach(rows, () => answers)], { queueTimeout: "50 millis" })
        )
        assert.deepInclude(error, { query: "answers", connection: "usable", outcome: "notApplied" })
        assert.strictEqual(error.reason._tag, "QueueTimeout")
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("as a transaction does for a statement outside of it, has its own timeout, and writes nothing", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(
          Query.make(
            "awaits",
            (sql) =>
              Effect.gen(function* () {
                const [begun, written] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
                const inside = Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(written))
                const outside = Effect.andThen(
                  sql`insert into account values (-1, 'never', 0)`,
                  Deferred.succeed(written, undefined)
                )
                yield* Effect.all([sql.withTransaction(inside), Effect.andThen(Deferred.await(begun), outside)], {
                  concurrency: 2
                })
              }),
            { timeout: "100 millis" }
          )
        )
        assert.strictEqual(error.reason._tag, "TimedOut")
        assert.strictEqual(error.outcome, "notApplied")
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("with a transaction that does nothing loses it to the server after a while", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const idles = Query.make("idles", (sql) => Effect.andThen(sql`select 1`, Effect.orDie(observer.gone)), {
          mode: "transaction"
        })
        const error = yield* Effect.flip(idles)
        assert.deepInclude({ ...error.reason }, { _tag: "ConnectionLost", sqlState: "25P03" })
        assert.deepInclude(error, { connection: "gone", outcome: "notApplied" })
      }).pipe(Effect.provide(Pg.pool({ idleInTransactionTimeout: "200 millis" })))
    )
  })

  it.effect("for a value that is larger than a message may be loses its connection, and is in doubt", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Query.make("large", (sql) => sql`select repeat('x', 200000)`))
      assert.strictEqual(error.reason._tag, "MessageTooLarge")
      assert.deepInclude(error, { connection: "gone", outcome: "unknown" })
      assert.deepStrictEqual(yield* answers, [{ one: 1 }])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, maxMessageSize: 100_000 })))
  )

  it.effect.each<Pick<Options, "mode"> & { readonly attempts: number }>([
    { mode: "autocommit", attempts: 1 },
    { mode: "readOnly", attempts: 3 },
    { mode: "transaction", attempts: 3 }
  ])("for a row that is not there yet has $attempts attempts in $mode", ({ attempts, mode }) =>
    Effect.gen(function* () {
      let tries = 0
      const awaited = Query.findOne(
        {
          name: "awaited",
          schema: Schema.Struct({ one: Schema.Finite }),
          statement: (sql) => sql`select 1 as one where ${++tries}::int = 3`
        },
        { mode, retry: RetryPolicy.make({ on: ["NoRows"], schedule: Schedule.recurs(10) }) }
      )
      const [report] = (yield* QueryPool.report([awaited])).queries
      assert.deepInclude(report, { outcome: attempts === 3 ? "Succeeded" : "Failed", attempts })
    }).pipe(Effect.provide(Pg.pool()))
  )
})
