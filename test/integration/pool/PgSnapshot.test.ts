import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Redacted, Ref, Schedule, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Query, QueryError, QueryPool, RetryPolicy } from "querypool"
import type { QueryEvent } from "querypool"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const accounts = 100
const money = accounts * 100

const makeAccounts = Effect.gen(function* () {
  const { observer } = yield* Pg.Pg
  yield* observer.rows("drop table if exists accounts")
  yield* observer.rows("create table accounts (id int primary key, balance bigint not null)")
  yield* observer.rows(`insert into accounts select id, 100 from generate_series(1, ${accounts}) id`)
})

/** Moves money between accounts until the scope closes: in all it stays the same, and each half of it never is. */
const transfers = Effect.gen(function* () {
  const { observer } = yield* Pg.Pg
  let count = 0
  const transfer = Effect.suspend(() => {
    const [from, to] = [(count * 7) % accounts, (count * 13 + 50) % accounts]
    count++
    return observer.rows(
      "update accounts set balance = balance + case id when $1 then -1 else 1 end where id in ($1, $2)",
      [from + 1, (from === to ? (to + 1) % accounts : to) + 1]
    )
  })
  yield* Effect.forkScoped(Effect.forever(transfer))
  yield* waitUntil(
    "money moves",
    Effect.sync(() => count > 2)
  )
})

/** Sums of the lower half: other transactions change it all the time. */
const half = (name: string, options?: Query.Options<QueryError.QueryError>) =>
  Query.make(
    name,
    (sql) =>
      Effect.map(
        sql<{ readonly sum: string }>`select sum(balance)::text as sum from accounts where id <= ${accounts / 2}`,
        ([row]) => row?.sum
      ),
    options
  )

const sums = (count: number) => Array.from({ length: count }, (_, index) => half(`sum ${index}`))

const deletes = (mode?: "transaction" | "autocommit") =>
  Query.make(mode ?? "silent", (sql) => sql`delete from accounts`, { mode })

const leaders = Effect.flatMap(Pg.Pg, ({ applicationName, observer }) =>
  Effect.map(
    observer.rows("select pid from pg_stat_activity where application_name = $1", [`${applicationName} snapshot`]),
    (rows) => rows.map(({ pid }) => Number(pid))
  )
)

const killLeader = Effect.gen(function* () {
  const { observer } = yield* Pg.Pg
  for (const pid of yield* leaders) yield* observer.terminate(pid)
})

const reasonOf = (outcome: { readonly _tag: string; readonly error?: unknown }): string =>
  outcome.error instanceof QueryError.QueryError ? outcome.error.reason._tag : outcome._tag

/** A query that says when it has begun, and goes on when it is let. */
const held = (name: string, begun: Deferred.Deferred<void>, go: Deferred.Deferred<void>) =>
  Query.make(name, (sql) =>
    Effect.andThen(
      Effect.andThen(sql`select 1`, Deferred.succeed(begun, undefined)),
      Effect.andThen(
        Deferred.await(go),
        Effect.map(sql<{ readonly sum: string }>`select sum(balance)::text as sum from accounts`, ([row]) => row?.sum)
      )
    )
  )

