import { assert, describe, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Option, Schema, SchemaGetter, Stream } from "effect"
import { Query, QueryPool } from "querypool"
import type { QueryError, QueryEvent } from "querypool"
import * as Pg from "../../support/Pg.ts"

const Account = Schema.Struct({ id: Schema.Finite, owner: Schema.String })

const accounts = (where: string): Query.Find<typeof Account> => ({
  name: "accounts",
  schema: Account,
  statement: (sql) => sql.unsafe(`select id, owner from account where ${where} order by id`)
})

const reasonOf = <A, R>(effect: Effect.Effect<A, { readonly reason: { readonly _tag: string } }, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason._tag)

const wide = (count: number) =>
  Query.stream({
    name: "wide rows",
    schema: Schema.Struct({ n: Schema.Finite }),
    statement: (sql) => sql`select n, repeat('x', 1000) as filler from generate_series(1, ${count}::int) n`
  })

layer(Pg.layer("Query"), { excludeTestServices: true })("a query", (it) => {
  describe("that finds rows", () => {
    it.effect("gives them all, one, or perhaps one", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* Query.findAll(accounts("id < 3")), [
          { id: 1, owner: "owner 1" },
          { id: 2, owner: "owner 2" }
        ])
        assert.deepStrictEqual(yield* Query.findAll(accounts("false")), [])
        assert.deepStrictEqual(yield* Query.findOne(accounts("id = 3")), { id: 3, owner: "owner 3" })
        assert.deepStrictEqual(yield* Query.findOneOption(accounts("id = 4")), Option.some({ id: 4, owner: "owner 4" }))
        assert.deepStrictEqual(yield* Query.findOneOption(accounts("false")), Option.none())
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("says that there are none, or too many, or that they have another shape", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* reasonOf(Query.findOne(accounts("false"))), "NoRows")
        const many = yield* Effect.flip(Query.findOne(accounts("id < 4")))
        assert.deepInclude(many.reason, { _tag: "TooManyRows", count: 3 })
        assert.strictEqual(yield* reasonOf(Query.findOneOption(accounts("id < 4"))), "TooManyRows")
        const wrong = { ...accounts("id = 1"), schema: Schema.Struct({ id: Schema.String }) }
        const queries = [Query.findAll(wrong), Query.findOne(wrong), Query.findOneOption(wrong)]
        for (const query of queries.map((query) =>
          Effect.asVoid<unknown, QueryError.QueryError, QueryPool.QueryPool>(query)
        )) {
          const error = yield* Effect.flip(query)
          assert.deepInclude(error, { query: "accounts", connection: "usable" })
          assert.strictEqual(error.reason._tag, "DecodeFailed")
          assert.match(error.message, /^Query "accounts" failed: Expected string\n +at .*\["id"\]$/m)
        }
        const streamed = yield* Effect.flip(Stream.runDrain(Query.stream(wrong)))
        assert.strictEqual(streamed.reason._tag, "DecodeFailed")
        assert.deepStrictEqual(yield* Query.findOne(accounts("id = 1")), { id: 1, owner: "owner 1" })
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("decodes with the services that the schema asks for", () =>
      Effect.gen(function* () {
        class Greeting extends Context.Service<Greeting, { readonly word: string }>()("test/Greeting") {}
        const Greeted = Schema.String.pipe(
          Schema.decodeTo(Schema.String, {
            decode: SchemaGetter.transformEffect((owner: string) =>
              Effect.map(Effect.service(Greeting), ({ word }) => `${word}, ${owner}`)
            ),
            encode: SchemaGetter.transform((greeted: string) => greeted)
          })
        )
        const find = { ...accounts("id = 1"), schema: Schema.Struct({ owner: Greeted }) }
        const expected = { owner: "Hello, owner 1" }
        yield* Effect.gen(function* () {
          assert.deepStrictEqual(yield* Query.findOne(find), expected)
          assert.deepStrictEqual(yield* Query.findAll(find), [expected])
          assert.deepStrictEqual(yield* Query.findOneOption(find), Option.some(expected))
          assert.deepStrictEqual(yield* Stream.runCollect(Query.stream(find)), [expected])
        }).pipe(Effect.provideService(Greeting, { word: "Hello" }))
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect.each([
      {
        builder: "effect/sql",
        statement: (sql) => sql`select id, owner from account where id = ${5} and owner like ${"owner%"}`
      },
      {
        builder: "Kysely",
        statement: () => ({
          sql: 'select "id", "owner" from "account" where "id" = $1 and "owner" like $2',
          parameters: [5, "owner%"],
          query: { kind: "SelectQueryNode" },
          queryId: { queryId: "1" }
        })
      },
      {
        builder: "Drizzle",
        statement: () => ({
          sql: 'select "id", "owner" from "account" where "id" = $1 and "owner" like $2',
          params: [5, "owner%"],
          typings: ["none", "none"]
        })
      }
    ] satisfies ReadonlyArray<{ builder: string; statement: Query.Find<typeof Account>["statement"] }>)(
      "runs what $builder makes",
      ({ statement }) =>
        Effect.gen(function* () {
          const find = { name: "built", schema: Account, statement }
          const expected = { id: 5, owner: "owner 5" }
          assert.deepStrictEqual(yield* Query.findOne(find), expected)
          assert.deepStrictEqual(yield* Stream.runCollect(Query.stream(find)), [expected])
        }).pipe(Effect.provide(Pg.pool()))
    )
  })

  it.effect("keeps its own errors, turns those of SQL, and lets defects be defects", () =>
    Effect.gen(function* () {
      class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { by: Schema.Finite }) {}
      const own = yield* Effect.flip(Query.make("own", () => Effect.fail(new Overdrawn({ by: 3 }))))
      assert.deepInclude(own, { _tag: "Overdrawn", by: 3 })
      const constraint = yield* Effect.flip(Query.make("doubles", (sql) => sql`insert into account values (1, 'x', 0)`))
      assert.deepInclude(
        { ...constraint.reason },
        {
          _tag: "Rejected",
          sqlState: "23505",
          constraint: "account_pkey",
          table: "account",
          schema: "public",
          detail: "Key (id)=(1) already exists."
        }
      )
      const typo = yield* Effect.flip(Query.make("typo", (sql) => sql`select ownr from account`))
      assert.deepInclude(
        { ...typo.reason },
        {
          sqlState: "42703",
          position: { offset: 8, line: 1, column: 8, text: "select ownr from account" },
          hint: 'Perhaps you meant to reference the column "account.owner".'
        }
      )
      const never = yield* Effect.flip(Query.make("never sent", (sql) => sql`select ${[1, "a"] as unknown as string}`))
      assert.deepInclude({ ...never.reason }, { _tag: "Rejected", sqlState: undefined })
      assert.deepInclude(never, { connection: "usable" })
      const defect = yield* Effect.exit(Query.make("dies", () => Effect.die("as it should")))
      assert.deepStrictEqual(defect, Exit.die("as it should"))
      const thrown = yield* Effect.exit(
        Query.make("throws", (): Effect.Effect<void> => {
          throw "as it should"
        })
      )
      assert.deepStrictEqual(thrown, Exit.die("as it should"))
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("shows the statement that failed, and not what rolled it back", () =>
    Effect.gen(function* () {
      const typo = Query.make("typo", (sql) => sql`select ownr from account`, { mode: "transaction" })
      const savepoint = Query.make("savepoint", () => typo, { mode: "transaction" })
      const ofSnapshot = Effect.flip(
        QueryPool.all([Query.make("typo", (sql) => sql`select ownr from account`)], { snapshot: true })
      )
      for (const error of [yield* Effect.flip(typo), yield* Effect.flip(savepoint), yield* ofSnapshot]) {
        assert.deepInclude(
          { ...error.reason },
          { sqlState: "42703", position: { offset: 8, line: 1, column: 8, text: "select ownr from account" } }
        )
      }
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("tells that its connection is gone where the driver hung up on a value it cannot read", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Query.make("a point", (sql) => sql`select point(1, 2) as p`))
      assert.deepInclude(error, { connection: "gone" })
      assert.strictEqual(error.reason._tag, "DecodeFailed")
      assert.deepStrictEqual(yield* Query.make("next", (sql) => sql`select 1 as n`), [{ n: 1 }])
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  describe("whose rows are streamed", () => {
    it.effect("makes the server wait for a slow reader", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const goOn = yield* Deferred.make<void>()
        let read = 0
        const reader = yield* Effect.forkChild(
          Stream.runForEach(wide(100_000), () => (++read === 1 ? Deferred.await(goOn) : Effect.void))
        )
        yield* observer.seen("the server waits to be read", (backend) => backend.wait === "Client:ClientWrite")
        assert.strictEqual(read, 1)
        yield* Deferred.succeed(goOn, undefined)
        yield* Fiber.join(reader)
        assert.strictEqual(read, 100_000)
      }).pipe(Effect.provide(Pg.pool()))
    )

    it.effect("stops the server when its reader has enough", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const rows = yield* Stream.runCollect(Stream.take(wide(1_000_000), 3))
        assert.deepStrictEqual(rows, [{ n: 1 }, { n: 2 }, { n: 3 }])
        assert.isFalse((yield* observer.backends).some((backend) => backend.state === "active"))
        assert.lengthOf(yield* Stream.runCollect(wide(10)), 10)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("gives an error of the server after the rows before it, and gives its session back", () =>
      Effect.gen(function* () {
        const rows = Query.stream({
          name: "ends badly",
          schema: Schema.Struct({ n: Schema.Finite }),
          statement: (sql) => sql`select 3 / (1000 - n) as n from generate_series(1, 2000) n`
        })
        let read = 0
        const error = yield* Effect.flip(Stream.runForEach(rows, () => Effect.sync(() => read++)))
        assert.deepInclude({ ...error.reason }, { _tag: "Rejected", sqlState: "22012" })
        assert.deepInclude(error, { query: "ends badly", connection: "usable" })
        assert.isAtMost(read, 999)
        assert.lengthOf(yield* Stream.runCollect(wide(10)), 10)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("takes its slot of a run when it starts, and gives it back when it is left", () =>
      Effect.gen(function* () {
        const events: Array<QueryEvent.QueryEvent> = []
        const first = Stream.runHead(wide(1_000_000))
        yield* QueryPool.all([first, first, first], { concurrency: 1, onEvent: (event) => events.push(event) })
        const told = events.flatMap((event) =>
          event._tag === "Started"
            ? [`${event.id} started`]
            : event._tag === "Ended"
              ? [`${event.id} ${event.outcome}`]
              : []
        )
        assert.deepStrictEqual(told, [
          "0 started",
          "0 Succeeded",
          "1 started",
          "1 Succeeded",
          "2 started",
          "2 Succeeded"
        ])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 3 })))
    )

    it.effect("can itself be the source of a run of one query at a time", () =>
      Effect.gen(function* () {
        const ids = Query.stream({
          name: "ids",
          schema: Schema.Struct({ id: Schema.Finite }),
          statement: (sql) => sql`select id from account order by id limit 20`
        })
        const owners = Stream.map(ids, ({ id }) => Query.findOne(accounts(`id = ${id}`)))
        const run = QueryPool.stream(owners, { concurrency: 1, preserveOrder: true })
        const outcomes = yield* Stream.runCollect(run)
        assert.deepStrictEqual(
          outcomes.map(({ outcome }) => outcome),
          Array.from({ length: 20 }, (_, n) => ({
            _tag: "Succeeded" as const,
            value: { id: n + 1, owner: `owner ${n + 1}` }
          }))
        )
        // The same inside of another run, which must not count the source either.
        const counted = yield* QueryPool.all([Stream.runCount(run)], { concurrency: 1 }).pipe(
          Effect.timeoutOption("20 seconds")
        )
        assert.deepStrictEqual(counted, Option.some([20]))
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 2 })))
    )
  })
})
