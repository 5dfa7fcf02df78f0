import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, Redacted, Schema, Stream } from "effect"
import { PgQueryPool, Query, QueryPool, RetryPolicy } from "querypool"
import type { QueryError } from "querypool"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const Row = Schema.Struct({ n: Schema.Int, pid: Schema.Int })

/** Gives its number, and which backend it came from. */
const lookup = (n: number, options?: Omit<Query.FindOptions, "lane">) =>
  Query.findOne(
    { name: `lookup ${n}`, schema: Row, statement: (sql) => sql`select ${n}::int as n, pg_backend_pid() as pid` },
    { ...options, lane: "pipelined" }
  )

/** In the lane, a statement of any text. */
const statement = (name: string, text: string, options?: Omit<Query.FindOptions, "lane">) =>
  Query.findAll(
    { name, schema: Schema.Unknown, statement: () => ({ sql: text, parameters: [] }) },
    { ...options, lane: "pipelined" }
  )

const insert = (mode: "readOnly" | "autocommit") =>
  statement("insert", "insert into notes values ('x') returning note", { mode })

const pinned = (name: string, text: string) => Query.make(name, (sql) => sql.unsafe(text))

const many = (count: number) => Array.from({ length: count }, (_, n) => lookup(n))

const faultsOf = Effect.gen(function* () {
  const { url } = yield* Pg.Pg
  const target = new URL(Redacted.value(url))
  const faults = yield* Faults.make({ host: target.hostname, port: Number(target.port) })
  const pool = (config?: Parameters<typeof Pg.pool>[0]) =>
    Pg.pool(config, (to) => {
      to.hostname = faults.host
      to.port = String(faults.port)
    })
  return { faults, pool }
})

const reasonOf = (exit: Exit.Exit<unknown, QueryError.QueryError>) =>
  Exit.isSuccess(exit)
    ? "Succeeded"
    : String(exit.cause.reasons.map((reason) => reason._tag === "Fail" && reason.error.reason._tag))

const statistics = Effect.flatMap(PgQueryPool.Statistics, ({ get }) => get)

