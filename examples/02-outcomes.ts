// One failure never hides the other results: every query of the run ends in an outcome, and the report says of each
// how it ended. A failure is typed: here one reason is handled, and a value stands in for it.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schema } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

const One = Schema.Struct({ one: Schema.Finite })

const fine = Query.findOne({ name: "fine", schema: One, statement: (sql) => sql`select 1 as one` })
const empty = Query.findOne({ name: "empty", schema: One, statement: (sql) => sql`select 1 as one where false` })
const typo = Query.make("typo", (sql) => sql`select * from orders_of_last_weak`)

const program = Effect.gen(function* () {
  const outcomes = yield* QueryPool.all([fine, empty, typo], { mode: "outcome" })
  for (const outcome of outcomes) {
    if (outcome._tag !== "Failed") yield* Console.log(outcome._tag)
    // `error.message` says all of it: the place in the SQL, what to try, and where the query was made.
    else yield* Console.log(`${outcome._tag}: ${outcome.error.reason._tag}, ${outcome.error.reason.message}`)
  }

  const orElse = empty.pipe(Effect.catchReason("QueryError", "NoRows", () => Effect.succeed({ one: 0 })))
  const [first, second] = yield* QueryPool.all([fine, orElse])
  yield* Console.log(`${first.one} and ${second.one}`)

  const report = yield* QueryPool.report([fine, empty, typo])
  yield* Console.log(report.queries.map((query) => `${query.name} ${query.outcome}`).join(", "))
})

program.pipe(Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })), NodeRuntime.runMain)
