// Of queries of different length, the longest should start first: begun last, it is what everybody waits for in the end.
// A history in the context learns from every run, and `order: "longest-first"` goes by it.
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Layer } from "effect"
import { DurationHistory, PgQueryPool, Query, QueryPool } from "querypool"

const takes = (name: string, seconds: number) => Query.make(name, (sql) => sql`select pg_sleep(${seconds})`)

const queries = [takes("users", 0.05), takes("orders", 0.1), takes("items", 0.1), takes("report", 0.3)]

const run = Effect.gen(function* () {
  const { queries: all } = yield* QueryPool.report(queries, { concurrency: 2, order: "longest-first" })
  const report = all.find(({ name }) => name === "report")
  const before = all.filter(({ startedMillis = 0 }) => startedMillis < (report?.startedMillis ?? 0))
  yield* Console.log(before.length < 2 ? "report starts at once" : "report starts after others")
})

const program = Effect.gen(function* () {
  // A program would name a folder that stays.
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  // As three programs one after the other would: each reads the file in it, and writes it at its end.
  for (const day of [1, 2, 3]) {
    yield* Console.log(`day ${day}`)
    yield* Effect.provide(run, DurationHistory.layerFileSystem(folder), { local: true })
  }
})

const pool = PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })

program.pipe(Effect.scoped, Effect.provide(Layer.merge(pool, NodeServices.layer)), NodeRuntime.runMain)
