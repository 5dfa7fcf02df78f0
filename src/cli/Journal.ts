/**
 * The journal of the runs in a folder: what has begun and ended there, on the disk.
 *
 * - One fiber writes; what has come together while it did is written at once, and then synced once.
 * - `started` waits until its line is on the disk: the query's first statement is sent after that. `ended` only hands its
 *   line over, and the end of the run waits for all of them.
 * - A journal that cannot be written fails the query that is about to write, before it has; and the run at its end.
 *
 * @internal
 */
import type { PlatformError, Scope } from "effect"
import { Deferred, Effect, FileSystem, Queue, Schema } from "effect"
import type { Line } from "./JournalRecord.ts"
import { Line as LineSchema } from "./JournalRecord.ts"

/** @internal */
export interface Journal {
  /** Hands a line over. */
  readonly note: (line: Line) => void
  /** Waits until all lines that were handed over are on the disk. */
  readonly flushed: Effect.Effect<void, PlatformError.PlatformError>
}

const encode = Schema.encodeSync(Schema.fromJsonString(LineSchema))

/** Asks to be told when all lines before it are on the disk. */
class Flush {
  readonly done: Deferred.Deferred<void, PlatformError.PlatformError>

  constructor(done: Deferred.Deferred<void, PlatformError.PlatformError>) {
    this.done = done
  }
}

/**
 * Opens the journal for more lines behind the first `keptBytes` of it, until the scope closes.
 *
 * @internal
 */
export const open = Effect.fnUntraced(function* (
  file: string,
  keptBytes: number
): Effect.fn.Return<Journal, PlatformError.PlatformError, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  // What was not written to its end would stand before the next line.
  if (yield* fs.exists(file)) yield* fs.truncate(file, keptBytes)
  const opened = yield* fs.open(file, { flag: "a" })
  const queue = yield* Queue.unbounded<Line | Flush>()
  const encoder = new TextEncoder()
  let failure: PlatformError.PlatformError | undefined

  const writeAll = Effect.gen(function* () {
    const all = yield* Queue.takeAll(queue)
    const waiting: Array<Deferred.Deferred<void, PlatformError.PlatformError>> = []
    let text = ""
    for (const each of all) {
      if (each instanceof Flush) waiting.push(each.done)
      else text += `${encode(each)}\n`
    }
    if (failure === undefined && text !== "") {
      const written = Effect.andThen(opened.writeAll(encoder.encode(text)), opened.sync)
      failure = yield* Effect.match(Effect.uninterruptible(written), {
        onFailure: (error) => error,
        onSuccess: () => undefined
      })
    }
    for (const each of waiting) {
      yield* failure === undefined ? Deferred.succeed(each, undefined) : Deferred.fail(each, failure)
    }
  })
  yield* Effect.forkScoped(Effect.forever(writeAll))
  return {
    note: (line) => void Queue.offerUnsafe(queue, line),
    flushed: Effect.gen(function* () {
      const done = yield* Deferred.make<void, PlatformError.PlatformError>()
      Queue.offerUnsafe(queue, new Flush(done))
      yield* Deferred.await(done)
    })
  }
})
