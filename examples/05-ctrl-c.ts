// Ctrl-C in the middle of ten slow queries. With p-map + pg it ends the process only: the server works on, and writes.
// querypool cancels on the server, and its process ends once each query was seen to stop.
//
// This program starts itself as another process, sends that a SIGINT, and asks the server what still runs.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schedule, Schema } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import pMap from "p-map"
import { Pool } from "pg"
import { PgQueryPool, Query, QueryPool } from "querypool"

const jobs = Array.from({ length: 10 }, (_, index) => index)

const withPMap = async (name: string): Promise<void> => {
  const pool = new Pool({ connectionString: process.env["DATABASE_URL"], max: 10, application_name: name })
  const stop = new AbortController()
  process.once("SIGINT", () => stop.abort())
  const run = (job: number) => pool.query("insert into done select $1::text, $2::int from pg_sleep(5)", [name, job])
  await pMap(jobs, run, { concurrency: 10, signal: stop.signal })
}

const withQuerypool = (name: string): void => {
  const run = (job: number) =>
    Query.make(`job ${job}`, (sql) => sql`insert into done select ${name}::text, ${job}::int from pg_sleep(5)`)
  QueryPool.all(jobs.map(run), { concurrency: 10 }).pipe(Effect.provide(poolNamed(name)), NodeRuntime.runMain)
}

const poolNamed = (name: string) =>
  PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL"), applicationName: Config.succeed(name) })

// What the server says

const Count = Schema.Struct({ count: Schema.Finite })

const running = (name: string) =>
  Query.findOne({
    name: "running",
    schema: Count,
    statement: (sql) => sql`select count(*)::int as count from pg_stat_activity
      where application_name = ${name} and wait_event = 'PgSleep'`
  })
const written = (name: string) =>
  Query.findOne({
    name: "written",
    schema: Count,
    statement: (sql) => sql`select count(*)::int as count from done where name = ${name}`
  })
const untilRunning = (name: string, count: number) =>
  Effect.repeat(running(name), { schedule: Schedule.spaced("20 millis"), until: (row) => row.count === count })

const interrupt = Effect.fn(function* (name: string) {
  const child = spawn(process.execPath, [...process.execArgv, import.meta.filename, name], { stdio: "ignore" })
  yield* untilRunning(name, jobs.length)
  child.kill("SIGINT")
  yield* Effect.promise(() => once(child, "exit"))
  const { count: left } = yield* running(name)
  yield* untilRunning(name, 0)
  const { count: rows } = yield* written(name)
  yield* Console.log(`${name}: after Ctrl-C ${left} of ${jobs.length} queries run on, and write ${rows} rows`)
})

const program = Effect.gen(function* () {
  yield* Query.make("prepare", (sql) => sql`create table done (name text, job int)`)
  yield* interrupt("p-map + pg")
  yield* interrupt("querypool")
})

const [name] = process.argv.slice(2)
if (name === "p-map + pg") await withPMap(name)
else if (name === "querypool") withQuerypool(name)
else program.pipe(Effect.provide(poolNamed("observer")), NodeRuntime.runMain)
