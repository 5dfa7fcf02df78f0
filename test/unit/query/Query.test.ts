import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import * as Query from "../../../src/query/Query.ts"
import type { QueryError } from "../../../src/query/QueryError.ts"
import { Rejected } from "../../../src/query/QueryError.ts"
import type * as QueryPool from "../../../src/query/QueryPool.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"

const Row = Schema.Struct({ id: Schema.Finite, owner: Schema.Struct({ name: Schema.String }) })
const row = (id: number) => ({ id, owner: { name: `owner ${id}` } })
const misfit = { id: 1, owner: { name: 42 } }

const find = { name: "find account", schema: Row, statement: () => ({ sql: "select 1", params: [] }) }

const answering = (...rows: ReadonlyArray<object>) => TestQueryPool.make(() => rows)

/** The reason for which a query fails. */
const reasonOf = <A>(query: Effect.Effect<A, QueryError, QueryPool.QueryPool>) =>
  Effect.map(Effect.flip(query), (error) => {
    assert.strictEqual(error.query, find.name)
    assert.strictEqual(error.connection, "usable")
    return error.reason
  })

describe("Query", () => {
  it("is told from other effects and values", () => {
    assert.isTrue(Query.isQuery(Query.make("a", () => Effect.void)))
    assert.isTrue(Query.isQuery(Query.findAll(find)))
    assert.isFalse(Query.isQuery(Effect.void))
    assert.isFalse(Query.isQuery(Effect.asVoid(Query.make("a", () => Effect.void))))
    for (const value of [undefined, null, "a", { name: "a", options: {} }]) assert.isFalse(Query.isQuery(value))
  })

  it("is an effect with a name and options", () => {
    const query = Query.make("a", () => Effect.void, { mode: "transaction" })
    assert.isTrue(Effect.isEffect(query))
    assert.strictEqual(query.name, "a")
    assert.deepStrictEqual(query.options, { mode: "transaction" })
    assert.deepStrictEqual(Query.make("b", () => Effect.void).options, {})
    for (const made of [Query.findAll, Query.findOne, Query.findOneOption]) {
      assert.strictEqual(made(find).name, find.name)
      assert.deepStrictEqual(made(find, { mode: "transaction" }).options, { mode: "transaction" })
    }
  })

  it.effect("takes a session for itself outside of a run, and gives it back however it ends", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const ends: ReadonlyArray<Effect.Effect<string, string>> = [
        Effect.succeed("done"),
        Effect.fail("no"),
        Effect.die("fault"),
        Effect.interrupt
      ]
      for (const [index, end] of ends.entries()) {
        let inBody = 0
        const body = () =>
          Effect.andThen(
            Effect.sync(() => (inBody = ledger.inUse)),
            end
          )
        assert.deepStrictEqual(
          yield* Effect.exit(Query.make("a", body).pipe(provide)),
          yield* Effect.exit(Effect.suspend(() => end))
        )
        assert.deepStrictEqual([inBody, ledger.opened.length, ledger.inUse], [1, index + 1, 0])
      }
    })
  )

  it.effect("joins the session of the query whose body it stands in", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const inner = Query.make("inner", (_, unit) => Effect.succeed(unit))
      const outer = Query.make("outer", (_, unit) => Effect.map(inner, (joined) => joined === unit))
      assert.isTrue(yield* outer.pipe(provide))
      assert.deepStrictEqual(ledger.opened, ["outer"])
    })
  )

  it.effect("keeps its own errors and makes a QueryError with its name of an SqlError", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make(() => new Rejected({ message: "syntax error" }))
      assert.strictEqual(yield* Effect.flip(Query.make("a", () => Effect.fail("own")).pipe(provide)), "own")
      const error = yield* Effect.flip(Query.make("a", (sql) => sql`select`).pipe(provide))
      assert.match(error.message, /^Query "a" failed: syntax error\n/)
    })
  )

  it.effect("sends statements of the client, of Kysely and of Drizzle with their parameters", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* answering(row(1))
      const sql = "select * from account where id = $1"
      yield* Query.findAll({ ...find, statement: (sql) => sql`select * from account where id = ${7}` }).pipe(provide)
      yield* Query.findAll({ ...find, statement: () => ({ sql, parameters: [7] }) }).pipe(provide)
      yield* Query.findOne({ ...find, statement: () => ({ sql, params: [7] }) }).pipe(provide)
      yield* Query.findOneOption({ ...find, statement: () => ({ sql, parameters: [7] }) }).pipe(provide)
      yield* Stream.runDrain(Query.stream({ ...find, statement: () => ({ sql, params: [7] }) })).pipe(provide)
      assert.deepStrictEqual(
        ledger.statements.map((sent) => [sent.sql, sent.parameters]),
        Array.from({ length: 5 }, () => [sql, [7]])
      )
    })
  )
})

describe("a query in JSON", () => {
  it("shows its name and options, and nothing of its body", () => {
    const query = Query.make("a", () => Effect.void, { mode: "autocommit" })
    assert.deepStrictEqual(JSON.parse(JSON.stringify(query)), {
      _id: "Query",
      name: "a",
      options: { mode: "autocommit" }
    })
  })
})

