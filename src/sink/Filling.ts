/**
 * A file while rows come for it: it is opened first, filled as they come, and kept by whoever knows that it should be.
 *
 * - Opened before anything is sent: what is wrong with the place is found before a statement has written.
 * - Of what fills it and what writes it, the first that fails interrupts the other: the statement is cancelled, or the
 *   file left.
 * - Until it is kept it is nowhere to be seen, and when its scope closes before, nothing of it is left.
 *
 * @internal
 */
import type { FileSystem, Path, Scope } from "effect"
import { Effect } from "effect"
import type { RowReceiver } from "../query/RowReceiver.ts"
import type { Format } from "./Encoder.ts"
import { Intake } from "./Intake.ts"
import * as SinkFile from "./SinkFile.ts"
import { SinkError } from "./SinkError.ts"

/**
 * A file with all of its rows, which is not in its place yet.
 *
 * @internal
 */
export interface Filled {
  readonly rows: number
  readonly bytes: number
  /** Puts it there. */
  readonly keep: Effect.Effect<void, SinkError>
}

/**
 * Fills a file with what `copy` hands over, which gives how many rows that were. Gives nothing where no columns come: what
 * was run has no result.
 *
 * @internal
 */
export const fill = Effect.fnUntraced(function* <E, R>(
  path: string,
  format: Format,
  copy: (receiver: RowReceiver) => Effect.Effect<number, E, R>
): Effect.fn.Return<Filled | undefined, SinkError | E, R | FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const target = yield* SinkFile.create(path)
  const intake = new Intake()
  const copied = Effect.tap(copy(intake), () => Effect.sync(() => intake.complete()))
  const [rows, hasResult] = yield* Effect.all([copied, write(intake, format, target, path)], {
    concurrency: "unbounded"
  })
  if (!hasResult) return undefined
  if (rows !== intake.encoded) {
    return yield* Effect.die(new Error(`Of ${rows} rows that came, ${intake.encoded} were encoded`))
  }
  return { rows, bytes: target.bytes(), keep: target.keep }
})

const write = Effect.fnUntraced(function* (
  intake: Intake,
  format: Format,
  target: SinkFile.SinkFile,
  path: string
): Effect.fn.Return<boolean, SinkError> {
  const columns = yield* intake.header
  if (columns === undefined) return false
  const encoding = Effect.gen(function* () {
    intake.begin(yield* format.encoder(columns))
    for (let chunks = yield* intake.next; chunks.length > 0; chunks = yield* intake.next) {
      for (const chunk of chunks) {
        yield* target.write(chunk)
        intake.written(chunk.length)
      }
    }
  })
  // A format does not know where its rows go.
  yield* Effect.mapError(encoding, ({ path: at = path, reason }) => new SinkError({ path: at, reason }))
  return true
})
