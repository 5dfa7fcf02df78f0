import type { Effect, Stream } from "effect"
import { Context, Effect as E, Schema, SchemaTransformation } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { QueryError } from "querypool"
import { Partition, QueryPool, RetryPolicy } from "querypool"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

class Tenant extends Context.Service<Tenant, { readonly id: number }>()("querypool/test/types/partition/Tenant") {}

type Pool = QueryPool.QueryPool
type Failure = QueryError.QueryError

const Account = Schema.Struct({ id: Schema.FiniteFromString })
interface AccountRow {
  readonly id: number
}
const Owned = Schema.Struct({
  id: Schema.FiniteFromString.pipe(
    Schema.decode(
      SchemaTransformation.transformEffect<number, number, Tenant>({
        decode: (id) => E.map(Tenant, (tenant) => id + tenant.id),
        encode: E.succeed
      })
    )
  )
})

const statement = (sql: SqlClient) => sql`select * from accounts`
const accounts = Partition.byRange({ name: "accounts", schema: Account, statement }, { column: "id", parts: 8 })
const owned = Partition.byBlocks({ name: "owned", schema: Owned, table: "public.owned" }, { parts: 8 })

expect<Equals<typeof accounts, Partition.Partition<typeof Account>>>()

// ---- what it gives ----------------------------------------------------------------------------------------------------

const all = Partition.findAll(accounts)
expect<Equals<typeof all, Effect.Effect<ReadonlyArray<AccountRow>, Failure, Pool>>>()

const allOwned = Partition.findAll(owned)
expect<Equals<typeof allOwned, Effect.Effect<ReadonlyArray<AccountRow>, Failure, Tenant | Pool>>>()

const rows = Partition.stream(accounts)
expect<Equals<typeof rows, Stream.Stream<AccountRow, Failure, Pool>>>()

const ownedRows = Partition.stream(owned, { preserveOrder: true, concurrency: 3 })
expect<Equals<typeof ownedRows, Stream.Stream<AccountRow, Failure, Tenant | Pool>>>()

const plan = Partition.plan(accounts)
expect<Equals<typeof plan, Effect.Effect<Partition.Plan, Failure, Pool>>>()

const together = QueryPool.all({ accounts: all, owned: allOwned }, { snapshot: true })
expect<Equals<Effect.Services<typeof together>, Tenant | Pool>>()

// ---- how it is cut ----------------------------------------------------------------------------------------------------

const find = { name: "accounts", schema: Account, statement }
accept(Partition.byRange(find, { column: "id", bounds: [1, 2n, "3", new Date(4)] }))
accept(Partition.byRange(find, { column: "id", parts: 2, each: (sql, part) => sql`select count(*) from ${part}` }))
accept(
  Partition.byRange({ ...find, statement: () => ({ sql: "select 1", parameters: [] }) }, { column: "id", parts: 2 })
)

// @ts-expect-error -- into how many parts, or where
accept(Partition.byRange(find, { column: "id" }))
// @ts-expect-error -- not both
accept(Partition.byRange(find, { column: "id", parts: 2, bounds: [1] }))
// @ts-expect-error -- by what
accept(Partition.byRange(find, { parts: 2 }))
// @ts-expect-error -- an object has no one text
accept(Partition.byRange(find, { column: "id", bounds: [{}] }))
// @ts-expect-error -- a text alone does not say where the part stands in it
accept(Partition.byRange(find, { column: "id", parts: 2, each: () => ({ sql: "select 1", parameters: [] }) }))
// @ts-expect-error -- blocks are of a table, not of a statement
accept(Partition.byBlocks(find, { parts: 2 }))
// @ts-expect-error -- blocks have no given bounds
accept(Partition.byBlocks({ name: "accounts", schema: Account, table: "accounts" }, { bounds: [1] }))

// ---- how it is run ----------------------------------------------------------------------------------------------------

accept(Partition.findAll(accounts, { concurrency: 2, retry: RetryPolicy.transient, timeout: "1 minute" }))
accept(Partition.findAll(accounts, { snapshot: { allowStandby: true }, deadline: "1 hour" }))
// @ts-expect-error -- parts are as long as each other
accept(Partition.findAll(accounts, { order: "longest-first" }))
// @ts-expect-error -- parts only read
accept(Partition.findAll(accounts, { mode: "transaction" }))
// @ts-expect-error -- no such reason
accept(Partition.findAll(accounts, { retry: RetryPolicy.make({ on: ["Stale"] }) }))
// @ts-expect-error -- rows that were given cannot be taken back
accept(Partition.stream(accounts, { retry: RetryPolicy.transient }))
