import { assert, describe, layer } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Random } from "effect"
import { Query, QueryPool } from "querypool"
import type { PgQueryPool, QueryEvent } from "querypool"
import { below, fewTurns, forSeeds } from "../../support/Chaos.ts"
import { Collector } from "../../support/dataRows.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const settings: ReadonlyArray<{ readonly what: string; readonly config?: Config; readonly query?: string }> = [
  { what: "a pool that decodes" },
  { what: "a pool with text results", config: { results: "text" } },
  { what: "a pool that decodes, with TLS", query: "sslmode=require" },
  { what: "a pool with text results, with TLS", config: { results: "text" }, query: "sslmode=require" }
]
type Config = Pick<PgQueryPool.Config, "results">

/** More than the buffers of both sockets, the server's and the receiver's hold. */
const endless = "select i, repeat('x', 1000) as filler from generate_series(1, 2000000) as i"

const copied = (name: string, sql: string, collector = new Collector(), timeout: Duration.Input = Duration.infinity) =>
  Query.make(name, (_, unit) => Effect.map(unit.copyRows(sql, [], collector), (rows) => ({ collector, rows })), {
    timeout
  })

const backendPid = Query.make("which backend", (sql) =>
  Effect.map(sql<{ readonly pid: unknown }>`select pg_backend_pid() as pid`, ([row]) => Number(row?.pid))
)

const sees = (sql: string) =>
  Query.make("sees", (client) => Effect.map(client.unsafe<Record<string, unknown>>(sql), ([row]) => row))