layer(Pg.layer("PgPipeline"), { excludeTestServices: true })("the pipelined lane", (it) => {
  it.effect("gives each of 5,000 queries its own answer, all over two connections", () =>
    Effect.gen(function* () {
      const rows = yield* QueryPool.all(many(5_000), { concurrency: 200 })
      assert.deepStrictEqual(
        rows.map(({ n }) => n),
        rows.map((_, index) => index)
      )
      assert.strictEqual(new Set(rows.map(({ pid }) => pid)).size, 2)
      assert.strictEqual((yield* statistics).opened, 2)
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("serves every way to find, and what query builders make", () =>
    Effect.gen(function* () {
      const find = { name: "find", schema: Schema.Struct({ n: Schema.Int }) }
      const lane = { lane: "pipelined" } as const
      const one = Query.findOne({ ...find, statement: (sql) => sql`select 1 as n` }, lane)
      const none = Query.findOneOption(
        { ...find, statement: () => ({ sql: "select 1 as n where $1::int = 2", params: [1] }) },
        lane
      )
      const all = Query.findAll(
        { ...find, statement: () => ({ sql: "select n::int from generate_series(1, $1) n", parameters: [3] }) },
        lane
      )
      assert.deepStrictEqual(yield* one, { n: 1 })
      assert.isTrue((yield* none)._tag === "None")
      assert.deepStrictEqual(yield* all, [{ n: 1 }, { n: 2 }, { n: 3 }])
      const missing = yield* Effect.flip(
        Query.findOne({ ...find, statement: (sql) => sql`select 1 as n where false` }, lane)
      )
      assert.deepInclude(missing, { connection: "usable" })
      assert.strictEqual(missing.reason._tag, "NoRows")
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("fails no other query when one fails, and says of each what became of it", () =>
    Effect.gen(function* () {
      const fails = statement("fails", "select 1 / 0")
      const members = Array.from({ length: 60 }, (_, n) => (n % 3 === 0 ? fails : lookup(n)))
      const outcomes = yield* QueryPool.all(members, { mode: "outcome", concurrency: 60 })
      for (const [n, outcome] of outcomes.entries()) {
        assert.strictEqual(outcome._tag, n % 3 === 0 ? "Failed" : "Succeeded")
        if (outcome._tag !== "Failed") continue
        assert.deepInclude({ ...outcome.error.reason }, { _tag: "Rejected", sqlState: "22012" })
        assert.deepInclude(outcome.error, { connection: "usable", outcome: "notApplied" })
      }
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("refuses what would stay with its session, before it is sent", () =>
    Effect.gen(function* () {
      const texts = [
        "set work_mem = '9MB'",
        "begin",
        "select set_config('work_mem', '9MB', false)",
        "create temp table t ()"
      ]
      for (const text of texts) {
        const error = yield* Effect.flip(statement("stays", text))
        assert.match(error.message, /the pipelined lane is for statements that leave their session as it was/, text)
        assert.strictEqual(error.outcome, "notApplied")
      }
      assert.throws(() => lookup(1, { mode: "transaction" }), 'Expected `mode` to be "autocommit" or "readOnly"')
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("has the server refuse the writes of a query that only reads, on a connection of its own", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table if not exists notes (note text)")
      const error = yield* Effect.flip(insert("readOnly"))
      assert.deepInclude({ ...error.reason }, { _tag: "Rejected", sqlState: "25006" })
      assert.deepStrictEqual(yield* insert("autocommit"), [{ note: "x" }])
      assert.strictEqual((yield* statistics).opened, 2)
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("joins the session of the query around it, and a snapshot, instead", () =>
    Effect.gen(function* () {
      const around = Query.make("around", (sql) =>
        Effect.gen(function* () {
          const [row] = yield* sql<{ pid: number }>`select pg_backend_pid() as pid`
          return (yield* lookup(1)).pid === row?.pid
        })
      )
      assert.isTrue(yield* around)
      yield* QueryPool.all(many(3), { snapshot: true })
      assert.strictEqual((yield* statistics).pipelined.connections, 0)
    }).pipe(Effect.provide(Pg.pool()))
  )

  describe("beside the pinned one", () => {
    it.effect("does not keep it from its work, however much there is to do here", () =>
      Effect.gen(function* () {
        for (const maxConnections of [1, 2]) {
          yield* Effect.gen(function* () {
            let answered = 0
            const endless = Effect.forever(Effect.tap(lookup(1), () => Effect.sync(() => answered++)))
            const load = yield* Effect.forkChild(Effect.replicateEffect(endless, 50, { concurrency: "unbounded" }))
            yield* waitUntil(
              "there is load",
              Effect.sync(() => answered > 100)
            )
            for (let n = 0; n < 10; n++) {
              const before = answered
              yield* pinned("pinned", "select 1")
              // And it goes on here.
              yield* waitUntil(
                "the lane has its turn",
                Effect.sync(() => answered > before + 50)
              )
            }
            yield* Fiber.interrupt(load)
          }).pipe(Effect.provide(Pg.pool({ maxConnections })))
        }
      })
    )

    it.effect("lets sessions have their turns that began to wait before it, and beside both kinds of its own", () =>
      Effect.gen(function* () {
        for (const maxConnections of [1, 2]) {
          yield* Effect.gen(function* () {
            const modes = ["autocommit", "readOnly"] as const
            const endless = Effect.forEach(
              modes,
              (mode) => Effect.replicateEffect(Effect.forever(lookup(1, { mode })), 10, { concurrency: "unbounded" }),
              { concurrency: "unbounded" }
            )
            const first = yield* Effect.forkChild(pinned("first", "select pg_sleep(0.1)"), { startImmediately: true })
            const load = yield* Effect.forkChild(endless, { startImmediately: true })
            const others = Array.from({ length: 20 }, (_, n) => pinned(`other ${n}`, "select 1"))
            yield* Effect.all(others, { concurrency: "unbounded" })
            yield* Fiber.join(first)
            yield* Fiber.interrupt(load)
          }).pipe(Effect.provide(Pg.pool({ maxConnections })))
        }
      })
    )

    it.effect("has its turn, however much there is to do there", () =>
      Effect.gen(function* () {
        for (const maxConnections of [1, 3]) {
          yield* Effect.gen(function* () {
            let answered = 0
            const endless = Effect.forever(
              Effect.tap(pinned("pinned", "select pg_sleep(0.002)"), () => Effect.sync(() => answered++))
            )
            const load = yield* Effect.forkChild(Effect.replicateEffect(endless, 20, { concurrency: "unbounded" }))
            yield* waitUntil(
              "there is load",
              Effect.sync(() => answered > 20)
            )
            for (let n = 0; n < 5; n++) {
              const before = answered
              assert.strictEqual((yield* lookup(n)).n, n)
              yield* waitUntil(
                "the other lane has its turn",
                Effect.sync(() => answered > before + 20)
              )
            }
            yield* Fiber.interrupt(load)
          }).pipe(Effect.provide(Pg.pool({ maxConnections })))
        }
      })
    )

    it.effect("has no more connections than the pool may have, of both together", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        // What another test has cancelled may still be on its way out.
        yield* observer.gone
        let most = 0
        const looking = yield* Effect.forkChild(
          Effect.forever(
            Effect.map(observer.backends, (backends) => {
              most = Math.max(most, backends.length)
            })
          )
        )
        const members = Array.from({ length: 600 }, (_, n) =>
          n % 3 === 0 ? pinned("pinned", "select pg_sleep(0.001)") : lookup(n)
        )
        yield* QueryPool.all(members, { concurrency: 30 })
        yield* Fiber.interrupt(looking)
        assert.isAtMost(most, 3)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 3, pipelinedConnections: 2 })))
    )

    it.effect("gives its connection up at once, when it has nothing to do and a session is wanted", () =>
      Effect.gen(function* () {
        yield* lookup(1)
        assert.strictEqual((yield* statistics).pipelined.connections, 1)
        yield* pinned("pinned", "select 1")
        assert.strictEqual((yield* statistics).pipelined.connections, 0)
        assert.deepInclude((yield* statistics).retired, { "slot wanted": 1 })
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("when it is slow", () => {
    it.effect(
      "ends the waiting of a query that takes too long, and gives its place back when the server is through",
      () =>
        Effect.gen(function* () {
          // Connecting would take a part of its time.
          yield* lookup(0)
          const error = yield* Effect.flip(statement("slow", "select pg_sleep(0.3)", { timeout: 50 }))
          assert.deepInclude({ ...error.reason }, { _tag: "TimedOut", limit: "timeout" })
          assert.strictEqual(error.outcome, "unknown")
          // It is still there, and the next one waits behind it.
          assert.strictEqual((yield* statistics).pipelined.inFlight, 1)
          yield* lookup(1)
          yield* waitUntil(
            "its place is free",
            Effect.map(statistics, ({ pipelined }) => pipelined.inFlight === 0)
          )
        }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("has the server end a statement that takes longer than the pool allows, and goes on", () =>
      Effect.gen(function* () {
        const [slow, quick] = yield* Effect.all([Effect.exit(statement("slow", "select pg_sleep(60)")), lookup(1)], {
          concurrency: 2
        })
        assert.strictEqual(reasonOf(slow), "CancelledByServer")
        assert.strictEqual(quick.n, 1)
      }).pipe(Effect.provide(Pg.pool({ pipelinedTimeout: "200 millis" })))
    )

    it.effect("names the query that others wait behind, once", () =>
      Effect.gen(function* () {
        const logged: Array<string> = []
        const logger = Logger.make(({ message }) => void logged.push(String(message)))
        yield* QueryPool.all([statement("the slow one", "select pg_sleep(1.5)"), ...many(20)], {
          concurrency: 30
        }).pipe(Effect.provide(Layer.provideMerge(Pg.pool(), Logger.layer([logger]))))
        assert.lengthOf(logged, 1)
        assert.match(logged[0] ?? "", /Query "the slow one".* has been at the head .* and 20 wait/)
      })
    )

    it.effect("lets no more be under way than there are places, and refuses who comes when the queue is full", () =>
      Effect.gen(function* () {
        const slow = yield* Effect.forkChild(statement("slow", "select pg_sleep(0.5)"), { startImmediately: true })
        const fibers = yield* Effect.forEach(many(300), (query) =>
          Effect.forkChild(Effect.exit(query), { startImmediately: true })
        )
        yield* waitUntil(
          "all places are taken",
          Effect.map(statistics, ({ pipelined }) => pipelined.inFlight === 256)
        )
        assert.strictEqual((yield* statistics).pipelined.waiting, 10)
        yield* Fiber.join(slow)
        const ends = (yield* Effect.forEach(fibers, Fiber.join)).map(reasonOf)
        assert.strictEqual(ends.filter((end) => end === "Succeeded").length, 265)
        assert.strictEqual(ends.filter((end) => end === "QueueFull").length, 35)
      }).pipe(Effect.provide(Pg.pool({ queueLimit: 10, pipelinedConnections: 1 })))
    )

    it.effect("gives every place back after any number of interruptions", () =>
      Effect.gen(function* () {
        for (let round = 0; round < 10; round++) {
          const run = yield* Effect.forkChild(
            QueryPool.all([statement("slow", "select pg_sleep(0.02)"), ...many(400)], { concurrency: 100 })
          )
          for (let turn = 0; turn < round; turn++) yield* Effect.yieldNow
          if (round % 2 === 1) yield* Effect.sleep(round)
          yield* Fiber.interrupt(run)
        }
        yield* waitUntil(
          "all places are free",
          Effect.map(statistics, ({ pipelined }) => pipelined.inFlight === 0)
        )
        assert.lengthOf(yield* QueryPool.all(many(600), { concurrency: 300 }), 600)
      }).pipe(Effect.provide(Pg.pool()))
    )
  })

  describe("when its connection breaks", () => {
    it.effect("fails what was sent with an outcome that is not known, retries what only reads, and opens another", () =>
      Effect.gen(function* () {
        const { faults, pool } = yield* faultsOf
        yield* Effect.gen(function* () {
          yield* lookup(0)
          yield* faults.inject(Faults.cut(), {
            before: Faults.fromServer("DataRow", { statement: /as n, pg_backend_pid/ })
          })
          const exits = yield* Effect.forEach(many(50), Effect.exit, { concurrency: 50 })
          assert.deepStrictEqual([...new Set(exits.map(reasonOf))], ["ConnectionLost"])
          for (const exit of exits) {
            const error = yield* Effect.flip(exit)
            assert.deepInclude(error, { connection: "gone", outcome: "unknown" })
          }
          assert.strictEqual((yield* lookup(7)).n, 7)
          yield* faults.inject(Faults.cut(), {
            before: Faults.fromServer("DataRow", { statement: /as n, pg_backend_pid/ })
          })
          const reads = Array.from({ length: 50 }, (_, n) =>
            lookup(n, { mode: "readOnly", retry: RetryPolicy.transient })
          )
          const rows = yield* QueryPool.all(reads, { concurrency: 50 })
          assert.deepStrictEqual(
            rows.map(({ n }) => n),
            reads.map((_, n) => n)
          )
        }).pipe(Effect.provide(pool()))
      }).pipe(Effect.scoped)
    )

    it.effect("tells of a server that cannot be reached, and of a wait for a slot that takes too long", () =>
      Effect.gen(function* () {
        const { faults, pool } = yield* faultsOf
        yield* Effect.gen(function* () {
          const refused = yield* faults.inject(Faults.answer({ code: "53300" }))
          assert.strictEqual((yield* Effect.flip(lookup(1))).reason._tag, "TooBusy")
          yield* refused.lift
          assert.strictEqual((yield* lookup(1)).n, 1)
          const begun = yield* Deferred.make<void>()
          const holds = Query.make("holds", () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
          const holding = yield* Effect.forkChild(holds)
          yield* Deferred.await(begun)
          const late = yield* Effect.flip(QueryPool.all([lookup(1, { timeout: 60 })]))
          assert.deepInclude({ ...late.reason }, { _tag: "TimedOut" })
          assert.strictEqual(late.outcome, "notApplied")
          yield* Fiber.interrupt(holding)
          assert.strictEqual((yield* lookup(1)).n, 1)
        }).pipe(Effect.provide(pool({ maxConnections: 1 })))
      }).pipe(Effect.scoped)
    )
  })

  it.effect("answers what was sent before the pool's end, and leaves no connection", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const answered = yield* Effect.gen(function* () {
        const slow = yield* Effect.forkDetach(Effect.exit(statement("slow", "select pg_sleep(0.2)")), {
          startImmediately: true
        })
        yield* observer.seen("it runs", ({ query }) => query.includes("pg_sleep(0.2)"))
        return slow
      }).pipe(Effect.provide(Pg.pool()))
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(answered)))
      yield* observer.gone
    })
  )

  it.effect("carries a stream of queries of any length", () =>
    Effect.gen(function* () {
      const source = Stream.map(Stream.range(0, 19_999), (n) => lookup(n))
      const sum = yield* Stream.runFold(
        QueryPool.stream(source, { concurrency: 100 }),
        () => 0,
        (total, { outcome }) => total + (outcome._tag === "Succeeded" ? outcome.value.n : NaN)
      )
      assert.strictEqual(sum, (19_999 * 20_000) / 2)
    }).pipe(Effect.provide(Pg.pool()))
  )
})
