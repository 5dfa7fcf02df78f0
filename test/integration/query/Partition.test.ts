import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Stream } from "effect"
import { DurationHistory, Partition, Query, QueryPool, RetryPolicy } from "querypool"
import type { QueryEvent } from "querypool"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const Account = Schema.Struct({ id: Schema.Finite, owner: Schema.String })
const Count = Schema.Struct({ count: Schema.Finite })
const Sum = Schema.Struct({ sum: Schema.FiniteFromString })

const accounts: Query.Find<typeof Account> = {
  name: "accounts",
  schema: Account,
  statement: (sql) => sql`select id, owner from account`
}

const count: Partition.Each = (sql, part) => sql`select count(*)::int as count from ${part}`

const ids = Array.from({ length: 1_000 }, (_, index) => index + 1)

const idsOf = (rows: ReadonlyArray<{ readonly id: number }>) => rows.map(({ id }) => id)

/** Rows that nobody gets before a lock is released that the observer holds. */
const gate = 7
const gated: Partition.Each = (sql, part) =>
  sql`select part.* from ${part} cross join (select pg_advisory_xact_lock_shared(${gate})) as gate`

const atGate = ({ wait }: Pg.Backend) => wait === "Lock:advisory"

const listen = () => {
  const events: Array<QueryEvent.QueryEvent> = []
  return { events, onEvent: (event: QueryEvent.QueryEvent) => void events.push(event) }
}

const namesOf = (events: ReadonlyArray<QueryEvent.QueryEvent>, tag: "Submitted" | "Ended") =>
  events.flatMap((event) => (event._tag === tag ? [event.name] : []))

/** Something of one test's own, such as `table moving`. */
const own = Effect.fnUntraced(function* (thing: string, ...statements: ReadonlyArray<string>) {
  const { observer } = yield* Pg.Pg
  yield* Effect.addFinalizer(() => Effect.orDie(observer.rows(`drop ${thing} cascade`)))
  for (const statement of statements) yield* observer.rows(statement)
  return observer
})

/** Waits until so many backends are in a state. */
const seenOf = Effect.fnUntraced(function* (count: number, message: string, is: (backend: Pg.Backend) => boolean) {
  const { observer } = yield* Pg.Pg
  const enough = Effect.map(observer.backends, (all) => all.filter(is).length === count)
  yield* waitUntil(message, enough, 5)
})

const change = (observer: Pg.Observer, name: string) =>
  Effect.forEach(
    [
      `delete from ${name} where id % 3 = 0`,
      // Moves each row behind all that there are.
      `update ${name} set balance = balance + 1000`,
      `insert into ${name} select id, 1 from generate_series(100001, 101000) id`
    ],
    (statement) => observer.rows(statement)
  )

const balances = (name: string, each: Partition.Each) => {
  const schema = Schema.Struct({ id: Schema.Finite, balance: Schema.Finite })
  return {
    ranges: Partition.byRange(
      { name, schema, statement: (sql) => sql`select id, balance from ${sql.literal(name)}` },
      { column: "id", parts: 4, each }
    ),
    blocks: Partition.byBlocks({ name, schema, table: name }, { parts: 4, each })
  }
}

const failing: Partition.Each = (sql, part) =>
  sql`select id, case when id = 900 then (1 / (id - 900))::text else pg_sleep(case when id = 1 then 600 else 0 end)::text end as owner from ${part}`