layer(Pg.layer("PgCopy"), { excludeTestServices: true })("rows as bytes", (it) => {
  const one = Effect.provide(Pg.pool({ maxConnections: 1 }))
  const text = Effect.provide(Pg.pool({ maxConnections: 1, results: "text" }))

  for (const { config, query = "", what } of settings) {
    it.effect(`are what the server renders, on ${what}`, () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const sql = `select i::int8 as n, i / 7.0 as share, (i / 3.0)::float8 as f, i % 2 = 0 as even, null as nothing,
          timestamptz '2024-02-29 12:34:56.123456+00' + i * interval '1 second' as at, '{"a":  1}'::json as j,
          'é' || repeat('x', (i * 7919) % 9000) as filler, i as n from generate_series(1, 3000) as i`
        const { collector, rows } = yield* copied("copy", sql)
        assert.strictEqual(rows, 3000)
        assert.deepStrictEqual(
          collector.described?.map(({ name, typeOid }) => [name, typeOid]),
          [
            ["n", 20],
            ["share", 1700],
            ["f", 701],
            ["even", 16],
            ["nothing", 25],
            ["at", 1184],
            ["j", 114],
            ["filler", 25],
            ["n_2", 23]
          ]
        )
        const expected = yield* observer.rows(
          `select n::text, share::text, f::text, case when even then 't' else 'f' end as even, nothing, at::text, j::text,
            filler, m::text from (${sql}) as q (n, share, f, even, nothing, at, j, filler, m)`
        )
        assert.deepStrictEqual(
          collector.values,
          expected.map((row) => Object.values(row).map((value) => (value === null ? null : String(value))))
        )
      }).pipe(
        Effect.provide(
          Pg.pool({ maxConnections: 1, ...config }, (url) => {
            url.hostname = "localhost"
            url.search = query
          })
        )
      )
    )

    it.effect(`leave the driver's prepared statements and their values alone, on ${what}`, () =>
      Effect.gen(function* () {
        const sql = "select 1 as n, now() as at, 'x' as t"
        const before = yield* sees(sql)
        const { collector, rows } = yield* copied("copy", sql)
        const after = yield* sees(sql)
        assert.strictEqual(rows, 1)
        assert.strictEqual(collector.values[0]?.[0], "1")
        assert.strictEqual(typeof after?.["n"], config === undefined ? "number" : "string")
        assert.strictEqual(typeof after?.["n"], typeof before?.["n"])
        assert.strictEqual(after?.["at"] instanceof Date, before?.["at"] instanceof Date)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, ...config }, (url) => void (url.search = query))))
    )
  }

  it.effect.each([false, true])(
    "are handed over with parameters, and counted once, while they come: progress %s",
    (progress) =>
      Effect.gen(function* () {
        const counts: Array<number> = []
        const query = Query.make("count", (client, unit) =>
          Effect.gen(function* () {
            if (progress) unit.countArriving?.()
            const collector = new Collector(() => counts.push(unit.rows))
            const sql = "select i, $2::text from generate_series(1, $1::int) as i"
            const rows = yield* unit.copyRows(sql, [20_000, "x"], collector)
            const { columns } = unit
            const between = unit.rows
            yield* client`select i from generate_series(1, 10) as i`
            return { rows, columns, between, all: unit.rows }
          })
        )
        const { all, between, columns, rows } = yield* query
        assert.strictEqual(rows, 20_000)
        assert.strictEqual(between, 20_000)
        assert.strictEqual(all, 20_010)
        assert.deepStrictEqual(
          columns?.map(({ name }) => name),
          ["i", "text"]
        )
        assert.isAbove(counts.length, 1)
        assert.strictEqual(counts.at(-1), 20_000)
        assert.deepStrictEqual(
          counts,
          counts.toSorted((a, b) => a - b)
        )
      }).pipe(one)
  )

  it.effect("may be none, of a statement that has columns or has not", () =>
    Effect.gen(function* () {
      const none = yield* copied("none", "select 1 as a where false")
      assert.strictEqual(none.rows, 0)
      assert.lengthOf(none.collector.described ?? [], 1)
      const nothing = yield* copied("nothing", "set work_mem = '5MB'")
      assert.strictEqual(nothing.rows, 0)
      assert.isUndefined(nothing.collector.described)
      const empty = yield* copied("empty", "")
      assert.isUndefined(empty.collector.described)
      const returned = yield* copied("returned", "with d as (values (1), (2)) select from d")
      assert.strictEqual(returned.rows, 2)
      assert.deepStrictEqual(returned.collector.values, [[], []])
    }).pipe(one)
  )

  it.effect("come from a value of 100 MB, which the driver would refuse", () =>
    Effect.gen(function* () {
      const { collector, rows } = yield* copied("large", "select repeat('x', 100000000) as large, 1 as n")
      assert.strictEqual(rows, 1)
      assert.strictEqual(collector.bytes, 100_000_000 + 7 + 4 + 4 + 1)
      assert.strictEqual((yield* sees("select 1 as n"))?.["n"], 1)
    }).pipe(one)
  )

  it.effect("have the settings of a dump, which end with the statement", () =>
    Effect.gen(function* () {
      const sql =
        "select date '2024-02-01', interval '1 day -2 hours', 0.1::float8 + 0.2, '\\x00ff'::bytea, 'é' || chr(233)"
      const dumped = ["2024-02-01", "1 day -02:00:00", "0.30000000000000004", "\\x00ff", "éé"]
      const now = `select current_setting('DateStyle') as d, current_setting('IntervalStyle') as i,
        current_setting('extra_float_digits') as f, current_setting('bytea_output') as b,
        current_setting('client_encoding') as e`
      const own = { d: "German, DMY", i: "iso_8601", f: "0", b: "escape", e: "LATIN1" }
      const set = `select set_config('DateStyle', 'German', false), set_config('IntervalStyle', 'iso_8601', false),
        set_config('extra_float_digits', '0', false), set_config('bytea_output', 'escape', false),
        set_config('client_encoding', 'LATIN1', false)`
      for (const mode of ["autocommit", "transaction"] as const) {
        const [values, after] = yield* Query.make(
          mode,
          (client, unit) =>
            Effect.gen(function* () {
              const collector = new Collector()
              yield* client.unsafe(set)
              yield* unit.copyRows(sql, [], collector)
              return [collector.values, (yield* client.unsafe(now))[0]] as const
            }),
          { mode }
        )
        assert.deepStrictEqual(values, [dumped], mode)
        assert.deepStrictEqual(after, own, mode)
      }
      const afterFailure = yield* Query.make(
        "failed in a savepoint",
        (client, unit) =>
          Effect.gen(function* () {
            yield* client.unsafe(set)
            yield* Effect.flip(client.withTransaction(unit.copyRows("select 1 / 0", [], new Collector())))
            return (yield* client.unsafe(now))[0]
          }),
        { mode: "transaction" }
      )
      assert.deepStrictEqual(afterFailure, own)
    }).pipe(one)
  )

  it.effect("come beside NOTICEs, which are told where the pool reads them", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const rows = yield* Query.make("notices", (client, unit) =>
        Effect.gen(function* () {
          yield* client`create function pg_temp.told(n int) returns int language plpgsql as
              'begin if n % 1000 = 0 then raise notice ''at %'', n; end if; return n; end'`
          unit.onNotice = (severity, message) => told.push(`${severity} ${message}`)
          return yield* unit.copyRows(
            "select pg_temp.told(i), repeat('x', 50) from generate_series(1, 5000) as i",
            [],
            new Collector()
          )
        })
      )
      assert.strictEqual(rows, 5000)
      assert.deepStrictEqual(
        told,
        [1, 2, 3, 4, 5].map((n) => `NOTICE at ${n}000`)
      )
    }).pipe(text)
  )

  it.effect("come from several statements of one unit, one after the other and at once", () =>
    Effect.gen(function* () {
      const result = yield* Query.make("several", (client, unit) =>
        Effect.all(
          [
            unit.copyRows("select i from generate_series(1, 20000) as i", [], new Collector()),
            client<{ readonly n: number }>`select 7 as n`,
            unit.copyRows("select i from generate_series(1, 30000) as i", [], new Collector()),
            client.withTransaction(
              Effect.andThen(
                unit.copyRows("select 1", [], new Collector()),
                client<{ readonly n: number }>`select 8 as n`
              )
            )
          ],
          { concurrency: "unbounded" }
        )
      )
      assert.deepStrictEqual(result, [20_000, [{ n: 7 }], 30_000, [{ n: 8 }]])
    }).pipe(one)
  )

  it.effect("come from a snapshot's moment", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table moments (n int)")
      const [count, { collector }] = yield* QueryPool.all(
        [
          Query.make("count", (sql) =>
            Effect.tap(sql<{ readonly n: number }>`select count(*)::int as n from moments`, () =>
              Effect.orDie(observer.rows("insert into moments values (1)"))
            )
          ),
          copied("copy", "select n from moments")
        ],
        { concurrency: 1, snapshot: true }
      )
      assert.deepStrictEqual(count, [{ n: 0 }])
      assert.isEmpty(collector.values)
    }).pipe(one)
  )

  it.effect("are refused in the pipelined lane", () =>
    Effect.gen(function* () {
      const pool = yield* QueryPool.QueryPool
      const collector = new Collector()
      const error = yield* Effect.flip(
        pool.use({ name: "pipelined", options: { lane: "pipelined" } }, (_, unit) =>
          unit.copyRows("select 1", [], collector)
        )
      )
      assert.strictEqual(error.outcome, "notApplied")
      assert.include(error.message, "cannot be copied in the pipelined lane")
      assert.include(error.hint, 'leave `lane: "pipelined"` out')
      assert.isUndefined(collector.described)
    }).pipe(one)
  )

  describe("while they are paused", () => {
    for (const { config, query = "", what } of settings) {
      it.effect(`make the server wait, in bounded memory, and come to an end once they flow: ${what}`, () =>
        Effect.gen(function* () {
          const { observer } = yield* Pg.Pg
          const collector = new Collector(({ flow }) => flow?.pause())
          const rows = yield* Effect.forkChild(
            copied("slow", "select i, repeat('x', 1000) from generate_series(1, 50000) as i", collector)
          )
          yield* observer.seen("the server waits for its client", ({ wait }) => wait === "Client:ClientWrite")
          const { bytes } = collector
          // What was received already still comes: a chunk, and what the stream had read ahead.
          assert.isBelow(bytes, 1_000_000)
          let flows = 0
          while (rows.pollUnsafe() === undefined) {
            collector.flow?.resume()
            flows++
            yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          }
          assert.strictEqual((yield* Fiber.join(rows)).rows, 50_000)
          assert.isAbove(flows, 10)
          assert.strictEqual(new Set(collector.values.map(([i]) => i)).size, 50_000)
        }).pipe(
          Effect.provide(
            Pg.pool({ maxConnections: 1, ...config }, (url) => {
              url.hostname = "localhost"
              url.search = query
            })
          )
        )
      )

      it.effect(`are interrupted, and the server has stopped then: ${what}`, () =>
        Effect.gen(function* () {
          const { observer } = yield* Pg.Pg
          const collector = new Collector(({ flow }) => flow?.pause())
          const events: Array<QueryEvent.QueryEvent> = []
          const run = yield* Effect.forkChild(
            QueryPool.all([copied("paused", endless, collector)], { onEvent: (event) => events.push(event) })
          )
          const { pid } = yield* observer.seen("the server waits", ({ wait }) => wait === "Client:ClientWrite")
          const { bytes } = collector
          yield* Fiber.interrupt(run)
          assert.strictEqual(collector.bytes, bytes)
          const ended = events.find((event) => event._tag === "CancelEnded")
          // On a busy machine it may take longer than the grace, after which it is terminated.
          assert.isTrue(ended?._tag === "CancelEnded" && ended.how !== "unconfirmed")
          assert.isFalse(
            (yield* observer.backends).some((backend) => backend.pid === pid && backend.state === "active")
          )
          assert.strictEqual((yield* copied("next", "select 1")).rows, 1)
          assert.notStrictEqual(yield* backendPid, pid)
        }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, ...config }, (url) => void (url.search = query))))
      )
    }

    it.effect("make the server wait also where NOTICEs come between them", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const collector = new Collector(({ flow }) => flow?.pause())
        const notices = Query.make("notices", (client, unit) =>
          Effect.gen(function* () {
            yield* client`create function pg_temp.told(n int) returns int language plpgsql as
              'begin raise notice ''at %'', n; return n; end'`
            return yield* unit.copyRows(
              "select pg_temp.told(i), repeat('x', 1000) from generate_series(1, 2000000) as i",
              [],
              collector
            )
          })
        )
        const fiber = yield* Effect.forkChild(notices)
        yield* observer.seen("the server waits for its client", ({ wait }) => wait === "Client:ClientWrite")
        assert.isBelow(collector.bytes, 1_000_000)
        yield* Fiber.interrupt(fiber)
      }).pipe(text)
    )

    it.effect("are timed out", () =>
      Effect.gen(function* () {
        const collector = new Collector(({ flow }) => flow?.pause())
        const error = yield* Effect.flip(copied("late", endless, collector, "200 millis"))
        assert.strictEqual(error.reason._tag, "TimedOut")
        assert.strictEqual((yield* copied("next", "select 1")).rows, 1)
      }).pipe(one)
    )

    it.effect("fail with the connection, once they flow", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const collector = new Collector(({ flow }) => flow?.pause())
        const failing = yield* Effect.forkChild(Effect.flip(copied("cut", endless, collector)))
        const { pid } = yield* observer.seen("the server waits", ({ wait }) => wait === "Client:ClientWrite")
        yield* observer.terminate(pid)
        collector.flow?.resume()
        const flowing = yield* Effect.forkChild(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => collector.flow?.resume()),
              Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
            )
          )
        )
        const error = yield* Fiber.join(failing)
        yield* Fiber.interrupt(flowing)
        assert.strictEqual(error.reason._tag, "ConnectionLost")
        assert.strictEqual((yield* copied("next", "select 1")).rows, 1)
      }).pipe(one)
    )

    it.effect("are given up with the pool, which does not wait for their receiver", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const collector = new Collector(({ flow }) => flow?.pause())
        const scoped = Effect.gen(function* () {
          const fiber = yield* Effect.forkDetach(Effect.exit(copied("left", endless, collector)))
          yield* observer.seen("the server waits", ({ wait }) => wait === "Client:ClientWrite")
          return fiber
        }).pipe(Effect.provide(Pg.pool({ maxConnections: 1, drainTimeout: "50 millis", cancelGrace: "1 minute" })))
        const fiber = yield* scoped
        const exit = yield* Fiber.join(fiber)
        assert.isTrue(Exit.isFailure(exit))
        yield* observer.gone
      })
    )
  })

  it.effect("end with an error in their midst, after which the session goes on", () =>
    Effect.gen(function* () {
      const pid = yield* backendPid
      const collector = new Collector()
      const error = yield* Effect.flip(
        copied("broken", "select 1 / (50000 - i), repeat('x', 100) from generate_series(1, 100000) as i", collector)
      )
      assert.isTrue(error.reason._tag === "Rejected" && error.reason.sqlState === "22012")
      assert.strictEqual(error.connection, "usable")
      assert.isAbove(collector.bytes, 0)
      assert.strictEqual(yield* backendPid, pid)
      const wrong = yield* Effect.flip(copied("wrong", "select nothing from nowhere"))
      assert.isTrue(wrong.reason._tag === "Rejected" && wrong.reason.position?.text === "select nothing from nowhere")
      assert.strictEqual(yield* backendPid, pid)
    }).pipe(one)
  )

  it.effect("end with what their receiver throws, and so does the statement", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const defect = new Error("no more")
      const exit = yield* Effect.exit(
        copied(
          "throws",
          endless,
          new Collector(() => {
            throw defect
          })
        )
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === defect)
      yield* waitUntil(
        "no statement runs",
        Effect.map(observer.backends, (all) => all.every(({ state }) => state !== "active"))
      )
      assert.strictEqual((yield* copied("next", "select 1")).rows, 1)
    }).pipe(one)
  )

  it.effect("are found whatever notifications the session gets in between", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* Query.make("listens", (client, unit) =>
        Effect.gen(function* () {
          yield* client`listen noise`
          const done = yield* Deferred.make<void>()
          const noise = yield* Effect.forkChild(
            Effect.repeat(observer.rows("select pg_notify('noise', repeat('x', 7000)) from generate_series(1, 20)"), {
              until: () => Deferred.isDone(done)
            })
          )
          for (let round = 0; round < 100; round++) {
            const collector = new Collector()
            assert.strictEqual(yield* unit.copyRows("select i from generate_series(1, 50) as i", [], collector), 50)
            assert.deepStrictEqual(
              collector.values.map(([i]) => i),
              Array.from({ length: 50 }, (_, i) => String(i + 1))
            )
          }
          yield* Deferred.succeed(done, undefined)
          yield* Fiber.join(noise)
        })
      )
    }).pipe(one)
  )

  it.effect("are all there or the query has not succeeded, wherever it is interrupted, paused or failed", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* forSeeds(40, (seed) =>
        Effect.gen(function* () {
          const size = 1 + (yield* below(3000))
          const filler = yield* below(4000)
          const pauses = yield* Random.next
          const fails = (yield* below(4)) === 0
          const sql = `select i, repeat('x', ${filler}) ${fails ? `, 1 / (${size} - i)` : ""} from generate_series(1, ${size}) as i`
          const collector = new Collector(({ flow }) => {
            if (Math.random() > pauses) return
            flow?.pause()
            setImmediate(() => flow?.resume())
          })
          const fiber = yield* Effect.forkChild(Effect.exit(copied(`seed ${seed}`, sql, collector)))
          if ((yield* below(2)) === 0) {
            for (let turns = yield* below(40); turns > 0; turns--) {
              yield* fewTurns
              yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
            }
            yield* Fiber.interrupt(fiber)
          }
          const ended = yield* Fiber.await(fiber)
          if (Exit.isSuccess(ended) && Exit.isSuccess(ended.value)) {
            assert.isFalse(fails)
            assert.deepStrictEqual(
              collector.values.map(([i, x]) => [i, x?.length]),
              Array.from({ length: size }, (_, i) => [String(i + 1), filler])
            )
          }
          assert.strictEqual((yield* copied("next", "select 1 as n")).rows, 1)
          assert.strictEqual((yield* sees("select 1 as n"))?.["n"], 1)
        })
      )
      assert.isTrue((yield* observer.backends).every(({ state }) => state === "idle"))
    }).pipe(one)
  )
})
