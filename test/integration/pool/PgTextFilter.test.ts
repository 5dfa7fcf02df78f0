import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Query, QueryPool } from "querypool"
import type { QueryEvent } from "querypool"
import * as Pg from "../../support/Pg.ts"

/** A value of each built-in type that has values of its own; arrays and ranges of them follow by themselves. */
const literals: Readonly<Record<string, string>> = {
  bool: "t",
  bytea: "\\x00ff41",
  char: "x",
  name: "a name",
  int8: "-9223372036854775808",
  int2: "-32768",
  int2vector: "1 2 3",
  int4: "2147483647",
  regproc: "now",
  regprocedure: "lower(text)",
  regoper: "||/",
  regoperator: "+(integer,integer)",
  regclass: "pg_class",
  regtype: "integer",
  regconfig: "english",
  regdictionary: "simple",
  regnamespace: "pg_catalog",
  regrole: "postgres",
  regcollation: '"C"',
  regdatabase: "postgres",
  text: "é ☃ 😀 \n tab\t",
  oid: "4294967295",
  tid: "(1,2)",
  xid: "3",
  xid8: "18446744073709551615",
  cid: "4",
  oidvector: "1 2",
  json: '{"a": [1, null],  "b":2}',
  jsonb: '{"a": [1, null],  "b":2}',
  jsonpath: "$.a[*]",
  xml: "<a>b</a>",
  point: "(1.5,-2)",
  lseg: "[(0,0),(1,1)]",
  path: "((0,0),(1,1))",
  box: "(1,1),(0,0)",
  polygon: "((0,0),(1,1),(1,0))",
  line: "{1,2,3}",
  circle: "<(0,0),2>",
  float4: "1.17549e-38",
  float8: "0.1",
  money: "$1,234.50",
  macaddr: "08:00:2b:01:02:03",
  macaddr8: "08:00:2b:01:02:03:04:05",
  inet: "192.168.0.1/24",
  cidr: "10.0.0.0/8",
  aclitem: "postgres=r/postgres",
  bpchar: "padded   ",
  varchar: "varying",
  date: "4713-01-01 BC",
  time: "23:59:59.999999",
  timetz: "23:59:59.999999+05:30",
  timestamp: "2024-02-29 12:34:56.123456",
  timestamptz: "infinity",
  interval: "1 year 2 mons -3 days 04:05:06.789",
  bit: "1",
  varbit: "10101",
  numeric: "-12345678901234567890.123456789",
  refcursor: "a cursor",
  uuid: "123e4567-e89b-12d3-a456-426614174000",
  tsvector: "'a':1 'b':2",
  gtsvector: "",
  tsquery: "'a' & 'b'",
  pg_lsn: "16/B374D848",
  txid_snapshot: "10:20:10,14",
  pg_snapshot: "10:20:10,14"
}

/** Types that no client can make a value of. */
const withoutInput = [
  "pg_node_tree",
  "pg_ndistinct",
  "pg_dependencies",
  "pg_mcv_list",
  "pg_brin_bloom_summary",
  "pg_brin_minmax_multi_summary",
  "gtsvector"
]

