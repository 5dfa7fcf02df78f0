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
import { Effect, Layer } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { createHash } from "node:crypto"
import { findCacheFolder } from "../embedded/CacheFolder.ts"
import * as DurationHistory from "../pool/DurationHistory.ts"
import type { Estimate } from "../pool/Estimates.ts"
import { expected } from "../pool/PgEstimates.ts"
import type { QueryPool } from "../query/QueryPool.ts"
import type { FileQuery } from "./QueryFiles.ts"
import { sentOf } from "./SqlParameters.ts"

type FileQueries = ReadonlyArray<Pick<FileQuery, "name" | "statements">>

const kept = Layer.unwrap(
  Effect.map(
    Effect.promise(() => findCacheFolder()),
    (folder) =>
      folder === undefined
        ? Layer.provide(DurationHistory.layer, KeyValueStore.layerMemory)
        : DurationHistory.layerFileSystem(folder)
  )
)

/**
 * The history itself, for as long as it is provided: for many runs that go on at once, of which each would read and write
 * the file otherwise.
 *
 * @internal
 */
export const shared = Layer.provide(Layer.empty, kept)

/**
 * The history by the names of these queries. `database` is whatever identifies the database that they run on; without
 * it, it knows of runs on any.
 *
 * @internal
 */
export const layer = (
  queries: FileQueries,
  database?: string
): Layer.Layer<DurationHistory.DurationHistory, never, FileSystem.FileSystem | Path.Path> => {
  const texts = new Map(queries.map(({ name, statements }) => [name, textsOf(statements)]))
  const keyOf = (place: string | undefined, name: string): string | undefined => {
    const known = texts.get(name)
    return (
      known &&
      createHash("sha256")
        .update(JSON.stringify([place ?? null, ...known]))
        .digest("base64url")
    )
  }
  const ofPlace = (run: ReadonlyMap<string, number>, place: string | undefined) =>
    Map.groupBy(run, ([name]) => keyOf(place, name))
      .entries()
      // Of queries that say the same under several names, as of those of one name, a run teaches the mean.
      .flatMap(([key, all]) => (key === undefined ? [] : [[key, meanOf(all.map(([, millis]) => millis))] as const]))
  return Layer.effect(
    DurationHistory.DurationHistory,
    Effect.map(DurationHistory.DurationHistory, (history) =>
      DurationHistory.DurationHistory.of({
        recall: Effect.map(history.recall, (expected) => (name) => {
          const key = keyOf(database, name)
          return key === undefined ? undefined : expected(key)
        }),
        learn: (run) => history.learn(new Map([...ofPlace(run, database), ...ofPlace(run, undefined)]))
      })
    )
  ).pipe(Layer.provide(kept))
}

/**
 * What each of these queries is expected to take, and how that is known: by the history, else by the server.
 *
 * @internal
 */
export const estimates = (
  queries: FileQueries
): Effect.Effect<ReadonlyArray<Estimate | undefined>, never, DurationHistory.DurationHistory | QueryPool> =>
  expected(
    queries.map(({ name, statements }) => ({ key: name, statements: statements.map((one) => sentOf(one).text) }))
  )

const textsOf = (statements: FileQuery["statements"]): ReadonlyArray<string> => statements.map(({ text }) => text)

const meanOf = (all: ReadonlyArray<number>): number => all.reduce((sum, one) => sum + one, 0) / all.length
