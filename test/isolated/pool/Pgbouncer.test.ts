import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Stream } from "effect"
import { PgConnection } from "@effect/sql-pg"
import { EmbeddedPostgres } from "querypool/embedded"
import type { QueryEvent } from "querypool"
import { PgQueryPool, Query, QueryPool } from "querypool"
import { Collector } from "../../support/dataRows.ts"
import * as Pgbouncer from "../../support/Pgbouncer.ts"
import * as Server from "../../support/Server.ts"
import { waitUntil } from "../../support/waitUntil.ts"

/** A pool behind pgbouncer, and an observer at the server itself. */
const start = Effect.fnUntraced(function* (
  mode: "session" | "transaction",
  config?: Omit<PgQueryPool.Config, "url">,
  sessions = 60
) {
  const embedded = yield* EmbeddedPostgres
  const server = yield* Server.make(embedded.url)
  const url = yield* Pgbouncer.start(embedded, { mode, sessions })
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") warnings.push(String(message))
  })
  const pool = PgQueryPool.layer({ url, applicationName: "behind pgbouncer", ...config })
  return { server, warnings, services: Layer.provideMerge(pool, Logger.layer([logger])) }
})

const number = (name: string) =>
  Query.make(name, (sql) => Effect.map(sql<{ n: number }>`select 1 as n`, ([row]) => row?.n))

const snapshotOf = (name: string) =>
  Query.make(name, (sql) =>
    Effect.map(sql<{ seen: string }>`select pg_current_snapshot()::text as seen`, ([row]) => row?.seen)
  )

/** Runs for ten minutes; to be found at the server by its number. */
const sleeper = (n: number) => Query.make(`sleeper ${n}`, (sql) => sql.unsafe(`select pg_sleep(600), 'sleeper ${n}'`))

/** Takes a cancel for a notice. */
const stubborn = Query.make("stubborn", (sql) =>
  sql.unsafe(
    `do $$ begin loop begin perform pg_sleep(600); exception when query_canceled then null; end; end loop; end $$`
  )
)

/** Sleeps a little, again and again; a cancel or an end that was meant for another makes it fail. */
const bystander = Query.make("bystander", (sql) => Effect.asVoid(sql`select pg_sleep(0.01)`))

const running = (server: Server.Server, like: string) =>
  Effect.map(
    server.rows(
      "select pid from pg_stat_activity where state = 'active' and query like $1 and pid <> pg_backend_pid()",
      [like]
    ),
    (rows) => rows.map(({ pid }) => Number(pid))
  )

/** Waits until so many statements like this run; gives the pids of their backends. */
const seen = Effect.fnUntraced(function* (server: Server.Server, like: string, count: number) {
  let pids: ReadonlyArray<number> = []
  yield* waitUntil(
    `${count} run like ${like}`,
    Effect.map(running(server, like), (found) => {
      pids = found
      return found.length === count
    })
  )
  return pids
})

const statesOf = (server: Server.Server, pids: ReadonlyArray<number>) =>
  Effect.map(server.rows("select state from pg_stat_activity where pid = any($1::int4[])", [pids]), (rows) =>
    rows.map(({ state }) => state)
  )

/** Runs queries until `interrupt`, which gives how their cancels ended. */
const interruptible = Effect.fnUntraced(function* (queries: ReadonlyArray<Query.Query<unknown, unknown, never>>) {
  const events: Array<QueryEvent.QueryEvent> = []
  const options = { concurrency: queries.length, onEvent: (event: QueryEvent.QueryEvent) => void events.push(event) }
  const fiber = yield* Effect.forkChild(QueryPool.all(queries, options))
  const ends = () => events.flatMap((event) => (event._tag === "CancelEnded" ? [event.how] : []))
  return { interrupt: Effect.map(Fiber.interrupt(fiber), ends) }
})

const bystanders = (count: number) =>
  Effect.map(
    Effect.forkChild(
      Effect.forEach(Array.from({ length: count }), () => Effect.forever(bystander), { concurrency: "unbounded" })
    ),
    (fiber) => ({
      /** Ends them; fails if one of them was hit. */
      end: Effect.suspend(() => {
        const hit = fiber.pollUnsafe()
        return hit === undefined ? Fiber.interrupt(fiber) : Effect.asVoid(hit)
      })
    })
  )