layer(Pg.layer("text"), { excludeTestServices: true })("results as text", (it) => {
  const text = Effect.provide(Pg.pool({ results: "text", maxConnections: 1 }))

  it.effect("are the server's own, for every type that PostgreSQL comes with, alone and in arrays", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const types = (yield* observer.rows(
        "select typname::text as name from pg_type where typtype = 'b' and typelem = 0 and typnamespace = 'pg_catalog'::regnamespace or typname in ('int2vector', 'oidvector', 'point', 'lseg', 'box', 'line', 'name') order by 1"
      )).map((row) => String(row["name"]))
      assert.deepStrictEqual(
        types.filter((type) => literals[type] === undefined && !withoutInput.includes(type)),
        []
      )
      const sql = yield* SqlClient.SqlClient
      for (const type of types.filter((type) => !withoutInput.includes(type))) {
        const quoted = `'${(literals[type] ?? "").replaceAll("'", "''")}'::pg_catalog."${type}"`
        const [row] = yield* sql.unsafe<Readonly<Record<string, unknown>>>(
          `select ${quoted} as v, format('%s', ${quoted}) as t, array[${quoted}] as vs, format('%s', array[${quoted}]) as ts,
            null::pg_catalog."${type}" as none`
        )
        assert.isString(row?.["v"], type)
        assert.strictEqual(row?.["v"], row?.["t"], type)
        assert.strictEqual(row?.["vs"], row?.["ts"], type)
        assert.isNull(row?.["none"], type)
      }
    }).pipe(text)
  )

  it.effect("are so for ranges, records, enums, domains, composites and what has no type", () =>
    Effect.gen(function* () {
      const rows = yield* Query.make("kinds", (sql) =>
        Effect.gen(function* () {
          yield* sql`create temp table kinds (a int)`
          yield* sql`create type pg_temp.mood as enum ('good', 'so so')`
          yield* sql`create domain pg_temp.small as int check (value < 10)`
          yield* sql`create type pg_temp.pair as (a int, b text)`
          return yield* sql`select int4range(1, 3) as range, int4multirange(int4range(1, 3)) as ranges,
            row(1, 'a b') as record, 'so so'::pg_temp.mood as mood, 3::pg_temp.small as small,
            row(1, 'x"y')::pg_temp.pair as pair, 'untyped' as untyped, now()::text = now()::text as same`
        })
      )
      assert.deepStrictEqual(rows, [
        {
          range: "[1,3)",
          ranges: "{[1,3)}",
          record: '(1,"a b")',
          mood: "so so",
          small: "3",
          pair: '(1,"x""y")',
          untyped: "untyped",
          same: "t"
        }
      ])
    }).pipe(text)
  )

  it.effect("follow the session's settings, as psql's do", () =>
    Effect.gen(function* () {
      const rows = yield* Query.make("settings", (sql) =>
        Effect.gen(function* () {
          yield* sql`set time zone 'Asia/Tokyo'`
          yield* sql`set datestyle = 'German'`
          yield* sql`set bytea_output = 'escape'`
          yield* sql`set intervalstyle = 'iso_8601'`
          return yield* sql`select '2024-01-02 00:00:00.000001Z'::timestamptz as at, '\\x4142'::bytea as bytes,
            '1 day 2 hours'::interval as span`
        })
      )
      assert.deepStrictEqual(rows, [{ at: "02.01.2024 09:00:00.000001 JST", bytes: "AB", span: "P1DT2H" }])
    }).pipe(text)
  )

  it.effect("keep columns of one name apart, and name and type each column", () =>
    Effect.gen(function* () {
      const { columns, rows, values } = yield* Query.make("twice", (sql, unit) =>
        Effect.gen(function* () {
          const rows = yield* sql`select 1 as a, 'x' as a, null::bool as b, 2 as a_2, 3 as a`
          const { columns } = unit
          const values = yield* sql`select 1, 2`.values
          return { rows, columns, values }
        })
      )
      assert.deepStrictEqual(rows, [{ a: "1", a_3: "x", b: null, a_2: "2", a_4: "3" }])
      assert.deepStrictEqual(columns, [
        { name: "a", typeOid: 23, typeModifier: -1 },
        { name: "a_3", typeOid: 25, typeModifier: -1 },
        { name: "b", typeOid: 16, typeModifier: -1 },
        { name: "a_2", typeOid: 23, typeModifier: -1 },
        { name: "a_4", typeOid: 23, typeModifier: -1 }
      ])
      assert.deepStrictEqual(values, [["1", "2"]])
    }).pipe(text)
  )

  describe("come with", () => {
    it.effect("the command's tag", () =>
      Effect.gen(function* () {
        const tags = yield* Query.make("tags", (sql, unit) =>
          Effect.gen(function* () {
            const seen: Array<string | undefined> = [unit.command]
            for (const statement of [
              "create temp table t (a int)",
              "insert into t values (1), (2), (3)",
              "update t set a = a where a > 1",
              "select * from t",
              "delete from t",
              "begin",
              "rollback"
            ]) {
              yield* sql.unsafe(statement)
              seen.push(unit.command)
            }
            return seen
          })
        )
        assert.deepStrictEqual(tags, [
          undefined,
          "CREATE TABLE",
          "INSERT 0 3",
          "UPDATE 2",
          "SELECT 3",
          "DELETE 3",
          "BEGIN",
          "ROLLBACK"
        ])
      }).pipe(text)
    )

    it.effect("notices and warnings, told to the run while the query runs", () =>
      Effect.gen(function* () {
        const events: Array<QueryEvent.QueryEvent> = []
        const noisy = Query.make("noisy", (sql) =>
          Effect.andThen(
            sql`do $$ begin raise notice 'one é'; raise warning 'two'; raise info 'three'; end $$`,
            sql`select 1 as n`
          )
        )
        const report = yield* QueryPool.report([noisy, Query.make("quiet", (sql) => sql`select 2`)], {
          onEvent: (event) => events.push(event),
          concurrency: 1
        })
        const notices = [
          { severity: "NOTICE", message: "one é" },
          { severity: "WARNING", message: "two" },
          { severity: "INFO", message: "three" }
        ]
        assert.deepStrictEqual(
          report.queries.map((query) => query.notices),
          [notices, []]
        )
        assert.deepStrictEqual(
          events.map((event) => event._tag),
          [
            "RunStarted",
            "Submitted",
            "Submitted",
            "Started",
            "Noticed",
            "Noticed",
            "Noticed",
            "Ended",
            "Started",
            "Ended",
            "RunEnded"
          ]
        )
      }).pipe(text)
    )

    it.effect("rows that were counted, by the pool and not by the tag", () =>
      Effect.gen(function* () {
        const report = yield* QueryPool.report(
          [
            Query.make("counts", (sql) => Effect.andThen(sql`select * from account limit 10`, sql`select 1`.values)),
            Stream.runDrain(
              Query.stream({ name: "streams", schema: Schema.Unknown, statement: (sql) => sql`select * from account` })
            )
          ],
          { concurrency: 1 }
        )
        assert.deepStrictEqual(
          report.queries.map(({ name, rows }) => [name, rows]),
          [
            ["counts", 11],
            ["streams", 1000]
          ]
        )
      }).pipe(text)
    )
  })

  it.effect("are the same when a statement is prepared, streamed, long, wide or has many parameters", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (let times = 0; times < 3; times++) {
        assert.deepStrictEqual(
          yield* sql`select ${times}::int as n, ${new Date(0)}::timestamptz at time zone 'UTC' as at`,
          [{ n: String(times), at: "1970-01-01 00:00:00" }]
        )
      }
      assert.deepStrictEqual(
        yield* Stream.runCollect(sql`select n from generate_series(1, 3000) n`.stream),
        Array.from({ length: 3000 }, (_, n) => ({ n: String(n + 1) }))
      )
      const long = "x".repeat(3_000_000)
      assert.deepStrictEqual(yield* sql`select ${long}::text as long`, [{ long }])
      const wide = Array.from({ length: 1600 }, (_, n) => n)
      const [row] = yield* sql.unsafe(`select ${wide.map((n) => `${n} as c${n}`).join()}`)
      assert.deepStrictEqual(row, Object.fromEntries(wide.map((n) => [`c${n}`, String(n)])))
      const many = Array.from({ length: 32_767 }, (_, n) => n)
      const [sum] = yield* sql.unsafe(
        `select sum(v)::text as sum from (values ${many.map((n) => `($${n + 1}::int)`).join()}) t(v)`,
        many
      )
      assert.deepStrictEqual(sum, { sum: String((32_767 * 32_766) / 2) })
    }).pipe(text)
  )

  it.effect("do not disturb errors, transactions and resets", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Query.make("fails", (sql) => sql`select 1 as a, 1 / 0 as b`))
      assert.strictEqual(error.reason._tag === "Rejected" ? error.reason.sqlState : error.reason._tag, "22012")
      yield* Query.make("sets", (sql) => sql`set work_mem = '5MB'`, { mode: "transaction" })
      assert.deepStrictEqual(yield* Query.make("next", (sql) => sql`select current_setting('work_mem') as m`), [
        { m: "4MB" }
      ])
    }).pipe(text)
  )
})
