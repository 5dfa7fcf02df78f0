/**
 * Remembers how long queries took in a `KeyValueStore`, so that `order: "longest-first"` can start the long ones first.
 *
 * ```ts
 * const history = DurationHistory.layerFileSystem("./.cache")
 *
 * QueryPool.all(queries, { order: "longest-first" }).pipe(Effect.provide(Layer.merge(pool, history)))
 * ```
 *
 * Every run in whose context it is teaches it, whatever its order. Queries are known by their names, so a program with
 * two databases that have queries of one name gives each a store of its own (`KeyValueStore.prefix`).
 *
 * - All of it is one small JSON document under one key, read when it is first asked for. What was learned is written
 *   when the layer closes, and before that at most once a minute, at the end of a run, which does not wait for it.
 * - The document is read again just before it is written, so what other processes have learned meanwhile is kept. Two
 *   that do this in the same moment do not harm the document; what one of them has learned is lost: the last one wins.
 * - It fails nobody. A document that is damaged or of somebody else is named in one warning and replaced. A store that
 *   cannot be read or written shows in debug lines only, and what was learned is kept in memory.
 * - It is bounded: of more than 4,096 names, those that were seen last are kept (400 kB).
 *
 * @since 0.1.0
 */
import { Clock, Effect, FileSystem, Layer, Path, Result, Semaphore } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { randomUUID } from "node:crypto"
import { DurationHistory } from "../query/Learning.ts"
import * as Document from "./DurationDocument.ts"

export { DurationHistory } from "../query/Learning.ts"

/** A server that runs queries all day would otherwise write at the end of each run. */
const saveEveryMillis = 60_000

/** How long the end of the layer waits for a store that does not answer. */
const farewell = "2 seconds"

/** The key of the document: the name of its file, where the store is a folder. */
const key = "durations.json"

const make = Effect.gen(function* () {
  const store = yield* KeyValueStore.KeyValueStore
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const turns = Semaphore.makeUnsafe(1)
  /** What the store had when it was last read or written. */
  let saved: Document.Entries | undefined
  /** What has been learned since then. */
  let fresh = Document.none
  let savedAt = clock.currentTimeMillisUnsafe()
  let warned = false

  const read = Effect.flatMap(store.get(key), (text) => {
    if (text === undefined) return Effect.succeed(Document.none)
    const document = Document.decode(text)
    if (Result.isSuccess(document)) return Effect.succeed(document.success)
    if (warned) return Effect.succeed(Document.none)
    warned = true
    const warning = `${key}, which keeps how long queries take, ${document.failure}. It is ignored, and will be replaced`
    return Effect.as(Effect.logWarning(warning), Document.none)
  })

  const save = turns.withPermit(
    Effect.suspend(() => {
      if (fresh.size === 0) return Effect.void
      const learned = fresh
      fresh = Document.none
      savedAt = clock.currentTimeMillisUnsafe()
      return read.pipe(
        // Not written where it could not be read: what is there may be whole, and would be lost.
        Effect.flatMap((known) => {
          const merged = Document.merge(known, learned)
          return Effect.map(store.set(key, Document.encode(merged)), () => {
            saved = merged
          })
        }),
        Effect.onError(() =>
          Effect.sync(() => {
            fresh = Document.merge(learned, fresh)
          })
        ),
        Effect.catch((error) => Effect.logDebug("How long queries took cannot be kept", error))
      )
    })
  )
  yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(save), farewell))

  return DurationHistory.of({
    recall: Effect.gen(function* () {
      const asked = Effect.catch(read, (error) =>
        Effect.as(Effect.logDebug("How long queries took cannot be read", error), Document.none)
      )
      const known = saved ?? (yield* asked)
      saved ??= known
      return (name) => {
        const entry = Document.join(known.get(name), fresh.get(name))
        return entry === undefined ? undefined : Document.expectedMillis(entry)
      }
    }),
    learn: (run) =>
      Effect.suspend(() => {
        const learned = new Map(run.entries().map(([name, took]) => [name, Document.entryOf(took)]))
        fresh = Document.merge(fresh, learned)
        const isDue = clock.currentTimeMillisUnsafe() - savedAt >= saveEveryMillis
        return isDue ? Effect.asVoid(Effect.forkIn(save, scope)) : Effect.void
      })
  })
})

/**
 * Keeps what it learns in a `KeyValueStore`, under the key `durations.json`. A file is best kept by `layerFileSystem`:
 * that of effect writes in place, so that a process that ends in the middle leaves a damaged one.
 *
 * @since 0.1.0
 */
export const layer: Layer.Layer<DurationHistory, never, KeyValueStore.KeyValueStore> = Layer.effect(
  DurationHistory,
  make
)

/**
 * Keeps what it learns in the file `durations.json` of a folder, which is made if it is not there. The file is written
 * beside and renamed, so it is whole at every moment.
 *
 * @since 0.1.0
 */
export const layerFileSystem = (
  folder: string
): Layer.Layer<DurationHistory, never, FileSystem.FileSystem | Path.Path> =>
  Layer.provide(
    layer,
    Layer.catch(wholeFiles(folder), (error) =>
      Layer.provideMerge(
        KeyValueStore.layerMemory,
        Layer.effectDiscard(Effect.logDebug(`How long queries take cannot be kept in ${folder}`, error))
      )
    )
  )

/** Which queries somebody runs, and when, is nobody else's business. */
const forUs = 0o600

/** As the store of effect, but that a value replaces another in one step. */
const wholeFiles = (folder: string) =>
  Layer.effect(
    KeyValueStore.KeyValueStore,
    Effect.gen(function* () {
      const store = yield* KeyValueStore.KeyValueStore
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      return KeyValueStore.KeyValueStore.of({
        ...store,
        set: (key, value) => {
          const beside = path.join(folder, `${key}.${randomUUID()}`)
          const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value
          return fs.writeFile(beside, bytes, { mode: forUs }).pipe(
            Effect.andThen(fs.rename(beside, path.join(folder, encodeURIComponent(key)))),
            Effect.onError(() => Effect.ignore(fs.remove(beside, { force: true }))),
            Effect.mapError(
              (cause) => new KeyValueStore.KeyValueStoreError({ method: "set", key, message: cause.message, cause })
            )
          )
        }
      })
    })
  ).pipe(Layer.provide(KeyValueStore.layerFileSystem(folder)))
