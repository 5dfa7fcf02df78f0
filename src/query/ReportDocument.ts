/**
 * The report of a run as a document: what `querypool run --report out.json` writes.
 *
 *     const decode = Schema.decodeUnknownResult(Schema.fromJsonString(ReportDocument.Document))
 *
 * - A document says what it is (`format`) and how it is to be read (`version`). A version may gain fields, and what is
 *   written by a later querypool is read by an earlier one; it loses none, and none changes its meaning.
 * - Times are milliseconds from the start of their run, with fractions; lines and columns count from 1, a column in
 *   characters (code points).
 * - It has no password and no URL, but the SQL as it stands in the files, with whatever constants are in there.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

const Text = Schema.String
const OptionalText = Schema.optional(Text)
const Millis = Schema.Finite

/**
 * Where in a file something stands.
 *
 * @since 0.1.0
 */
export const Place = Schema.Struct({ file: Text, line: Schema.Int, column: Schema.Int })

/**
 * Why an attempt failed.
 *
 * @since 0.1.0
 */
export const Failure = Schema.Struct({
  /** The reason of the `QueryError`, such as `Rejected` or `TimedOut`, or `Defect` for a fault of the program. */
  reason: Text,
  /** The five characters of the server's SQLSTATE. */
  sqlState: OptionalText,
  message: Text,
  detail: OptionalText,
  hint: OptionalText,
  /** What is left of what it wrote. */
  outcome: Schema.Literals(["notApplied", "partial", "unknown"]),
  /** Where the server found the error or, if it does not say, where the statement begins. */
  place: Schema.optional(Place),
  /** Two lines: that of the place, cut around it if it is long, and a caret under the place. */
  excerpt: OptionalText
})

/**
 * Why an attempt failed.
 *
 * @since 0.1.0
 */
export type Failure = typeof Failure.Type

/**
 * A time in which a query did one thing: see `Timeline.SegmentKind`.
 *
 * @since 0.1.0
 */
export const Segment = Schema.Struct({
  kind: Schema.Literals(["needing", "waiting", "running", "cancelling", "retrying"]),
  fromMillis: Millis,
  toMillis: Millis,
  /** The attempt that runs, or that it waits for, from 1. */
  attempt: Schema.Int,
  /** Which worker ran it, from 0: of the run or, for a part, of the parts of its query. */
  worker: Schema.optional(Schema.Int)
})

const life = {
  name: Text,
  outcome: Schema.Literals(["succeeded", "failed", "cancelled", "skipped"]),
  error: Schema.optional(Failure),
  /** What the last attempt received. */
  rows: Schema.Int,
  /** How often it was tried; 0 if it was never started. */
  attempts: Schema.Int,
  waitedMillis: Millis,
  ranMillis: Millis,
  /** One after the other, without gaps. What took no time has none. */
  segments: Schema.Array(Segment),
  /** Attempts that failed and were followed by another, the first hundred. */
  failedAttempts: Schema.Array(Schema.Struct({ attempt: Schema.Int, delayMillis: Millis, error: Failure })),
  /** How its last cancel ended: see `QueryEvent.CancelEnd`. */
  cancel: Schema.optional(
    Schema.Struct({ how: Schema.Literals(["idle", "gone", "terminated", "unconfirmed"]), tookMillis: Millis })
  )
}

/**
 * A part of a query, or what planned its parts.
 *
 * @since 0.1.0
 */
export const Part = Schema.Struct(life)

/**
 * A part of a query, or what planned its parts.
 *
 * @since 0.1.0
 */
export type Part = typeof Part.Type

/**
 * What one query did. Names are unique within a run.
 *
 * @since 0.1.0
 */
export const Query = Schema.Struct({
  ...life,
  /** Where it was skipped because it needed another: the name of the one that did not succeed. */
  because: OptionalText,
  /** Where it stands, and the text of its statements. */
  source: Schema.optional(Schema.Struct({ file: Text, line: Schema.Int, sql: Text })),
  tags: Schema.Record(Text, Text),
  /** Names of the queries that had to succeed before it. */
  needs: Schema.Array(Text),
  parts: Schema.Array(Part),
  /** What the server said while it ran, the first hundred. */
  notices: Schema.Array(Schema.Struct({ severity: Text, message: Text })),
  /** How many more there were. */
  moreNotices: Schema.Int
})

/**
 * What one query did.
 *
 * @since 0.1.0
 */
export type Query = typeof Query.Type

/**
 * A run: queries that were handed over together, on one database.
 *
 * @since 0.1.0
 */
export const Run = Schema.Struct({
  /** What tells it from the others of the document, such as the name of its target. */
  name: OptionalText,
  /** Where its database is, such as `db.example.com:5432`. */
  database: OptionalText,
  /** Why its database could not be used, so that all was skipped. */
  unreachable: OptionalText,
  /** As in ISO 8601, in UTC. */
  startedAt: Text,
  /** It was stopped before its end. */
  interrupted: Schema.Boolean,
  /** How many queries could run at once. */
  concurrency: Schema.Int,
  makespanMillis: Millis,
  /** What no scheduler could have beaten. */
  lowerBoundMillis: Millis,
  /** How many processors of the server it counts with, where that is known: it is lower with more of them. */
  processors: Schema.optional(Schema.Int),
  /** What it is that no scheduler could have beaten. */
  binding: Schema.Literals(["longest query", "critical path", "total work"]),
  /** `lowerBoundMillis / makespanMillis`: 1 is perfect. */
  efficiency: Schema.Finite,
  /** Names of the queries on the longest path of those that needed each other. */
  criticalPath: Schema.Array(Text),
  /** From when until when one was held. */
  snapshot: Schema.optional(Schema.Struct({ fromMillis: Millis, toMillis: Millis, lost: Schema.Boolean })),
  /** In the order in which they were handed over. */
  queries: Schema.Array(Query)
})

/**
 * A run: queries that were handed over together, on one database.
 *
 * @since 0.1.0
 */
export type Run = typeof Run.Type

/**
 * The report: of one run or, where the same queries ran more than once, of several.
 *
 * @since 0.1.0
 */
export const Document = Schema.Struct({
  format: Schema.Literal("querypool/report"),
  version: Schema.Literal(1),
  /** What wrote it, such as `querypool 0.1.0`. */
  generator: Text,
  runs: Schema.Array(Run)
})

/**
 * The report: of one run or, where the same queries ran more than once, of several.
 *
 * @since 0.1.0
 */
export type Document = typeof Document.Type
