/**
 * The file of `--targets`: databases that the same queries are run on, each a line `name = url`.
 *
 *     # Shops
 *     berlin = postgres://me@db1.example.com/shop
 *     paris  = postgres://me@db2.example.com/shop?sslmode=verify-full
 *
 * Blank lines and lines that begin with `#` say nothing. What a URL leaves open is filled in as for `--url`, from the PG*
 * variables and the password file. A message names file and line, and quotes nothing but the names of targets: whatever
 * else stands in a line may be, or may hold, a password.
 *
 * @internal
 */
import { Effect, FileSystem, Redacted, Result } from "effect"
import { UsageError } from "./CliFailure.ts"
import type { Database } from "./Database.ts"
import { databaseAt } from "./Database.ts"
import { unreadable } from "./QueryFiles.ts"
import { toLine } from "./TextValue.ts"

/**
 * A line of the file.
 *
 * @internal
 */
export interface TargetLine {
  readonly name: string
  readonly url: Redacted.Redacted
  /** From 1. */
  readonly line: number
}

/**
 * A database to run the queries on.
 *
 * @internal
 */
export interface Target extends Database {
  readonly name: string
}

const shape = "name = postgres://user:password@host:port/database"

/** Part of a URL, such as one that stands in a line without its name, may hold a password. */
const isName = (text: string): boolean => /^[^:/@\p{Cc}\p{Cf}]+$/u.test(text)

/**
 * Reads the text of the file; says what is wrong with the first line that cannot be used, and where that is. Whether a
 * URL can be used is not asked here.
 *
 * @internal
 */
export const parseTargets = (file: string, text: string): Result.Result<ReadonlyArray<TargetLine>, string> => {
  const targets = new Map<string, TargetLine>()
  for (const [index, content] of text.split(/\r\n|[\r\n]/).entries()) {
    const line = index + 1
    const fault = (message: string) => Result.fail(`${file}:${line}: ${message}`)
    const trimmed = content.trim()
    if (trimmed === "" || trimmed.startsWith("#")) continue
    const at = trimmed.indexOf("=")
    const name = trimmed.slice(0, at).trim()
    const url = trimmed.slice(at + 1).trim()
    if (at < 0) return fault(`expected \`${shape}\`, and there is no =`)
    if (!isName(name)) return fault(`expected \`${shape}\`, and what stands before the = is no name`)
    if (url === "") return fault(`target "${name}" has no URL`)
    if (/\s/.test(url)) return fault(`the URL of target "${name}" has blanks. A comment needs a line of its own`)
    const other = targets.get(name)
    if (other !== undefined)
      return fault(`a target named "${name}" stands in line ${other.line} already. Rename one of them`)
    targets.set(name, { name, url: Redacted.make(url), line })
  }
  if (targets.size === 0) return Result.fail(`${file}: there is no target in it. Write lines \`${shape}\``)
  return Result.succeed([...targets.values()])
}

const decodeText = (file: string, bytes: Uint8Array): Result.Result<string, string> => {
  try {
    return Result.succeed(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    return Result.fail(`${file}: this is not UTF-8 text. Save it as UTF-8`)
  }
}

/**
 * Reads the targets of a file. Fails with one line for the first thing that is wrong.
 *
 * @internal
 */
export const readTargets = Effect.fnUntraced(function* (path: string, env: Parameters<typeof databaseAt>[2]) {
  const fileSystem = yield* FileSystem.FileSystem
  const bytes = yield* Effect.mapError(fileSystem.readFile(path), unreadable(path))
  const file = toLine(path)
  const lines = yield* Effect.fromResult(
    Result.flatMap(decodeText(file, bytes), (text) => parseTargets(file, text))
  ).pipe(Effect.mapError((message) => new UsageError({ message })))
  return yield* Effect.forEach(lines, ({ line, name, url }) =>
    Effect.map(databaseAt(`${file}:${line}`, url, env), (database): Target => ({ name, ...database }))
  )
})
