/**
 * A run of queries from files on one database, in a pool of its own.
 *
 * @internal
 */
import type { FileSystem, Path } from "effect"
import { Data, Duration, Effect } from "effect"
import { constants } from "node:buffer"
import * as PgQueryPool from "../pool/PgQueryPool.ts"
import * as Query from "../query/Query.ts"
import * as QueryPool from "../query/QueryPool.ts"
import type { QueryFailed, UsageError } from "./CliFailure.ts"
import type { Database } from "./Database.ts"
import * as Durations from "./Durations.ts"
import type { FilePlan } from "./FilePlan.ts"
import { withEstimates } from "./FilePlan.ts"
import * as FileRun from "./FileRun.ts"
import type { Teller } from "./Teller.ts"

/**
 * The database cannot be used, so that nothing was run. The message says which and why, and goes on after "cannot".
 *
 * @internal
 */
export class Unreachable extends Data.TaggedError("Unreachable")<{ readonly message: string }> {}

type Pool = QueryPool.QueryPool["Service"]

/**
 * Runs the queries. `adapt` makes of the database's pool the one that they run in.
 *
 * @internal
 */
export const runOn = (
  { config, label }: Database,
  filePlan: FilePlan,
  options: FileRun.Options,
  teller: Teller,
  adapt: (pool: Pool) => Pool = (pool) => pool
): Effect.Effect<void, QueryFailed | Unreachable | UsageError, FileSystem.FileSystem | Path.Path> => {
  const pool = PgQueryPool.layer({
    ...config,
    maxConnections: options.concurrency,
    results: "text",
    // How long a query takes is its writer's business: there is no program that could have forgotten it.
    leakThreshold: Duration.infinity,
    // The driver's own limit of 16 MiB fails a query for one large value, and ends its connection.
    maxMessageSize: constants.MAX_STRING_LENGTH
  })
  const run = Effect.flatMap(options.order === "given" ? Effect.succeed(filePlan) : withEstimates(filePlan), (plan) =>
    FileRun.run(plan, options, teller)
  )
  return reach(label, config.password === undefined, options).pipe(
    // After that: how long it takes to connect is to be learned of no query.
    Effect.andThen(Effect.provide(run, Durations.layer(filePlan.queries, `${label}/${config.database ?? ""}`))),
    Effect.updateService(QueryPool.QueryPool, adapt),
    Effect.provide(pool),
    Effect.catchTag("SqlError", ({ message }) => Effect.fail(new Unreachable({ message })))
  )
}

/**
 * One connection before anything runs, and one snapshot where the run has one: a server that is not there, or that gives
 * none, is said once, not by every query.
 */
const reach = (label: string, hasNoPassword: boolean, { snapshot }: FileRun.Options) =>
  QueryPool.all([Query.make("connect", (sql) => sql`select 1`)], { snapshot }).pipe(
    Effect.catchTag("QueryError", ({ reason }) => {
      if (reason._tag === "Rejected" && reason.sqlState === undefined) {
        const hint = reason.hint?.replace(/`snapshot:.*`/, "--allow-standby") ?? ""
        return Effect.fail(new Unreachable({ message: `No snapshot on ${label}: ${reason.message}: ${hint}` }))
      }
      const wanted = hasNoPassword && / password /.test(reason.message)
      const advice = wanted
        ? ". Give one in the URL, in PGPASSWORD or in the password file"
        : reason._tag === "TooBusy" && reason.sqlState === "53300"
          ? ". Lower --concurrency, or --total where many targets share a server, or raise its max_connections"
          : ""
      return Effect.fail(new Unreachable({ message: `Cannot connect to ${label}: ${reason.message}${advice}` }))
    })
  )