const settings = Query.make("settings", (sql) =>
  Effect.map(
    sql`select current_setting('client_connection_check_interval') as client, current_setting('work_mem') as memory,
      current_setting('idle_in_transaction_session_timeout') as idle`,
    ([row]) => row
  )
)

const works = Effect.gen(function* () {
  const numbers = yield* QueryPool.all(Array.from({ length: 50 }, (_, n) => number(`number ${n}`)))
  assert.deepStrictEqual(new Set(numbers), new Set([1]))
  const inTransaction = Query.make(
    "transaction",
    (sql) =>
      Effect.gen(function* () {
        const before = yield* sql`select pg_backend_pid() as pid, pg_current_xact_id()::text as id`
        yield* sql.withTransaction(sql`select 1`)
        assert.deepStrictEqual(yield* sql`select pg_backend_pid() as pid, pg_current_xact_id()::text as id`, before)
        return before[0]?.["id"]
      }),
    { mode: "transaction" }
  )
  const ids = yield* QueryPool.all(Array.from({ length: 20 }, () => inTransaction))
  assert.strictEqual(new Set(ids).size, 20)
  const rows = Query.make("rows", (sql) => Stream.runCount(sql`select n from generate_series(1, 5000) n`.stream))
  assert.deepStrictEqual(yield* QueryPool.all([rows, rows]), [5000, 5000])
  const error = yield* Effect.flip(Query.make("fails", (sql) => sql`select 1 / 0`))
  assert.deepInclude(error.reason, { _tag: "Rejected", sqlState: "22012" })
})

const isMissing = Pgbouncer.program === undefined
if (isMissing) process.stderr.write("skipped: no pgbouncer\n")