describe("Query.findAll", () => {
  it.effect("gives the rows decoded, also when there are none", () =>
    Effect.gen(function* () {
      const rows = yield* answering(row(1), row(2))
      assert.deepStrictEqual(yield* Query.findAll(find).pipe(rows.provide), [row(1), row(2)])
      const none = yield* answering()
      assert.deepStrictEqual(yield* Query.findAll(find).pipe(none.provide), [])
      const text = yield* answering({ n: "12" })
      const numbers = { ...find, schema: Schema.Struct({ n: Schema.FiniteFromString }) }
      assert.deepStrictEqual(yield* Query.findAll(numbers).pipe(text.provide), [{ n: 12 }])
    })
  )

  it.effect("names the row and the path of a value that does not fit", () =>
    Effect.gen(function* () {
      const { provide } = yield* answering(row(0), misfit)
      const reason = yield* reasonOf(Query.findAll(find)).pipe(provide)
      assert.strictEqual(reason._tag, "DecodeFailed")
      assert.include(reason.message, `[1]["owner"]["name"]`)
    })
  )
})

describe("Query.findOne", () => {
  it.effect("gives the only row decoded", () =>
    Effect.gen(function* () {
      const { provide } = yield* answering(row(1))
      assert.deepStrictEqual(yield* Query.findOne(find).pipe(provide), row(1))
    })
  )

  it.effect("fails with NoRows where there is none", () =>
    Effect.gen(function* () {
      const { provide } = yield* answering()
      const reason = yield* reasonOf(Query.findOne(find)).pipe(provide)
      assert.strictEqual(reason._tag, "NoRows")
      assert.strictEqual(reason.message, "expected one row, got none")
    })
  )

  it.effect("fails with TooManyRows and their number where there are more", () =>
    Effect.gen(function* () {
      const { provide } = yield* answering(row(1), row(2), row(3))
      const reason = yield* reasonOf(Query.findOne(find)).pipe(provide)
      assert.deepInclude(reason, { _tag: "TooManyRows", count: 3 })
      assert.strictEqual(reason.message, "expected one row, got 3")
    })
  )

  it.effect("names the path of a value that does not fit", () =>
    Effect.gen(function* () {
      const { provide } = yield* answering(misfit)
      for (const query of [Query.findOne(find), Query.findOneOption(find)]) {
        const reason = yield* reasonOf<unknown>(query).pipe(provide)
        assert.strictEqual(reason._tag, "DecodeFailed")
        assert.include(reason.message, `["owner"]["name"]`)
      }
    })
  )

  it.effect("decodes by its own schema where queries of other schemas ran before", () =>
    Effect.gen(function* () {
      const { provide } = yield* answering({ n: "12" })
      const of = <S extends Schema.Constraint>(schema: S) => Query.findOne({ ...find, schema }).pipe(provide)
      assert.deepStrictEqual(yield* of(Schema.Struct({ n: Schema.FiniteFromString })), { n: 12 })
      assert.deepStrictEqual(yield* of(Schema.Struct({ n: Schema.String })), { n: "12" })
      assert.deepStrictEqual(yield* of(Schema.Struct({ n: Schema.FiniteFromString })), { n: 12 })
    })
  )
})

describe("Query.findOneOption", () => {
  it.effect("gives the only row, or none", () =>
    Effect.gen(function* () {
      const one = yield* answering(row(1))
      assert.deepStrictEqual(yield* Query.findOneOption(find).pipe(one.provide), Option.some(row(1)))
      const none = yield* answering()
      assert.deepStrictEqual(yield* Query.findOneOption(find).pipe(none.provide), Option.none())
    })
  )

  it.effect("fails with TooManyRows and their number where there are more", () =>
    Effect.gen(function* () {
      const { provide } = yield* answering(row(1), row(2))
      const reason = yield* reasonOf(Query.findOneOption(find)).pipe(provide)
      assert.deepInclude(reason, { _tag: "TooManyRows", count: 2 })
    })
  )
})

describe("Query.stream", () => {
  it.effect("gives the rows decoded and its session back at the end, also when it is left early", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* answering(row(1), row(2), row(3))
      const rows = Query.stream(find)
      assert.deepStrictEqual(yield* Stream.runCollect(rows).pipe(provide), [row(1), row(2), row(3)])
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(rows, 1)).pipe(provide), [row(1)])
      assert.deepStrictEqual([ledger.opened.length, ledger.inUse], [2, 0])
    })
  )

  it.effect("fails with DecodeFailed and the path of a value that does not fit", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* answering(row(0), misfit)
      const reason = yield* reasonOf(Stream.runDrain(Query.stream(find))).pipe(provide)
      assert.strictEqual(reason._tag, "DecodeFailed")
      assert.include(reason.message, `["owner"]["name"]`)
      assert.strictEqual(ledger.inUse, 0)
    })
  )
})
