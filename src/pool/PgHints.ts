/**
 * What the server knows of queries that have not run from here: what pg_stat_statements counted for their texts, and
 * what EXPLAIN says they would cost.
 *
 * - One session, that of the query around it, on which everything is read-only: EXPLAIN without ANALYZE plans a
 *   statement and runs nothing of it. (Planning may call functions that are declared immutable or stable.)
 * - A query of several statements has a time where each of them has one, and no cost: what a later one would cost may
 *   depend on what the earlier ones do.
 * - It is told what is found as it is found, so that what was found in time is not lost when the rest is too late.
 * - It fails nobody: without the extension, without the right to read it, and for a statement that EXPLAIN refuses
 *   there is no hint, and a debug line.
 *
 * @internal
 */
import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { isPlannable, normalForm } from "./StatementText.ts"

/** More is a bulk of data, which takes longer to compare and to plan than there is to learn from it. */
const longestText = 100_000

/** `pg_stat_statements.max` is 5,000 by default; whoever keeps more has the rest of them without a hint. */
const mostStatistics = 10_000

/** As a number or, from a pool that gives text, as the server renders it. */
const Amount = Schema.Union([Schema.Finite, Schema.FiniteFromString])

const Place = Schema.Array(Schema.Struct({ place: Schema.String }))
const Statistics = Schema.Array(Schema.Struct({ query: Schema.String, calls: Amount, millis: Amount }))

const Plans = Schema.NonEmptyArray(Schema.Struct({ Plan: Schema.Struct({ "Total Cost": Schema.Finite }) }))
const Explained = Schema.NonEmptyArray(
  Schema.Struct({ "QUERY PLAN": Schema.Union([Plans, Schema.fromJsonString(Plans)]) })
)

const decodePlace = Schema.decodeUnknownEffect(Place)
const decodeStatistics = Schema.decodeUnknownEffect(Statistics)
const decodeExplained = Schema.decodeUnknownEffect(Explained)

/** The statements of a query, in their order. */
type Texts = ReadonlyArray<string>

const withoutHint = (what: string) =>
  Effect.catch((error: SqlError | Schema.SchemaError) => Effect.logDebug(what, error))

/**
 * Tells the server's mean milliseconds of those queries that it has counted in this database, by their place in the
 * list.
 *
 * @internal
 */
export const statistics = (
  sql: SqlClient,
  queries: ReadonlyArray<Texts>,
  found: (index: number, millis: number) => void
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const wanted = queries.map((texts) =>
      texts.some(({ length }) => length > longestText) ? [] : texts.map(normalForm)
    )
    const longest = queries.flat().reduce((most, { length }) => Math.max(most, length), 0)
    const [extension] = yield* Effect.flatMap(
      sql`select quote_ident(nspname) || '.pg_stat_statements' as place
        from pg_extension join pg_namespace on pg_namespace.oid = extnamespace where extname = 'pg_stat_statements'`,
      decodePlace
    )
    if (extension === undefined) return
    const rows = yield* Effect.flatMap(
      // What is longer than all of ours, with room for other white space, is none of ours.
      sql.unsafe(
        `select query, calls::float8 as calls, total_exec_time as millis from ${extension.place}
          where dbid = (select oid from pg_database where datname = current_database())
            and calls > 0 and length(query) <= $1::int order by total_exec_time desc limit ${mostStatistics}`,
        [Math.min(2 * longest + 1_000, longestText)]
      ),
      decodeStatistics
    )
    const times = meansOf(rows)
    for (const [index, texts] of wanted.entries()) {
      const millis = texts.reduce<number | undefined>((sum, text) => plus(sum, times.get(text)), 0)
      if (texts.length > 0 && millis !== undefined) found(index, millis)
    }
  }).pipe(withoutHint("pg_stat_statements cannot be read"))

const plus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a + b

/** Several rows can have one normal form: of other users, of functions' statements, of other versions of a table. */
const meansOf = (rows: typeof Statistics.Type): ReadonlyMap<string, number> => {
  const sums = new Map<string, { calls: number; millis: number }>()
  for (const { calls, millis, query } of rows) {
    const form = normalForm(query)
    const sum = sums.get(form) ?? { calls: 0, millis: 0 }
    sums.set(form, { calls: sum.calls + calls, millis: sum.millis + millis })
  }
  return new Map(sums.entries().map(([form, { calls, millis }]) => [form, millis / calls]))
}

/**
 * Whether `cost` can find out what a query costs.
 *
 * @internal
 */
export const hasCost = (texts: Texts): boolean => {
  const [only, ...others] = texts
  return only !== undefined && others.length === 0 && only.length <= longestText && isPlannable(only)
}

/**
 * The total cost of a statement's plan, in the planner's units, or `undefined` where EXPLAIN refuses it.
 *
 * @internal
 */
export const cost = (sql: SqlClient, text: string): Effect.Effect<number | undefined> =>
  sql.unsafe(`explain (format json) ${text}`).pipe(
    Effect.flatMap(decodeExplained),
    Effect.map(
      ([
        {
          "QUERY PLAN": [{ Plan: plan }]
        }
      ]) => plan["Total Cost"]
    ),
    Effect.catch((error) => Effect.as(Effect.logDebug("A statement cannot be explained", error), undefined))
  )
