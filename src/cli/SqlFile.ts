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
 * This is the convention of yesql and sqlc; sqlc's `:many` is accepted and has no effect. A name ends the statement
 * before it, with or without a semicolon, and a query has at least one statement. How a query is run stands in more
 * header lines above its first statement, see SqlHeader.ts.
 *
 * @since 0.1.0
 */
import { Result } from "effect"
import { faultOf } from "../query/Subquery.ts"
import { type SqlFileError, sqlFileError, type SqlFileErrorReason } from "./SqlFileError.ts"
import { readHeader, type SqlHeader, type SqlSettings } from "./SqlHeader.ts"
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
  /** What its header lines say, and those of its file. */
  readonly settings: SqlSettings
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
  const ofFile: Settings = {}
  let unnamed: Draft | undefined
  let current: Draft | undefined
  for (const piece of split.success) {
    if (piece._tag === "Statement") {
      current ??= unnamed = { place: piece.statement, settings: {}, statements: [] }
      current.statements.push(piece.statement)
      continue
    }
    const header = readHeader(piece.text, piece.place.line)
    if (header === undefined) continue
    if (header._tag !== "Name") {
      const isBelow = piece.inside || (current !== undefined && current.statements.length > 0)
      const fault = isBelow ? faultBelow(header) : addTo(current?.settings ?? ofFile, header)
      if (fault !== undefined) return failAt(piece.place, ...fault)
      continue
    }
    if (unnamed !== undefined) return failAt(unnamed.place, "StatementBeforeName")
    const [name = "", ...others] = header.value.split(/\s+/)
    if (name === "" || name.startsWith(":")) return failAt(piece.place, "EmptyName")
    if (!isName(name) || !isSqlcSuffix(others)) return failAt(piece.place, "InvalidName", header.value)
    if (named.has(name)) return failAt(piece.place, "DuplicateName", name)
    current = { place: piece.place, settings: {}, statements: [] }
    named.set(name, current)
  }

  const drafts = unnamed === undefined ? [...named] : [[defaultName, unnamed] as const]
  if (drafts.length === 0) return failAt(startOf(text), "EmptyFile")
  const queries: Array<SqlQuery> = []
  for (const [name, { place, settings, statements }] of drafts) {
    // What all of a file need may be one of them.
    const ofAll =
      unnamed !== undefined ? ofFile : { ...ofFile, needs: ofFile.needs?.filter((need) => need.name !== name) }
    if (statements.length === 0) return failAt(place, "EmptyQuery", name)
    const query = { name, file, line: place.line, settings: merge(ofAll, settings), statements }
    const fault = query.settings.partition === undefined ? undefined : faultOfParts(query)
    if (fault !== undefined) return failAt(statements[0] ?? place, ...fault)
    queries.push(query)
  }
  return Result.succeed({ file, text, queries })
}

type Settings = { -readonly [K in keyof SqlSettings]: SqlSettings[K] }

interface Draft {
  readonly place: SqlPlace
  readonly settings: Settings
  readonly statements: Array<SqlStatement>
}

// Header lines

type Fault = readonly [reason: SqlFileErrorReason, subject: string]

/** Adds one more setting to those of the same place, or says what is wrong with it. */
const addTo = (settings: Settings, header: Exclude<SqlHeader, { _tag: "Name" }>): Fault | undefined => {
  if (header._tag === "Unknown") return ["UnknownHeader", header.text]
  const { setting, value, word } = header
  if (setting === undefined) {
    const reason = invalid.get(word)
    return reason === undefined ? ["HeaderWithValue", word] : [reason, value]
  }
  if (setting.needs !== undefined) {
    settings.needs = [...(settings.needs ?? []), ...setting.needs]
    return undefined
  }
  if (setting.tags !== undefined) {
    const { tags } = settings
    const again = Object.keys(setting.tags).find((key) => tags !== undefined && Object.hasOwn(tags, key))
    if (again !== undefined) return ["DuplicateTag", again]
    settings.tags = { ...tags, ...setting.tags }
    return undefined
  }
  if (setting.mode !== undefined && settings.mode !== undefined && setting.mode !== settings.mode) {
    return ["ConflictingHeaders", word]
  }
  if (Object.keys(setting).some((key) => Object.hasOwn(settings, key))) return ["DuplicateHeader", word]
  Object.assign(settings, setting)
  return undefined
}

const invalid: ReadonlyMap<string, SqlFileErrorReason> = new Map([
  ["timeout", "InvalidTimeout"],
  ["retry", "InvalidRetry"],
  ["needs", "InvalidNeeds"],
  ["tag", "InvalidTag"],
  ["partition", "InvalidPartition"]
])

/** What is wrong with a query that is to be cut into parts. */
const faultOfParts = ({ name, settings, statements }: SqlQuery): Fault | undefined => {
  const [statement, ...others] = statements
  if (statement === undefined || others.length > 0) return ["PartitionOfMany", name]
  if (settings.mode === "transaction") return ["PartitionOfTransaction", name]
  const fault = faultOf(statement.text)
  return fault === undefined ? undefined : ["PartitionOfOther", fault]
}

/** The settings of a query, on top of those of its file. */
const merge = (ofFile: Settings, own: Settings): SqlSettings => {
  const { needs: _needs, tags: _tags, ...others } = { ...ofFile, ...own }
  const needs = [...(ofFile.needs ?? []), ...(own.needs ?? [])]
  const tags = { ...ofFile.tags, ...own.tags }
  return {
    ...others,
    ...(needs.length === 0 ? {} : { needs }),
    ...(Object.keys(tags).length === 0 ? {} : { tags })
  }
}

/** Below the first statement, only what can be nothing but a setting is one: it would do nothing there. */
const faultBelow = (header: SqlHeader): Fault | undefined =>
  header._tag === "Setting" && header.setting !== undefined ? ["MisplacedHeader", header.word] : undefined

const startsQuery = (comment: string): boolean => readHeader(comment)?._tag === "Name"

/** Lists of names are separated by commas, and sqlc's suffix begins with a colon. */
const isName = (word: string): boolean => /^[^,:\p{Cc}\p{Cf}]+$/u.test(word)

const isSqlcSuffix = (words: ReadonlyArray<string>): boolean =>
  words.length === 0 || (words.length === 1 && /^:[a-z]+$/.test(words[0] ?? ""))