describe.skipIf(isMissing)("behind pgbouncer", () => {
  const server = EmbeddedPostgres.layer({ settings: { max_connections: 150 } })
  layer(server, { excludeTestServices: true })("a pool", (it) => {
    describe("in session mode", () => {
      it.effect("shows all queries of a run one moment", () =>
        Effect.gen(function* () {
          const { services, warnings } = yield* start("session")
          yield* Effect.gen(function* () {
            const queries = Array.from({ length: 50 }, (_, n) => snapshotOf(`query ${n}`))
            assert.strictEqual(new Set(yield* QueryPool.all(queries, { snapshot: true })).size, 1)
          }).pipe(Effect.provide(services))
          assert.deepStrictEqual(warnings, [])
        })
      )

      it.effect("runs queries, transactions and streams, and has nothing to warn of", () =>
        Effect.gen(function* () {
          const { services, warnings } = yield* start("session")
          yield* Effect.provide(works, services)
          assert.deepStrictEqual(warnings, [])
        })
      )

      it.effect("gives its sessions the settings that pgbouncer refuses at their start, also after a reset", () =>
        Effect.gen(function* () {
          const { services } = yield* start("session", { maxConnections: 1, idleInTransactionTimeout: "7 seconds" })
          const wanted = { client: "500ms", memory: "4MB", idle: "7s" }
          const dirty = Query.make("dirty", (sql) => Effect.andThen(sql`set work_mem = '7MB'`, sql`reset all`))
          yield* Effect.gen(function* () {
            assert.deepStrictEqual(yield* settings, wanted)
            yield* dirty
            assert.deepStrictEqual(yield* settings, wanted)
            assert.strictEqual((yield* (yield* PgQueryPool.Statistics).get).opened, 1)
          }).pipe(Effect.provide(services))
        })
      )

      it.effect("has seen that an interrupted statement has stopped", () =>
        Effect.gen(function* () {
          const { server, services } = yield* start("session", { cancelGrace: "1 minute" })
          yield* Effect.gen(function* () {
            const { interrupt } = yield* interruptible([sleeper(1)])
            const pids = yield* seen(server, "%sleeper 1%", 1)
            assert.deepStrictEqual(yield* interrupt, ["idle"])
            assert.deepStrictEqual(yield* running(server, "%sleeper 1%"), [])
            assert.notInclude(yield* statesOf(server, pids), "active")
          }).pipe(Effect.provide(services))
        })
      )

      it.effect("ends the backend of a statement that does not heed a cancel, and no other", () =>
        Effect.gen(function* () {
          const { server, services, warnings } = yield* start("session", { cancelGrace: "300 millis" })
          yield* Effect.gen(function* () {
            const others = yield* bystanders(5)
            const { interrupt } = yield* interruptible([stubborn])
            const pids = yield* seen(server, "do $$ begin loop%", 1)
            assert.deepStrictEqual(yield* interrupt, ["terminated"])
            assert.deepStrictEqual(yield* statesOf(server, pids), [])
            yield* others.end
          }).pipe(Effect.provide(services))
          assert.deepStrictEqual(warnings, [])
        })
      )

      it.effect("needs one session more than it has connections, for the one that controls them", () =>
        Effect.gen(function* () {
          const both = QueryPool.all([bystander, bystander], { mode: "outcome" })
          const config = { maxConnections: 2, connectTimeout: "300 millis" } as const
          const enough = yield* start("session", config, 3)
          for (const outcome of yield* Effect.provide(both, enough.services))
            assert.strictEqual(outcome._tag, "Succeeded")
          const tooFew = yield* start("session", config, 2)
          const outcomes = yield* Effect.provide(both, tooFew.services)
          const reasons = outcomes.map((outcome) =>
            outcome._tag === "Failed" ? outcome.error.reason._tag : outcome._tag
          )
          assert.deepStrictEqual(reasons.toSorted(), ["ConnectFailed", "Succeeded"])
        })
      )

      it.effect("stops twenty statements at once, and no other", () =>
        Effect.gen(function* () {
          const { server, services } = yield* start("session", { maxConnections: 30, cancelGrace: "1 minute" })
          yield* Effect.gen(function* () {
            const others = yield* bystanders(10)
            for (let round = 0; round < 3; round++) {
              const { interrupt } = yield* interruptible(Array.from({ length: 20 }, (_, n) => sleeper(n)))
              const pids = yield* seen(server, "%sleeper%", 20)
              assert.deepStrictEqual(
                yield* interrupt,
                Array.from({ length: 20 }, () => "idle")
              )
              assert.deepStrictEqual(yield* running(server, "%sleeper%"), [])
              assert.lengthOf(pids, 20)
            }
            yield* others.end
          }).pipe(Effect.provide(services))
        })
      )
    })

    describe("in transaction mode", () => {
      it.effect("has the server refuse every write of a query that only reads, whichever session it gets", () =>
        Effect.gen(function* () {
          const { server, services } = yield* start("transaction")
          yield* server.rows("create table if not exists written (id int)")
          yield* Effect.gen(function* () {
            // By now it is known that sessions are shared.
            yield* QueryPool.all(Array.from({ length: 30 }, (_, n) => number(`number ${n}`)))
            const writes = Array.from({ length: 30 }, (_, n) =>
              n % 2 === 0
                ? Query.make("writes", (sql) => sql`insert into written values (1)`, { mode: "readOnly" })
                : Query.make("may", (sql) => sql`select 1`)
            )
            yield* QueryPool.all(writes, { mode: "outcome" })
          }).pipe(Effect.provide(services))
          assert.lengthOf(yield* server.rows("select from written"), 0)
        })
      )

      it.effect("hands rows over as a dump has them, and leaves no settings to other clients", () =>
        Effect.gen(function* () {
          const admin = yield* Server.make((yield* EmbeddedPostgres).url)
          const [database] = yield* admin.rows("select current_database()::text as name")
          // Of those that matter for a dump, pgbouncer itself sees to DateStyle and IntervalStyle. Sessions have what the
          // database has when they begin, so this comes before pgbouncer's.
          const set = (action: string) => admin.rows(`alter database "${String(database?.["name"])}" ${action}`)
          yield* Effect.acquireRelease(set("set bytea_output = 'escape'"), () =>
            Effect.orDie(set("reset bytea_output"))
          )
          const { services } = yield* start("transaction", { maxConnections: 4 }, 4)
          yield* Effect.gen(function* () {
            const copy = Query.make("copy", (_, unit) => {
              const collector = new Collector()
              const sql = "select '\\x00ff'::bytea, date '2024-02-01' from generate_series(1, 500)"
              return Effect.map(unit.copyRows(sql, [], collector), () => collector.values)
            })
            const output = Query.make("output", (sql) =>
              Effect.map(sql<{ is: string }>`select current_setting('bytea_output') as "is"`, ([row]) => row?.is)
            )
            assert.strictEqual(yield* output, "escape")
            const results = yield* QueryPool.all(
              Array.from({ length: 20 }, () => Effect.all([copy, output])),
              { concurrency: 4 }
            )
            for (const [rows, after] of results) {
              assert.lengthOf(rows, 500)
              for (const row of rows) assert.deepStrictEqual(row, ["\\x00ff", "2024-02-01"])
              assert.strictEqual(after, "escape")
            }
          }).pipe(Effect.provide(services))
        })
      )

      it.effect("refuses to hold a snapshot, and says why", () =>
        Effect.gen(function* () {
          const { services } = yield* start("transaction")
          const error = yield* Effect.flip(QueryPool.all([snapshotOf("query")], { snapshot: true })).pipe(
            Effect.provide(services)
          )
          assert.match(error.message, /Query "query" failed: a pooler .* so no session can hold a snapshot/)
          assert.match(error.message, /hint: use the pooler's session mode, or connect to the server itself/)
          assert.strictEqual(error.outcome, "notApplied")
        })
      )

      // pgbouncer before 1.21 knows nothing of prepared statements, which stay where they were made.
      const config = { prepare: false, cancelGrace: "300 millis" } as const

      it.effect("runs queries, transactions and streams, and warns once of what it cannot do", () =>
        Effect.gen(function* () {
          const { services, warnings } = yield* start("transaction", config, 4)
          yield* Effect.andThen(works, works).pipe(Effect.provide(services))
          assert.lengthOf(warnings, 1)
          assert.include(warnings[0], "gives sessions out by the transaction or the statement")
        })
      )

      it.effect("is found out also where other clients are busy", () =>
        Effect.gen(function* () {
          const embedded = yield* EmbeddedPostgres
          const url = yield* Pgbouncer.start(embedded, { mode: "transaction", sessions: 40 })
          const stranger = Effect.flatMap(PgConnection.make({ url, prepare: false }), (pg) =>
            Effect.forever(pg.query("select pg_sleep(0.001)", [], false))
          )
          const strangers = yield* Effect.forkChild(
            Effect.forEach(Array.from({ length: 10 }), () => Effect.scoped(stranger), { concurrency: "unbounded" })
          )
          for (let round = 0; round < 5; round++) {
            const warned = yield* Deferred.make<void>()
            const logger = Logger.make(({ logLevel }) => {
              if (logLevel === "Warn") Deferred.doneUnsafe(warned, Effect.void)
            })
            const numbers = Array.from({ length: 30 }, () => number("a number"))
            yield* QueryPool.all(numbers).pipe(
              Effect.provide(Layer.provideMerge(PgQueryPool.layer({ url, ...config }), Logger.layer([logger])))
            )
            assert.isTrue(yield* Deferred.isDone(warned))
          }
          yield* Fiber.interrupt(strangers)
        })
      )

      it.effect("cancels an interrupted statement, and does not claim to know more than it does", () =>
        Effect.gen(function* () {
          const { server, services } = yield* start("transaction", config)
          yield* Effect.gen(function* () {
            const others = yield* bystanders(3)
            const { interrupt } = yield* interruptible([sleeper(1), sleeper(2)])
            yield* seen(server, "%sleeper%", 2)
            for (const how of yield* interrupt) assert.include(["idle", "unconfirmed"], how)
            yield* seen(server, "%sleeper%", 0)
            yield* others.end
          }).pipe(Effect.provide(services))
        })
      )

      it.effect("ends nobody's backend, not even that of a statement that does not heed a cancel", () =>
        Effect.gen(function* () {
          const { server, services } = yield* start("transaction", config)
          yield* Effect.gen(function* () {
            const others = yield* bystanders(3)
            const { interrupt } = yield* interruptible([stubborn])
            const pids = yield* seen(server, "do $$ begin loop%", 1)
            assert.deepStrictEqual(yield* interrupt, ["unconfirmed"])
            assert.deepStrictEqual(yield* running(server, "do $$ begin loop%"), pids)
            yield* others.end
            for (const pid of pids) yield* server.terminate({ pid })
          }).pipe(Effect.provide(services))
        })
      )
    })
  })
})
