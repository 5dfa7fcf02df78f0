/**
 * From the paths of a command line to queries: files, folders (recursive, sorted), or `-` for standard input.
 *
 * @internal
 */
import { Console, Effect, FileSystem, Path, Result, Stdio, Stream } from "effect"
import type { PlatformError } from "effect/PlatformError"
import { UsageError } from "./CliFailure.ts"
import type { SqlFile, SqlQuery } from "./SqlFile.ts"
import { parseSqlFile } from "./SqlFile.ts"
import { type SqlFileError, sqlFileError } from "./SqlFileError.ts"
import { advance, startOf } from "./SqlPlace.ts"
import { toLine } from "./TextValue.ts"

/**
 * A query and the file it stands in.
 *
 * @internal
 */
export interface FileQuery extends SqlQuery {
  readonly source: SqlFile
}

interface Input {
  /** As messages show it. */
  readonly file: string
  readonly defaultName: string
  readonly bytes: Uint8Array
}

const usage = (message: string) => new UsageError({ message })

/**
 * Reads every query that the paths name, in the order given. Fails with one line for the first thing that is wrong.
 *
 * @internal
 */
export const readQueries = Effect.fnUntraced(function* (paths: ReadonlyArray<string>) {
  if (paths.length === 0) {
    return yield* usage("No queries given. Name .sql files or folders, or - for standard input")
  }
  if (paths.indexOf("-") !== paths.lastIndexOf("-")) {
    return yield* usage("- is given twice, but standard input can be read only once")
  }
  const named = new Map<string, FileQuery>()
  for (const path of paths) {
    for (const { bytes, defaultName, file } of yield* path === "-" ? standardInput : findInputs(path)) {
      const parsed = yield* Effect.fromResult(
        Result.flatMap(decodeText(file, bytes), (text) => parseSqlFile({ file, defaultName, text }))
      ).pipe(Effect.mapError((error) => usage(error.message)))
      for (const query of parsed.queries) {
        const other = named.get(query.name)
        if (other !== undefined) {
          return yield* usage(
            `${query.file}:${query.line}: a query named "${toLine(query.name)}" already stands in ` +
              `${other.file}:${other.line}. Rename one of them`
          )
        }
        named.set(query.name, { ...query, source: parsed })
      }
    }
  }
  return [...named.values()]
})

/** Replaced by a question mark, what is not UTF-8 would reach the database. */
const decodeText = (file: string, bytes: Uint8Array): Result.Result<string, SqlFileError> => {
  try {
    return Result.succeed(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    const readable = new TextEncoder().encode(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes))
    const offset = bytes.findIndex((byte, index) => byte !== readable[index])
    // As part of a stream, so that the beginning of a character is no character yet.
    const before = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, offset), { stream: true })
    const byte = (bytes[offset] ?? 0).toString(16).padStart(2, "0")
    return Result.fail(sqlFileError(file, advance(before, startOf(before), before.length), "InvalidUtf8", `0x${byte}`))
  }
}

const standardInput = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  if (yield* stdio.stdinIsTerminal) yield* Console.error("Reading queries from the terminal. Ctrl-D ends them")
  const chunks = yield* Effect.mapError(Stream.runCollect(stdio.stdin), (error) =>
    usage(`Standard input cannot be read: ${error.message}`)
  )
  return [{ file: "<stdin>", defaultName: "stdin", bytes: Buffer.concat(chunks) }]
})

const whyUnreadable: ReadonlyMap<unknown, string> = new Map([
  ["ENOENT", "there is no such file or folder"],
  ["ENOTDIR", "there is no such file or folder"],
  ["EACCES", "it may not be read"],
  ["EPERM", "it may not be read"],
  ["EISDIR", "it is a folder"],
  ["ELOOP", "its symbolic links lead in a circle"]
])

/** @internal */
export const unreadable = (path: string) => (error: PlatformError) => {
  const { cause } = error.reason
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  return usage(`${toLine(path)}: ${whyUnreadable.get(code) ?? `it cannot be read: ${error.message}`}`)
}

/** A file by itself, or every .sql file below a folder; names are paths below the argument, without `.sql`. */
const findInputs = Effect.fnUntraced(function* (argument: string) {
  if (/^postgres(ql)?:\/\//.test(argument)) {
    return yield* usage("A connection URL stands in the place of a path. Give it as --url postgres://…")
  }
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const read = (file: string, name: string): Effect.Effect<Input, UsageError> =>
    Effect.map(Effect.mapError(fileSystem.readFile(file), unreadable(file)), (bytes) => ({
      file: toLine(file),
      defaultName: name.replace(/\.sql$/, "").replaceAll("\\", "/"),
      bytes
    }))
  const info = yield* Effect.mapError(fileSystem.stat(argument), unreadable(argument))
  if (info.type !== "Directory") return [yield* read(argument, path.basename(argument))]
  const names = yield* sqlFilesBelow(argument)
  if (names.length === 0) return yield* usage(`${toLine(argument)}: there is no .sql file in this folder`)
  return yield* Effect.forEach(names, (name) => read(path.join(argument, name), name))
})

/** The paths of the .sql files below a folder, from there and sorted. Links are followed, but to no folder twice. */
const sqlFilesBelow = Effect.fnUntraced(function* (root: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const found: Array<string> = []
  const seen = new Set<string>()
  const folders = [""]
  for (const folder of folders) {
    const full = path.join(root, folder)
    const real = yield* Effect.mapError(fileSystem.realPath(full), unreadable(full))
    if (seen.has(real)) continue
    seen.add(real)
    const entries = yield* Effect.mapError(fileSystem.readDirectory(full), unreadable(full))
    for (const entry of entries.toSorted()) {
      const name = path.join(folder, entry)
      const info = yield* Effect.result(fileSystem.stat(path.join(root, name)))
      // What cannot be read is none of our business, unless it is named like a query.
      if (Result.isFailure(info)) {
        if (entry.endsWith(".sql")) return yield* unreadable(path.join(root, name))(info.failure)
      } else if (info.success.type === "Directory") {
        folders.push(name)
      } else if (info.success.type === "File" && entry.endsWith(".sql")) {
        found.push(name)
      }
    }
  }
  return found.toSorted()
})
