import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { EmbeddedPostgres } from "querypool/embedded"
import { PgQueryPool, Query } from "querypool"
import { expected } from "../../../src/pool/PgEstimates.ts"
import * as PgHints from "../../../src/pool/PgHints.ts"
import { DurationHistory } from "../../../src/query/Learning.ts"

const pool = (config?: Omit<PgQueryPool.Config, "url">, adapt?: (url: URL) => void) =>
  Layer.unwrap(
    Effect.map(EmbeddedPostgres, ({ url }) => {
      const adapted = new URL(Redacted.value(url))
      adapt?.(adapted)
      return PgQueryPool.layer({ ...config, url: Redacted.make(adapted.href) })
    })
  )

/** What pg_stat_statements is found to have counted for each query, made of these statements. */
const found = (queries: ReadonlyArray<ReadonlyArray<string>>) =>
  Query.make("hints", (sql) =>
    Effect.gen(function* () {
      const times: Array<number | undefined> = queries.map(() => undefined)
      yield* PgHints.statistics(sql, queries, (index, millis) => (times[index] = millis))
      return times
    })
  )

const run = (...statements: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (const statement of statements) yield* sql.unsafe(statement)
  })

/** The mean that the server has of the statements that have a text like this. */
const meanOf = (like: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ mean: number }>`select sum(total_exec_time) / sum(calls)::float8 as mean
      from pg_stat_statements where query like ${like}`
    return rows[0]?.mean ?? assert.fail(`nothing is like ${like}`)
  })

const other = (url: URL): void => {
  url.pathname = "/other"
}

const narrow = (url: URL): void => {
  url.username = "narrow"
  url.password = "narrow role"
}

const server = EmbeddedPostgres.layer({ settings: { shared_preload_libraries: "pg_stat_statements" } })

