/**
 * A file that is whole, or not there.
 *
 *     open .name.csv.4711-9f3c2a.partial --write*--> sync --> rename to name.csv --> sync of the folder
 *       | fails, or its scope closes before
 *       v
 *     closed and removed: what was at name.csv is still there, as it was
 *
 * - It is written beside its place, as a rename is one step only within a file system. A link at its place is followed.
 * - A file that was there is replaced, and keeps who may read and write it, as far as the umask lets it.
 * - After `keep`, it survives a crash of the machine; before, nothing of it does, but for the partial file, of which the
 *   name tells what and whose it is.
 * - A write is not interrupted in its middle: the system would go on with it, on whatever file has that number by then.
 *
 * @internal
 */
import type { PlatformError, Scope } from "effect"
import { Effect, Exit, FileSystem, Path, Predicate, Random, Scope as Scopes } from "effect"
import { DiskFull, NoFolder, NotAFile, NotWritable, SinkError, WriteFailed } from "./SinkError.ts"
import type { SinkErrorReason } from "./SinkError.ts"

/** @internal */
export interface SinkFile {
  /** Bytes that were written. */
  readonly bytes: () => number
  readonly write: (chunk: Uint8Array) => Effect.Effect<void, SinkError>
  /** Puts the file in its place. Nothing can be written afterwards. */
  readonly keep: Effect.Effect<void, SinkError>
}

/** Names are at most 255 bytes long in most file systems, and a character has up to four. */
const mostCharacters = 50

/**
 * Begins a file. When the scope closes and it was not kept, nothing of it is left.
 *
 * @internal
 */
export const create = Effect.fnUntraced(function* (
  target: string
): Effect.fn.Return<SinkFile, SinkError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  let bytes = 0
  const failed = failureAt(target, path.dirname(target), () => bytes)

  // Absent, it cannot be resolved; and what else is in the way, opening the file will tell.
  const place = yield* Effect.orElseSucceed(fs.realPath(target), () => path.resolve(target))
  const there = yield* Effect.option(fs.stat(place))
  if (there._tag === "Some" && there.value.type !== "File") {
    const reason = new NotAFile({ is: there.value.type === "Directory" ? "folder" : "other" })
    return yield* new SinkError({ path: target, reason })
  }
  const folder = path.dirname(place)
  const random = (yield* Random.nextIntBetween(0, 0xffffff)).toString(16).padStart(6, "0")
  const name = `.${path.basename(place).slice(0, mostCharacters)}.${process.pid}-${random}.partial`
  const partial = path.join(folder, name)

  let state: "absent" | "partial" | "kept" = "absent"
  yield* Effect.addFinalizer(() => (state === "partial" ? Effect.ignore(fs.remove(partial)) : Effect.void))
  const opened = yield* Effect.acquireRelease(Scopes.make(), (scope, exit) => Scopes.close(scope, exit))
  const mode = there._tag === "Some" ? there.value.mode & 0o777 : 0o666
  const file = yield* Effect.uninterruptible(
    Effect.tap(Effect.mapError(Scopes.provide(fs.open(partial, { flag: "wx", mode }), opened), failed), () =>
      Effect.sync(() => {
        state = "partial"
      })
    )
  )

  const syncFolder = Effect.scoped(Effect.flatMap(fs.open(folder, { flag: "r" }), ({ sync }) => sync))
  return {
    bytes: () => bytes,
    write: (chunk) =>
      Effect.uninterruptible(
        Effect.map(Effect.mapError(file.writeAll(chunk), failed), () => {
          bytes += chunk.length
        })
      ),
    keep: Effect.uninterruptible(
      Effect.gen(function* () {
        yield* Effect.mapError(file.sync, failed)
        yield* Scopes.close(opened, Exit.void)
        yield* Effect.mapError(fs.rename(partial, place), failed)
        state = "kept"
        // The file is there, so this changes nothing that could be told. Not every file system has it.
        yield* Effect.ignore(syncFolder)
      })
    )
  }
})

/**
 * What the operating system says of a file, in a folder, of which so much has been written.
 *
 * @internal
 */
export const failureAt =
  (target: string, folder: string, bytes: () => number) =>
  (error: PlatformError.PlatformError): SinkError =>
    new SinkError({ path: target, reason: reasonOf(error, folder, bytes()) })

const reasonOf = (error: PlatformError.PlatformError, folder: string, bytes: number): SinkErrorReason => {
  const code = codeOf(error)
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new DiskFull({ bytes })
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new NotWritable({ code })
    case "ENOENT":
    case "ENOTDIR":
      return new NoFolder({ folder })
    case "EISDIR":
    case "ENOTEMPTY":
      return new NotAFile({ is: "folder" })
  }
  return new WriteFailed({ code, message: messageOf(error) })
}

const codeOf = ({ cause }: PlatformError.PlatformError): string | undefined =>
  Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? cause.code : undefined

const messageOf = ({ cause, message }: PlatformError.PlatformError): string =>
  cause instanceof Error ? cause.message : message
