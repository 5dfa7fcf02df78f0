/**
 * The column that a query is cut by: its type and order, and from which tables its values come.
 *
 * Bounds are texts, as the server renders values, and only the server compares them: `$1::text::numeric` loses no digit,
 * and a text is in the order of the column's own collation, whatever that is.
 *
 * - Bounds are compared by the operators that the parts compare with (`order by … using <`): where a type has an order
 *   of its own besides, the two could differ, and a row could be in two parts or in none.
 * - A bound is cast to its type and rendered before anything is compared with it: `now` is a moment, and the same one in
 *   all parts.
 *
 * @internal
 */
import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { SqlText } from "./Subquery.ts"
import { around } from "./Subquery.ts"

/** @internal */
export interface Column {
  /** As it stands behind `part`. */
  readonly name: string
  /** As in a cast: `integer`, `timestamp with time zone`, `app.mood`. Of a domain, the type below it. */
  readonly type: string
  /** Its name in the catalog, such as `int4`, where it is one of PostgreSQL's own types; else empty. */
  readonly builtin: string
  /** The server's number of its type, be that a domain. */
  readonly typeOid: string
  /** For types that have one: as in a COLLATE clause. */
  readonly collation: string | undefined
}

type Row = Readonly<Record<string, string | null>>

/**
 * Rows of which each value is a text: the pool may decode values or not, and rename columns or not.
 *
 * @internal
 */
export const rowsOf = (sql: SqlClient, { parameters, text }: SqlText): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  sql.unsafe<Row>(text, parameters).withoutTransform

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/**
 * A text as a value of the column's type, in its order.
 *
 * @internal
 */
export const valueOf = ({ collation, type }: Column, text: string): string =>
  collation === undefined ? `${text}::${type}` : `(${text}::${type} collate ${collation})`

/**
 * What the server knows of a column of the statement. Fails as the server does when there is none of that name.
 *
 * @internal
 */
export const describe = Effect.fnUntraced(function* (
  sql: SqlClient,
  statement: SqlText,
  column: string
): Effect.fn.Return<Column, SqlError> {
  // As in the user's own statements, where the client may rename what stands in the program; but the client takes a name
  // with a dot for two.
  const [identifier] = sql`${sql(column)}`.compile()
  const name = `part.${identifier.replaceAll(`"."`, ".")}`
  // Never run: it is there for its type alone.
  const sample = (rows: string) => `(select ${name} from ${rows} limit 0)`
  const [row] = yield* rowsOf(
    sql,
    around(
      statement,
      (rows) => `with recursive type as (
  select t.*, t.oid as own from pg_catalog.pg_type t where t.oid = pg_catalog.pg_typeof(${sample(rows)})
  union all select t.*, type.own from pg_catalog.pg_type t join type on t.oid = type.typbasetype
)
select own::text as own, pg_catalog.format_type(oid, -1) as type,
  case when typnamespace = 'pg_catalog'::pg_catalog.regnamespace then typname::text else '' end as builtin,
  case when typcollation <> 0 then coalesce(pg_catalog.pg_collation_for(${sample(rows)}), 'pg_catalog."C"') end as collation
from type where typbasetype = 0`
    )
  )
  return {
    name,
    type: row?.["type"] ?? "text",
    builtin: row?.["builtin"] ?? "",
    typeOid: row?.["own"] ?? "0",
    collation: row?.["collation"] ?? undefined
  }
})

/**
 * The bounds that some texts make, each once and in the column's order: the very texts that parts are to compare with.
 * `read` makes a value of a text.
 *
 * @internal
 */
export const sorted = (
  sql: SqlClient,
  column: Column,
  texts: ReadonlyArray<string>,
  read: (text: string) => string = (text) => `${text}::${column.type}`
): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  texts.length === 0
    ? Effect.succeed([])
    : Effect.map(
        rowsOf(sql, {
          text: `select distinct on (value) bound from (
  select bound, ${valueOf(column, "bound")} as value
  from (select (${read("given")})::text as bound from pg_catalog.unnest($1::text[]) as given) as rendered
) as parsed order by value using <`,
          parameters: [texts]
        }),
        (rows) => rows.flatMap(({ bound }) => bound ?? [])
      )

/**
 * Where a column's values come from.
 *
 * @internal
 */
