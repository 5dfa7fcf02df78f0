/**
 * How long queries are expected to take, of which some have run before and others have not. Pure.
 *
 * Of each query the best that is known is used, in this order:
 *
 * | source | what it is | what it is worth |
 * |---|---|---|
 * | `learned` | the median of its last runs | the time itself, as this program measured it |
 * | `pg_stat_statements` | the server's mean for the text, of all clients and constants | without the way of its rows to here |
 * | `explain` | the planner's total cost | sorts scans and joins; knows nothing of functions, locks and caches |
 * | `text` | the length of the text | next to nothing: it keeps unknown queries among the others |
 *
 * So that estimates of different sources can be sorted together, a cost and a length are turned into milliseconds by
 * the median ratio of those queries of the same run whose time is known as well, and by a constant where there are none.
 *
 * @internal
 */

type Source = "learned" | "pg_stat_statements" | "explain" | "text"

/** @internal */
export interface Estimate {
  readonly millis: number
  readonly source: Source
}

/**
 * What is known of one query.
 *
 * @internal
 */
export interface Hints {
  readonly learnedMillis?: number | undefined
  readonly statisticsMillis?: number | undefined
  /** The total cost of its plan, in the planner's units. */
  readonly cost?: number | undefined
  /** Characters of its text; 0 where the text is not known. */
  readonly length: number
}

/**
 * One unit of cost is one page read in sequence. For eleven scans, joins and aggregates of 240 to 48,000 units on
 * pgbench tables in memory (PostgreSQL 18.4) a unit took 0.002 to 0.06 ms, half of them less than 0.007.
 */
const millisPerCost = 0.01

/** Only to be anything at all, in a run of which nothing is known: the order by length is the same for any value. */
const millisPerCharacter = 0.1

/**
 * What to expect of each query; `undefined` of one of which not even the text is known.
 *
 * @internal
 */
export const estimate = (all: ReadonlyArray<Hints>): ReadonlyArray<Estimate | undefined> => {
  const timed = all.map(timeOf)
  const perCost = medianRatio(all.map(({ cost }, index) => [timed[index]?.millis, cost])) ?? millisPerCost
  const planned = all.map(({ cost }, index) => timed[index] ?? estimateOf(cost, perCost, "explain"))
  const perCharacter =
    medianRatio(all.map(({ length }, index) => [planned[index]?.millis, length])) ?? millisPerCharacter
  return all.map(({ length }, index) => planned[index] ?? estimateOf(length || undefined, perCharacter, "text"))
}

const timeOf = ({ learnedMillis, statisticsMillis }: Hints): Estimate | undefined =>
  estimateOf(learnedMillis, 1, "learned") ?? estimateOf(statisticsMillis, 1, "pg_stat_statements")

const estimateOf = (amount: number | undefined, millisPer: number, source: Source): Estimate | undefined =>
  amount === undefined ? undefined : { millis: amount * millisPer, source }

/** The median, because a query that waits or sleeps takes a thousand times what its plan says. */
const medianRatio = (
  pairs: ReadonlyArray<readonly [millis: number | undefined, amount: number | undefined]>
): number | undefined => {
  const ratios = pairs
    .flatMap(([millis, amount]) => (millis === undefined || amount === undefined || amount <= 0 ? [] : millis / amount))
    .toSorted((a, b) => a - b)
  return ratios[Math.floor(ratios.length / 2)]
}
