/**
 * The table that lookups by primary key read, and the order in which they ask for its rows.
 *
 * Like pgbench_accounts, with balances that differ: a sum of zeros would agree with anything. What a lookup has to find
 * is known without asking, so that answers can be checked whatever their number.
 */
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Query } from "querypool"

const accounts = 100_000

export const loadAccounts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`create table accounts (aid int primary key, bid int, abalance int, filler char(84))`
  yield* sql`insert into accounts select aid, 1, (aid * 37) % 10007 - 5000, '' from generate_series(1, ${accounts}::int) aid`
  yield* sql`vacuum analyze accounts`
})

export const Account = Schema.Struct({
  aid: Schema.Int,
  bid: Schema.Int,
  abalance: Schema.Int,
  filler: Schema.String
})

/**
 * The account that the lookup with this number, from 0, asks for. A stride that shares no factor with the number of
 * accounts: all ids of a hundred thousand lookups differ, neighbours are on different pages.
 */
export const idOf = (lookup: number): number => ((lookup * 7_919) % accounts) + 1

const balanceOf = (id: number): number => ((id * 37) % 10_007) - 5_000

/** The sum of the balances that the first so many lookups find. */
export const sumOfBalances = (lookups: number): number => {
  let sum = 0
  for (let lookup = 0; lookup < lookups; lookup++) sum += balanceOf(idOf(lookup))
  return sum
}

export const accountText = "select aid, bid, abalance, filler from accounts where aid = $1"

export const selectAccount = (sql: SqlClient.SqlClient, id: number) =>
  sql<typeof Account.Type>`select aid, bid, abalance, filler from accounts where aid = ${id}`

export const findAccount = (id: number, options?: Query.FindOptions) =>
  Query.findOne({ name: "account", schema: Account, statement: (sql) => selectAccount(sql, id) }, options)
