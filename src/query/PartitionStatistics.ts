/**
 * What the server knows of how a column's values are spread, without reading them: the statistics of ANALYZE, as long
 * as they are fresh, and a sample of the table's blocks otherwise.
 *
 * @internal
 */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Column, Table } from "./PartitionColumn.ts"
import { readFrom, rowsOf, valueOf } from "./PartitionColumn.ts"
import type { KnownValue, Range, Source } from "./PartitionCuts.ts"
import type { SqlText } from "./Subquery.ts"
import { around } from "./Subquery.ts"

/**
 * The part of the rows that may have changed since ANALYZE: that after which autovacuum would analyze anew by default
 * (`autovacuum_analyze_scale_factor`). All of them at one end, such as the newest orders, make an eighth part 1.8 times
 * as long as it should be.
 */
const mostChanged = 0.1

/**
 * The statistics of some tables.
 *
 * @internal
 */
export interface Statistics {
  readonly isFresh: boolean
  /** Why they are fresh or not, as a sentence. */
  readonly why: string
  readonly sources: ReadonlyArray<Source>
  /** Blocks of all tables together. */
  readonly blocks: number
  /** Whether they may be read: behind a view stands what only its owner may read. */
  readonly isReadable: boolean
}

const calculated: Statistics = {
  isFresh: false,
  why: "the column is not read from a table as it is",
  sources: [],
  blocks: 0,
  isReadable: false
}

const columnsOf = (tables: ReadonlyArray<Table>): ReadonlyArray<unknown> => [
  tables.map(({ schema }) => schema),
  tables.map(({ relation }) => relation),
  tables.map(({ column }) => column)
]

const withStatistics = `from unnest($1::text[], $2::text[], $3::text[])
    with ordinality as t (schema, relation, name, place)
  left join pg_catalog.pg_stats s on s.schemaname = t.schema and s.tablename = t.relation and s.attname = t.name and not s.inherited`

const facts = `select c.reltuples::text as rows, pg_catalog.pg_relation_size(c.oid)::text as bytes,
    pg_catalog.current_setting('block_size') as block, s.null_frac::text as nulls,
    pg_catalog.pg_stat_get_mod_since_analyze(c.oid)::text as changed,
    (pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select'))::text as readable,
    greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))::text as analyzed
  ${withStatistics}
  join pg_catalog.pg_namespace n on n.nspname = t.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.relation
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = t.name and a.atttypid = $4::text::pg_catalog.oid
  order by t.place`

const count = (rows: number): string => Math.round(rows).toLocaleString("en")

/**
 * Whether there are statistics of these tables' columns, and how fresh they are.
 *
 * @internal
 */
export const statisticsOf = Effect.fnUntraced(function* (
  sql: SqlClient,
  { typeOid }: Column,
  tables: ReadonlyArray<Table>
): Effect.fn.Return<Statistics, SqlError> {
  const [first] = tables
  if (first === undefined) return calculated
  const name = tables.length === 1 ? `${first.schema}.${first.relation}` : `${count(tables.length)} tables`
  const found = yield* rowsOf(sql, { text: facts, parameters: [...columnsOf(tables), typeOid] })
  if (found.length < tables.length) return calculated
  const sources = found.map((row) => ({ rows: Math.max(Number(row["rows"]), 0), nulls: Number(row["nulls"] ?? 0) }))
  const blocks = found.reduce((sum, row) => sum + Number(row["bytes"]) / Number(row["block"]), 0)
  const rows = sources.reduce((sum, source) => sum + source.rows, 0)
  const changed = found.reduce((sum, row) => sum + Number(row["changed"]), 0)
  const filled = found.filter((row) => Number(row["bytes"]) > 0)
  const isReadable = found.every((row) => row["readable"] === "true")
  const not = (why: string): Statistics => ({ isFresh: false, why, sources, blocks, isReadable })
  if (filled.length === 0) return not(`${name} ${tables.length === 1 ? "is" : "are"} empty`)
  if (filled.some((row) => row["analyzed"] === null)) {
    return not(`${name} ${tables.length === 1 ? "was" : "were"} not analyzed, as far as is known`)
  }
  if (filled.some((row) => row["nulls"] === null)) return not(`there are no statistics of "${first.column}" in ${name}`)
  const isFresh = changed <= rows * mostChanged
  const since = `${count(changed)} of ${count(rows)} rows changed since`
  return { ...not(`the statistics of ${name} are ${isFresh ? "fresh" : "stale"}: ${since}`), isFresh }
})

/**
 * A range that a statement's values lie in, both ends included.
 *
 * @internal
 */
export interface Edges {
  readonly least: string
  readonly greatest: string
}

