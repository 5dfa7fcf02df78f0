/**
 * What there is to say of a query that failed: where, why, and what to do.
 *
 * @internal
 */
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
 * What the library advises, in the words of the command line where these are others.
 *
 * @internal
 */
export const hintOf = (error: QueryError): string | undefined => {
  const { hint, reason } = error
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
  const ofFile = error instanceof SinkError ? error.reason : undefined
  return {
    reason: reason?._tag ?? ofFile?._tag ?? "Defect",
    sqlState: (reason !== undefined && "sqlState" in reason ? reason.sqlState : undefined) ?? null,
    message: reason?.message ?? messageOf(error),
    outcome: outcomeOf(finished),
    connection: error instanceof QueryError ? error.connection : null,
    line: place?.line ?? null,
    column: place?.column ?? null
  }
}
