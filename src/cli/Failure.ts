/**
 * What there is to say of a query that failed: where, why, and what to do.
 *
 * @internal
 */
import { Predicate } from "effect"
import { QueryError } from "../query/QueryError.ts"
import { SinkError } from "../sink/SinkError.ts"
import type { SqlPlace } from "./SqlPlace.ts"
import { locate } from "./SqlPlace.ts"
import type { Finished } from "./Teller.ts"

/**
 * Where in its file a query's error stands. Of a disk it stands nowhere.
 *
 * @internal
 */
export const placeOf = ({ report, result }: Finished): SqlPlace | undefined => {
  const { error } = report
  const { query, statement } = result
  if (statement === undefined || (error instanceof SinkError && error.reason._tag !== "NotEncodable")) return undefined
  const position = error instanceof QueryError && error.reason._tag === "Rejected" ? error.reason.position : undefined
  return position === undefined ? statement : locate(query.source.text, statement, position.offset)
}

/**
 * What went wrong with a query, in the words of the server where it was the server.
 *
 * @internal
 */
export const messageOf = (error: unknown): string => {
  if (!(error instanceof QueryError)) return error instanceof Error ? error.message : String(error)
  const { reason } = error
  const state = "sqlState" in reason && reason.sqlState !== undefined ? ` (${reason.sqlState})` : ""
  return `${reason.message}${state}`
}

/**
 * Its kind: the reason of what can go wrong, and `Defect` for a fault of the program.
 *
 * @internal
 */
export const reasonOf = (error: unknown): string => {
  if (error instanceof QueryError || error instanceof SinkError) return error.reason._tag
  // Said by a run that goes on with another one.
  return Predicate.isTagged(error, "MayBeApplied") ? error._tag : "Defect"
}

/**
 * What the library advises, in the words of the command line where these are others. Of a query's last attempt its text
 * says more.
 *
 * @internal
 */
export const hintOf = (error: QueryError, finished?: Finished): string | undefined => {
  const { hint, reason } = error
  if (reason._tag === "Rejected" && finished !== undefined) return hint ?? hintOfParameter(reason.sqlState, finished)
  if (reason._tag === "TimedOut") {
    return reason.limit === "deadline"
      ? "raise --deadline"
      : "raise --timeout, or write a line `-- timeout:` in the file"
  }
  if (reason._tag === "QueueTimeout") return "raise --queue-timeout or --concurrency"
  if (reason._tag === "TooBusy" && reason.hint === undefined && reason.sqlState === "53300") {
    return "lower --concurrency, or raise the server's max_connections"
  }
  return hint
}

/** Where the server points to a parameter, of which it knows no more than a number. */
const hintOfParameter = (sqlState: string | undefined, finished: Finished): string | undefined => {
  const { query, statement } = finished.result
  const place = placeOf(finished)
  if (statement?.bound === undefined || place === undefined) return undefined
  const [parameter] = /^:\w+/.exec(query.source.text.slice(place.offset, place.offset + 100)) ?? []
  if (parameter === undefined) return undefined
  if (sqlState === syntaxError) {
    return `${parameter} is a value, which can stand where an expression can: ${parameter}::date, and not date ${parameter}`
  }
  return sqlState === ambiguousParameter
    ? `${parameter} has one type in all of the statement: cast it where it is to have another, as in ${parameter}::text`
    : undefined
}

const syntaxError = "42601"
const ambiguousParameter = "42P08"

/**
 * What is kept on the server of a query that failed. What a defect leaves behind is not known.
 *
 * @internal
 */
export const outcomeOf = ({ report, result }: Finished): QueryError["outcome"] =>
  report.error instanceof QueryError
    ? report.error.outcome
    : result.isComplete && report.error instanceof SinkError
      ? "partial"
      : (result.unit?.outcome ?? "unknown")

/**
 * All of it, for programs.
 *
 * @internal
 */
export const failureDocument = (finished: Finished) => {
  const { error } = finished.report
  const reason = error instanceof QueryError ? error.reason : undefined
  const place = placeOf(finished)
  return {
    reason: reasonOf(error),
    sqlState: (reason !== undefined && "sqlState" in reason ? reason.sqlState : undefined) ?? null,
    message: reason?.message ?? messageOf(error),
    outcome: outcomeOf(finished),
    connection: error instanceof QueryError ? error.connection : null,
    line: place?.line ?? null,
    column: place?.column ?? null
  }
}
