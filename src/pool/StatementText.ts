/**
 * What can be told from a statement's text without a server: by which word it begins, whether it has parameters, and
 * its normal form, in which texts are equal that pg_stat_statements counts together.
 *
 * pg_stat_statements keeps the text of the first execution, with `$1`, `$2` … in the place of constants, without the
 * comments before it. Two texts that differ in white space, in comments, in the case of words or in constants have one
 * normal form, and so have lists of constants of any length (`in ($1 /*, ... *\/)` since PostgreSQL 18). It is a
 * comparison of texts all the same. What it does not find is what PostgreSQL takes for a constant and a text does not
 * show as one (`limit all`), and the same table under another name.
 *
 * @internal
 */

const spaces = /(?:\s+|--[^\r\n]*)+/y
const commentMark = /\/\*|\*\//g
const literal = /(?:[bxn]|u&)?'[^']*(?:''[^']*)*'|e'[^'\\]*(?:(?:\\[^]|'')[^'\\]*)*'/iy
const dollarQuoted = /\$([a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy
const number = /0[xob][\da-f_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[+-]?\d+)?/iy
const parameter = /\$\d+/y
const quotedName = /(?:u&)?"[^"]*(?:""[^"]*)*"/iy
const word = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy

/** These are constants as well: `is null` has one normal form with `is true`, which no two statements differ in alone. */
const constantWords: ReadonlySet<string> = new Set(["null", "true", "false"])

interface Token {
  readonly kind: "constant" | "parameter" | "word" | "other"
  /** In lower case, but for quoted names. */
  readonly text: string
  readonly end: number
}

const matchAt = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Behind a block comment and all that are in it; to the end of the text where it has none. */
const endOfComment = (text: string, at: number): number => {
  commentMark.lastIndex = at
  let depth = 0
  for (let mark = commentMark.exec(text); mark !== null; mark = commentMark.exec(text)) {
    depth += mark[0] === "/*" ? 1 : -1
    if (depth === 0) return commentMark.lastIndex
  }
  return text.length
}

const skipSpace = (text: string, from: number): number => {
  let at = from
  for (;;) {
    at += matchAt(spaces, text, at)?.[0].length ?? 0
    if (!text.startsWith("/*", at)) return at
    at = endOfComment(text, at)
  }
}

/** The token that begins at an offset, which is not behind the end of the text. */
const tokenAt = (text: string, at: number): Token => {
  const constant = matchAt(literal, text, at) ?? matchAt(number, text, at)
  if (constant !== null) return { kind: "constant", text: "?", end: at + constant[0].length }
  const opening = matchAt(dollarQuoted, text, at)?.[0]
  if (opening !== undefined) {
    const closing = text.indexOf(opening, at + opening.length)
    return { kind: "constant", text: "?", end: closing < 0 ? text.length : closing + opening.length }
  }
  const numbered = matchAt(parameter, text, at)?.[0]
  if (numbered !== undefined) return { kind: "parameter", text: "?", end: at + numbered.length }
  const name = matchAt(quotedName, text, at)?.[0]
  if (name !== undefined) return { kind: "other", text: name, end: at + name.length }
  const found = matchAt(word, text, at)?.[0]
  if (found === undefined) return { kind: "other", text: text.charAt(at), end: at + 1 }
  const lower = found.toLowerCase()
  const isConstant = constantWords.has(lower)
  return { kind: isConstant ? "constant" : "word", text: isConstant ? "?" : lower, end: at + found.length }
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
  for (const token of tokensOf(text)) {
    // PostgreSQL makes a constant of the field in `extract(year from t)`.
    const isField = token.kind === "word" && parts.at(-1) === "(" && parts.at(-2) === "extract"
    if (token.text !== "?" && !isField) {
      parts.push(token.text)
      continue
    }
    // The sign of a negative number is a part of the constant to PostgreSQL.
    if (parts.at(-1) === "-") parts.pop()
    if (parts.at(-1) === "?") continue
    if (parts.at(-1) === "," && parts.at(-2) === "?") parts.pop()
    else parts.push("?")
  }
  while (parts.at(-1) === ";") parts.pop()
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
