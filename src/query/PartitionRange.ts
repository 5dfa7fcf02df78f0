/**
 * A query cut by ranges of a column's values.
 *
 * Bounds never filter. The first part has no lower end and the last no upper one, each bound ends one part and begins
 * the next, and NULLs are in the first. So whatever the bounds are, each row is in exactly one part: what they are
 * chosen by decides how long the parts are, and nothing else.
 *
 *     statistics of ANALYZE, if they are fresh         each part as many rows           "histogram"
 *     otherwise, for types that can be calculated with equal steps from least to greatest  "min and max"
 *     otherwise                                        a sample of the table's blocks   "sample"
 *
 * A query that reads only a part of a table is cut within its own least and greatest value, where an index gives these.
 *
 * @internal
 */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Column, Table } from "./PartitionColumn.ts"
import { describe, explain, readFrom, rowsOf, sorted, tablesOf, valueOf } from "./PartitionColumn.ts"
import { cutsOf } from "./PartitionCuts.ts"
import type { Edges, Statistics } from "./PartitionStatistics.ts"
import { knownValues, sampled, statisticsOf } from "./PartitionStatistics.ts"
import type { Steps } from "./PartitionSteps.ts"
import { decimals, doubles, integers, uuids } from "./PartitionSteps.ts"
import type { SqlText } from "./Subquery.ts"
import { around } from "./Subquery.ts"

/**
 * What to cut by.
 *
 * @internal
 */
export interface Cut {
  readonly column: string
  /** Into how many parts, or before which values. */
  readonly by: number | ReadonlyArray<string>
}

/**
 * Where to cut, and why there.
 *
 * @internal
 */
export interface Bounds {
  readonly origin: "histogram" | "min and max" | "sample" | "bounds"
  readonly why: string
  readonly bounds: ReadonlyArray<string>
}

/** How to calculate with a type. */
interface Arithmetic {
  readonly steps: Steps
  /** A value as the number that is calculated with. */
  readonly number?: ((value: string) => string) | undefined
  /** A text that holds such a number as a value. */
  readonly value?: ((text: string) => string) | undefined
  /** Whether the type has values without a number: infinity, NaN. */
  readonly unbounded?: boolean | undefined
  /** Whether there is no `min` and `max` of it (before PostgreSQL 18). */
  readonly withoutMin?: boolean | undefined
}

const microseconds = (type: string): Arithmetic => ({
  steps: integers,
  number: (value) => `pg_catalog.trunc(extract(epoch from ${value} - ${epoch(type)}) * 1000000)`,
  // Multiplied, and in two steps: as a text, an interval holds no such number before PostgreSQL 15, and a product is
  // exact to the 53 bits of a double, which 2^63 microseconds are as hours.
  value: (text) =>
    `${epoch(type)} + ${text}::int8 / 3600000000 * interval '1 hour' + ${text}::int8 % 3600000000 * interval '1 microsecond'`,
  unbounded: true
})

const epoch = (type: string): string => `'2000-01-01 00:00:00+00'::${type}`

const arithmetics: ReadonlyMap<string, Arithmetic> = new Map([
  ...["int2", "int4", "int8", "oid"].map((type): [string, Arithmetic] => [type, { steps: integers }]),
  ["numeric", { steps: decimals, unbounded: true }],
  ["float4", { steps: doubles, unbounded: true }],
  ["float8", { steps: doubles, unbounded: true }],
  [
    "date",
    {
      steps: integers,
      number: (value) => `(${value} - '2000-01-01'::date)`,
      value: (text) => `'2000-01-01'::date + ${text}::int4`,
      unbounded: true
    }
  ],
  ["timestamp", microseconds("timestamp")],
  ["timestamptz", microseconds("timestamptz")],
  ["uuid", { steps: uuids, withoutMin: true }]
])

/** What an index is expected to cost at most, of what the whole statement does, to be worth asking. */
const cheapPart = 0.1

/** @internal */
export const boundsOf = Effect.fnUntraced(function* (
  sql: SqlClient,
  statement: SqlText,
  { by, column: name }: Cut
): Effect.fn.Return<{ readonly column: Column; readonly bounds: Bounds }, SqlError> {
  const column = yield* describe(sql, statement, name)
  if (typeof by !== "number") {
    return { column, bounds: { origin: "bounds", why: "they were given", bounds: yield* sorted(sql, column, by) } }
  }
  if (by === 1) return { column, bounds: { origin: "bounds", why: "one part was asked for", bounds: [] } }
  const known = yield* lookUp(sql, statement, column, by)
  const bounds = (yield* fromHistogram(sql, known)) ?? (yield* withoutHistogram(sql, known))
  return { column, bounds: bounds.bounds.length === 0 ? { ...bounds, why: `${bounds.why}; ${nothing}` } : bounds }
})

const nothing = "there is no value to cut before"

/** What the server says of a column without looking at its values. */
interface Known {
  readonly statement: SqlText
  readonly column: Column
  readonly parts: number
  readonly arithmetic: Arithmetic | undefined
  readonly tables: ReadonlyArray<Table>
  /** Those of them that may be read: all or none. */
  readonly readable: ReadonlyArray<Table>
  readonly statistics: Statistics
  /** Asks the statement for the column's least and greatest value. */
  readonly ends: SqlText
  /** What that is expected to cost, in the planner's unit. */
  readonly endsCost: number
  /** Whether that is little of what the statement costs. */
  readonly isCheap: boolean
}

