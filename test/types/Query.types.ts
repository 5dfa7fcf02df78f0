import type { Option, Stream } from "effect"
import { Context, Effect, Schema, SchemaTransformation } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Statement } from "effect/sql/Statement"
import type { QueryError, QueryPool } from "querypool"
import { Query } from "querypool"
import type { Equals, Fits } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

class Stale extends Schema.TaggedError<Stale>()("Stale", {}) {}
class Tenant extends Context.Service<Tenant, { readonly id: number }>()("querypool/test/types/Tenant") {}

type Pool = QueryPool.QueryPool
type Failure = QueryError.QueryError

// ---- make -------------------------------------------------------------------------------------------------------------

const ofStatement = Query.make("rows", (sql) => sql<{ readonly name: string }>`select name from users`)
expect<Equals<typeof ofStatement, Query.Query<ReadonlyArray<{ readonly name: string }>, Failure>>>()

const ofBody = Query.make("body", (sql, unit) =>
  Effect.gen(function* () {
    expect<Equals<typeof sql, SqlClient>>()
    expect<Equals<typeof unit, QueryPool.Unit>>()
    const { id } = yield* Tenant
    const rows = yield* sql`select ${id}`
    if (rows.length === 0) return yield* new Stale()
    return rows.length
  })
)
expect<Equals<typeof ofBody, Query.Query<number, Failure | Stale, Tenant>>>()
expect<Equals<Effect.Success<typeof ofBody>, number>>()
expect<Equals<Effect.Error<typeof ofBody>, Failure | Stale>>()
expect<Equals<Effect.Services<typeof ofBody>, Tenant | Pool>>()

const withoutSql = Query.make("without", () => Effect.succeed(1), { mode: "transaction" })
expect<Equals<typeof withoutSql, Query.Query<number, Failure>>>()

const joining = Query.make("joining", () => ofBody)
expect<Equals<typeof joining, Query.Query<number, Failure | Stale, Tenant | Pool>>>()
expect<Equals<Effect.Services<typeof joining>, Tenant | Pool>>()

expect<Fits<typeof ofBody, Effect.Effect<number, Failure | Stale, Tenant | Pool>>>()
expect<Fits<typeof ofBody, Query.Query<unknown, unknown, Tenant>>>()
// @ts-expect-error -- the pool is among what a query needs
expect<Fits<typeof ofBody, Effect.Effect<number, Failure | Stale, Tenant>>>()
// @ts-expect-error -- an effect is no query
expect<Fits<Effect.Effect<number>, Query.Query<number>>>()

const provided = ofBody.pipe(Effect.provideService(Tenant, { id: 1 }))
expect<Equals<typeof provided, Effect.Effect<number, Failure | Stale, Pool>>>()

// @ts-expect-error -- no SqlError is left to catch
accept(Effect.catchTag(ofStatement, "SqlError", () => Effect.void))

// ---- find -------------------------------------------------------------------------------------------------------------

const User = Schema.Struct({ name: Schema.String, born: Schema.DateFromString, shoe: Schema.FiniteFromString })
interface UserRow {
  readonly name: string
  readonly born: Date
  readonly shoe: number
}
const users = { name: "users", schema: User, statement: (sql: SqlClient) => sql`select name, born, shoe from users` }

const all = Query.findAll(users)
expect<Equals<typeof all, Query.Query<ReadonlyArray<UserRow>, Failure>>>()

const one = Query.findOne(users, { mode: "autocommit" })
expect<Equals<typeof one, Query.Query<UserRow, Failure>>>()

const maybe = Query.findOneOption(users)
expect<Equals<typeof maybe, Query.Query<Option.Option<UserRow>, Failure>>>()

const rows = Query.stream(users)
expect<Equals<typeof rows, Stream.Stream<UserRow, Failure, Pool>>>()

/** Needs the tenant to be decoded, and nothing to be encoded. */
const Owned = Schema.Struct({
  id: Schema.FiniteFromString.pipe(
    Schema.decode(
      SchemaTransformation.transformEffect<number, number, Tenant>({
        decode: (id) => Effect.map(Tenant, (tenant) => id + tenant.id),
        encode: Effect.succeed
      })
    )
  )
})
interface OwnedRow {
  readonly id: number
}
const owned = { name: "owned", schema: Owned, statement: (sql: SqlClient) => sql`select id from owned` }

