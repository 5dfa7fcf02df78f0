// How far a run is, while it runs: what has ended, what runs since when and how many rows it has, and what is left.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Stream } from "effect"
import { PgQueryPool, Query, QueryPool } from "querypool"

const takes = (name: string, seconds: number) => Query.make(name, (sql) => sql`select pg_sleep(${seconds})`)

const queries = [takes("users", 0.4), takes("orders", 0.8), takes("items", 1.2)]

const program = QueryPool.progress(queries, { progressEvery: "50 millis" }).pipe(
  // The connections take a moment, and not all the same.
  Stream.dropWhile(({ running, total }) => running.length !== total),
  Stream.map(({ report, running, succeeded, total }) => {
    // There is more to show, such as `running[0].rows`, `running[0].ranMillis`, `elapsedMillis` and `remainingMillis`.
    const names = running.map(({ name }) => name).toSorted()
    const failed = report?.queries.filter(({ outcome }) => outcome === "Failed").length
    return `${succeeded} of ${total}: ${failed === undefined ? names.join(", ") : `${failed} failed`}`
  }),
  Stream.changes,
  Stream.runForEach(Console.log)
)

program.pipe(Effect.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })), NodeRuntime.runMain)
