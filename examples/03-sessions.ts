// A query owns its session while it runs. Queries inside its body join it, a transaction is one option away, and what
// one query changes in its session is gone when the next one starts.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Exit, Schema } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

const Balance = Schema.Struct({ owner: Schema.String, balance: Schema.Finite })

const prepare = Query.make("prepare", (sql) =>
  Effect.gen(function* () {
    yield* sql`create table account (owner text primary key, balance int check (balance >= 0))`
    yield* sql`insert into account ${sql.insert([
      { owner: "ada", balance: 100 },
      { owner: "bob", balance: 0 }
    ])}`
  })
)
const add = (owner: string, amount: number) =>
  Query.make(`add to ${owner}`, (sql) => sql`update account set balance = balance + ${amount} where owner = ${owner}`)

const transfer = (from: string, to: string, amount: number) =>
  Query.make("transfer", () => Effect.andThen(add(to, amount), add(from, -amount)), { mode: "transaction" })

const balances = Query.findAll({
  name: "balances",
  schema: Balance,
  statement: (sql) => sql`select owner, balance from account order by owner`
})

const program = Effect.gen(function* () {
  yield* prepare
  yield* transfer("ada", "bob", 70)
  const tooMuch = yield* Effect.exit(transfer("ada", "bob", 70))
  yield* Console.log(Exit.isFailure(tooMuch) ? "the second transfer was rolled back" : "overdrawn")
  yield* Console.log(JSON.stringify(yield* balances))

  const careless = Query.make("careless", (sql) => sql`set timezone to 'Asia/Tokyo'`)
  const zone = Query.make("zone", (sql) => sql<{ TimeZone: string }>`show timezone`)
  yield* QueryPool.all([careless, zone], { concurrency: 1 })
  yield* Console.log(`time zone: ${(yield* zone)[0]?.TimeZone}`)
})

const pool = PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL"), maxConnections: Config.succeed(1) })
program.pipe(Effect.provide(pool), NodeRuntime.runMain)