layer(Pg.layer("Partition"), { excludeTestServices: true })("a query in parts", (it) => {
  describe("by range", () => {
    it.effect("teaches a history of durations nothing of its parts", () =>
      Effect.gen(function* () {
        const taught: Array<string> = []
        const history = DurationHistory.DurationHistory.of({
          recall: Effect.succeed(() => undefined),
          learn: (run) => Effect.sync(() => void taught.push(...run.keys()))
        })
        const parts = Partition.findAll(Partition.byRange(accounts, { column: "id", parts: 4 }))
        const aside = Query.make("aside [1]", (sql) => sql`select 1`)
        for (const snapshot of [false, true]) {
          yield* Effect.provideService(
            QueryPool.all([parts, aside], { snapshot }),
            DurationHistory.DurationHistory,
            history
          )
        }
        assert.deepStrictEqual(taught, ["aside [1]", "aside [1]"])
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("gives all rows, part after part", () =>
      Effect.gen(function* () {
        const rows = yield* Partition.findAll(Partition.byRange(accounts, { column: "id", parts: 8 }))
        assert.deepStrictEqual(idsOf(rows), ids)
        assert.deepStrictEqual(rows[0], { id: 1, owner: "owner 1" })
        const one = yield* Partition.findAll(Partition.byRange(accounts, { column: "owner", parts: 1 }))
        assert.sameMembers(idsOf(one), ids)
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("cuts before the bounds that it is given, in whatever order and form they are", () =>
      Effect.gen(function* () {
        const bounds = [700, "  200 ", 200n, 300, 700]
        const partition = Partition.byRange({ ...accounts, schema: Count }, { column: "id", bounds, each: count })
        const plan = yield* Partition.plan(partition)
        assert.deepStrictEqual(plan, {
          origin: "bounds",
          why: "they were given",
          parts: [
            { name: "accounts [1/4]", ranges: [{ of: "id", from: undefined, to: "200" }] },
            { name: "accounts [2/4]", ranges: [{ of: "id", from: "200", to: "300" }] },
            { name: "accounts [3/4]", ranges: [{ of: "id", from: "300", to: "700" }] },
            { name: "accounts [4/4]", ranges: [{ of: "id", from: "700", to: undefined }] }
          ]
        })
        const counts = yield* Partition.findAll(partition)
        assert.deepStrictEqual(
          counts.map(({ count }) => count),
          [199, 100, 400, 301]
        )
        const none = Partition.byRange(accounts, { column: "id", bounds: [] })
        assert.lengthOf((yield* Partition.plan(none)).parts, 1)
        assert.lengthOf(yield* Partition.findAll(none), 1_000)
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("makes one moment of a bound that means another one each time, and reads dates to the millisecond", () =>
      Effect.gen(function* () {
        yield* own(
          "table moment",
          "create table moment as select i as id, now() + i * interval '1 millisecond' as at from generate_series(-2000, 2000) i"
        )
        const moments = {
          name: "moments",
          schema: Schema.Struct({ id: Schema.Finite }),
          statement: (sql) => sql`select id, at from moment`
        } satisfies Query.Find<Schema.Constraint>
        const given = new Date(1_700_000_000_123)
        const partition = Partition.byRange(moments, { column: "at", bounds: ["now", given] })
        assert.lengthOf(yield* Partition.findAll(partition), 4_001)
        const [first, second] = (yield* Partition.plan(partition)).parts
        assert.strictEqual(new Date(first?.ranges[0]?.to ?? "").getTime(), given.getTime())
        assert.notStrictEqual(second?.ranges[0]?.to, "now")
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("takes statements with parameters, comments and renamed columns, from any builder", () =>
      Effect.gen(function* () {
        const text = 'select id as "the Id", owner from account where id <= $1 and owner <> $2 -- all but one'
        const schema = Schema.Struct({ "the Id": Schema.Finite })
        const statements: ReadonlyArray<Query.Find<typeof schema>["statement"]> = [
          (sql) =>
            sql`select id as "the Id", owner from account where id <= ${500} and owner <> ${"owner 3"} -- all but one`,
          (sql) => sql.unsafe(text, [500, "owner 3"]),
          () => ({ sql: text, parameters: [500, "owner 3"] }),
          () => ({ sql: text, params: [500, "owner 3"] })
        ]
        for (const statement of statements) {
          const find = { name: "some", schema, statement }
          const rows = yield* Partition.findAll(Partition.byRange(find, { column: "the Id", parts: 3 }))
          assert.deepStrictEqual(
            rows.map((row) => row["the Id"]),
            ids.filter((id) => id <= 500 && id !== 3)
          )
          const counted = Partition.byRange(
            { ...find, schema: Count },
            {
              column: "the Id",
              bounds: [100],
              each: (sql, part) => sql`select count(*)::int as count from ${part} where owner <> ${"owner 4"}`
            }
          )
          assert.deepStrictEqual(yield* Partition.findAll(counted), [{ count: 97 }, { count: 401 }])
        }
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("takes a column of any name", () =>
      Effect.gen(function* () {
        for (const column of ["a.b", '"a"."b"..', "'a' -- \\", "$1", "part", "😀"]) {
          const text = `select id, owner, id % 7 as "${column.replaceAll('"', '""')}" from account`
          const find = { ...accounts, statement: () => ({ sql: text, params: [] }) }
          for (const by of [{ parts: 3 }, { bounds: [2, 5] }]) {
            const rows = yield* Partition.findAll(Partition.byRange(find, { column, ...by }))
            assert.sameMembers(idsOf(rows), ids, column)
          }
        }
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("takes WITH, VALUES, TABLE, a union, and an order with a limit", () =>
      Effect.gen(function* () {
        const statements: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
          ["with a as materialized (select * from account) select * from a where id < 9", ids.slice(0, 8)],
          ["values (3, 'a'), (1, 'b'), (2, 'c')", [1, 2, 3]],
          ["table account", ids],
          ["(select * from account where id < 5) union all select * from account where id < 3", [1, 1, 2, 2, 3, 4]],
          ["select * from account order by id desc limit 10", ids.slice(-10)]
        ]
        for (const [text, expected] of statements) {
          const find = {
            ...accounts,
            schema: Schema.Struct({ id: Schema.Finite }),
            statement: () => ({ sql: `select * from (${text}) as t (id, owner)`, params: [] })
          }
          const inner = yield* Partition.findAll(Partition.byRange(find, { column: "id", parts: 3 }))
          assert.deepStrictEqual(
            idsOf(inner).toSorted((a, b) => a - b),
            expected,
            text
          )
        }
        const values = {
          name: "values",
          schema: Schema.Struct({ column1: Schema.Finite }),
          statement: () => ({ sql: "values (3), (1), (2)", params: [] })
        }
        const rows = yield* Partition.findAll(Partition.byRange(values, { column: "column1", parts: 3 }))
        assert.deepStrictEqual(rows, [{ column1: 1 }, { column1: 2 }, { column1: 3 }])
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("compares as it sorts, also a type whose own order is out of sight", () =>
      Effect.gen(function* () {
        yield* own(
          "schema lone",
          "create schema lone",
          "create extension citext schema lone",
          "create table lone.word (word lone.citext)",
          "insert into lone.word values ('A'), ('a'), ('B'), ('b'), ('Z'), ('z'), (null)"
        )
        const words = {
          name: "words",
          schema: Schema.Struct({ word: Schema.NullOr(Schema.String) }),
          statement: (sql) => sql`select word::text as spelled, word from lone.word`
        } satisfies Query.Find<Schema.Constraint>
        const spelled = { ...words, schema: Schema.Struct({ spelled: Schema.NullOr(Schema.String) }) }
        const partition = Partition.byRange(spelled, {
          column: "word",
          bounds: ["a", "B", "Z"],
          each: (sql, part) => sql`select spelled from ${part}`
        })
        const rows = yield* Partition.findAll(partition)
        assert.deepStrictEqual(rows.map(({ spelled }) => spelled).toSorted(), ["A", "B", "Z", "a", "b", null, "z"])
      }).pipe(Effect.scoped, Effect.provide(Pg.pool()))
    )

    it.effect("says what is wrong with a statement before it sends any", () =>
      Effect.gen(function* () {
        const failure = (text: string, options: Partition.ByRange = { column: "id", parts: 2 }) =>
          Effect.map(
            Effect.flip(
              Partition.findAll(
                Partition.byRange({ ...accounts, statement: () => ({ sql: text, params: [] }) }, options)
              )
            ),
            (error) => error.message.split("\n")[0]
          )
        const refused = `Query "accounts" failed: it cannot be cut into parts:`
        assert.strictEqual(yield* failure("table account;"), `${refused} it ends in a semicolon. Leave that out`)
        assert.strictEqual(
          yield* failure("update account set balance = 1 returning id"),
          `${refused} UPDATE is no SELECT, VALUES, TABLE or WITH … SELECT`
        )
        assert.strictEqual(
          yield* failure("table account", { column: "id", parts: 2, each: (sql) => sql`select 1 as id, 'x' as owner` }),
          `${refused} \`each\` does not read its part, so that each part would give the same. Write \`from \${part}\` in it`
        )
        assert.strictEqual(
          yield* failure("table account", { column: "ids", parts: 2 }),
          'Query "accounts [plan]" failed: column part.ids does not exist (42703 undefined_column)'
        )
        assert.strictEqual(
          yield* failure("table account", { column: "id", bounds: ["7", "seven"] }),
          'Query "accounts [plan]" failed: invalid input syntax for type integer: "seven" (22P02 invalid_text_representation)'
        )
        assert.strictEqual(
          yield* failure("select id, owner, point(1, 2) as place from account", { column: "place", parts: 2 }),
          'Query "accounts [plan]" failed: operator does not exist: point < point (42883 undefined_function)'
        )
        const wrong = Partition.byRange(
          { ...accounts, statement: (sql) => sql`select id, owner\nfrom account\nwhere idd > ${1}` },
          { column: "id", bounds: [1] }
        )
        const { message } = yield* Effect.flip(Partition.findAll(wrong))
        assert.match(message, /^  3 \| where idd > \$1\n {12}\^$/m)
        assert.match(message, /at test\/integration\/query\/Partition\.test\.ts:\d+:\d+$/)
        // What stands around the statement is told only where it is the user's own.
        const unknown = Partition.byRange(accounts, { column: "ids", parts: 2 })
        assert.match(
          (yield* Effect.flip(Partition.findAll(unknown))).message,
          /undefined_column\)\n {2}hint: Perhaps .*\n {2}at test/
        )
        const ofEach = Partition.byRange(accounts, {
          column: "id",
          bounds: [1],
          each: (sql, part) => sql`select idd\nfrom ${part}`
        })
        assert.match((yield* Effect.flip(Partition.findAll(ofEach))).message, /^ {2}1 \| select idd\n {13}\^$/m)
        const late = {
          ...accounts,
          statement: () => ({ sql: "select id, (1 / (id - 900))::text as owner\nfrom account", params: [] })
        }
        for (const error of [
          yield* Effect.flip(Partition.findAll(Partition.byRange(late, { column: "id", parts: 2 }))),
          yield* Effect.flip(Stream.runDrain(Partition.stream(Partition.byRange(late, { column: "id", parts: 2 }))))
        ]) {
          assert.match(
            error.message,
            /^Query "accounts \[2\/2\]" failed: division by zero \(22012 division_by_zero\)$/m
          )
        }
      }).pipe(Effect.provide(Pg.pool()))
    )
  })

  describe("at one moment", () => {
    for (const way of ["ranges", "blocks"] as const) {
      it.effect(`sees what was there when it began, by ${way}, however much is written between its parts`, () =>
        Effect.gen(function* () {
          const name = `moving_${way}`
          const observer = yield* own(
            `table ${name}`,
            `create table ${name} as select id, 1 as balance from generate_series(1, 5000) id`,
            `analyze ${name}`
          )
          const partition = balances(name, gated)[way]
          const { events, onEvent } = listen()
          yield* observer.hold(gate)
          const whole = yield* Effect.forkChild(Partition.findAll(partition, { concurrency: 1, onEvent }))
          const streamed = yield* Effect.forkChild(
            Stream.runCollect(Partition.stream(partition, { concurrency: 2, preserveOrder: true }))
          )
          yield* seenOf(3, "one part waits, and two of the stream", atGate)
          yield* change(observer, name)
          yield* observer.release(gate)
          for (const rows of [yield* Fiber.join(whole), yield* Fiber.join(streamed)]) {
            assert.deepStrictEqual(
              idsOf(rows).toSorted((a, b) => a - b),
              Array.from({ length: 5_000 }, (_, index) => index + 1)
            )
            assert.isTrue(rows.every(({ balance }) => balance === 1))
          }
          assert.deepStrictEqual(
            events.flatMap(({ _tag }) => (_tag === "SnapshotTaken" || _tag === "SnapshotEnded" ? [_tag] : [])),
            ["SnapshotTaken", "SnapshotEnded"]
          )
          assert.deepStrictEqual(namesOf(events, "Ended"), [
            `${name} [plan]`,
            ...[1, 2, 3, 4].map((part) => `${name} [${part}/4]`)
          ])
        }).pipe(Effect.scoped, Effect.provide(Pg.pool({ maxConnections: 5 })))
      )
    }

    it.effect("sees that of the run around it, whose slots and events it shares", () =>
      Effect.gen(function* () {
        const observer = yield* own(
          "table moving",
          "create table moving as select id, 1 as balance from generate_series(1, 5000) id"
        )
        const { blocks, ranges } = balances("moving", (sql, part) => sql`select * from ${part}`)
        const { events, onEvent } = listen()
        const total = Query.findOne({
          name: "total",
          schema: Sum,
          statement: (sql) => sql`select sum(balance)::text as sum from moving`
        })
        const [before, byRange, byBlocks, streamed, after] = yield* QueryPool.all(
          [
            Effect.tap(total, () => change(observer, "moving")),
            Partition.findAll(ranges, { onEvent: () => assert.fail("not a run of its own") }),
            Partition.findAll(blocks),
            Stream.runCollect(Partition.stream(ranges)),
            total
          ],
          { concurrency: 1, snapshot: true, onEvent }
        )
        assert.deepStrictEqual([before, after], [{ sum: 5_000 }, { sum: 5_000 }])
        for (const rows of [byRange, byBlocks, streamed]) {
          assert.lengthOf(rows, 5_000)
          assert.isTrue(rows.every(({ balance }) => balance === 1))
        }
        assert.strictEqual(events.filter(({ _tag }) => _tag === "SnapshotTaken").length, 1)
        const names = namesOf(events, "Ended")
        assert.lengthOf(
          names.filter((name) => name === "moving [plan]"),
          3
        )
        assert.lengthOf(
          names.filter((name) => name === "moving [4/4]"),
          3
        )
      }).pipe(Effect.scoped, Effect.provide(Pg.pool({ maxConnections: 2 })))
    )

    it.effect("runs a part again that has lost its connection, and sees the same", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const partition = Partition.byRange(accounts, { column: "id", parts: 2, each: gated })
        const { events, onEvent } = listen()
        yield* observer.hold(gate)
        const options = { concurrency: 1, retry: RetryPolicy.transient, onEvent }
        const rows = yield* Effect.forkChild(Partition.findAll(partition, options))
        const { pid } = yield* observer.seen("a part waits", atGate)
        yield* observer.terminate(pid)
        yield* observer.seen("it waits again", (backend) => atGate(backend) && backend.pid !== pid)
        yield* observer.release(gate)
        assert.deepStrictEqual(idsOf(yield* Fiber.join(rows)), ids)
        assert.deepStrictEqual(
          events.flatMap((event) => (event._tag === "Retrying" ? [event.name] : [])),
          ["accounts [1/2]"]
        )
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("is planned again, too, where the plan has lost its connection", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        // The plan reads the rows themselves: nothing is known of a column that is calculated.
        const text = `select id, 'n' || id as owner from account cross join (select pg_advisory_xact_lock_shared(${gate})) as g`
        const find = { ...accounts, statement: () => ({ sql: text, params: [] }) }
        const partition = Partition.byRange(find, { column: "owner", parts: 2 })
        const { events, onEvent } = listen()
        yield* observer.hold(gate)
        const rows = yield* Effect.forkChild(Partition.findAll(partition, { retry: RetryPolicy.transient, onEvent }))
        const { pid } = yield* observer.seen("the plan waits", atGate)
        yield* observer.terminate(pid)
        yield* observer.seen("it waits again", (backend) => atGate(backend) && backend.pid !== pid)
        yield* observer.release(gate)
        assert.sameMembers(idsOf(yield* Fiber.join(rows)), ids)
        assert.deepStrictEqual(
          events.flatMap((event) => (event._tag === "Retrying" ? [event.name] : [])),
          ["accounts [plan]"]
        )
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("can do without where it is told to, but not by blocks", () =>
      Effect.gen(function* () {
        const { events, onEvent } = listen()
        const options = { snapshot: false, onEvent } as const
        const rows = yield* Partition.findAll(Partition.byRange(accounts, { column: "id", parts: 3 }), options)
        assert.lengthOf(rows, 1_000)
        assert.isFalse(events.some(({ _tag }) => _tag === "SnapshotTaken"))
        const blocks = Partition.byBlocks({ name: "blocks", schema: Account, table: "account" }, { parts: 3 })
        const refused = yield* Effect.exit(Partition.findAll(blocks, options))
        assert.match(
          String(refused),
          /RangeError: Expected `snapshot` not to be false: "blocks" is cut by blocks, between which an update moves a row/
        )
      }).pipe(Effect.provide(Pg.pool()))
    )
  })

  describe("that fails or is left", () => {
    it.effect("fails with the first part's failure, and stops the others on the server", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const { events, onEvent } = listen()
        const partition = Partition.byRange(accounts, { column: "id", bounds: [500], each: failing })
        const error = yield* Effect.flip(Partition.findAll(partition, { onEvent }))
        assert.deepInclude({ ...error.reason }, { _tag: "Rejected", sqlState: "22012" })
        assert.strictEqual(error.query, "accounts [2/2]")
        assert.isFalse((yield* observer.backends).some(({ state }) => state === "active"))
        assert.deepStrictEqual(
          events.flatMap((event) => (event._tag === "Ended" ? [`${event.name} ${event.outcome}`] : [])).toSorted(),
          ["accounts [1/2] Cancelled", "accounts [2/2] Failed", "accounts [plan] Succeeded"]
        )
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("fails as a stream too, in either order, and stops the others", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const partition = Partition.byRange(accounts, { column: "id", bounds: [500], each: failing })
        for (const preserveOrder of [false, true]) {
          const error = yield* Effect.flip(Stream.runDrain(Partition.stream(partition, { preserveOrder })))
          assert.strictEqual(error.query, "accounts [2/2]")
          assert.isFalse((yield* observer.backends).some(({ state }) => state === "active"))
        }
        const undefinedColumn = Partition.byRange(accounts, { column: "nothing", parts: 2 })
        const error = yield* Effect.flip(Stream.runDrain(Partition.stream(undefinedColumn)))
        assert.strictEqual(error.query, "accounts [plan]")
      }).pipe(Effect.provide(Pg.pool()))
    )

    const wide = Partition.byRange(
      {
        name: "wide",
        schema: Schema.Struct({ n: Schema.Finite }),
        statement: (sql) => sql`select n, repeat('x', 1000) as filler from generate_series(1, 1000000) n`
      },
      { column: "n", bounds: [300_000, 600_000] }
    )

    it.effect("makes the server wait for a slow reader, with a few rows of each part in memory", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        for (const preserveOrder of [false, true]) {
          let read = 0
          const { events, onEvent } = listen()
          const reader = yield* Effect.forkChild(
            Partition.stream(wide, { preserveOrder, onEvent }).pipe(
              Stream.runForEach(() => (++read === 10 ? Effect.never : Effect.void))
            )
          )
          yield* seenOf(3, "the server waits to be read", ({ wait }) => wait === "Client:ClientWrite")
          assert.strictEqual(read, 10)
          yield* Fiber.interrupt(reader)
          assert.isFalse((yield* observer.backends).some(({ state }) => state === "active"))
          const rows = events.flatMap((event) =>
            event._tag === "Ended" && event.name !== "wide [plan]" ? [event.rows] : []
          )
          assert.lengthOf(rows, 3)
          for (const count of rows) assert.isAtMost(count, 20 * 512)
        }
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("stops the server when its reader has enough", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const rows = yield* Stream.runCollect(Stream.take(Partition.stream(wide, { preserveOrder: true }), 3))
        assert.deepStrictEqual(rows, [{ n: 1 }, { n: 2 }, { n: 3 }])
        assert.isFalse((yield* observer.backends).some(({ state }) => state === "active"))
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("is refused in the body of a query, which has one session only", () =>
      Effect.gen(function* () {
        const partition = Partition.byRange(accounts, { column: "id", parts: 2 })
        const exit = yield* Effect.exit(Query.make("outer", () => Partition.findAll(partition)))
        assert.isTrue(Exit.isFailure(exit))
        assert.match(String(exit), /A run was started inside the body of query "outer"/)
      }).pipe(Effect.provide(Pg.pool()))
    )
  })

  describe("read in order", () => {
    it.effect("gives the rows of each part before those of the next, with one connection or many", () =>
      Effect.gen(function* () {
        const partition = Partition.byRange(accounts, { column: "id", parts: 7 })
        for (const concurrency of [1, 7]) {
          const rows = yield* Stream.runCollect(Partition.stream(partition, { preserveOrder: true, concurrency }))
          assert.deepStrictEqual(idsOf(rows), ids)
        }
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 2 })))
    )

    it.effect("reads no more parts than it may hold, however small they are, before their rows are taken", () =>
      Effect.gen(function* () {
        const bounds = Array.from({ length: 49 }, (_, index) => 21 + 20 * index)
        const partition = Partition.byRange(accounts, { column: "id", bounds })
        const { events, onEvent } = listen()
        const read: Array<number> = []
        // As long as this takes, all parts would be read many times.
        const pause = Effect.replicateEffect(
          Query.make("pause", (sql) => sql`select 1`),
          100
        )
        yield* Partition.stream(partition, { preserveOrder: true, concurrency: 3, onEvent }).pipe(
          Stream.runForEach(({ id }) =>
            Effect.gen(function* () {
              read.push(id)
              if (id !== 1 && id !== 501) return
              yield* pause
              // The plan, those before, the one that is read, and three more.
              assert.isAtMost(namesOf(events, "Ended").length, 1 + (id - 1) / 20 + 1 + 3)
            })
          )
        )
        assert.deepStrictEqual(read, ids)
        assert.strictEqual(namesOf(events, "Ended").length, 51)
      }).pipe(Effect.provide(Pg.pool()))
    )
  })
})
