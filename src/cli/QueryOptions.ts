/**
 * How each query of a run is run: by the header lines of its file where these say, and by the flags of the command
 * otherwise.
 *
 * @internal
 */
import type { Duration } from "effect"
import { Effect } from "effect"
import { verdictOf } from "../pool/PgResidue.ts"
import type { QueryInfo, RunOptions } from "../query/QueryPool.ts"
import * as RetryPolicy from "../query/RetryPolicy.ts"
import { UsageError } from "./CliFailure.ts"
import type { SqlQuery } from "./SqlFile.ts"
import type { SqlSettings } from "./SqlHeader.ts"
import { toLine } from "./TextValue.ts"

/**
 * What the flags say of all queries.
 *
 * @internal
 */
export interface Defaults {
  readonly singleTransaction: boolean
  readonly readOnly: boolean
  /** Whether all of them see one moment. */
  readonly snapshot: NonNullable<RunOptions["snapshot"]>
  readonly timeout: Duration.Duration | undefined
  readonly retries: number
}

/**
 * Fails when flags contradict each other, or a query a flag, of which neither can give way: `--read-only` and
 * `--snapshot` are promises that nothing is written, `--single-transaction` one that nothing is kept by half.
 *
 * @internal
 */
export const checkModes = Effect.fnUntraced(function* (
  queries: ReadonlyArray<Pick<SqlQuery, "name" | "file" | "line" | "settings" | "statements">>,
  defaults: Defaults
): Effect.fn.Return<void, UsageError> {
  const reads = defaults.readOnly ? "--read-only" : defaults.snapshot === false ? undefined : "--snapshot"
  const writes = defaults.singleTransaction ? "--single-transaction" : undefined
  if (reads !== undefined && writes !== undefined) {
    return yield* new UsageError({ message: `${reads} and ${writes} contradict each other. Give one of them` })
  }
  for (const { file, line, name, settings, statements } of queries) {
    const flag = settings.mode === "transaction" ? reads : settings.mode === "readOnly" ? writes : undefined
    if (flag !== undefined) {
      const header = settings.mode === "transaction" ? "transaction" : "read-only"
      return yield* new UsageError({
        message: `${file}:${line}: the header \`${header}\` of query "${toLine(name)}" contradicts ${flag}. Remove one of them`
      })
    }
    if (defaults.snapshot === false) continue
    // The pool would refuse the same statement, when those before it have run.
    const end = statements.find(({ text }) => verdictOf(text).ends)
    if (end === undefined) continue
    return yield* new UsageError({
      message:
        `${file}:${end.line}: query "${toLine(name)}" ends a transaction, and with --snapshot it is one as a whole. ` +
        `Leave out BEGIN, COMMIT and ROLLBACK`
    })
  }
})

/**
 * The options of one query.
 *
 * @internal
 */
export const optionsOf = (settings: SqlSettings, { readOnly, retries, singleTransaction, timeout }: Defaults) => {
  const { idempotent, mode = singleTransaction ? "transaction" : readOnly ? "readOnly" : undefined } = settings
  const { retry = retries } = settings
  return {
    mode,
    idempotent,
    timeout: settings.timeout ?? timeout,
    retry: retry === 0 ? undefined : retriesOf(retry)
  } satisfies QueryInfo["options"]
}

const retriesOf = (times: number) =>
  RetryPolicy.make({ on: RetryPolicy.transient.matches, schedule: RetryPolicy.backoff({ times }) })
