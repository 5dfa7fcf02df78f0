/**
 * What a history of durations keeps, and the JSON document that it is stored as. Pure.
 *
 * Of each name: how long its queries took in the last five runs that had any, the oldest first; how many there have
 * been; and when the last one ended. What is expected of the next is the median of the five. Against a true duration
 * with 5 % of outliers of ten times as much (a lock, a cold cache), that is off by more than a factor of two in 1 % of
 * runs, where an exponentially weighted mean (of weight 0.3) is in 16 %; after the duration has changed for good, as by
 * a new index, it takes three runs, as long as that mean does. A median of seven is hardly better and takes four.
 *
 *     {"format":"querypool durations","version":1,"queries":[["orders",31,1764158400000,812.4,790],…]}
 *
 * The names seen longest ago are first, and dropped first when there are too many.
 *
 * @internal
 */
import { Result, Schema } from "effect"
import type { Took } from "../query/Learning.ts"
import { mostNames } from "../query/Learning.ts"

const mostRuns = 5

/**
 * What is known of the queries of one name.
 *
 * @internal
 */
export interface Entry {
  /** Mean milliseconds in each of the last runs, the latest last. */
  readonly runs: readonly [number, ...ReadonlyArray<number>]
  /** How many queries succeeded in all. */
  readonly times: number
  /** When the last of them ended, in milliseconds since the epoch. */
  readonly seenAt: number
}

/** @internal */
export type Entries = ReadonlyMap<string, Entry>

/** @internal */
export const none: Entries = new Map()

/**
 * As an entry of its own, to be joined to what was known before. Microseconds are kept: less is noise, and takes room.
 *
 * @internal
 */
export const entryOf = ({ at, meanMillis, times }: Took): Entry => ({
  runs: [Math.round(Math.max(meanMillis, 0) * 1000) / 1000],
  times,
  seenAt: at
})

/**
 * What is known of a name after both: the second is the later one.
 *
 * @internal
 */
export const join = (known: Entry | undefined, later: Entry | undefined): Entry | undefined => {
  if (known === undefined || later === undefined) return later ?? known
  const [first = later.runs[0], ...others] = [...known.runs, ...later.runs].slice(-mostRuns)
  return {
    runs: [first, ...others],
    times: known.times + later.times,
    seenAt: Math.max(known.seenAt, later.seenAt)
  }
}

/**
 * The milliseconds that the next query of the name is expected to take.
 *
 * @internal
 */
export const expectedMillis = ({ runs }: Entry): number => {
  const sorted = runs.toSorted((a, b) => a - b)
  const [low = 0, high = 0] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]]
  return (low + high) / 2
}

/**
 * All that is known after both: the second is the later one. Of too many names, those seen last are kept.
 *
 * @internal
 */
export const merge = (known: Entries, later: Entries): Entries => {
  const merged = new Map(known)
  for (const [name, entry] of later) merged.set(name, join(known.get(name), entry) ?? entry)
  return pruned(merged)
}

const pruned = (entries: Entries): Entries =>
  entries.size <= mostNames
    ? entries
    : new Map([...entries].toSorted(([, a], [, b]) => a.seenAt - b.seenAt).slice(-mostNames))

const Format = Schema.Literal("querypool durations")
const version = 1

const Document = Schema.Struct({
  format: Format,
  version: Schema.Literal(version),
  /** Name, times, when it was last seen, and its runs. */
  queries: Schema.Array(
    Schema.TupleWithRest(Schema.Tuple([Schema.String, Schema.Finite, Schema.Finite, Schema.Finite]), [Schema.Finite])
  )
})

const Header = Schema.Struct({ format: Format, version: Schema.Finite })

// A check for each number in the schema took as long again as all the rest, 30 ms for a full history.
const areAmounts = ({ queries }: typeof Document.Type): boolean =>
  queries.every((query) => query.every((value) => typeof value === "string" || value >= 0))

const decodeDocument = Schema.decodeResult(Schema.fromJsonString(Document.check(Schema.makeFilter(areAmounts))))
const decodeHeader = Schema.decodeResult(Schema.fromJsonString(Header))

/**
 * Reads a document. Fails with what is wrong with it: it may be damaged, or of somebody else.
 *
 * @internal
 */
export const decode = (text: string): Result.Result<Entries, string> =>
  Result.match(decodeDocument(text), {
    onSuccess: ({ queries }) =>
      Result.succeed(
        pruned(new Map(queries.map(([name, times, seenAt, ...runs]) => [name, { runs, times, seenAt }] as const)))
      ),
    onFailure: () =>
      Result.match(decodeHeader(text), {
        onSuccess: (header) =>
          Result.fail(header.version === version ? "is damaged" : `is of another version (${header.version})`),
        onFailure: () => Result.fail("is damaged, or not of querypool")
      })
  })

/** @internal */
export const encode = (entries: Entries): string =>
  // Not by the schema, which has nothing to change here: it took 40 ms for a full history.
  JSON.stringify({
    format: "querypool durations",
    version,
    queries: [...entries]
      .toSorted(([, a], [, b]) => a.seenAt - b.seenAt)
      .map(([name, { runs, seenAt, times }]) => [name, times, seenAt, ...runs] as const)
  } satisfies typeof Document.Type)
