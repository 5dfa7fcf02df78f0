/**
 * What a history of durations keeps, and the JSON document that it is stored as. Pure.
 *
 * Of each name: how long its queries took in the last five runs that had any, the oldest first. What is expected of the
 * next is the median of the five. Against a true duration with 5 % of outliers of ten times as much (a lock, a cold
 * cache), that is off by more than a factor of two in 1 % of runs, where an exponentially weighted mean (of weight 0.3)
 * is in 16 %; after the duration has changed for good, as by a new index, it takes three runs, as long as that mean
 * does. A median of seven is hardly better and takes four.
 *
 *     {"format":"querypool durations","version":1,"queries":[["orders",[812.4,790]],…]}
 *
 * The names that were learned of last are last, here and there; of too many the first are dropped.
 *
 * @internal
 */
import { Result, Schema } from "effect"
import { mostNames } from "../query/Learning.ts"

const mostRuns = 5

/**
 * Mean milliseconds of the queries of one name in each of the last runs, the latest last.
 *
 * @internal
 */
export type Runs = readonly [number, ...ReadonlyArray<number>]

/** @internal */
export type Entries = ReadonlyMap<string, Runs>

/** @internal */
export const none: Entries = new Map()

/**
 * What one run has taught. Microseconds are kept: less is noise, and takes room.
 *
 * @internal
 */
export const ofRun = (run: ReadonlyMap<string, number>): Entries =>
  new Map(run.entries().map(([name, millis]) => [name, [Math.round(Math.max(millis, 0) * 1000) / 1000]]))

/**
 * What is known of a name after both: the second is the later one.
 *
 * @internal
 */
export const join = (known: Runs | undefined, later: Runs | undefined): Runs | undefined =>
  known === undefined || later === undefined ? (later ?? known) : latest([...known, ...later])

const latest = (runs: Runs): Runs => {
  const [first = runs[0], ...others] = runs.slice(-mostRuns)
  return [first, ...others]
}

/**
 * The milliseconds that the next query of the name is expected to take.
 *
 * @internal
 */
export const expectedMillis = (runs: Runs): number => {
  const sorted = runs.toSorted((a, b) => a - b)
  const [low = 0, high = 0] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]]
  return (low + high) / 2
}

/**
 * All that is known after both: the second is the later one.
 *
 * @internal
 */
export const merge = (known: Entries, later: Entries): Entries => {
  const merged = new Map(known)
  for (const [name, runs] of later) {
    merged.delete(name)
    merged.set(name, join(known.get(name), runs) ?? runs)
  }
  return pruned(merged)
}

const pruned = (entries: Entries): Entries =>
  entries.size <= mostNames ? entries : new Map(entries.entries().drop(entries.size - mostNames))

const Format = Schema.Literal("querypool durations")
const version = 1

const Document = Schema.Struct({
  format: Format,
  version: Schema.Literal(version),
  queries: Schema.Array(Schema.Tuple([Schema.String, Schema.NonEmptyArray(Schema.Finite)]))
})

const Header = Schema.Struct({ format: Format, version: Schema.Finite })

// A check for each number in the schema took as long again as all the rest, 30 ms for a full history.
const areAmounts = ({ queries }: typeof Document.Type): boolean =>
  queries.every(([, runs]) => runs.every((millis) => millis >= 0))

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
      Result.succeed(pruned(new Map(queries.map(([name, runs]) => [name, latest(runs)] as const)))),
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
  } satisfies typeof Document.Type)
