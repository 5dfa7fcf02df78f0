/** Where a query is cut: what the server knows decides how long the parts are. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Partition } from "querypool"
import type { Query } from "querypool"
import * as Pg from "../../support/Pg.ts"

const Count = Schema.Struct({ count: Schema.Finite })

/** Something of one test's own, such as `table moving`. What was changed is counted before ANALYZE counts it. */
const own = Effect.fnUntraced(function* (thing: string, ...statements: ReadonlyArray<string>) {
  const { observer } = yield* Pg.Pg
  yield* Effect.addFinalizer(() => Effect.orDie(observer.rows(`drop ${thing.replace(" ", " if exists ")} cascade`)))
  for (const statement of statements) {
    yield* observer.rows(statement)
    yield* observer.rows("select pg_stat_force_next_flush()")
  }
  return observer
})

const statement = (text: string): Query.Find<typeof Count> => ({
  name: "counted",
  schema: Count,
  statement: () => ({ sql: text, params: [] })
})

/** How a statement is cut, and how many rows each part has. */
const cut = Effect.fnUntraced(function* (text: string, column: string, parts: number) {
  const partition = Partition.byRange(statement(text), {
    column,
    parts,
    each: (sql, part) => sql`select count(*)::int as count from ${part}`
  })
  const plan = yield* Partition.plan(partition)
  const counts = yield* Partition.findAll(partition)
  return {
    ...plan,
    bounds: plan.parts.slice(1).map(({ ranges }) => ranges[0]?.from),
    sizes: counts.map(({ count }) => count)
  }
})

/** Whether no part is longer than an equal share by more than a part of it. */
const assertEven = (sizes: ReadonlyArray<number>, parts: number, excess: number): void => {
  const share = sizes.reduce((sum, size) => sum + size, 0) / parts
  assert.lengthOf(sizes, parts)
  assert.isAtMost(Math.max(...sizes), share * (1 + excess), `sizes ${sizes.join(", ")}`)
}

const rows = 20_000

