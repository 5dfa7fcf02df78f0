/**
 * How long queries are expected to take: by the history, and of those that it does not know by what the server knows.
 *
 * Where the history knows all of them, or all say the same, the server is not asked. Otherwise one session is used for
 * two seconds at most; what was found by then counts. It never fails: what cannot be found out is left out.
 *
 * @internal
 */
import type { Duration } from "effect"
import { Effect } from "effect"
import { DurationHistory } from "../query/Learning.ts"
import * as Query from "../query/Query.ts"
import type { QueryPool } from "../query/QueryPool.ts"
import type { Estimate, Hints } from "./Estimates.ts"
import { estimate } from "./Estimates.ts"
import * as PgHints from "./PgHints.ts"

/**
 * A query, as far as this has to know it.
 *
 * @internal
 */
export interface Subject {
  /** By which the history knows it. */
  readonly key: string
  /** None where they are not known. */
  readonly statements: ReadonlyArray<string>
}

/** What whoever wants to be faster may lose by it. */
const defaultPatience = "2 seconds"

/** Of how many queries whose time is known the cost is looked up too, to learn what a unit of cost takes here. */
const mostMeasured = 8

/**
 * What to expect of each query; `undefined` of one of which not even the text is known.
 *
 * @internal
 */
export const expected = (
  queries: ReadonlyArray<Subject>,
  patience: Duration.Input = defaultPatience
): Effect.Effect<ReadonlyArray<Estimate | undefined>, never, DurationHistory | QueryPool> =>
  Effect.gen(function* () {
    const history = yield* DurationHistory
    const learned = yield* history.recall
    const hints = queries.map(({ key, statements }): Draft => ({
      learnedMillis: learned(key),
      length: statements.reduce((sum, text) => sum + text.length, 0)
    }))
    const isOpen = (index: number): boolean =>
      hints[index]?.learnedMillis === undefined && hints[index]?.statisticsMillis === undefined
    if (doDiffer(queries) && queries.some(({ statements }, index) => isOpen(index) && statements.length > 0)) {
      yield* Effect.catch(ask(queries, hints, isOpen, patience), (error) =>
        Effect.logDebug("The server could not be asked how long queries take", error)
      )
    }
    return estimate(hints)
  })

/** A thousand look-ups with one text are in order as they are. */
const doDiffer = (queries: ReadonlyArray<Subject>): boolean =>
  new Set(queries.map(({ statements }) => JSON.stringify(statements))).size > 1

type Draft = { -readonly [K in keyof Hints]: Hints[K] }

const ask = (
  queries: ReadonlyArray<Subject>,
  hints: ReadonlyArray<Draft>,
  isOpen: (index: number) => boolean,
  patience: Duration.Input
) =>
  Query.make(
    "estimates",
    (sql) =>
      Effect.gen(function* () {
        const texts = queries.map(({ statements }, index) => (isOpen(index) ? statements : []))
        yield* PgHints.statistics(sql, texts, (index, millis) => {
          const hint = hints[index]
          if (hint !== undefined) hint.statisticsMillis = millis
        })
        const places = [...queries.keys()].filter((index) => PgHints.hasCost(queries[index]?.statements ?? []))
        const open = places.filter(isOpen)
        if (open.length === 0) return
        const measured = spread(places.filter((index) => !isOpen(index)))
        const costs = new Map<string, number | undefined>()
        for (const index of [...measured, ...open]) {
          const [hint, text] = [hints[index], queries[index]?.statements[0]]
          if (hint === undefined || text === undefined) continue
          if (!costs.has(text)) costs.set(text, yield* PgHints.cost(sql, text))
          hint.cost = costs.get(text)
        }
      }),
    { mode: "readOnly", timeout: patience }
  )

/** Some of them, from all parts of the list. */
const spread = (places: ReadonlyArray<number>): ReadonlyArray<number> => {
  const step = Math.max(1, places.length / mostMeasured)
  return Array.from({ length: Math.min(places.length, mostMeasured) }, (_, n) => places[Math.floor(n * step)] ?? 0)
}
