/**
 * The folder that the files of a run are in, with the folders of their names: made before anything is run, so that what
 * is wrong with them is one line, and no query has been sent.
 *
 * @internal
 */
import type { PlatformError } from "effect"
import { Effect, FileSystem, Path, Predicate } from "effect"
import { SinkError } from "../sink/SinkError.ts"
import { UsageError } from "./CliFailure.ts"
import { isAlive } from "./FolderLock.ts"
import { toLine } from "./TextValue.ts"

const whyUnusable: ReadonlyMap<unknown, string> = new Map([
  ["EEXIST", "it is a file. Give a folder, or a name that is free"],
  ["ENOTDIR", "part of it is a file. Give a folder, or a name that is free"],
  ["EACCES", "it may not be written to. Change its rights, or give another folder"],
  ["EPERM", "it may not be written to. Change its rights, or give another folder"],
  ["EROFS", "its file system is read-only. Give another folder"],
  ["ENOSPC", "no space is left there. Free some, or give a folder on another disk"],
  ["EDQUOT", "no space is left there. Free some, or give a folder on another disk"],
  ["ENAMETOOLONG", "its name is too long. Give another one"],
  ["ELOOP", "its symbolic links lead in a circle"]
])

const codeOf = ({ reason: { cause } }: PlatformError.PlatformError): unknown =>
  Predicate.hasProperty(cause, "code") ? cause.code : undefined

/** @internal */
export const unusable =
  (folder: string) =>
  (error: UsageError | SinkError | PlatformError.PlatformError): UsageError => {
    if (error._tag === "UsageError") return error
    const why = error instanceof SinkError ? error.reason.message : (whyUnusable.get(codeOf(error)) ?? error.message)
    return new UsageError({ message: `--out ${toLine(folder)} cannot be used: ${why}` })
  }

/** What `SinkFile` calls a file that is being written, with the process that does. */
const partial = /^\..+\.(\d+)-[0-9a-f]{6}\.partial$/

/**
 * Makes the folders of these paths.
 *
 * @internal
 */
export const makeFolders = Effect.fnUntraced(function* (
  folder: string,
  paths: Iterable<string>
): Effect.fn.Return<void, UsageError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  for (const each of yield* foldersOf(folder, paths)) {
    yield* Effect.mapError(
      Effect.andThen(fs.makeDirectory(each, { recursive: true }), fs.access(each, { writable: true })),
      unusable(each)
    )
  }
})

/**
 * Removes what processes that ended in the middle have left in the folders of these paths. Another program may be
 * writing there: files of its own.
 *
 * @internal
 */
export const removePartials = Effect.fnUntraced(function* (
  folder: string,
  paths: Iterable<string>
): Effect.fn.Return<void, never, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const each of yield* foldersOf(folder, paths)) {
    for (const name of yield* Effect.orElseSucceed(fs.readDirectory(each), () => [])) {
      const [, pid] = partial.exec(name) ?? []
      if (pid === undefined) continue
      // In a container the first process has the same number each time.
      if (Number(pid) === process.pid || !isAlive(Number(pid))) yield* Effect.ignore(fs.remove(path.join(each, name)))
    }
  }
})

const foldersOf = Effect.fnUntraced(function* (folder: string, paths: Iterable<string>) {
  const path = yield* Path.Path
  const below = [...paths].map((name) => path.join(folder, ...name.split("/").slice(0, -1)))
  return new Set([folder, ...below])
})