layer(Pg.layer("PartitionPlan"), { excludeTestServices: true })("the plan of a query in parts", (it) => {
  describe("with fresh statistics", () => {
    it.effect("makes the parts equal, whatever the values are like", () =>
      Effect.gen(function* () {
        const columns: Readonly<Record<string, string>> = {
          id: "i",
          squared: "i::bigint * i",
          ago: "now() - interval '1 second' * (i::float8 ^ 2)",
          hash: "md5(i::text)::uuid",
          name: `('user ' || i) collate "und-x-icu"`,
          half: "case when i % 2 = 0 then null else i end",
          negative: "-i::numeric / 7"
        }
        yield* own(
          "table spread",
          `create table spread as select ${Object.entries(columns)
            .map(([name, value]) => `${value} as ${name}`)
            .join(", ")} from generate_series(1, ${rows}) i`,
          "analyze spread"
        )
        for (const column of Object.keys(columns)) {
          const { origin, sizes, why } = yield* cut("select * from spread", column, 8)
          assert.strictEqual(origin, "histogram", column)
          assert.strictEqual(why, "the statistics of public.spread are fresh: 0 of 20,000 rows changed since")
          if (column !== "half") assertEven(sizes, 8, 0.15)
          // Half of the rows are NULL, and stand in one part.
          else assertEven(sizes.slice(1), 7, 0.15)
        }
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("gives a common value a part of its own, and the others what is left", () =>
      Effect.gen(function* () {
        yield* own(
          "table skewed",
          `create table skewed as select case when i % 2 = 0 then 5000 else i end as id from generate_series(1, ${rows}) i`,
          "analyze skewed"
        )
        const { bounds, origin, sizes } = yield* cut("table skewed", "id", 6)
        assert.strictEqual(origin, "histogram")
        assert.include(bounds, "5000")
        const largest = Math.max(...sizes)
        assert.isAtMost(largest, rows / 2 + rows / 50)
        assertEven(
          sizes.filter((size) => size !== largest),
          5,
          0.3
        )
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("has no more parts than there are values", () =>
      Effect.gen(function* () {
        yield* own(
          "table few",
          `create table few as select (array['a','b','c'])[i % 3 + 1] as kind from generate_series(1, ${rows}) i`,
          "analyze few"
        )
        const { bounds, sizes } = yield* cut("table few", "kind", 8)
        assert.deepStrictEqual(bounds, ["b", "c"])
        assertEven(sizes, 3, 0.01)
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("looks through views, joins, unions and partitioned tables", () =>
      Effect.gen(function* () {
        yield* own(
          "schema seen",
          "create schema seen",
          `create table seen."Old" as select i::float8 ^ 2 as "The id", i as n from generate_series(1, 10000) i`,
          `create table seen.new as select 1e8::float8 + i as "The id", i as n from generate_series(1, 10000) i`,
          `create view seen.v as select "The id" as id, n from seen."Old" where n > 0`,
          "create table seen.p (id int, n int) partition by hash (n)",
          "create table seen.p0 partition of seen.p for values with (modulus 2, remainder 0)",
          "create table seen.p1 partition of seen.p for values with (modulus 2, remainder 1)",
          "insert into seen.p select (i::bigint * i / 100)::int, i from generate_series(1, 20000) i",
          `analyze seen."Old"`,
          "analyze seen.new",
          "analyze seen.p"
        )
        const statements: ReadonlyArray<readonly [text: string, column: string, name: string]> = [
          [`select * from seen."Old"`, "The id", "seen.Old"],
          ["select * from seen.v", "id", "seen.Old"],
          [`select v.* from seen.v join seen.new using (n)`, "id", "seen.Old"],
          [`select "The id" as id from seen."Old" union all select "The id" from seen.new`, "id", "2 tables"],
          ["select * from seen.p", "id", "2 tables"],
          ["select p.* from seen.p join seen.new using (n) where p.n < 10001", "id", "2 tables"]
        ]
        for (const [text, column, name] of statements) {
          const { origin, sizes, why } = yield* cut(text, column, 5)
          assert.strictEqual(origin, "histogram", text)
          assert.include(why, name)
          if (!text.includes("< 10001")) assertEven(sizes, 5, 0.15)
        }
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("cuts what a query reads of a table, where an index tells what that is", () =>
      Effect.gen(function* () {
        yield* own(
          "table indexed",
          `create table indexed as select i as id, 'order ' || lpad(i::text, 8, '0') as name from generate_series(1, ${rows}) i`,
          "create index on indexed (id)",
          "create index on indexed (name)",
          "analyze indexed"
        )
        for (const column of ["id", "name"]) {
          const { origin, sizes } = yield* cut("select * from indexed where id > 15000", column, 4)
          assert.strictEqual(origin, "histogram")
          assertEven(sizes, 4, 0.2)
        }
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )
  })

  describe("without them", () => {
    const types: Readonly<Record<string, string>> = {
      small: "(i % 30000)::int2",
      int: "i",
      big: "i::bigint * 400000000000000 - 4000000000000000000",
      number: "i / 7.0",
      float: "i / 7.0::float8",
      day: "date '2000-01-01' + i",
      moment: "timestamp '2000-01-01' + i * interval '1 hour'",
      instant: "timestamptz '2000-01-01 00:00+00' + i * interval '1 microsecond'",
      uuid: "md5(i::text)::uuid"
    }

    it.effect("takes equal steps between the least and the greatest value", () =>
      Effect.gen(function* () {
        yield* own(
          "table unknown",
          `create table unknown as select ${Object.entries(types)
            .map(([name, value]) => `${value} as "${name}"`)
            .join(", ")} from generate_series(1, ${rows}) i`
        )
        for (const column of Object.keys(types)) {
          const { origin, sizes, why } = yield* cut("table unknown", column, 7)
          assert.strictEqual(origin, "min and max", column)
          assert.strictEqual(why, "public.unknown was not analyzed, as far as is known")
          assertEven(sizes, 7, 0.1)
        }
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("takes them from end to end of a type, and between values that have numbers", () =>
      Effect.gen(function* () {
        yield* own(
          "table ends",
          "create domain evened as int8 check (value % 2 = 0)",
          "create table ends (big int8, number numeric, float float8, day date, instant timestamptz, evened evened)",
          `insert into ends values
            (-9223372036854775808, 'NaN', 'NaN', '-infinity', 'infinity', 0),
            (9223372036854775807, 'Infinity', '-Infinity', 'infinity', '-infinity', 1000),
            (0, -3, 1e308, '4713-01-01 BC', '4713-01-01 BC', 2),
            (null, 3.5, -1e308, '5874897-12-31', '294276-12-31', null)`
        )
        const bounds = Effect.fnUntraced(function* (column: string) {
          const found = yield* cut("table ends", column, 4)
          assert.strictEqual(found.origin, "min and max")
          return found.bounds
        })
        assert.deepStrictEqual(yield* bounds("big"), ["-4611686018427387904", "0", "4611686018427387904"])
        assert.deepStrictEqual((yield* bounds("number")).map(Number), [-1.375, 0.25, 1.875])
        assert.deepStrictEqual((yield* bounds("float")).map(Number), [-5e307, 0, 5e307])
        assert.lengthOf(yield* bounds("day"), 3)
        assert.lengthOf(yield* bounds("instant"), 3)
        // Odd ones among them, which the domain would refuse.
        assert.deepStrictEqual(yield* bounds("evened"), ["250", "500", "750"])
        yield* Effect.flatMap(Pg.Pg, ({ observer }) => observer.rows("drop domain evened cascade"))
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("takes a sample of what cannot be calculated with", () =>
      Effect.gen(function* () {
        yield* own(
          "table words",
          'create table words (name text, fixed char(5), "as bytes" bytea, flag bool, span interval)',
          `insert into words select md5(i::text), lpad(i::text, 5, '0'), decode(md5(i::text), 'hex'), i % 2 = 0, i * interval '1 minute'
            from generate_series(1, ${rows}) i`
        )
        for (const column of ["name", "fixed", "as bytes", "span"]) {
          const { origin, sizes } = yield* cut("table words", column, 6)
          assert.strictEqual(origin, "sample")
          assertEven(sizes, 6, 0.1)
        }
        assert.deepStrictEqual((yield* cut("table words", "flag", 6)).bounds, ["true"])
        // As long as the type allows, and not cut off to `char`.
        for (const bound of (yield* cut("table words", "fixed", 3)).bounds) assert.match(String(bound), /^\d{5}$/)
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("reads few blocks of a large table for that", () =>
      Effect.gen(function* () {
        const observer = yield* own(
          "table heavy",
          "create table heavy (name text, filler text) with (autovacuum_enabled = off)",
          "alter table heavy alter filler set storage plain",
          "insert into heavy select md5(i::text), repeat('x', 3900) from generate_series(1, 6000) i"
        )
        const read = observer.value(
          "select heap_blks_read + heap_blks_hit from pg_statio_user_tables where relname = 'heavy'"
        )
        const before = Number(yield* read)
        const partition = Partition.byRange(statement("select name, 1 as count from heavy"), {
          column: "name",
          parts: 3
        })
        const plan = yield* Partition.plan(partition)
        assert.strictEqual(plan.origin, "sample")
        assert.lengthOf(plan.parts, 3)
        assert.deepStrictEqual(yield* Partition.plan(partition), plan)
        const { backends } = observer
        yield* Effect.forEach(yield* backends, ({ pid }) => observer.terminate(pid))
        const after = Number(yield* read)
        assert.isAbove(after - before, 2 * 200)
        assert.isAtMost(after - before, 2 * 400)
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("does not believe what was true before most rows were written", () =>
      Effect.gen(function* () {
        yield* own(
          "table changed",
          `create table changed as select i as id from generate_series(1, ${rows}) i`,
          "analyze changed",
          "delete from changed where id > 2000",
          "insert into changed select i + 1000000 from generate_series(1, 2000) i"
        )
        const { origin, sizes, why } = yield* cut("table changed", "id", 4)
        assert.strictEqual(origin, "min and max")
        assert.strictEqual(why, "the statistics of public.changed are stale: 20,000 of 20,000 rows changed since")
        assert.deepStrictEqual(sizes, [2_000, 0, 0, 2_000])
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("cuts a column that is calculated, and one that comes out of a subquery", () =>
      Effect.gen(function* () {
        yield* own(
          "table base",
          `create table base as select i as n from generate_series(1, ${rows}) i`,
          "analyze base"
        )
        const number = yield* cut("select n * 2 as twice from base", "twice", 4)
        assert.deepInclude(number, { origin: "min and max", why: "the column is not read from a table as it is" })
        assertEven(number.sizes, 4, 0.01)
        const text = yield* cut("select 'n' || n as name from base", "name", 4)
        assert.deepInclude(text, { origin: "sample", why: "the column is not read from a table as it is" })
        assertEven(text.sizes, 4, 0.05)
        const limited = yield* cut("select * from base order by n limit 1000", "n", 4)
        assert.strictEqual(limited.origin, "min and max")
        assertEven(limited.sizes, 4, 0.01)
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("knows nothing of a table whose columns a statement gives other names", () =>
      Effect.gen(function* () {
        yield* own(
          "table plain",
          `create table plain as select i as id, 'n' || i as name from generate_series(1, ${rows}) i`,
          "analyze plain"
        )
        for (const columns of [
          ["a", "b"],
          ["name", "id"]
        ] as const) {
          for (const column of columns) {
            const { sizes, why } = yield* cut(`select * from plain as p (${columns.join(", ")})`, column, 4)
            assert.strictEqual(why, "the column is not read from a table as it is")
            assertEven(sizes, 4, 0.05)
          }
        }
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("reads nothing but the statement of what only the owner of a view may read", () =>
      Effect.gen(function* () {
        const observer = yield* own(
          "schema hidden",
          "create schema hidden",
          `create table hidden.secret as select i as id, 'n' || i as name from generate_series(1, ${rows}) i`,
          "create index on hidden.secret (id)",
          "create view shown as select name, id from hidden.secret where id > 10",
          "create role viewer login password 'viewer'",
          "grant select on shown to viewer"
        )
        yield* Effect.addFinalizer(() =>
          Effect.orDie(Effect.andThen(observer.rows("drop owned by viewer"), observer.rows("drop role viewer")))
        )
        const asViewer = Pg.pool({}, (url) => {
          url.username = "viewer"
          url.password = "viewer"
        })
        const [names, ids] = yield* Effect.provide(
          Effect.all([cut("select name from shown", "name", 4), cut("select * from shown", "id", 4)]),
          asViewer
        )
        assert.strictEqual(names.origin, "sample")
        assertEven(names.sizes, 4, 0.05)
        assert.strictEqual(ids.origin, "min and max")
        assertEven(ids.sizes, 4, 0.01)
        yield* observer.rows("analyze hidden.secret")
        const analyzed = yield* Effect.provide(cut("select name from shown", "name", 4), asViewer)
        assert.deepInclude(analyzed, { origin: "sample", why: 'there are no statistics of "name" in hidden.secret' })
      }).pipe(Effect.scoped)
    )

    it.effect("makes one part of what has no values to cut before", () =>
      Effect.gen(function* () {
        const observer = yield* own("table bare", "create table bare (id int, name text)")
        const empty = yield* cut("table bare", "id", 4)
        assert.deepInclude(empty, { why: "public.bare is empty; there is no value to cut before", sizes: [0] })
        yield* observer.rows("insert into bare select null, null from generate_series(1, 10)")
        for (const column of ["id", "name"]) {
          const nulls = yield* cut("table bare", column, 4)
          assert.match(nulls.why, /; there is no value to cut before$/)
          assert.deepStrictEqual(nulls.sizes, [10])
        }
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )
  })
})