const lookUp = Effect.fnUntraced(function* (
  sql: SqlClient,
  statement: SqlText,
  column: Column,
  parts: number
): Effect.fn.Return<Known, SqlError> {
  const values = around(statement, (rows) => `select ${column.name} from ${rows}`)
  const plan = yield* explain(sql, values)
  const tables = tablesOf(plan)
  const statistics = yield* statisticsOf(sql, column, tables)
  const arithmetic = arithmetics.get(column.builtin)
  const ends = endsOf(column, arithmetic, statement)
  const endsCost = (yield* explain(sql, ends))["Total Cost"]
  const isCheap = endsCost <= plan["Total Cost"] * cheapPart
  const readable = statistics.isReadable ? tables : []
  return { statement, column, parts, arithmetic, tables, readable, statistics, ends, endsCost, isCheap }
})

const fromHistogram = Effect.fnUntraced(function* (
  sql: SqlClient,
  known: Known
): Effect.fn.Return<Bounds | undefined, SqlError> {
  const { column, parts, statistics, tables } = known
  if (!statistics.isFresh) return undefined
  const { range, values } = yield* knownValues(sql, column, tables, yield* cheapEdges(sql, known))
  if (!values.some(({ source }) => source >= 0)) return undefined
  const cuts = cutsOf(statistics.sources, values, parts, range)
  return { origin: "histogram", why: statistics.why, bounds: yield* sorted(sql, column, cuts) }
})

const withoutHistogram = Effect.fnUntraced(function* (
  sql: SqlClient,
  known: Known
): Effect.fn.Return<Bounds, SqlError> {
  const { arithmetic, column, parts, readable, statement, statistics } = known
  const why = statistics.isFresh ? "the statistics know of none of its values" : statistics.why
  if (arithmetic !== undefined) {
    const ends = yield* askEnds(sql, yield* cheapestEnds(sql, known, arithmetic))
    const numbers = ends === undefined ? [] : arithmetic.steps(ends.low, ends.high, parts)
    return { origin: "min and max", why, bounds: yield* sorted(sql, column, numbers, arithmetic.value) }
  }
  const edges = yield* cheapEdges(sql, known)
  const { blocks } = statistics
  const { range, values } = yield* sampled(sql, column, statement, { blocks, edges, parts, tables: readable })
  const cuts = cutsOf([{ rows: 1, nulls: 0 }], values, parts, range)
  return { origin: "sample", why, bounds: yield* sorted(sql, column, cuts) }
})

/** The range that the statement's own values lie in, where it costs little to know that. */
const cheapEdges = (sql: SqlClient, { ends, isCheap }: Known): Effect.Effect<Edges | undefined, SqlError> =>
  isCheap ? askEnds(sql, ends) : Effect.undefined

/** Asks the table instead of the statement, where that has an index and the statement does not use it. */
const cheapestEnds = Effect.fnUntraced(function* (
  sql: SqlClient,
  { column, ends, endsCost, isCheap, readable }: Known,
  arithmetic: Arithmetic
): Effect.fn.Return<SqlText, SqlError> {
  const [table] = readable
  if (isCheap || table === undefined || readable.length > 1) return ends
  const ofTable = endsOf({ ...column, name: "part.value" }, arithmetic, { text: readFrom(table), parameters: [] })
  return (yield* explain(sql, ofTable))["Total Cost"] <= endsCost * cheapPart ? ofTable : ends
})

/** Asks for the least and the greatest value, in a way that an index can answer. */
const endsOf = (column: Column, arithmetic: Arithmetic | undefined, statement: SqlText): SqlText => {
  const { name } = column
  const { number = (value: string) => value, unbounded = false, withoutMin = false } = arithmetic ?? {}
  const isFinite = unbounded ? ` and ${name} > '-infinity' and ${name} < 'infinity'` : ""
  return around(statement, (rows) => {
    const end = (direction: string) =>
      `(select ${name} from ${rows} where ${name} is not null order by ${name} using ${direction} limit 1)`
    const ends =
      arithmetic === undefined || withoutMin
        ? `select ${end("<")} as least, ${end(">")} as greatest`
        : `select min(${name}) as least, max(${name}) as greatest from ${rows} where ${name} is not null${isFinite}`
    return `select least::text as least, greatest::text as greatest, ${number("least")}::text as low, ${number("greatest")}::text as high
  from (${ends}) as ends`
  })
}

/** The ends of a column, and these as numbers to calculate with; `undefined` where there are no values. */
interface Ends extends Edges {
  readonly low: string
  readonly high: string
}

const askEnds = (sql: SqlClient, text: SqlText): Effect.Effect<Ends | undefined, SqlError> =>
  Effect.map(rowsOf(sql, text), ([row]) => {
    const { greatest = null, high = null, least = null, low = null } = row ?? {}
    if (least === null || greatest === null || low === null || high === null) return undefined
    return { least, greatest, low, high }
  })

/**
 * The condition for a part's rows, whose bounds are the parameters from `first` on.
 *
 * @internal
 */
export const condition = (column: Column, first: number, from: string | undefined, to: string | undefined) => {
  const { name } = column
  const parameters = [from, to].filter((bound) => bound !== undefined)
  const at = (place: number) => valueOf(column, `$${first + place}::text`)
  if (from === undefined && to === undefined) return { text: "true", parameters }
  if (from === undefined) return { text: `(${name} < ${at(0)} or ${name} is null)`, parameters }
  if (to === undefined) return { text: `${name} >= ${at(0)}`, parameters }
  return { text: `${name} >= ${at(0)} and ${name} < ${at(1)}`, parameters }
}
