import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { Partition, Query, QueryPool } from "querypool"
import { Dice } from "../../chaos/Dice.ts"
import * as Pg from "../../support/Pg.ts"

const Row = Schema.Struct({ id: Schema.Finite, name: Schema.NullOr(Schema.String) })

const blocks = (table: string, parts: number, each?: Partition.Each) =>
  Partition.byBlocks({ name: "blocks", schema: Row, table }, { parts, each })

const idsOf = (rows: ReadonlyArray<{ readonly id: number }>) => rows.map(({ id }) => id).toSorted((a, b) => a - b)
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

/** Something of one test's own, such as `table moving`. */
const own = Effect.fnUntraced(function* (thing: string, ...statements: ReadonlyArray<string>) {
  const { observer } = yield* Pg.Pg
  yield* Effect.addFinalizer(() => Effect.orDie(observer.rows(`drop ${thing} cascade`)))
  for (const statement of statements) yield* observer.rows(statement)
  return observer
})

const gate = 8
const gated: Partition.Each = (sql, part) =>
  sql`select part.* from ${part} cross join (select pg_advisory_xact_lock_shared(${gate})) as gate`

layer(Pg.layer("PartitionBlocks"), { excludeTestServices: true })("a table in parts of its blocks", (it) => {
  it.effect("gives each row once, in parts of the same length", () =>
    Effect.gen(function* () {
      yield* own(
        'table "Big"',
        `create table "Big" as select i as id, 'name ' || i as name from generate_series(1, 20000) i`,
        // The server makes room for more rows than there are: an empty end makes the last parts shorter.
        'vacuum "Big"'
      )
      const partition = blocks('"Big"', 8)
      const plan = yield* Partition.plan(partition)
      assert.strictEqual(plan.origin, "blocks")
      assert.lengthOf(plan.parts, 8)
      assert.deepStrictEqual(plan.parts[0], {
        name: "blocks [1/8]",
        ranges: [{ of: 'public."Big"', from: undefined, to: plan.parts[1]?.ranges[0]?.from }]
      })
      assert.deepStrictEqual(idsOf(yield* Partition.findAll(partition)), upTo(20_000))
      assert.deepStrictEqual(idsOf(yield* Stream.runCollect(Partition.stream(partition))), upTo(20_000))
      const counted = Partition.byBlocks(
        { name: "counts", schema: Schema.Struct({ count: Schema.Finite }), table: '"Big"' },
        { parts: 8, each: (sql, part) => sql`select count(*)::int as count from ${part} where id > ${0}` }
      )
      const counts = (yield* Partition.findAll(counted)).map(({ count }) => count)
      assert.strictEqual(
        counts.reduce((sum, count) => sum + count, 0),
        20_000
      )
      for (const count of counts) assert.closeTo(count, 2_500, 250)
    }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
  )

  it.effect("reads no other part's blocks", () =>
    Effect.gen(function* () {
      yield* own("table big", "create table big as select i as id, null::text as name from generate_series(1, 20000) i")
      const Plans = Schema.Struct({ "QUERY PLAN": Schema.Unknown })
      const explained = Partition.byBlocks(
        { name: "explained", schema: Plans, table: "big" },
        { parts: 2, each: (sql, part) => sql`explain (format json) select * from ${part}` }
      )
      const plans = (yield* Partition.findAll(explained)).map((row) => JSON.stringify(row))
      assert.lengthOf(plans, 2)
      for (const plan of plans) assert.include(plan, "Tid Range Scan")
    }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
  )

  it.effect("reads all tables below a partitioned one, by the names of its columns, and the empty ones", () =>
    Effect.gen(function* () {
      yield* own(
        "schema deep",
        "create schema deep",
        "create table deep.root (gone int, id int, name text) partition by range (id)",
        "alter table deep.root drop column gone",
        "create table deep.low partition of deep.root for values from (minvalue) to (1000)",
        "create table deep.other (name text, extra int, id int)",
        "alter table deep.other drop column extra",
        "alter table deep.root attach partition deep.other for values from (1000) to (5000)",
        "create table deep.high partition of deep.root for values from (5000) to (maxvalue) partition by list (name)",
        "create table deep.named partition of deep.high default",
        "create table deep.empty partition of deep.high for values in ('nobody')",
        "insert into deep.root select i, i::text from generate_series(1, 9000) i"
      )
      for (const parts of [1, 3, 50]) {
        const rows = yield* Partition.findAll(blocks("deep.root", parts))
        assert.deepStrictEqual(idsOf(rows), upTo(9_000))
        assert.isTrue(rows.every(({ id, name }) => name === String(id)))
      }
      assert.deepStrictEqual(yield* Partition.findAll(blocks("deep.empty", 4)), [])
      const leafless = own("table leafless", "create table leafless (id int, name text) partition by range (id)")
      yield* leafless
      assert.deepStrictEqual(yield* Partition.findAll(blocks("leafless", 4)), [])
    }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
  )

  it.effect("reads tables that inherit, and materialized views", () =>
    Effect.gen(function* () {
      yield* own(
        "table parent",
        "create table parent (id int, name text)",
        "create table child (more int) inherits (parent)",
        "create table other (id int, name text)",
        "create table grandchild () inherits (child)",
        "insert into parent select i, 'parent' from generate_series(1, 1000) i",
        "insert into child select i, 'child', 1 from generate_series(1001, 3000) i",
        "insert into grandchild select i, 'grandchild', 1 from generate_series(3001, 3500) i",
        "drop table other",
        "create materialized view seen as select * from parent"
      )
      assert.deepStrictEqual(idsOf(yield* Partition.findAll(blocks("parent", 5))), upTo(3_500))
      assert.deepStrictEqual(idsOf(yield* Partition.findAll(blocks("seen", 5))), upTo(3_500))
    }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
  )

  it.effect("gives what was there at its moment, whatever has moved where since", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      for (let seed = 1; seed <= 20; seed++) {
        const dice = new Dice(seed)
        const rows = dice.between(0, 3_000)
        yield* Effect.gen(function* () {
          yield* own(
            "table moving",
            "create table moving (id int, name text) with (fillfactor = 70)",
            `insert into moving select i, repeat('x', i % 50) from generate_series(1, ${rows}) i`
          )
          yield* observer.hold(gate)
          const whole = yield* Effect.forkChild(
            Partition.findAll(blocks("moving", dice.between(1, 9), gated), { concurrency: dice.between(1, 3) })
          )
          yield* observer.seen("a part waits", ({ wait }) => wait === "Lock:advisory")
          for (let change = dice.between(1, 4); change > 0; change--) {
            const some = `where id % ${dice.between(1, 5)} = 0`
            yield* observer.rows(
              dice.pick([
                `update moving set name = repeat('y', 100) ${some}`,
                `delete from moving ${some}`,
                `insert into moving select -i, 'new' from generate_series(1, ${dice.between(1, 2_000)}) i`,
                "vacuum moving"
              ])
            )
          }
          yield* observer.release(gate)
          const found = yield* Fiber.join(whole)
          assert.deepStrictEqual(idsOf(found), upTo(rows), `seed ${seed}`)
          assert.isTrue(
            found.every(({ id, name }) => name === "x".repeat(id % 50)),
            `seed ${seed}`
          )
        }).pipe(Effect.scoped)
      }
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("fails where a table was written anew before all its blocks were read", () =>
    Effect.gen(function* () {
      for (const rewrite of [
        "vacuum full late",
        "truncate late",
        "alter table late alter name type text using name || 'y'"
      ]) {
        for (const way of ["array", "stream"]) {
          yield* Effect.gen(function* () {
            const observer = yield* own(
              "table halves",
              "create table halves (id int, name text) partition by range (id)",
              "create table early partition of halves for values from (1) to (1001)",
              "insert into halves select i, 'x' from generate_series(1, 1000) i",
              "create table late (id int, name text)",
              "insert into late select i, 'x' from generate_series(1001, 2000) i",
              "alter table halves attach partition late for values from (1001) to (3001)"
            )
            const partition = blocks("halves", 2, gated)
            yield* observer.hold(gate)
            const all =
              way === "array"
                ? Effect.asVoid(Partition.findAll(partition, { concurrency: 1 }))
                : Stream.runDrain(Partition.stream(partition, { concurrency: 1 }))
            const failure = yield* Effect.forkChild(Effect.flip(all))
            yield* observer.seen("the first part waits", ({ wait }) => wait === "Lock:advisory")
            yield* observer.rows("alter table halves detach partition late")
            yield* observer.rows(rewrite)
            yield* observer.release(gate)
            const error = yield* Fiber.join(failure)
            assert.strictEqual(error.query, "blocks [2/2]")
            assert.match(
              error.message,
              /failed: public\.late was written anew, or replaced, since the snapshot was taken/
            )
            assert.strictEqual(error.reason._tag, "SnapshotLost")
            yield* observer.rows("drop table late")
          }).pipe(Effect.scoped)
        }
      }
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("fails where another table has taken the name of one before its rows were read", () =>
    Effect.gen(function* () {
      const observer = yield* own(
        "schema swap",
        "create schema swap",
        "create table swap.one as select i as id, 'x' as name from generate_series(1, 2000) i",
        "create table swap.other as select i as id, 'y' as name from generate_series(1, 2000) i"
      )
      yield* observer.hold(gate)
      const all = Partition.findAll(blocks("swap.one", 2, gated), { concurrency: 1 })
      const failure = yield* Effect.forkChild(Effect.flip(all))
      yield* observer.seen("the first part waits", ({ wait }) => wait === "Lock:advisory")
      // The table is locked by who reads it, and its schema is not.
      yield* observer.rows("alter schema swap rename to old")
      yield* observer.rows("create schema swap")
      yield* observer.rows("alter table old.other set schema swap")
      yield* observer.rows("alter table swap.other rename to one")
      yield* observer.release(gate)
      const error = yield* Fiber.join(failure)
      assert.match(error.message, /failed: swap\.one was written anew, or replaced, since the snapshot was taken/)
      yield* observer.rows("drop schema old cascade")
    }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
  )

  it.effect("fails where its table is another one than at the moment of the run around", () =>
    Effect.gen(function* () {
      const observer = yield* own(
        "table early",
        "create table early as select i as id, 'x' as name from generate_series(1, 2000) i"
      )
      yield* Effect.addFinalizer(() => Effect.orDie(observer.rows("drop table late")))
      const one = Query.make("one", (sql) => sql`select 1`)
      const after = (change: string, table: string) =>
        QueryPool.all(
          [
            one,
            Effect.andThen(
              Effect.suspend(() => observer.rows(change)),
              Partition.findAll(blocks(table, 2))
            )
          ],
          { snapshot: true, concurrency: 1 }
        )
      const emptied = yield* Effect.flip(after("truncate early", "early"))
      assert.match(emptied.message, /failed: public\.early was written anew, or replaced, since the snapshot was taken/)
      const made = yield* Effect.flip(after("create table late (id int, name text)", "late"))
      assert.match(made.message, /cannot be cut into parts: late was not there yet when the snapshot was taken/)
    }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
  )

  it.effect("says what has no blocks, and where the rules of a table would not hold", () =>
    Effect.gen(function* () {
      const observer = yield* own(
        "schema odd",
        "create schema odd",
        "create view odd.v as select 1 as id, 'a' as name",
        "create sequence odd.s",
        "create table odd.t (id int, name text) partition by range (id)",
        "create table odd.t1 partition of odd.t default",
        "alter table odd.t enable row level security",
        "create role reader login password 'reader'",
        "grant usage on schema odd to reader",
        "grant select on odd.t, odd.t1 to reader"
      )
      yield* Effect.addFinalizer(() =>
        Effect.orDie(Effect.andThen(observer.rows("drop owned by reader"), observer.rows("drop role reader")))
      )
      const failure = (table: string) =>
        Effect.map(Effect.flip(Partition.findAll(blocks(table, 2))), ({ message }) => message.split("\n")[0])
      const refused = 'Query "blocks" failed: it cannot be cut into parts:'
      assert.strictEqual(yield* failure("odd.v"), `${refused} odd.v is a view, which has no blocks to cut by`)
      assert.strictEqual(yield* failure("odd.s"), `${refused} odd.s is a sequence, which has no blocks to cut by`)
      assert.strictEqual(
        yield* failure("odd.nothing"),
        'Query "blocks [plan]" failed: relation "odd.nothing" does not exist (42P01 undefined_table)'
      )
      // The superuser, for whom no policy counts.
      assert.deepStrictEqual(yield* Partition.findAll(blocks("odd.t", 2)), [])
      const asReader = Pg.pool({}, (url) => {
        url.username = "reader"
        url.password = "reader"
      })
      assert.strictEqual(
        yield* Effect.provide(failure("odd.t"), asReader),
        `${refused} row security of odd.t does not hold for the tables below it, read one by one`
      )
    }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
  )
})
