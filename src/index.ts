/**
 * Many PostgreSQL queries at once, as structured concurrency on Effect.
 *
 * @since 0.1.0
 */
export * as Outcome from "./query/Outcome.ts"
export * as Partition from "./query/Partition.ts"
export * as Plan from "./query/Plan.ts"
export * as Progress from "./query/Progress.ts"
export * as Query from "./query/Query.ts"
export * as QueryError from "./query/QueryError.ts"
export * as QueryEvent from "./query/QueryEvent.ts"
export * as QueryPool from "./query/QueryPool.ts"
export * as Report from "./query/Report.ts"
export * as ReportDocument from "./query/ReportDocument.ts"
export * as RetryPolicy from "./query/RetryPolicy.ts"
export * as Timeline from "./query/Timeline.ts"
export * as DurationHistory from "./pool/DurationHistory.ts"
export * as PgQueryPool from "./pool/PgQueryPool.ts"
export * as PgTelemetry from "./pool/PgTelemetry.ts"
export * as QuerySink from "./sink/QuerySink.ts"
export * as SinkError from "./sink/SinkError.ts"
