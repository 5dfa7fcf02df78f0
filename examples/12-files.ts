// Rows to files. A file is whole or not there: what fails, times out or is interrupted leaves nothing behind, and what
// was there before stays as it was. Rows never become values, so that a million of them take a second, and next to no memory.
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Layer } from "effect"
import { PgQueryPool, Query, QueryPool, QuerySink, RetryPolicy } from "querypool"

const create = Query.make(
  "create",
  (sql) => sql`create table bill as
    select n as id, n * 10.5 as total, case when n % 2 = 0 then 'paid, in full' end as note from generate_series(1, 4) n`
)

const invoices = (folder: string) =>
  QuerySink.file({
    name: "invoices",
    statement: (sql) => sql`select * from bill order by id`,
    path: `${folder}/invoices.csv` // or .json, .ndjson, .parquet
  })

const unpaid = (folder: string) =>
  QuerySink.file(
    {
      name: "unpaid",
      statement: (sql) => sql`select id, total from bill where note is null order by id`,
      path: `${folder}/unpaid.ndjson`
    },
    { timeout: "1 minute", retry: RetryPolicy.transient }
  )

const broken = (folder: string) =>
  QuerySink.file({
    name: "broken",
    statement: (sql) => sql`select 1 / (3 - id) as share from bill`,
    path: `${folder}/broken.json`
  })

const program = Effect.scoped(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    yield* create

    const outcomes = yield* QueryPool.all(
      {
        invoices: invoices(folder),
        unpaid: unpaid(folder),
        broken: broken(folder),
        lost: invoices(`${folder}/nowhere`)
      },
      { concurrency: 5, mode: "outcome" }
    )
    for (const [name, outcome] of Object.entries(outcomes)) {
      if (outcome._tag === "Succeeded") {
        yield* Console.log(`${name}: ${outcome.value.rows} rows, ${outcome.value.bytes} bytes`)
      } else if (outcome._tag === "Failed") {
        yield* Console.log(`${name}: ${outcome.error._tag}, ${outcome.error.reason._tag}`)
      }
    }
    yield* Console.log(`there are ${(yield* fs.readDirectory(folder)).toSorted().join(" and ")}`)
    yield* Console.log((yield* fs.readFileString(`${folder}/invoices.csv`)).trimEnd())
    yield* Console.log((yield* fs.readFileString(`${folder}/unpaid.ndjson`)).trimEnd())
  })
)

const pool = PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })

program.pipe(Effect.provide(Layer.merge(pool, NodeServices.layer)), NodeRuntime.runMain)