const allOwned = Query.findAll(owned)
expect<Equals<typeof allOwned, Query.Query<ReadonlyArray<OwnedRow>, Failure, Tenant>>>()

const oneOwned = Query.findOne(owned)
expect<Equals<typeof oneOwned, Query.Query<OwnedRow, Failure, Tenant>>>()
expect<Equals<Effect.Services<typeof oneOwned>, Tenant | Pool>>()

const maybeOwned = Query.findOneOption(owned)
expect<Equals<typeof maybeOwned, Query.Query<Option.Option<OwnedRow>, Failure, Tenant>>>()

const ownedRows = Query.stream(owned)
expect<Equals<typeof ownedRows, Stream.Stream<OwnedRow, Failure, Tenant | Pool>>>()

// ---- statement --------------------------------------------------------------------------------------------------------

declare const statement: Statement<{ readonly name: string }>
declare const kysely: { readonly query: object; readonly sql: string; readonly parameters: ReadonlyArray<unknown> }
declare const drizzle: { sql: string; params: Array<unknown>; typings?: Array<string> }

const name = "users"
const schema = Schema.Struct({ name: Schema.String })
accept(Query.findAll({ name, schema, statement: () => statement }))
accept(Query.findAll({ name, schema, statement: () => kysely }))
accept(Query.findAll({ name, schema, statement: () => drizzle }))
accept(
  Query.findOne({ name, schema, statement: () => ({ sql: "select name from users where id = $1", parameters: [1] }) })
)
accept(Query.findOneOption({ name, schema, statement: () => ({ sql: "select name from users", params: [] }) }))
accept(Query.stream({ name, schema, statement: (sql) => sql.unsafe("select name from users") }))

// @ts-expect-error -- the driver's `text` is not among the spellings
accept(Query.findAll({ name, schema, statement: () => ({ text: "select 1", parameters: [] }) }))
// @ts-expect-error -- the parameters are said, also when there are none
accept(Query.findAll({ name, schema, statement: () => ({ sql: "select 1" }) }))
// @ts-expect-error -- a bare text is not a statement
accept(Query.findAll({ name, schema, statement: () => "select 1" }))
// @ts-expect-error -- rows have a shape
accept(Query.findAll({ name, statement: () => statement }))
// @ts-expect-error -- a query has a name
accept(Query.findOne({ schema, statement: () => statement }))

// ---- reasons ----------------------------------------------------------------------------------------------------------

const orNobody = Effect.catchReason(one, "QueryError", "NoRows", (reason, error) => {
  expect<Equals<typeof reason, QueryError.NoRows>>()
  expect<Equals<typeof error.reason, QueryError.NoRows>>()
  return Effect.succeed("nobody")
})
expect<Equals<typeof orNobody, Effect.Effect<UserRow | string, Failure, Pool>>>()

const orStale = Effect.catchReason(ofBody, "QueryError", "TooManyRows", ({ count }) => Effect.succeed(count))
expect<Equals<typeof orStale, Effect.Effect<number, Failure | Stale, Tenant | Pool>>>()

const streamed = Effect.catchReasons(one, "QueryError", {
  Rejected: ({ sqlState }) => Effect.succeed(sqlState),
  SessionBusy: () => Effect.succeed(0)
})
expect<Equals<typeof streamed, Effect.Effect<UserRow | string | undefined | number, Failure, Pool>>>()

// @ts-expect-error -- no such reason
accept(Effect.catchReason(one, "QueryError", "NoRow", () => Effect.void))

// ---- options ----------------------------------------------------------------------------------------------------------

// @ts-expect-error -- no such mode
accept(Query.make("q", () => Effect.void, { mode: "nonsense" }))
// @ts-expect-error -- no such option
accept(Query.make("q", () => Effect.void, { label: "q" }))
// @ts-expect-error -- no such mode
accept(Query.findAll(users, { mode: "nonsense" }))
// @ts-expect-error -- no such option
accept(Query.findOne(users, { label: "q" }))
// @ts-expect-error -- no such option
accept(Query.findOneOption(users, { label: "q" }))
// @ts-expect-error -- no such option
accept(Query.stream(users, { label: "q" }))
// @ts-expect-error -- no such part of a query
accept(Query.findAll({ ...users, label: "q" }))