layer(Pg.layer("PgSnapshot"), { excludeTestServices: true })("a run with a snapshot", (it) => {
  describe("while others write", () => {
    it.effect("gives 1,000 queries one answer, where without it they have many", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        yield* transfers
        const seen = new Set(yield* QueryPool.all(sums(1_000), { snapshot: true }))
        assert.strictEqual(seen.size, 1)
        const without = new Set(yield* QueryPool.all(sums(1_000)))
        assert.isAbove(without.size, 1)
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("shows a retry what the first attempt saw", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        yield* transfers
        const tries = yield* Ref.make(0)
        class Again extends Schema.TaggedError<Again>()("Again", {}) {}
        const seen: Array<unknown> = []
        const query = (index: number) =>
          Query.make(
            `query ${index}`,
            (sql) =>
              Effect.gen(function* () {
                const [row] = yield* sql<{ readonly sum: string }>`
                  select sum(balance)::text as sum from accounts where id <= ${accounts / 2}`
                seen.push(row?.sum)
                // A completed statement forbids a retry where it may have written, and here it cannot have.
                if ((yield* Ref.updateAndGet(tries, (count) => count + 1)) % 3 !== 0) return yield* new Again()
              }),
            { retry: RetryPolicy.make({ on: ["Again"], schedule: Schedule.recurs(20) }) }
          )
        yield* QueryPool.all([0, 1, 2, 3].map(query), { snapshot: true })
        assert.isAbove(seen.length, 4)
        assert.strictEqual(new Set(seen).size, 1)
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("shows it to streams of rows and to queries inside of other effects as well", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        yield* transfers
        const rows = Query.stream({
          name: "rows",
          schema: Schema.Struct({ balance: Schema.BigInt }),
          statement: (sql) => sql`select balance from accounts where id <= ${accounts / 2}`
        })
        const streamed = Effect.map(
          Stream.runFold(
            rows,
            () => 0n,
            (sum, { balance }) => sum + balance
          ),
          String
        )
        const inside = Effect.gen(function* () {
          const first = yield* half("first")
          const second = yield* half("second")
          return first === second ? first : "another moment"
        })
        const seen = yield* QueryPool.all([half("sum"), streamed, inside, streamed, inside], { snapshot: true })
        assert.strictEqual(new Set(seen).size, 1, String(seen))
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )
  })

  describe("whose query writes", () => {
    it.effect("refuses it before it starts where it says so, and has the server refuse it where it does not", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        const events: Array<QueryEvent.QueryEvent> = []
        const outcomes = yield* QueryPool.all([deletes("transaction"), deletes("autocommit"), deletes()], {
          snapshot: true,
          mode: "outcome",
          onEvent: (event) => events.push(event)
        })
        for (const outcome of outcomes) {
          const error = outcome._tag === "Failed" ? outcome.error : undefined
          assert.deepInclude({ ...error?.reason }, { _tag: "Rejected", sqlState: "25006" })
          assert.strictEqual(error?.outcome, "notApplied")
        }
        const started = events.flatMap((event) => (event._tag === "Started" ? [event.name] : []))
        assert.deepStrictEqual(started, ["silent"])
        const { observer } = yield* Pg.Pg
        assert.strictEqual(yield* observer.value("select sum(balance)::int from accounts"), money)
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("lets no statement leave its transaction, and lets savepoints be", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        const ends = ["commit", "END", "ROLLBACK", "abort and chain", "rollback work", "prepare transaction 'x'"]
        const hidden = ["/* a /* b */ */ commit", "/* a */ prepare -- b\n transaction 'x'"]
        for (const statement of [...ends, ...hidden, "set transaction read write"]) {
          for (const way of ["withoutTransform", "unprepared"] as const) {
            const leaves = Query.make("leaves", (sql) => Effect.andThen(sql`select 1`, sql.unsafe(statement)[way]))
            const error = yield* Effect.flip(QueryPool.all([leaves], { snapshot: true }))
            assert.strictEqual(error.reason._tag, "Rejected", statement)
            if (statement.startsWith("set")) continue
            assert.match(error.message, /one transaction, and cannot end it\n {2}hint: leave COMMIT and ROLLBACK out/)
          }
        }
        const nested = Query.make("nested", (sql) =>
          Effect.gen(function* () {
            yield* Effect.ignore(sql.withTransaction(sql`select 1 / 0`))
            yield* sql`savepoint mine`
            yield* sql`rollback to savepoint mine`
            return yield* sql<{ readonly level: string }>`select current_setting('transaction_isolation') as level`
          })
        )
        const [rows] = yield* QueryPool.all([nested], { snapshot: true })
        assert.deepStrictEqual(rows, [{ level: "repeatable read" }])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("is refused in a transaction of somebody else, which sees another moment and may write", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        const sql = yield* SqlClient.SqlClient
        const rows = Query.stream({
          name: "rows",
          schema: Schema.Unknown,
          statement: (sql) => sql`select balance from accounts`
        })
        const refused = /failed: it is in a transaction that does not see the snapshot of its run\n {2}hint: leave the/
        for (const query of [half("sum"), half("sum", { timeout: "1 minute" }), deletes(), Stream.runDrain(rows)]) {
          const within = Effect.asVoid(query)
          for (const run of [
            QueryPool.all([sql.withTransaction(within)], { snapshot: true }),
            sql.withTransaction(QueryPool.all([within], { snapshot: true }))
          ]) {
            const error = yield* Effect.flip(run)
            assert.match(error.message, refused)
            assert.deepInclude({ ...error }, { connection: "usable", outcome: "notApplied" })
          }
        }
        const { observer } = yield* Pg.Pg
        assert.strictEqual(yield* observer.value("select sum(balance)::int from accounts"), money)
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("leaves nothing of it to the next unit, which may write", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        yield* QueryPool.all([half("sum")], { snapshot: true })
        yield* Query.make("write", (sql) => sql`update accounts set balance = 0 where id = 1`)
        const stream = Query.stream({
          name: "stream",
          schema: Schema.Struct({ id: Schema.Int }),
          statement: (sql) => sql`select id from accounts`
        })
        yield* QueryPool.all([Stream.runDrain(Stream.take(stream, 1)), Stream.runDrain(stream)], { snapshot: true })
        yield* Query.make("write again", (sql) => sql`update accounts set balance = 0 where id = 2`)
        const { observer } = yield* Pg.Pg
        assert.strictEqual(yield* observer.value("select sum(balance)::int from accounts"), money - 200)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("whose leader is gone", () => {
    it.effect("fails what has not joined with SnapshotLost, and lets finish what has", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        yield* transfers
        const [begun, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const events: Array<QueryEvent.QueryEvent> = []
        const run = yield* Effect.forkChild(
          QueryPool.all([held("joined", begun, go), ...sums(20)], {
            concurrency: 1,
            snapshot: true,
            mode: "outcome",
            onEvent: (event) => events.push(event)
          })
        )
        yield* Deferred.await(begun)
        yield* killLeader
        yield* waitUntil(
          "the run knows",
          Effect.sync(() => events.some(({ _tag }) => _tag === "SnapshotEnded"))
        )
        yield* Deferred.succeed(go, undefined)
        const [joined, ...others] = yield* Fiber.join(run)
        assert.deepStrictEqual(joined, { _tag: "Succeeded", value: String(money) })
        assert.deepStrictEqual([...new Set(others.map(reasonOf))], ["SnapshotLost"])
        const ends = events.filter((event) => event._tag === "SnapshotEnded")
        assert.deepStrictEqual(
          ends.map(({ lost }) => lost),
          [true]
        )
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("never shows another moment, whenever that happens", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        yield* transfers
        for (let round = 0; round < 10; round++) {
          let ended = 0
          const run = yield* Effect.forkChild(
            QueryPool.all(sums(200), {
              snapshot: true,
              mode: "outcome",
              onEvent: (event) => {
                if (event._tag === "Ended") ended++
              }
            })
          )
          yield* waitUntil(
            "some have ended",
            Effect.sync(() => ended > round * 10)
          )
          yield* killLeader
          const outcomes = yield* Fiber.join(run)
          const seen = new Set(outcomes.flatMap((outcome) => (outcome._tag === "Succeeded" ? [outcome.value] : [])))
          assert.isAtMost(seen.size, 1)
          for (const outcome of outcomes) assert.include(["Succeeded", "SnapshotLost"], reasonOf(outcome))
        }
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("is told apart from a leader that could not be had, which the next query tries again", () =>
      Effect.gen(function* () {
        yield* makeAccounts
        const { url } = yield* Pg.Pg
        const target = new URL(Redacted.value(url))
        const faults = yield* Faults.make({ host: target.hostname, port: Number(target.port) })
        const proxied = Pg.pool({ maxConnections: 1 }, (to) => {
          to.hostname = faults.host
          to.port = String(faults.port)
        })
        const outcomes = yield* Effect.gen(function* () {
          // The pool's own connection is open by now.
          yield* half("warm")
          yield* faults.inject(Faults.answer({ code: "53300", message: "too many connections" }), { times: 1 })
          return yield* QueryPool.all(sums(3), { snapshot: true, concurrency: 1, mode: "outcome" })
        }).pipe(Effect.provide(proxied))
        assert.deepStrictEqual(outcomes.map(reasonOf), ["TooBusy", "Succeeded", "Succeeded"])
      }).pipe(Effect.scoped)
    )
  })

  it.effect("holds it past every timeout of the server, and releases it when it ends", () =>
    Effect.gen(function* () {
      yield* makeAccounts
      const sleeps = Query.make("sleeps", (sql) => sql`select pg_sleep(0.5)`)
      const report = yield* QueryPool.report([half("before"), sleeps, sleeps, sleeps, half("after")], {
        concurrency: 1,
        snapshot: true
      })
      assert.deepStrictEqual(
        report.queries.map(({ outcome }) => outcome),
        ["Succeeded", "Succeeded", "Succeeded", "Succeeded", "Succeeded"]
      )
      assert.isFalse(report.snapshot?.lost)
      assert.isAtLeast(report.snapshot?.heldMillis ?? 0, 1_500)
      assert.deepStrictEqual(yield* leaders, [])
    }).pipe(
      Effect.provide(
        Pg.pool({
          // The units that join it have these as well, and may be slow to go on where there is much to do.
          idleInTransactionTimeout: "1 second",
          startupParameters: { idle_session_timeout: "1s", transaction_timeout: "1200ms" }
        })
      )
    )
  )

  it.effect("is released when the run is interrupted", () =>
    Effect.gen(function* () {
      yield* makeAccounts
      const [begun, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const run = yield* Effect.forkChild(QueryPool.all([held("held", begun, go)], { snapshot: true }))
      yield* Deferred.await(begun)
      assert.lengthOf(yield* leaders, 1)
      yield* Fiber.interrupt(run)
      assert.deepStrictEqual(yield* leaders, [])
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("says in the log that it is held for too long", () =>
    Effect.gen(function* () {
      yield* makeAccounts
      const logged: Array<string> = []
      const logger = Logger.make(({ message }) => void logged.push(String(message)))
      yield* QueryPool.all([Query.make("sleeps", (sql) => sql`select pg_sleep(0.2)`)], { snapshot: true }).pipe(
        Effect.provide(Layer.provideMerge(Pg.pool({ snapshotThreshold: "50 millis" }), Logger.layer([logger])))
      )
      assert.lengthOf(logged, 1)
      assert.match(logged[0] ?? "", /A snapshot has been held for 50ms. Until its run ends, vacuum removes nothing/)
    })
  )

  it.effect("takes it when its first query starts, once for all of them", () =>
    Effect.gen(function* () {
      yield* makeAccounts
      const events: Array<string> = []
      const run = QueryPool.all(sums(20), { snapshot: true, onEvent: ({ _tag }) => events.push(_tag) })
      yield* run
      assert.strictEqual(events.filter((tag) => tag === "SnapshotTaken").length, 1)
      assert.isBelow(events.indexOf("SnapshotTaken"), events.indexOf("Started"))
      assert.deepStrictEqual(events.slice(-2), ["SnapshotEnded", "RunEnded"])
      // Of a run without queries there is nothing to hold.
      const none: Array<string> = []
      yield* QueryPool.all([Effect.void], { snapshot: true, onEvent: ({ _tag }) => none.push(_tag) })
      assert.deepStrictEqual(none, ["RunStarted", "RunEnded"])
    }).pipe(Effect.provide(Pg.pool()))
  )
})
