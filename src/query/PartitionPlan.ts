/**
 * From a query and how it is cut to its parts: what each of them runs.
 *
 * @internal
 */
import type { Schema } from "effect"
import { Effect } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Fragment, Statement } from "effect/sql/Statement"
import * as Attempts from "./Attempts.ts"
import * as Origin from "./Origin.ts"
import * as PartName from "./PartName.ts"
import type { BlockPart } from "./PartitionBlocks.ts"
import { blocksOf, replaced } from "./PartitionBlocks.ts"
import type { Cut } from "./PartitionRange.ts"
import { boundsOf, condition } from "./PartitionRange.ts"
import type { Sql } from "./Query.ts"
import type { QueryError, SqlPosition } from "./QueryError.ts"
import { Rejected } from "./QueryError.ts"
import type { SqlText } from "./Subquery.ts"
import { around, built, faultOf, placeIn, textOf } from "./Subquery.ts"

/** @internal */
export const TypeId = "~querypool/query/Partition"

/**
 * A query and how it is cut. The rows of its parts have the shape of `S`.
 *
 * @since 0.1.0
 */
export interface Partition<out S extends Schema.Constraint> {
  readonly name: string
  readonly schema: S
  /** @internal */
  readonly [TypeId]: {
    /** `onStatement` is told the text that is cut, if it is a statement. */
    readonly plan: (
      sql: SqlClient,
      onStatement: (text: string) => void
    ) => Effect.Effect<Planned, SqlError | QueryError>
    /** Whether it is of no use without a snapshot. */
    readonly needsSnapshot: boolean
  }
}

/**
 * What is run for a part.
 *
 * @internal
 */
export interface Part {
  readonly name: string
  readonly text: SqlText
  /** Where in what the user wrote an error of its text stands; `undefined` if it stands in none of that. */
  readonly placeOf: (position: SqlPosition) => SqlPosition | undefined
  /** To be asked behind its rows: why they may be the wrong ones. */
  readonly check: ((sql: SqlClient) => Effect.Effect<string | undefined, SqlError>) | undefined
}

/** @internal */
export interface Planned {
  readonly plan: Plan
  readonly parts: ReadonlyArray<Part>
}

/**
 * What the parts will be.
 *
 * @since 0.1.0
 */
export interface Plan {
  /**
   * Where the bounds come from: the `histogram` that ANALYZE made; equal steps between `min and max`; a `sample` of the
   * table; the `bounds` that were given; or the `blocks` of the table.
   */
  readonly origin: "histogram" | "min and max" | "sample" | "bounds" | "blocks"
  /** Why they come from there, such as how fresh the statistics are. */
  readonly why: string
  /** In their order. */
  readonly parts: ReadonlyArray<{
    readonly name: string
    /**
     * From one value of a column, or block of a table, up to another, which is not included. Without `from` all that
     * comes before, NULLs too, without `to` all that comes after. By range each part has one; by blocks it may reach
     * over several tables.
     */
    readonly ranges: ReadonlyArray<{
      readonly of: string
      readonly from: string | undefined
      readonly to: string | undefined
    }>
  }>
}

/**
 * What to select from a part, in place of all its rows: `part` stands for these, behind FROM, where their name is
 * `part`. Its own parameters are written as `${…}`.
 *
 * @since 0.1.0
 */
export type Each = (sql: SqlClient, part: Fragment) => Statement<unknown>

const refuse = (name: string, why: string): Effect.Effect<never, QueryError> => {
  const reason = new Rejected({ sqlState: undefined, message: `it cannot be cut into parts: ${why}` })
  return Effect.fail(Attempts.unstarted({ name, origin: Origin.of(name) }, reason))
}

/** The rows of a part, or what `each` makes of them. */
const textFor = (
  sql: SqlClient,
  name: string,
  rows: SqlText,
  each: Each | undefined
): Effect.Effect<SqlText, QueryError> => {
  if (each === undefined) return Effect.succeed(rows)
  const text = built(sql, each, rows)
  return typeof text === "string" ? refuse(name, text) : Effect.succeed(text)
}

/** @internal */
export const planRanges = Effect.fnUntraced(function* (
  sql: SqlClient,
  { name, statement: make }: { readonly name: string; readonly statement: (sql: SqlClient) => Sql },
  cut: Cut,
  each: Each | undefined,
  onStatement: (text: string) => void
): Effect.fn.Return<Planned, SqlError | QueryError> {
  const statement = textOf(make(sql))
  onStatement(statement.text)
  const fault = faultOf(statement.text)
  if (fault !== undefined) return yield* refuse(name, fault)
  const { bounds, column } = yield* boundsOf(sql, statement, cut)
  const count = bounds.bounds.length + 1
  const parts = Array.from({ length: count }, (_, index) => ({
    name: PartName.part(name, index, count),
    from: bounds.bounds[index - 1],
    to: bounds.bounds[index]
  }))
  return {
    plan: {
      origin: bounds.origin,
      why: bounds.why,
      parts: parts.map(({ from, name, to }) => ({ name, ranges: [{ of: cut.column, from, to }] }))
    },
    parts: yield* Effect.forEach(parts, ({ from, name: partName, to }) => {
      const { parameters, text } = condition(column, statement.parameters.length + 1, from, to)
      const rows = around(statement, (rows) => `select * from ${rows} where ${text}`, parameters)
      return Effect.map(textFor(sql, name, rows, each), (text): Part => ({
        name: partName,
        text,
        placeOf: (position) => placeIn(statement.text, position) ?? (each && position),
        check: undefined
      }))
    })
  }
})

/** @internal */
export const planBlocks = Effect.fnUntraced(function* (
  sql: SqlClient,
  { name, table }: { readonly name: string; readonly table: string },
  count: number,
  each: Each | undefined
): Effect.fn.Return<Planned, SqlError | QueryError> {
  const found = yield* blocksOf(sql, table, count)
  if (found._tag === "Failure") return yield* refuse(name, found.failure)
  const named = found.success.map((part, index, { length }) => ({ part, name: PartName.part(name, index, length) }))
  return {
    plan: {
      origin: "blocks",
      why: `${found.success.length} parts of the blocks of ${table}`,
      parts: named.map(({ name, part: { ranges } }) => ({
        name,
        ranges: ranges.map(({ from, table, to }) => ({
          of: table.name,
          from: place(from === 0 ? undefined : from),
          to: place(to)
        }))
      }))
    },
    parts: yield* Effect.forEach(named, ({ name: partName, part }) =>
      Effect.map(textFor(sql, name, { text: part.text, parameters: [] }, each), (text): Part => ({
        name: partName,
        text,
        placeOf: (position) => each && position,
        check: checkOf(part)
      }))
    )
  }
})

/** Where a block begins, as the server writes the place of a row. */
const place = (block: number | undefined): string | undefined => (block === undefined ? undefined : `(${block},0)`)

const checkOf =
  (part: BlockPart): Part["check"] =>
  (sql) =>
    Effect.map(replaced(sql, part), (table) =>
      table === undefined ? undefined : `${table} was written anew, or replaced, since the snapshot was taken`
    )
