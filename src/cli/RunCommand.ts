/**
 * `querypool run`: the queries of .sql files, many at a time.
 *
 * @internal
 */
import { Effect, identity, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { EmbeddedPostgres } from "../embedded/EmbeddedPostgres.ts"
import { UsageError } from "./CliFailure.ts"
import type { Database } from "./Database.ts"
import { findDatabase } from "./Database.ts"
import { runOn } from "./DatabaseRun.ts"
import { durationFlag } from "./DurationText.ts"
import { planOf } from "./FilePlan.ts"
import type * as FileRun from "./FileRun.ts"
import { integer } from "./IntegerFlag.ts"
import { ofProcess } from "./Output.ts"
import { planFlags } from "./PlanFlags.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { readQueries } from "./QueryFiles.ts"
import type { Defaults } from "./QueryOptions.ts"
import { checkModes } from "./QueryOptions.ts"
import { forPeople, forPrograms } from "./RunOutput.ts"
import { shorten } from "./Table.ts"
import { targetsForPeople, targetsForPrograms } from "./TargetOutput.ts"
import * as TargetRun from "./TargetRun.ts"
import { readTargets } from "./TargetsFile.ts"
import { tellAll } from "./Teller.ts"
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
  targets: Flag.String("targets").pipe(
    Flag.withMetavar("file"),
    Flag.withDescription("Run on each database of this file: name = url"),
    Flag.optional
  ),
  total: integer("total", 1).pipe(Flag.withDescription("How many run at once over all targets"), Flag.optional),
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
  snapshot: Flag.Boolean("snapshot").pipe(
    Flag.withDescription("Let all queries see one moment of the database"),
    Flag.withDefault(false)
  ),
  allowStandby: Flag.Boolean("allow-standby").pipe(
    Flag.withDescription("Take the snapshot on a standby, too"),
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

  With --snapshot each query is one transaction that only reads, and all see the
  moment in which the first of them started. Vacuum keeps what others delete for
  as long as that.

  With --targets the queries run on each database of a file, on all at once:

    # a line for each; PG* variables and the password file fill in the rest
    berlin = postgres://me@db1.example.com/shop

  --concurrency, --deadline and --on-error hold for each target. --total limits
  queries over all of them, and how many targets are under way. A target that
  hangs keeps up to --concurrency of it until its queries time out, so give a
  --timeout, too.

  Exit code: 0 all succeeded, 1 some query failed or was skipped, 2 nothing was
  run, 130 interrupted. A first Ctrl-C cancels on the server, a second leaves at
  once.`

/** @internal */
export const runCommand = Command.make(
  "run",
  flags,
  Effect.fnUntraced(function* (input) {
    yield* checkFlags(input)
    const filePlan = yield* planOf(yield* readQueries(input.paths), input.select)
    const { queries } = filePlan
    const defaults: Defaults = {
      singleTransaction: input.singleTransaction,
      readOnly: input.readOnly,
      snapshot: input.allowStandby ? { allowStandby: true } : input.snapshot,
      timeout: Option.getOrUndefined(input.timeout),
      retries: input.retries
    }
    yield* checkModes(queries, defaults)
    const output = yield* ofProcess
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
    if (Option.isSome(input.targets)) {
      const targets = yield* readTargets(input.targets.value, process.env)
      const teller = followed((input.json ? targetsForPrograms : targetsForPeople)(output, input.quiet))
      return yield* TargetRun.run(targets, filePlan, { ...options, total: Option.getOrUndefined(input.total) }, teller)
    }
    const teller = tellAll({ happened: follow() }, (input.json ? forPrograms : forPeople)(output, input.quiet))
    const run = (database: Database) =>
      Effect.catchTag(runOn(database, filePlan, options, teller), "Unreachable", ({ message }) =>
        Effect.fail(new UsageError({ message }))
      )
    if (input.embedded) {
      const embedded = Effect.flatMap(EmbeddedPostgres, ({ url }) =>
        run({ config: { url }, label: "the embedded PostgreSQL" })
      )
      return yield* embedded.pipe(
        Effect.provide(EmbeddedPostgres.layer()),
        Effect.catchTag("EmbeddedPostgresError", ({ message }) => Effect.fail(new UsageError({ message })))
      )
    }
    return yield* run(yield* findDatabase(Option.getOrUndefined(input.url), process.env))
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

const usage = (message: string) => new UsageError({ message })

/** Flags that contradict each other, or mean nothing alone. */
const checkFlags = Effect.fnUntraced(function* (flags: {
  readonly url: Option.Option<unknown>
  readonly embedded: boolean
  readonly targets: Option.Option<unknown>
  readonly total: Option.Option<unknown>
  readonly snapshot: boolean
  readonly allowStandby: boolean
}): Effect.fn.Return<void, UsageError> {
  const places = [
    ...(Option.isSome(flags.targets) ? ["--targets"] : []),
    ...(flags.embedded ? ["--embedded"] : []),
    ...(Option.isSome(flags.url) ? ["--url"] : [])
  ]
  if (places.length > 1) return yield* usage(`${places.join(" and ")} name different databases. Give one of them`)
  if (Option.isSome(flags.total) && Option.isNone(flags.targets)) {
    return yield* usage("--total is for the databases of --targets. For one database say --concurrency")
  }
  if (flags.allowStandby && !flags.snapshot) {
    return yield* usage("--allow-standby is for the snapshot of --snapshot. Give both")
  }
})

/** Has what runs be known to whoever leaves before it has ended. */
const followed = (teller: TargetRun.TargetsTeller): TargetRun.TargetsTeller => ({
  ...teller,
  begun: (name) => {
    const told = teller.begun(name)
    return { ...told, ...tellAll({ happened: follow(name) }, told) }
  }
})