layer(server, { excludeTestServices: true })("a server with pg_stat_statements", (it) => {
  it.effect("gives no hints before the extension is created, and fails nobody", () =>
    Effect.gen(function* () {
      yield* run("select 1")
      assert.deepStrictEqual(yield* found([["select 1"]]), [undefined])
    }).pipe(Effect.provide(pool()))
  )

  for (const results of ["decoded", "text"] as const) {
    it.effect(`gives its mean for a text with other constants and white space, to a pool with ${results} results`, () =>
      Effect.gen(function* () {
        yield* run(
          "create extension if not exists pg_stat_statements",
          "select pg_stat_statements_reset()",
          "select pg_sleep(0.004), 'a', 1 in (1, 2, 3)",
          "select pg_sleep(0.006), 'b', 1 in (1)",
          "select count(*) from generate_series(1, 1000)"
        )
        const times = yield* found([
          ["-- slow\nSELECT pg_sleep(10),\n  'another' /* b */, 2 in (7, 8)"],
          ["select count(*) from generate_series(1, 5)"],
          ["select count(*) from generate_series(1, 5)", "select pg_sleep(1), 'c', 1 in (1, 2)"],
          ["select count(*) from generate_series(1, 5)", "select 'never run'::text"],
          ["select count(*) from generate_series(1, 5) as x"],
          []
        ])
        const [slow = 0, quick = 0, both = 0] = times
        assert.isAtLeast(slow, 5)
        assert.isBelow(quick, slow)
        assert.closeTo(both, slow + quick, 1e-6)
        assert.deepStrictEqual(times.slice(3), [undefined, undefined, undefined])
        if (results === "decoded") assert.closeTo(slow, yield* meanOf("select pg_sleep(%"), 1e-6)
      }).pipe(Effect.provide(pool({ results })))
    )
  }

  it.effect("counts what runs with parameters and by prepared statements", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`select pg_sleep(0.002), ${"a"}::text, ${1}::int`
      const [millis = 0] = yield* found([["select pg_sleep(0.002), $1::text, $2::int"]])
      assert.isAtLeast(millis, 2)
    }).pipe(Effect.provide(pool()))
  )

  it.effect("finds every text that the planner sees as the same with other constants", () =>
    Effect.gen(function* () {
      yield* run(
        "create table if not exists t (id int, name text, b int, at date)",
        "select pg_stat_statements_reset()"
      )
      const pairs: ReadonlyArray<readonly [ran: string, asked: string]> = [
        ["select * from t where id = 5 and name = 'it''s'", "select * from t where id=7 -- \nAND name = $$x$$"],
        [
          "select -4, + 3, null::int, true, 1.5e3, date '2020-01-01'",
          "select -5, + 2, null::int, false, 2, date '2021-01-01'"
        ],
        ["select id - 5, id*-5 from t order by 1 limit 10", "SELECT id - 6, id*-7 FROM t ORDER BY 1 LIMIT 1"],
        ["select id from t where id in (1, 2, 3)", "select id from t where id in (4, 5)"],
        ["select id from t where b is null", "select id from t where b is null"],
        ["select extract(year from at) from t", "select extract(month from at) from t"],
        ["insert into t (id, name) values (1, 'a'), (2, 'b')", "insert into t (id, name) values (3, 'c'), (4, 'd')"],
        ["update t set name = 'x' where id = -1", "update t set name = 'y' where id = 1"],
        ["with x as (select 1 as a) select * from x", "with x as (select 2 as a) select * from x"],
        ["select interval '1' year, '5'::int", "select interval '2' year, '6'::int"],
        ["set work_mem = '4MB'", "set work_mem = '5MB'"],
        ["vacuum t", "VACUUM t"],
        ["select * from t limit all", "select * from t limit 3"],
        ["select id from t where id in (1::int, 2::int)", "select id from t where id in (3, 4, 5)"],
        ["select 5 - -3, 5-3 from t", "select 6 - -4, 7 - 1 from t"],
        ["select 'a' is nfc normalized", "select 'b' is nfc normalized"]
      ]
      yield* run(...pairs.map(([ran]) => ran))
      const times = yield* found(pairs.map(([, asked]) => [asked]))
      assert.deepStrictEqual(
        pairs.flatMap(([, asked], index) => (times[index] === undefined ? [asked] : [])),
        []
      )
    }).pipe(Effect.provide(pool()))
  )

  it.effect("takes no DO block for another, such as that by which a pool resets its sessions", () =>
    Effect.gen(function* () {
      yield* run("create temp table left_behind (id int)")
      yield* run("do $$ begin perform pg_sleep(0.005); end $$")
      const [same = 0, other] = yield* found([
        ["DO $$ begin perform pg_sleep(0.005); end $$;"],
        ["do $$ begin perform pg_sleep(5); end $$"]
      ])
      assert.isAtLeast(same, 5)
      assert.isUndefined(other)
    }).pipe(Effect.provide(pool({ maxConnections: 1 })))
  )

  it.effect("says only of its own database what it counted", () =>
    Effect.gen(function* () {
      yield* run("create database other")
      const text = "select 'only there'::text, pg_sleep(0.001)"
      yield* Effect.provide(run("create extension pg_stat_statements", text), pool({}, other))
      assert.deepStrictEqual(yield* found([[text]]), [undefined])
      const [there] = yield* Effect.provide(found([[text]]), pool({}, other))
      assert.isDefined(there)
    }).pipe(Effect.provide(pool()))
  )

  it.effect("finds the extension in another schema", () =>
    Effect.gen(function* () {
      yield* run(
        `create schema "Odd one"`,
        `alter extension pg_stat_statements set schema "Odd one"`,
        "select 'odd'::text"
      )
      const [millis] = yield* found([["select 'strange'::text"]])
      assert.isDefined(millis)
      yield* run("alter extension pg_stat_statements set schema public")
    }).pipe(Effect.provide(pool()))
  )

  it.effect("tells a role only of its own statements, and leaves the others to EXPLAIN", () =>
    Effect.gen(function* () {
      yield* run("create role narrow login password 'narrow role'", "select pg_sleep(0.001), 'of another role'::text")
      const own = "select pg_sleep(0.001), 'own'::name"
      const [first, second] = yield* Effect.gen(function* () {
        yield* run(own)
        return yield* expected([
          { key: "own", statements: [own] },
          { key: "other", statements: ["select pg_sleep(0.001), 'of another role'::text"] }
        ])
      }).pipe(
        Effect.provide(pool({}, narrow)),
        Effect.provideService(
          DurationHistory,
          DurationHistory.of({ recall: Effect.succeed(() => undefined), learn: () => Effect.void })
        )
      )
      assert.deepStrictEqual([first?.source, second?.source], ["pg_stat_statements", "explain"])
    }).pipe(Effect.provide(pool()))
  )
})
