/**
 * The journal of the runs in a folder: what has begun and ended there, on the disk.
 *
 * - What it begins with is there as a whole, or not at all: a file that was there is replaced in one step.
 * - One fiber writes; what has come together while it did is written at once, and then synced once.
 * - `note` only hands a line over, `flushed` waits until all that were are on the disk: what a query writes is sent after
 *   that, and a run waits for it at its end.
 * - What could not be written fails whoever waits for it, and all who wait later: after a line that is not whole there is
 *   no other.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Deferred, Effect, FileSystem, Path, Queue } from "effect"
import type { SinkError } from "../sink/SinkError.ts"
import * as SinkFile from "../sink/SinkFile.ts"
import type { Line } from "./JournalRecord.ts"
import { textOf } from "./JournalRecord.ts"

/** @internal */
export interface Journal {
  /** Hands a line over. */
  readonly note: (line: Line) => void
  /** Waits until all lines that were handed over are on the disk. */
  readonly flushed: Effect.Effect<void, SinkError>
}

/** Asks to be told when all lines before it are on the disk. */
class Flush {
  readonly done: Deferred.Deferred<void, SinkError>

  constructor(done: Deferred.Deferred<void, SinkError>) {
    this.done = done
  }
}

/**
 * Begins a journal with this text, to which lines are added until the scope closes.
 *
 * @internal
 */
export const begin = Effect.fnUntraced(function* (
  file: string,
  text: string
): Effect.fn.Return<Journal, SinkError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const encoder = new TextEncoder()
  let bytes = 0
  const failed = SinkFile.failureAt(file, (yield* Path.Path).dirname(file), () => bytes)
  yield* Effect.scoped(
    Effect.gen(function* () {
      const whole = yield* SinkFile.create(file)
      yield* whole.write(encoder.encode(text))
      yield* whole.keep
      bytes = whole.bytes()
    })
  )
  const opened = yield* Effect.mapError(fs.open(file, { flag: "a" }), failed)
  const queue = yield* Queue.unbounded<Line | Flush>()
  let failure: SinkError | undefined

  const write = Effect.fnUntraced(function* (lines: ReadonlyArray<Line>) {
    const chunk = encoder.encode(textOf(lines))
    yield* opened.writeAll(chunk)
    yield* opened.sync
    bytes += chunk.length
  }, Effect.uninterruptible)

  const writeAll = Effect.gen(function* () {
    const lines: Array<Line> = []
    const waiting: Array<Flush> = []
    for (const each of yield* Queue.takeAll(queue)) {
      if (each instanceof Flush) waiting.push(each)
      else lines.push(each)
    }
    if (failure === undefined && lines.length > 0) {
      failure = yield* Effect.match(write(lines), { onFailure: failed, onSuccess: () => undefined })
    }
    for (const { done } of waiting) {
      yield* failure === undefined ? Deferred.succeed(done, undefined) : Deferred.fail(done, failure)
    }
  })
  yield* Effect.forkScoped(Effect.forever(writeAll))
  return {
    note: (line) => void Queue.offerUnsafe(queue, line),
    flushed: Effect.gen(function* () {
      const done = yield* Deferred.make<void, SinkError>()
      Queue.offerUnsafe(queue, new Flush(done))
      yield* Deferred.await(done)
    })
  }
})
