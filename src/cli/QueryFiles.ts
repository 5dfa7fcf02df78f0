/**
 * From the paths of a command line to queries: files, folders (recursive, sorted), or `-` for standard input.
 *
 * @internal
 */
import { Effect, FileSystem, Option, Path, Stdio, Stream } from "effect"
import type { PlatformError } from "effect/PlatformError"
import { UsageError } from "./CliFailure.ts"
import type { SqlFile, SqlQuery } from "./SqlFile.ts"
import { parseSqlFile } from "./SqlFile.ts"

/**
 * A query and the file it stands in.
 *
 * @internal
 */
export interface FileQuery extends SqlQuery {
  readonly source: SqlFile
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
  const named = new Map<string, FileQuery>()
  for (const path of paths) {
    for (const input of yield* path === "-" ? standardInput : findFiles(path)) {
      const parsed = yield* Effect.fromResult(parseSqlFile(input)).pipe(
        Effect.mapError((error) => usage(error.message))
      )
      for (const query of parsed.queries) {
        const other = named.get(query.name)
        if (other !== undefined) {
          return yield* usage(
            `${query.file}:${query.line}: a query named "${query.name}" already stands in ${other.file}:${other.line}. ` +
              `Rename one of them`
          )
        }
        named.set(query.name, { ...query, source: parsed })
      }
    }
  }
  return [...named.values()]
})

const standardInput = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  const text = yield* stdio.stdin
    .pipe(Stream.decodeText, Stream.mkString)
    .pipe(Effect.mapError((error) => usage(`Standard input cannot be read: ${error.message}`)))
  return [{ file: "-", defaultName: "stdin", text }]
})

const readable = (path: string) => (error: PlatformError) => {
  const { reason } = error
  if (reason._tag === "NotFound") return usage(`${path}: there is no such file or folder`)
  if (reason._tag === "PermissionDenied") return usage(`${path}: it may not be read`)
  return usage(`${path}: it cannot be read: ${error.message}`)
}

/** A file by itself, or every .sql file below a folder; names are paths below the argument, without `.sql`. */
const findFiles = Effect.fnUntraced(function* (argument: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const info = yield* Effect.mapError(fileSystem.stat(argument), readable(argument))
  const read = (file: string, name: string) =>
    Effect.map(Effect.mapError(fileSystem.readFileString(file), readable(file)), (text) => ({
      file,
      defaultName: name.replace(/\.sql$/, "").replaceAll("\\", "/"),
      text
    }))
  if (info.type !== "Directory") return [yield* read(argument, path.basename(argument))]
  const entries = yield* Effect.mapError(fileSystem.readDirectory(argument, { recursive: true }), readable(argument))
  const names = entries.filter((name) => name.endsWith(".sql")).toSorted()
  const files: Array<{ readonly file: string; readonly defaultName: string; readonly text: string }> = []
  for (const name of names) {
    const file = path.join(argument, name)
    const type = Option.map(yield* Effect.option(fileSystem.stat(file)), (found) => found.type)
    if (Option.contains(type, "Directory")) continue
    files.push(yield* read(file, name))
  }
  if (files.length === 0) return yield* usage(`${argument}: there is no .sql file in this folder`)
  return files
})