/**
 * How the values of a column are spread, as far as it is known.
 *
 * @internal
 */
export interface Spread {
  readonly values: ReadonlyArray<KnownValue>
  readonly range: Range | undefined
}

/** Ranks what gives a value, the place of its source from 1 and its frequency, and where among them the edges stand. */
const ranked = Effect.fnUntraced(function* (
  sql: SqlClient,
  column: Column,
  values: SqlText,
  edges: Edges | undefined
): Effect.fn.Return<Spread, SqlError> {
  const ends = edges === undefined ? [] : [[edges.least, edges.greatest]]
  const next = values.parameters.length + 1
  const more =
    edges === undefined ? "" : ` union all select edge, 0, 0 from pg_catalog.unnest($${next}::text[]) as edge`
  const rows = yield* rowsOf(sql, {
    text: `select value::text as value, place::text as place, frequency::text as frequency,
    (pg_catalog.dense_rank() over (order by value using <) - 1)::text as rank
  from (
    select ${valueOf(column, "given")} as value, place, frequency
    from (${values.text}${more}) as given (given, place, frequency)
  ) as typed order by typed.value using <`,
    parameters: [...values.parameters, ...ends]
  })
  const found = rows.map(toKnownValue)
  const ranks = found.filter(({ source }) => source < 0).map(({ rank }) => rank)
  return {
    values: found,
    range: edges === undefined ? undefined : { from: ranks[0] ?? 0, to: ranks.at(-1) ?? 0 }
  }
})

/**
 * The values that the statistics of these tables know of.
 *
 * @internal
 */
export const knownValues = (
  sql: SqlClient,
  column: Column,
  tables: ReadonlyArray<Table>,
  edges: Edges | undefined
): Effect.Effect<Spread, SqlError> => {
  const text = `select value, t.place, frequency ${withStatistics}
    cross join lateral unnest(s.most_common_vals::text::text[], s.most_common_freqs) as c (value, frequency)
  union all select value, t.place, null ${withStatistics}
    cross join lateral pg_catalog.unnest(s.histogram_bounds::text::text[]) as value`
  return ranked(sql, column, { text, parameters: columnsOf(tables) }, edges)
}

const toKnownValue = (row: Readonly<Record<string, string | null>>): KnownValue => ({
  value: row["value"] ?? "",
  rank: Number(row["rank"]),
  source: Number(row["place"]) - 1,
  frequency: row["frequency"] === null ? undefined : Number(row["frequency"])
})

/**
 * Bounds for each part, between which there are equal numbers of rows: from where two of them are equal, it is known how
 * heavy a value is to a twentieth of a part.
 */
const boundsPerPart = 20

/**
 * How many blocks to read for each part. A part of a tenth more or less rests on a hundred rows that were chosen
 * independently (the standard error of a count is its square root), and the rows of one block may all be alike.
 */
const blocksPerPart = 100

/**
 * Bounds between which a sample of the rows has equal numbers, as the histogram of one source: of the tables' blocks,
 * or where no tables are known of the statement's own rows, all of them.
 *
 * @internal
 */
export const sampled = (
  sql: SqlClient,
  column: Column,
  statement: SqlText,
  {
    blocks,
    edges,
    parts,
    tables
  }: {
    readonly tables: ReadonlyArray<Table>
    readonly blocks: number
    readonly edges: Edges | undefined
    readonly parts: number
  }
): Effect.Effect<Spread, SqlError> => {
  const percent = Math.min(100, (100 * blocksPerPart * parts) / Math.max(blocks, 1))
  // The same sample each time, so that the parts of a query are the same for as long as its data is.
  const some = percent < 100 ? ` tablesample system (${percent}) repeatable (0)` : ""
  const values =
    tables.length === 0
      ? around(statement, (rows) => `select ${column.name} as value from ${rows}`)
      : { text: tables.map((table) => `${readFrom(table)}${some}`).join(" union all "), parameters: [] }
  const steps = `$${values.parameters.length + 1}`
  const typed = valueOf(column, "value")
  // Not by `percentile_disc`, which knows no arrays.
  const text = `select value::text, 1, null::float8 from (
    select value, pg_catalog.row_number() over (order by ${typed} using <) as place, pg_catalog.count(*) over () as total
    from (${values.text}) as sample where value is not null
  ) as ordered where place = 1 or place * ${steps}::int8 / total > (place - 1) * ${steps}::int8 / total`
  const parameters = [...values.parameters, Math.min(parts * boundsPerPart, mostSteps)]
  return ranked(sql, column, { text, parameters }, edges)
}

/** As many as the largest statistics target that ANALYZE allows. */
const mostSteps = 10_000
