/**
 * Reads the text of a `.sql` file as named queries.
 *
 * A file is one query with the name that the caller gives it, or many, each under a header line of its own:
 *
 *     -- name: authors
 *     select * from authors;
 *
 *     -- name: books :many
 *     create temp table recent as select * from books where year > 2000;
 *     select * from recent;
 *
 * This is the convention of yesql and sqlc; sqlc's `:many` is accepted and has no effect. A header ends the
 * statement before it, with or without a semicolon, and a query has at least one statement.
 *
 * @since 0.1.0
 */
import { Result } from "effect"
import { type SqlFileError, sqlFileError, type SqlFileErrorReason } from "./SqlFileError.ts"
import { type SqlPlace, startOf } from "./SqlPlace.ts"
import { splitPieces, type SqlStatement } from "./SqlSplitter.ts"

/**
 * One query of a file: its statements run in this order.
 *
 * @since 0.1.0
 */
export interface SqlQuery {
  readonly name: string
  readonly file: string
  /** From 1: the line of its header or, in a file without headers, of its first statement. */
  readonly line: number
  readonly statements: ReadonlyArray<SqlStatement>
}

/**
 * The queries of a file, in their order, with the text that their places refer to.
 *
 * @since 0.1.0
 */
export interface SqlFile {
  readonly file: string
  readonly text: string
  readonly queries: ReadonlyArray<SqlQuery>
}

/**
 * Reads the text of a file. `file` is its path as errors show it, `defaultName` the name of its query when it has no
 * `-- name:` line.
 *
 * @since 0.1.0
 */
export const parseSqlFile = (input: {
  readonly file: string
  readonly defaultName: string
  readonly text: string
}): Result.Result<SqlFile, SqlFileError> => {
  const { file, defaultName, text } = input
  const failAt = (place: SqlPlace, reason: SqlFileErrorReason, subject?: string) =>
    Result.fail(sqlFileError(file, place, reason, subject))

  const split = splitPieces(text, file, startsQuery)
  if (Result.isFailure(split)) return Result.fail(split.failure)

  const named = new Map<string, Draft>()
  let unnamed: Draft | undefined
  let current: Draft | undefined
  for (const piece of split.success) {
    if (piece._tag === "Statement") {
      current ??= unnamed = { place: piece.statement, statements: [] }
      current.statements.push(piece.statement)
      continue
    }
    const header = readHeader(piece.text)
    if (header?.key !== "name") continue
    if (unnamed !== undefined) return failAt(unnamed.place, "StatementBeforeName")
    const [name = "", ...others] = header.value.split(/\s+/)
    if (name === "" || name.startsWith(":")) return failAt(piece.place, "EmptyName")
    if (!isName(name) || !isSqlcSuffix(others)) return failAt(piece.place, "InvalidName", header.value)
    if (named.has(name)) return failAt(piece.place, "DuplicateName", name)
    current = { place: piece.place, statements: [] }
    named.set(name, current)
  }

  const drafts = unnamed === undefined ? [...named] : [[defaultName, unnamed] as const]
  if (drafts.length === 0) return failAt(startOf(text), "EmptyFile")
  const queries: Array<SqlQuery> = []
  for (const [name, { place, statements }] of drafts) {
    if (statements.length === 0) return failAt(place, "EmptyQuery", name)
    queries.push({ name, file, line: place.line, statements })
  }
  return Result.succeed({ file, text, queries })
}

interface Draft {
  readonly place: SqlPlace
  readonly statements: Array<SqlStatement>
}

// Header lines

/** The keys that a header line can have: any other comment with a colon is only a comment. */
const headerKeys: ReadonlySet<string> = new Set(["name"])

interface Header {
  readonly key: string
  readonly value: string
}

/** In lower case only: pg_dump writes `-- Name: authors; Type: TABLE` above each object. */
const readHeader = (comment: string): Header | undefined => {
  const colon = comment.indexOf(":")
  const key = comment.slice("--".length, Math.max(colon, 0)).trim()
  return headerKeys.has(key) ? { key, value: comment.slice(colon + 1).trim() } : undefined
}

const startsQuery = (comment: string): boolean => readHeader(comment)?.key === "name"

/** Lists of names are separated by commas, and sqlc's suffix begins with a colon. */
const isName = (word: string): boolean => /^[^,:\p{Cc}\p{Cf}]+$/u.test(word)

const isSqlcSuffix = (words: ReadonlyArray<string>): boolean =>
  words.length === 0 || (words.length === 1 && /^:[a-z]+$/.test(words[0] ?? ""))
