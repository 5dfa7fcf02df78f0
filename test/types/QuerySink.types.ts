import type { FileSystem, Path } from "effect"
import { Schema } from "effect"
import { QuerySink, RetryPolicy } from "querypool"
import type { Query, QueryError, SinkError } from "querypool"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

const at = { name: "a", statement: () => ({ sql: "select 1", parameters: [] }), path: "a.csv" }

// ---- a file is a query: what it gives, fails with and needs ----------------------------------------------------------

const file = QuerySink.file(at)
expect<
  Equals<
    typeof file,
    Query.Query<QuerySink.Written, SinkError.SinkError | QueryError.QueryError, FileSystem.FileSystem | Path.Path>
  >
>()

// ---- its statement is what that of any query is, and its format one of those that there are, or one's own ------------

accept(QuerySink.file({ ...at, statement: (sql) => sql`select 1` }))
accept(QuerySink.file({ ...at, statement: () => ({ sql: "select 1", params: [] }) }))
for (const format of [QuerySink.csv(), QuerySink.ndjson, QuerySink.json, QuerySink.parquet()]) {
  accept(format)
  accept(QuerySink.file({ ...at, format }))
}
// @ts-expect-error rows do not become values, so there is nothing for a schema to decode
accept(QuerySink.file({ ...at, schema: Schema.Struct({}) }))
// @ts-expect-error a format is no name
accept(QuerySink.file({ ...at, format: "csv" }))
// @ts-expect-error CSV has no such option
QuerySink.csv({ separator: ";" })

// ---- its options are a query's: a policy may name SinkError, and it has a session of its own -------------------------

accept(QuerySink.file(at, { mode: "transaction", timeout: "1 minute", retry: RetryPolicy.transient }))
accept(QuerySink.file(at, { retry: RetryPolicy.make({ on: ["SinkError", "ConnectionLost"] }) }))
// @ts-expect-error nothing fails with that
accept(QuerySink.file(at, { retry: RetryPolicy.make({ on: ["NoSuchUser"] }) }))
// @ts-expect-error its rows would hold up what others sent
accept(QuerySink.file(at, { lane: "pipelined" }))
