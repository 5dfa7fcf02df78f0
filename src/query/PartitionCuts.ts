/**
 * Where to cut a column, so that each part has the same number of rows. Pure.
 *
 * What is known of the column is what ANALYZE keeps of it (manual, "pg_stats"): its most common values with their
 * frequencies, and bounds between which there are equal numbers of the other rows. Several tables, such as the leaves of a
 * partitioned one, count together.
 *
 * A value cannot be cut: a cut is made before a value, and all rows that are equal to it come after. So a common value
 * may be a part of its own, and the best that can be done is to make the largest part as small as it can be. That is
 * what `cutsOf` does; among all ways to do it, it takes one that is as even as a walk from left to right can make it.
 *
 * @internal
 */

/**
 * What is known of one table's column.
 *
 * @internal
 */
export interface Source {
  /** All rows of the table. */
  readonly rows: number
  /** Which part of them is NULL there. */
  readonly nulls: number
}

/**
 * A value that is known of, in the order of the column.
 *
 * @internal
 */
export interface KnownValue {
  /** As the server renders it. */
  readonly value: string
  /** Counts the distinct values of all sources from 0, in their order. */
  readonly rank: number
  /** The place of its source. */
  readonly source: number
  /** Which part of its source's rows is equal to it, for a common value; `undefined` for a bound of the histogram. */
  readonly frequency: number | undefined
}

/**
 * The ranks of the least and the greatest value that count, where the query reads only a part of its tables.
 *
 * @internal
 */
export interface Range {
  readonly from: number
  readonly to: number
}

/**
 * The values to cut before, ascending: at most `parts - 1` of those that are known, which come in the order of the column.
 *
 * @internal
 */
export const cutsOf = (
  sources: ReadonlyArray<Source>,
  values: ReadonlyArray<KnownValue>,
  parts: number,
  range?: Range | undefined
): ReadonlyArray<string> => {
  const distinct: Array<string> = []
  for (const { rank, value } of values) distinct[rank] ??= value
  const { from = 0, to = distinct.length - 1 } = range ?? {}
  return startsOf(rowsFrom(sources, values, { from, to }), parts).flatMap((start) => distinct[from + start] ?? [])
}

/**
 * How many rows there are from each value of the range to the next one. Rows whose place is not known count nowhere.
 */
const rowsFrom = (
  sources: ReadonlyArray<Source>,
  values: ReadonlyArray<KnownValue>,
  range: Range
): ReadonlyArray<number> => {
  const distinct = values.reduce((most, { rank }) => Math.max(most, rank + 1), 0)
  const rows = zeros(distinct)
  // The rise and fall of what is spread evenly over values: walking over each bucket's would take their square.
  const changes = zeros(distinct + 1)
  for (const [index, own] of Map.groupBy(values, ({ source }) => source)) {
    const source = sources[index]
    if (source === undefined) continue
    let rest = 1 - source.nulls
    const bounds: Array<number> = []
    for (const { frequency, rank } of own) {
      if (frequency === undefined) {
        bounds.push(rank)
      } else {
        add(rank, rows, source.rows * frequency)
        rest -= frequency
      }
    }
    const inBucket = (source.rows * Math.max(rest, 0)) / (bounds.length - 1)
    bounds.forEach((from, bucket) => {
      const to = bounds[bucket + 1]
      if (to === undefined) return
      // Two equal bounds: a value that fills a bucket and is not among the common ones.
      if (from === to) return add(from, rows, inBucket)
      // Other sources' values, and common ones, lie in the bucket: where in it is not known.
      add(from, changes, inBucket / (to - from))
      add(to, changes, -inBucket / (to - from))
    })
  }
  let spread = 0
  for (let rank = 0; rank < range.to; rank++) {
    spread += changes[rank] ?? 0
    // What is left of a sum that should be zero again would be rows where there are none.
    if (spread > 1e-6) add(rank, rows, spread)
  }
  // NULLs are in the first part.
  for (const source of sources) if (distinct > 0) add(range.from, rows, source.rows * source.nulls)
  return rows.slice(range.from, range.to + 1)
}

const zeros = (length: number): Array<number> => Array.from({ length }, () => 0)

const add = (at: number, to: Array<number>, more: number): void => {
  to[at] = (to[at] ?? 0) + more
}

/** Splits a row of weights into at most so many runs of neighbours; gives where each but the first begins. */
const startsOf = (weights: ReadonlyArray<number>, parts: number): ReadonlyArray<number> => {
  const sums = [0]
  for (const weight of weights) sums.push((sums.at(-1) ?? 0) + weight)
  const count = weights.length
  const sum = (from: number, to: number): number => (sums[to] ?? 0) - (sums[from] ?? 0)
  const share = sum(0, count) / parts
  if (!(share > 0)) return []

  // The least capacity that so many parts can do with, to a thousandth of a share: it lies between these two.
  let capacity = sum(0, count)
  let tooSmall = weights.reduce((a, b) => Math.max(a, b), share) - share / 1000
  while (capacity - tooSmall > share / 1000) {
    const middle = (capacity + tooSmall) / 2
    if ((neededFrom(sums, middle)[0] ?? Infinity) <= parts) capacity = middle
    else tooSmall = middle
  }
  const needed = neededFrom(sums, capacity)

  const starts: Array<number> = []
  let start = 0
  for (let left = parts; left > 1 && sum(start, count) > 0; left--) {
    const target = sum(start, count) / left
    const missed = (end: number): number => Math.abs(sum(start, end) - target)
    let end = start + 1
    // At least as far as the other parts cannot reach, and then for as long as it comes nearer to an equal share.
    while (end < count) {
      const isTooShort = sum(start, end) <= 0 || (needed[end] ?? 0) >= left
      if (!isTooShort && (sum(start, end + 1) > capacity || missed(end + 1) > missed(end))) break
      end++
    }
    if (sum(end, count) <= 0) break
    starts.push(end)
    start = end
  }
  return starts
}

/** How many parts of a capacity it takes for what begins at each place. A single weight may be more than one holds. */
const neededFrom = (sums: ReadonlyArray<number>, capacity: number): ReadonlyArray<number> => {
  const last = sums.length - 1
  const needed = zeros(sums.length)
  let end = last
  for (let start = last - 1; start >= 0; start--) {
    while (end > start + 1 && (sums[end] ?? 0) - (sums[start] ?? 0) > capacity) end--
    needed[start] = (sums[end] ?? 0) - (sums[start] ?? 0) > capacity ? Infinity : 1 + (needed[end] ?? 0)
  }
  return needed
}
