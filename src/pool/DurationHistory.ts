/**
 * Remembers how long queries took, so that `order: "longest-first"` can start the long ones first.
 *
 * ```ts
 * const history = DurationHistory.layerFileSystem("./.cache")
 *
 * QueryPool.all(queries, { order: "longest-first" }).pipe(Effect.provide(Layer.merge(pool, history)))
 * ```
 *
 * Every run in whose context it is teaches it, whatever its order. Queries are known by their names, so a program with
 * two databases that have queries of one name gives each a history of its own.
 *
 * - All of it is one small JSON document, read when it is first asked for. What was learned is known at once. It is
 *   written when the layer closes, and before that at most once a minute, at the end of a run, which does not wait for
 *   it.
 * - The document is read again just before it is written, so what other processes have learned meanwhile is kept.
 * - It fails nobody, and nobody waits for it for longer than two seconds. A document that is damaged or of somebody else
 *   is named in one warning and replaced. What cannot be read or written shows in debug lines only, and what was learned
 *   is kept in memory.
 * - It is bounded: of more than 4,096 names, those that were learned of last are kept (400 kB).
 *
 * @since 0.1.0
 */
import type { FileSystem, Path } from "effect"
import { Clock, Effect, Layer, Result, Semaphore } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { sharedFile } from "../internal/SharedFile.ts"
import { DurationHistory } from "../query/Learning.ts"
import * as Document from "./DurationDocument.ts"

export { DurationHistory } from "../query/Learning.ts"

/** A server that runs queries all day would otherwise write at the end of each run. */
const saveEveryMillis = 60_000

/** How long the start of a run, and the end of the layer, wait for a store that does not answer. */
const patience = "2 seconds"

/** The key of the document, and the name of its file. */
const key = "durations.json"

/** Where the document is kept. */
interface Kept<E> {
  readonly read: Effect.Effect<string | undefined, E>
  /** Puts what `change` makes of it in its place. */
  readonly update: (change: (text: string | undefined) => Effect.Effect<string>) => Effect.Effect<void, E>
}

const unread = (why: unknown) => Effect.as(Effect.logDebug("How long queries took cannot be read", why), Document.none)

const make = Effect.fnUntraced(function* <E>({ read, update }: Kept<E>) {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const writing = Semaphore.makeUnsafe(1)
  const reading = Semaphore.makeUnsafe(1)
  /** What the document had when it was last read or written. */
  let saved: Document.Entries | undefined
  /** What is being written. */
  let underWay = Document.none
  /** What has been learned since then. */
  let fresh = Document.none
  let savedAt = clock.currentTimeMillisUnsafe()
  let warned = false

  const entriesOf = (text: string | undefined): Effect.Effect<Document.Entries> => {
    if (text === undefined) return Effect.succeed(Document.none)
    const document = Document.decode(text)
    if (Result.isSuccess(document)) return Effect.succeed(document.success)
    if (warned) return Effect.succeed(Document.none)
    warned = true
    const warning = `${key}, which keeps how long queries take, ${document.failure}. It is ignored, and will be replaced`
    return Effect.as(Effect.logWarning(warning), Document.none)
  }

  /** By one of those that ask together: a hundred runs that begin at once would read it a hundred times. */
  const load = reading.withPermit(
    Effect.suspend(() => {
      if (saved !== undefined) return Effect.void
      return Effect.flatMap(read, entriesOf).pipe(
        Effect.timeoutOrElse({ duration: patience, orElse: () => unread(`no answer in ${patience}`) }),
        Effect.catch(unread),
        Effect.map((known) => {
          saved ??= known
        })
      )
    })
  )

  const save = writing.withPermit(
    Effect.suspend(() => {
      if (fresh.size === 0) return Effect.void
      underWay = fresh
      fresh = Document.none
      savedAt = clock.currentTimeMillisUnsafe()
      let merged = Document.none
      // Not written where it could not be read: what is there may be whole, and would be lost.
      return update((text) =>
        Effect.map(entriesOf(text), (known) => {
          merged = Document.merge(known, underWay)
          return Document.encode(merged)
        })
      ).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (exit._tag === "Success") saved = merged
            else fresh = Document.merge(underWay, fresh)
            underWay = Document.none
          })
        ),
        Effect.catch((error) => Effect.logDebug("How long queries took cannot be kept", error))
      )
    })
  )
  yield* Effect.addFinalizer(() => Effect.timeoutOption(Effect.interruptible(save), patience))

  return DurationHistory.of({
    recall: Effect.as(load, (name) => {
      const runs = [saved, underWay, fresh].map((entries) => entries?.get(name)).reduce(Document.join)
      return runs === undefined ? undefined : Document.expectedMillis(runs)
    }),
    learn: (run) =>
      Effect.suspend(() => {
        fresh = Document.merge(fresh, Document.ofRun(run))
        const isDue = clock.currentTimeMillisUnsafe() - savedAt >= saveEveryMillis
        return isDue ? Effect.asVoid(Effect.forkIn(save, scope)) : Effect.void
      })
  })
})

/**
 * Keeps what it learns in a `KeyValueStore`, under the key `durations.json` (`KeyValueStore.prefix` gives it another).
 * Of two processes that write in the same moment the last one wins. Files are best kept by `layerFileSystem`: those of
 * `KeyValueStore` are written in place, so that a process that ends in the middle leaves a damaged one.
 *
 * @since 0.1.0
 */
export const layer: Layer.Layer<DurationHistory, never, KeyValueStore.KeyValueStore> = Layer.effect(
  DurationHistory,
  Effect.flatMap(KeyValueStore.KeyValueStore, (store) => {
    const read = store.get(key)
    const update: Kept<KeyValueStore.KeyValueStoreError>["update"] = (change) =>
      Effect.flatMap(Effect.flatMap(read, change), (text) => store.set(key, text))
    return make({ read, update })
  })
)

/**
 * Keeps what it learns in the file `durations.json` of a folder, which is made if it is not there. Any number of
 * processes share it: it is whole at every moment, and keeps what each of them has learned.
 *
 * @since 0.1.0
 */
export const layerFileSystem = (
  folder: string
): Layer.Layer<DurationHistory, never, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(DurationHistory, Effect.flatMap(sharedFile(folder, key), make))
