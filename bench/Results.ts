/**
 * The figures of a bench: what they are, as files in `results/`, and from there in the README.
 *
 * A figure in the README is always generated from a file in `results/`, which says on what machine it was taken.
 */
import { Effect, FileSystem, Schema } from "effect"
import { fileURLToPath } from "node:url"
import { Machine } from "./Machine.ts"
import { failAs } from "./Suite.ts"
import { markdownTable } from "./Table.ts"

/** The figures of one subject in one case, over all rounds. */
export const Measurement = Schema.Struct({
  suite: Schema.String,
  case: Schema.String,
  subject: Schema.String,
  unit: Schema.String,
  median: Schema.Finite,
  min: Schema.Finite,
  max: Schema.Finite
})
export type Measurement = typeof Measurement.Type

/** What `--save` keeps of a suite. */
export const Saved = Schema.Struct({
  about: Schema.String,
  rounds: Schema.Int,
  machine: Machine,
  results: Schema.Array(Measurement)
})
export type Saved = typeof Saved.Type

const SavedJson = Schema.fromJsonString(Saved, { space: 2 })

const root = new URL("../", import.meta.url)
const readme = fileURLToPath(new URL("README.md", root))
const fileOf = (suite: string): string => fileURLToPath(new URL(`bench/results/${suite}.json`, root))

/** Keeps the figures of a suite, in place of those it had. */
export const save = Effect.fnUntraced(function* (suite: string, saved: Saved) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(fileURLToPath(new URL("bench/results", root)), { recursive: true })
  yield* fs.writeFileString(fileOf(suite), `${yield* Schema.encodeEffect(SavedJson)(saved)}\n`)
}, failAs("results"))

const load = Effect.fnUntraced(function* (suite: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.flatMap(fs.readFileString(fileOf(suite)), Schema.decodeEffect(SavedJson))
})

/**
 * Writes the kept figures into the README, between `<!-- bench:suite -->` and `<!-- /bench:suite -->`; a suite of which
 * none are kept yet leaves its place as it is.
 */
export const writeReadme = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(readme)
  const tables = new Map<string, string>()
  for (const suite of markedSuites(text)) {
    if (yield* fs.exists(fileOf(suite))) tables.set(suite, markdownTable(yield* load(suite)))
  }
  yield* fs.writeFileString(readme, fillMarkers(text, tables))
  return [...tables.keys()]
}).pipe(failAs("README.md"))

const marked = /<!-- bench:(\w+) -->\n[^]*?<!-- \/bench:\1 -->/g

/** The suites that a text has markers for. */
const markedSuites = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(marked)].flatMap(([, suite]) => suite ?? [])

/** Puts each suite's table between its markers and leaves the rest of the text as it is. */
export const fillMarkers = (text: string, tables: ReadonlyMap<string, string>): string =>
  text.replaceAll(marked, (found, suite: string) => {
    const table = tables.get(suite)
    return table === undefined ? found : `<!-- bench:${suite} -->\n\n${table}\n\n<!-- /bench:${suite} -->`
  })
