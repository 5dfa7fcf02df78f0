/**
 * A run of queries from files on one database, in a pool of its own.
 *
 * @internal
 */
import type { FileSystem, Path } from "effect"
import { Data, Duration, Effect, Schedule } from "effect"
import { constants } from "node:buffer"
import * as PgQueryPool from "../pool/PgQueryPool.ts"
import * as Query from "../query/Query.ts"
import type { QueryError } from "../query/QueryError.ts"
import * as QueryPool from "../query/QueryPool.ts"
import * as RetryPolicy from "../query/RetryPolicy.ts"
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
  database: Database,
  filePlan: FilePlan,
  options: FileRun.Options,
  teller: Teller,
  adapt: (pool: Pool) => Pool = (pool) => pool
): Effect.Effect<void, QueryFailed | UsageError | Unreachable, FileSystem.FileSystem | Path.Path> => {
  const { config, label } = database
  const pool = PgQueryPool.layer({
    ...config,
    maxConnections: options.concurrency,
    results: "text",
    // How long a query takes is its writer's business: there is no program that could have forgotten it.
    leakThreshold: Duration.infinity,
    // The driver's own limit of 16 MiB fails a query for one large value, and ends its connection.
    maxMessageSize: constants.MAX_STRING_LENGTH
  })
  const run = Effect.flatMap(options.order === "given" ? Effect.succeed(filePlan) : estimated(filePlan), (plan) =>
    FileRun.run(plan, options, teller)
  )
  return reach(database, options, teller).pipe(
    // After that: how long it takes to connect is to be learned of no query.
    Effect.andThen(Effect.provide(run, Durations.layer(filePlan.queries, `${label}/${config.database ?? ""}`))),
    Effect.updateService(QueryPool.QueryPool, adapt),
    Effect.provide(pool),
    Effect.catchTag("SqlError", ({ message }) => Effect.fail(new Unreachable({ message })))
  )
}

const estimated = (filePlan: FilePlan) =>
  Effect.flatMap(Durations.estimates(filePlan.queries), (found) =>
    withEstimates(
      filePlan,
      found.map((estimate) => estimate?.millis)
    )
  )

/**
 * One connection before anything runs, and one snapshot where the run has one: a server that is not there, or that gives
 * none, is said once, not by every query. It is tried as often as a query.
 */
const reach = (
  { config, label }: Database,
  { retries, snapshot }: FileRun.Options,
  { unreached }: Teller
): Effect.Effect<unknown, Unreachable, QueryPool.QueryPool> => {
  const unreachable = ({ reason }: QueryError): Unreachable => {
    if (reason._tag === "Rejected" && reason.sqlState === undefined) {
      const hint = reason.hint?.replace(/`snapshot:.*`/, "--allow-standby") ?? ""
      return new Unreachable({ message: `No snapshot on ${label}: ${reason.message}: ${hint}` })
    }
    const wanted = config.password === undefined && / password /.test(reason.message)
    const advice = wanted
      ? ". Give one in the URL, in PGPASSWORD or in the password file"
      : reason._tag === "TooBusy" && reason.sqlState === "53300"
        ? ". Lower --concurrency, or --total where many targets share a server, or raise its max_connections"
        : ""
    return new Unreachable({ message: `Cannot connect to ${label}: ${reason.message}${advice}` })
  }
  const again = RetryPolicy.backoff({ times: retries }).pipe(
    Schedule.setInputType<QueryError>(),
    Schedule.while(({ input }) => RetryPolicy.transient.matches(input)),
    Schedule.tap(({ duration, input }) =>
      Effect.sync(() => unreached(unreachable(input).message, Duration.toMillis(duration)))
    )
  )
  return QueryPool.all([Query.make("connect", (sql) => sql`select 1`)], { snapshot }).pipe(
    Effect.retry(again),
    Effect.mapError(unreachable)
  )
}
