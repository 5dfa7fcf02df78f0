/**
 * How long the queries of files take: learned from every run, and remembered in the user's cache folder.
 *
 * A query is known by a hash of its statements, so that its name and its file may change, and no SQL is written down. It
 * is learned twice: with what identifies the database in the hash, and without. A run goes by what was learned on its
 * own database, because the same query takes milliseconds on one and minutes on another, and where it is new there, by
 * what the server says of it. A plan, which asks no server, goes by the last runs anywhere.
 *
 * Nothing here fails or is waited for, but the server for two seconds when it is asked. Without a folder that can be
 * written, what was learned is forgotten.
 *
 * @internal
 */
import type { FileSystem, Path } from "effect"
import { Effect, Layer, Predicate } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { createHash } from "node:crypto"
import { findCacheFolder } from "../embedded/CacheFolder.ts"
import * as DurationHistory from "../pool/DurationHistory.ts"
import type { Estimate } from "../pool/Estimates.ts"
import { expected } from "../pool/PgEstimates.ts"
import { Estimates } from "../query/Members.ts"
import type { QueryPool } from "../query/QueryPool.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { sentOf } from "./SqlParameters.ts"

type FileQueries = ReadonlyArray<Pick<FileQuery, "name" | "statements">>

type History = Layer.Layer<DurationHistory.DurationHistory, never, FileSystem.FileSystem | Path.Path>

/**
 * For a run of these queries: it teaches the history, and goes by it and by what the server knows when it is to start
 * the longest first. `database` is whatever identifies the database.
 *
 * @internal
 */
export const layer = (
  queries: FileQueries,
  database: string
): Layer.Layer<DurationHistory.DurationHistory, never, FileSystem.FileSystem | Path.Path | QueryPool> =>
  Layer.provideMerge(
    Layer.effect(
      Estimates,
      Effect.map(
        Effect.context<DurationHistory.DurationHistory | QueryPool>(),
        (context) => (members) =>
          Effect.map(Effect.provideContext(estimates(queries), context), (found) => {
            const millis = new Map(queries.map(({ name }, index) => [name, found[index]?.millis]))
            return members.map((member) =>
              Predicate.hasProperty(member, "name") && typeof member.name === "string"
                ? millis.get(member.name)
                : undefined
            )
          })
      )
    ),
    historyOf(queries, database)
  )

/**
 * What was learned of these queries on any database, for a plan of them.
 *
 * @internal
 */
export const layerAnywhere = (queries: FileQueries): History => historyOf(queries, undefined)

/**
 * What each of these queries is expected to take, and how that is known.
 *
 * @internal
 */
export const estimates = (
  queries: FileQueries
): Effect.Effect<ReadonlyArray<Estimate | undefined>, never, DurationHistory.DurationHistory | QueryPool> =>
  expected(
    queries.map(({ name, statements }) => ({ key: name, statements: statements.map((one) => sentOf(one).text) }))
  )

/** The history by the queries' names. */
const historyOf = (queries: FileQueries, database: string | undefined): History => {
  const keysIn = (place: string | undefined) =>
    new Map(queries.map(({ name, statements }) => [name, keyIn(place, statements)]))
  return Layer.effect(
    DurationHistory.DurationHistory,
    Effect.map(DurationHistory.DurationHistory, (history) =>
      DurationHistory.DurationHistory.of({
        recall: Effect.map(history.recall, (expected) => {
          const keys = keysIn(database)
          return (name) => expected(keys.get(name) ?? "")
        }),
        learn: (run) => {
          const places = [...new Set([database, undefined])].map(keysIn)
          const learned = run
            .entries()
            .flatMap(([name, took]) => places.map((keys) => [keys.get(name) ?? "", took] as const))
          return history.learn(new Map(learned.filter(([key]) => key !== "")))
        }
      })
    )
  ).pipe(Layer.provide(kept))
}

const keyIn = (database: string | undefined, statements: FileQueries[number]["statements"]): string =>
  createHash("sha256")
    .update(JSON.stringify([database ?? null, ...statements.map(({ text }) => text)]))
    .digest("base64url")

/**
 * The history itself, for as long as it is provided: for many runs that go on at once, of which each would read and write
 * the file otherwise.
 *
 * @internal
 */
export const shared = Layer.suspend(() => Layer.provide(Layer.empty, kept))

const kept = Layer.unwrap(
  Effect.map(
    Effect.promise(() => findCacheFolder()),
    (folder) =>
      folder === undefined
        ? Layer.provide(DurationHistory.layer, KeyValueStore.layerMemory)
        : DurationHistory.layerFileSystem(folder)
  )
)
