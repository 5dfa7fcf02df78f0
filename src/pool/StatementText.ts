/**
 * What can be told from a statement's text without a server: by which word it begins, whether it has parameters, and
 * its normal form, in which texts are equal that pg_stat_statements counts together.
 *
 * pg_stat_statements keeps the text of the first execution, with `$1`, `$2` … in the place of constants, without the
 * comments before it. Two texts that differ in white space, in comments, in the case of words or in constants have one
 * normal form, and so have lists of constants of any length (`in ($1 /*, ... *\/)` since PostgreSQL 18). Of a DO block
 * it keeps the body, and so does its normal form.
 *
 * It is a comparison of texts all the same. What it does not find is `N'…'`, and the same table under another name.
 *
 * @internal
 */
import * as Sql from "../internal/sqlTokens.ts"

/** The lexer of sqlTokens.ts ends a number where another one begins, which is enough to find statements. */
const number = /0[xob][\da-f_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d+)?/iy

/** What may stand before a quote, and belongs to what is quoted. */
const prefix = /(?:[bxn]|u&)(?=')|u&(?=")/iy

/**
 * These are constants as well: `is null` has one normal form with `is true`, and `is nfc normalized` with `is nfd
 * normalized`, which no two statements differ in alone.
 */
const constantWords: ReadonlySet<string> = new Set(["null", "true", "false", "nfc", "nfd", "nfkc", "nfkd"])

interface Token {
  readonly kind: "constant" | "parameter" | "word" | "other"
  /** In lower case, but for what is quoted. */
  readonly text: string
  readonly end: number
}

const lengthAt = (pattern: RegExp, text: string, at: number): number => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0].length ?? 0
}

/** To the end of the text where it has none. */
const ended = (end: number, text: string): number => (end === Sql.unterminated ? text.length : end)

const skipSpace = (text: string, from: number): number => {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    const next = text.charCodeAt(at + 1)
    if (Sql.isSpace(code)) at++
    else if (code === Sql.dash && next === Sql.dash) at = Sql.endOfLine(text, at)
    else if (code === Sql.slash && next === Sql.star) at = ended(Sql.endOfBlockComment(text, at), text)
    else return at
  }
}

/** The token that begins at an offset, which is not behind the end of the text. */
const tokenAt = (text: string, at: number): Token => {
  const digits = lengthAt(number, text, at)
  if (digits > 0) return { kind: "constant", text: text.slice(at, at + digits), end: at + digits }
  const quoted = at + lengthAt(prefix, text, at)
  const code = text.charCodeAt(quoted)
  const end = ended(Sql.endOfToken(text, quoted, code), text)
  const raw = text.slice(at, end)
  if (code === Sql.quote) return { kind: "constant", text: raw, end }
  if (code === Sql.dollar) {
    if (Sql.dollarTag(text, at) !== undefined) return { kind: "constant", text: raw, end }
    return { kind: raw.length > 1 ? "parameter" : "other", text: raw, end }
  }
  if (!Sql.isWordStart(code)) return { kind: "other", text: raw, end }
  // An escape string: of all words only that one has a quote.
  if (raw.charCodeAt(1) === Sql.quote) return { kind: "constant", text: raw, end }
  const lower = raw.toLowerCase()
  return { kind: constantWords.has(lower) ? "constant" : "word", text: lower, end }
}

function* tokensOf(text: string): Generator<Token> {
  for (let at = skipSpace(text, 0); at < text.length;) {
    const token = tokenAt(text, at)
    yield token
    at = skipSpace(text, token.end)
  }
}

/**
 * The normal form of a statement.
 *
 * @internal
 */
export const normalForm = (text: string): string => {
  const parts: Array<string> = []
  const endsWith = (...last: ReadonlyArray<string>): boolean =>
    last.every((part, index) => parts.at(index - last.length) === part)
  /** Whether the last constant stands for several: a list of them is kept without their types. */
  let isList = false
  for (const { kind, text: part } of tokensOf(text)) {
    if (isList && kind === "word" && endsWith("?", ":", ":")) {
      parts.splice(-2)
      continue
    }
    const isConstant =
      kind === "constant" ||
      kind === "parameter" ||
      part === "?" ||
      // PostgreSQL makes constants of these.
      (kind === "word" && (endsWith("extract", "(") || (part === "all" && endsWith("limit"))))
    if (!isConstant || parts[0] === "do") {
      parts.push(part)
      continue
    }
    // The sign of a negative number is a part of the constant to PostgreSQL.
    while (endsWith("-")) parts.pop()
    if (endsWith("?")) continue
    const typed = parts.at(-2) ?? ""
    isList = endsWith("?", ",") || endsWith("?", ":", ":", typed, ",")
    if (isList) parts.splice(parts.lastIndexOf("?") + 1)
    else parts.push("?")
  }
  while (endsWith(";")) parts.pop()
  return parts.join(" ")
}

/** Words by which a statement begins that EXPLAIN plans without running it. `ANALYZE` would be an option of EXPLAIN. */
const planned: ReadonlySet<string> = new Set([
  "select",
  "with",
  "insert",
  "update",
  "delete",
  "merge",
  "values",
  "table"
])

/**
 * Whether EXPLAIN plans a statement without running any of it: by the word that it begins with, and because it has no
 * parameters, which would need values.
 *
 * @internal
 */
export const isPlannable = (text: string): boolean => {
  let isFirst = true
  for (const token of tokensOf(text)) {
    if (isFirst && !(token.kind === "word" && planned.has(token.text))) return false
    if (token.kind === "parameter") return false
    isFirst = false
  }
  return !isFirst
}

/** More says no more of a statement, and an insert of many rows has a megabyte of placeholders. */
const mostTold = 2_000

/**
 * A statement as it may be told of: as it is where it has parameters, since its values are then not in it, and otherwise
 * with `?` in the place of each constant, without comments. Long ones are cut off.
 *
 * @internal
 */
export const withoutConstants = (text: string): string => {
  let safe = ""
  let from = skipSpace(text, 0)
  for (let at = from; at < text.length;) {
    const { end, kind } = tokenAt(text, at)
    if (kind === "parameter") return shortened(text)
    if (at > from) safe += " "
    const isValue = kind === "constant" && !constantWords.has(text.slice(at, end).toLowerCase())
    safe += isValue ? "?" : text.slice(at, end)
    from = end
    at = skipSpace(text, end)
  }
  return shortened(safe)
}

const shortened = (text: string): string => (text.length <= mostTold ? text : `${text.slice(0, mostTold)}…`)
