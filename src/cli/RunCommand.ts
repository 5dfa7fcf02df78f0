/**
 * `querypool run`: the queries of .sql files, many at a time.
 *
 * @internal
 */
import { Console, Effect, identity, Layer, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { constants } from "node:buffer"
import { EmbeddedPostgres } from "../embedded/EmbeddedPostgres.ts"
import type { Config } from "../pool/PgQueryPool.ts"
import * as PgQueryPool from "../pool/PgQueryPool.ts"
import * as Query from "../query/Query.ts"
import { UsageError } from "./CliFailure.ts"
import { findDatabase } from "./Database.ts"
import { planOf, withEstimates } from "./FilePlan.ts"
import * as FileRun from "./FileRun.ts"
import { durationFlag } from "./DurationText.ts"
import * as Durations from "./Durations.ts"
import { integer } from "./IntegerFlag.ts"
import { planFlags } from "./PlanFlags.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { readQueries } from "./QueryFiles.ts"
import { checkModes } from "./QueryOptions.ts"
import { forPeople, forPrograms } from "./RunOutput.ts"
import { stderrScreen, stdoutScreen } from "./Screens.ts"
import { shorten } from "./Table.ts"
import { follow } from "./UnderWay.ts"

/** Rows shown of a query when the flag does not say: what a person reads, and what a program may want. */
const defaultMaxRows = { table: 20, json: 1000 }

const flags = {
  ...planFlags,
  url: Flag.Redacted("url").pipe(Flag.withDescription("postgres://user:password@host:5432/database"), Flag.optional),
  embedded: Flag.Boolean("embedded").pipe(
    Flag.withDescription("Start a throw-away PostgreSQL for this run"),
    Flag.withDefault(false)
  ),
  onError: Flag.Literals("on-error", ["continue", "stop"]).pipe(
    Flag.withDescription("What one failure means for the others (default continue)"),
    Flag.withDefault("continue")
  ),
  singleTransaction: Flag.Boolean("single-transaction").pipe(
    Flag.withDescription("Run each query as one transaction"),
    Flag.withDefault(false)
  ),
  readOnly: Flag.Boolean("read-only").pipe(
    Flag.withDescription("Let the server refuse whatever would write"),
    Flag.withDefault(false)
  ),
  timeout: durationFlag("timeout").pipe(
    Flag.withDescription("Time for a query with its retries, such as 30s"),
    Flag.optional
  ),
  queueTimeout: durationFlag("queue-timeout").pipe(
    Flag.withDescription("Time for a query to wait for its turn, and what it needs"),
    Flag.optional
  ),
  deadline: durationFlag("deadline").pipe(Flag.withDescription("Time for all queries together"), Flag.optional),
  retries: integer("retries", 0, 999_999).pipe(
    Flag.withDescription("Retries of failures that may pass (default 0)"),
    Flag.withDefault(0)
  ),
  maxRows: integer("max-rows", 0).pipe(
    Flag.withDescription("Rows shown per query (default 20, or 1000 with --json)"),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print one JSON document"), Flag.withDefault(false)),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("Print nothing but failures"),
    Flag.withDefault(false)
  )
}

const summary = "Run the queries of .sql files, many at a time"

const description = `${summary}

  A file is one query, or many, each under a line \`-- name: x\`. Header lines
  under that, or at the top of the file for all of its queries, say how a query
  is run, and win over the flags:

    -- needs: a, b     starts when these have succeeded, is skipped otherwise
    -- tag: key=value  what --select tag:key=value finds
    -- timeout: 30s    time for it with its retries: 300ms, 30s, 5m, 2h
    -- retry: 3        retries after a lost connection, a deadlock and the like
    -- transaction     one transaction, instead of each statement by itself
    -- read-only       the server refuses whatever would write
    -- idempotent      twice does no more than once: retry whatever was applied
    -- partition: column=id parts=8
                       a query of one statement in so many parts at once, which
                       together give its rows, all of one moment

  There, a comment that begins with one lower-case word and a colon is a header,
  and an unknown one is refused. Every other comment is prose.

  A query is retried as a whole, and only where nothing of it is kept, unless it
  is read-only or idempotent.

  Exit code: 0 all succeeded, 1 some query failed or was skipped, 2 nothing was
  run, 130 interrupted. A first Ctrl-C cancels on the server, a second leaves at
  once.`

/** @internal */
export const runCommand = Command.make(
  "run",
  flags,
  Effect.fnUntraced(function* (input) {
    if (input.embedded && Option.isSome(input.url)) {
      return yield* new UsageError({ message: "--embedded and --url name two databases. Give one of them" })
    }
    const filePlan = yield* planOf(yield* readQueries(input.paths), input.select)
    const { queries } = filePlan
    const defaults = {
      singleTransaction: input.singleTransaction,
      readOnly: input.readOnly,
      timeout: Option.getOrUndefined(input.timeout),
      retries: input.retries
    }
    yield* checkModes(queries, defaults)
    const output = {
      console: yield* Console.Console,
      write: (text: string) => void process.stdout.write(text),
      stdout: stdoutScreen(),
      stderr: stderrScreen()
    }
    const told = (input.json ? forPrograms : forPeople)(output, input.quiet)
    const teller: FileRun.Teller = {
      ...told,
      happened: (event) => {
        follow(event)
        told.happened(event)
      }
    }
    const options: FileRun.Options = {
      ...defaults,
      queueTimeout: Option.getOrUndefined(input.queueTimeout),
      deadline: Option.getOrUndefined(input.deadline),
      concurrency: Math.min(input.concurrency, atOnce(queries)),
      order: input.order,
      stopOnError: input.onError === "stop",
      keep: input.json ? identity : (text) => shorten(text, output.stdout),
      maxRows: Option.getOrElse(input.maxRows, () => (input.json ? defaultMaxRows.json : defaultMaxRows.table))
    }
    const runOn = (config: Config, label: string) =>
      reach(label, config).pipe(
        Effect.andThen(input.order === "given" ? Effect.succeed(filePlan) : withEstimates(filePlan)),
        Effect.flatMap((plan) => FileRun.run(plan, options, teller)),
        Effect.provide(
          Durations.layer(queries, `${label}/${config.database ?? ""}`).pipe(
            Layer.provideMerge(
              PgQueryPool.layer({
                ...config,
                maxConnections: options.concurrency,
                results: "text",
                // The driver's own limit of 16 MiB fails a query for one large value, and ends its connection.
                maxMessageSize: constants.MAX_STRING_LENGTH
              })
            )
          )
        ),
        Effect.catchTag("SqlError", (error) => Effect.fail(new UsageError({ message: error.message })))
      )
    if (input.embedded) {
      return yield* Effect.flatMap(EmbeddedPostgres, ({ url }) => runOn({ url }, "the embedded PostgreSQL")).pipe(
        Effect.provide(EmbeddedPostgres.layer()),
        Effect.catchTag("EmbeddedPostgresError", (error) => Effect.fail(new UsageError({ message: error.message })))
      )
    }
    const { config, label } = yield* findDatabase(Option.getOrUndefined(input.url), process.env)
    return yield* runOn(config, label)
  })
).pipe(
  Command.withDescription(description),
  Command.withShortDescription(summary),
  Command.withExamples([
    { command: "querypool run queries/ --url postgres://me@db.example.com/shop", description: "A folder of queries" },
    { command: "echo 'select now()' | querypool run - --embedded", description: "Try one without a database" }
  ])
)

/** How many queries and parts of queries there are to run at once. */
const atOnce = (queries: ReadonlyArray<FileQuery>): number =>
  queries.reduce((sum, { settings }) => sum + (settings.partition?.parts ?? 1), 0)

/** One connection before anything runs: a server that is not there is said once, not by every query. */
const reach = (label: string, { password }: Config) =>
  Query.make("connect", (sql) => sql`select 1`).pipe(
    Effect.catchTag("QueryError", ({ reason }) => {
      const wanted = password === undefined && / password /.test(reason.message)
      const advice = wanted ? ". Give one in the URL, in PGPASSWORD or in the password file" : ""
      return Effect.fail(new UsageError({ message: `Cannot connect to ${label}: ${reason.message}${advice}` }))
    })
  )
