// A task that reads the database, and gives its session back however it ends.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { PgQueryPool } from "querypool"
import { Task, TaskRunner, TaskStoreMemory } from "querypool/task"

const countTables = Task.make("count-tables", { payload: Schema.String, success: Schema.Boolean })

// Its session is clean when it begins, and given back whatever happens: there is nothing to forget.
const CountTables = Task.toLayer(countTables, (schema, { sql }) =>
  Effect.map(
    sql<{ found: boolean }>`select count(*) > 0 as found from pg_tables where schemaname = ${schema}`,
    ([row]) => row?.found === true
  )
)

const program = Effect.gen(function* () {
  const tables = yield* Task.enqueue(countTables, "pg_catalog")
  if (yield* yield* tables.await) yield* Console.log("there are tables")
})

const Tasks = CountTables.pipe(
  Layer.provide(TaskRunner.layer()),
  Layer.provideMerge(TaskStoreMemory.layerMemory()),
  Layer.provideMerge(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
)
program.pipe(Effect.provide(Tasks), NodeRuntime.runMain)