export interface Table {
  readonly schema: string
  readonly relation: string
  readonly column: string
}

/**
 * Reads the column of a table, and of none below it, as `value`.
 *
 * @internal
 */
export const readFrom = ({ column, relation, schema }: Table): string =>
  `select ${quoted(column)} as value from only ${quoted(schema)}.${quoted(relation)}`

/** A node of a plan, with what is of interest here (manual, "EXPLAIN"). */
interface Node {
  readonly "Node Type": string
  readonly "Total Cost": number
  readonly Alias?: string | undefined
  readonly Schema?: string | undefined
  readonly "Relation Name"?: string | undefined
  readonly Output?: ReadonlyArray<string> | undefined
  readonly Plans?: ReadonlyArray<Node> | undefined
}

const Node = Schema.Struct({
  "Node Type": Schema.String,
  "Total Cost": Schema.Finite,
  Alias: Schema.optional(Schema.String),
  Schema: Schema.optional(Schema.String),
  "Relation Name": Schema.optional(Schema.String),
  Output: Schema.optional(Schema.Array(Schema.String)),
  Plans: Schema.optional(Schema.Array(Schema.suspend((): Schema.Codec<Node> => Node)))
})

/** Decoded by the pool, or a text. */
const Explained = Schema.NonEmptyArray(Schema.Struct({ Plan: Node }))
const decodeExplained = Schema.decodeUnknownEffect(Schema.Union([Explained, Schema.fromJsonString(Explained)]))

/**
 * What the server would do to run a statement.
 *
 * @internal
 */
export const explain = (sql: SqlClient, statement: SqlText): Effect.Effect<Node, SqlError> =>
  sql
    .unsafe<Record<string, unknown>>(`explain (verbose, format json) ${statement.text}`, statement.parameters)
    .withoutTransform.pipe(
      Effect.flatMap((rows) => Effect.orDie(decodeExplained(Object.values(rows[0] ?? {})[0]))),
      Effect.map(([{ Plan }]) => Plan)
    )

const name = String.raw`(?:"(?:[^"]|"")*"|[^\s".()]+)`
const reference = new RegExp(`^(${name})\\.(${name})$`)
const unquoted = (name: string): string => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name)

/**
 * The tables that the only column of a plan is read from as it is: one, or all that are united. Empty where that cannot
 * be said: the column is calculated, or comes out of a limit or of a subquery that has to be done first. Where a
 * statement gives a table's columns other names, the plan has these: then there may be no such column, or another one.
 *
 * @internal
 */
export const tablesOf = (plan: Node): ReadonlyArray<Table> => {
  // What is left of a table by a limit is not spread as the table is.
  if (isLimited(plan)) return []
  const [output] = plan.Output ?? []
  if (plan.Output === undefined) {
    const each = (plan.Plans ?? []).map(tablesOf)
    return each.every((tables) => tables.length > 0) ? each.flat() : []
  }
  const [, alias = "", column = ""] = reference.exec(output ?? "") ?? []
  if (alias === "") return []
  // The leaves of a partitioned table `a` are `a_1`, `a_2`, …
  const own = scansOf(plan).filter((scan) => scan.Alias === unquoted(alias))
  const scans = own.length > 0 ? own : scansOf(plan).filter((scan) => isLeafOf(unquoted(alias), scan.Alias))
  return scans.flatMap((scan) =>
    scan.Schema === undefined || scan["Relation Name"] === undefined
      ? []
      : { schema: scan.Schema, relation: scan["Relation Name"], column: unquoted(column) }
  )
}

const isLeafOf = (alias: string, leaf: string | undefined): boolean =>
  leaf !== undefined && leaf.startsWith(`${alias}_`) && /^\d+$/.test(leaf.slice(alias.length + 1))

const isLimited = (plan: Node): boolean => plan["Node Type"] === "Limit" || (plan.Plans ?? []).some(isLimited)

/** A foreign table has no blocks to sample, and statistics of its own making. */
const scansOf = (plan: Node): ReadonlyArray<Node> =>
  plan.Alias === undefined || plan["Relation Name"] === undefined
    ? (plan.Plans ?? []).flatMap(scansOf)
    : plan["Node Type"] === "Foreign Scan"
      ? []
      : [plan]
