/**
 * How each query of a run is run: by the header lines of its file where these say, and by the flags of the command
 * otherwise.
 *
 * @internal
 */
import type { Duration } from "effect"
import { Effect } from "effect"
import type { QueryInfo } from "../query/QueryPool.ts"
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
  readonly timeout: Duration.Duration | undefined
  readonly retries: number
}

/**
 * Fails when a header contradicts a flag, of which neither can give way: `--read-only` is a promise that nothing is
 * written, `--single-transaction` one that nothing is kept by half.
 *
 * @internal
 */
export const checkModes = Effect.fnUntraced(function* (
  queries: ReadonlyArray<Pick<SqlQuery, "name" | "file" | "line" | "settings">>,
  { readOnly, singleTransaction }: Defaults
): Effect.fn.Return<void, UsageError> {
  if (readOnly && singleTransaction) {
    return yield* new UsageError({
      message: "--read-only and --single-transaction contradict each other. Give one of them"
    })
  }
  for (const { file, line, name, settings } of queries) {
    const header = settings.mode === "transaction" ? "transaction" : "read-only"
    if (settings.mode === undefined || !(header === "transaction" ? readOnly : singleTransaction)) continue
    const flag = readOnly ? "--read-only" : "--single-transaction"
    return yield* new UsageError({
      message: `${file}:${line}: the header \`${header}\` of query "${toLine(name)}" contradicts ${flag}. Remove one of them`
    })
  }
})

/**
 * The options of one query.
 *
 * @internal
 */
export const optionsOf = (settings: SqlSettings, defaults: Defaults) => {
  const { mode = defaults.singleTransaction ? "transaction" : defaults.readOnly ? "readOnly" : "autocommit" } = settings
  const { idempotent, retry = defaults.retries, timeout = defaults.timeout } = settings
  return { mode, idempotent, timeout, retry: retry === 0 ? undefined : retriesOf(retry) } satisfies QueryInfo["options"]
}

const retriesOf = (times: number) =>
  RetryPolicy.make({ on: RetryPolicy.transient.matches, schedule: RetryPolicy.backoff({ times }) })
