/**
 * Splits SQL text into its statements, as psql does, without a server.
 *
 * It follows the rules of PostgreSQL's lexer (sqlTokens.ts), and of psqlscan.l for what ends a statement: a semicolon
 * outside of quotes, comments, parentheses and a `BEGIN ATOMIC … END` body. Whether it is valid is for the server to say.
 *
 * A statement's text is a slice of the input: from its first token or block comment to its last. Block comments are
 * kept, because hints for extensions and the marks of tracers live there; white space and `--` comments around the
 * statement, and the semicolon, are not. A statement of comments alone is none.
 *
 * Time is linear in the length of the text, and nesting takes no stack.
 *
 * @since 0.1.0
 */
import { Result } from "effect"
import {
  backslash,
  closeParen,
  dash,
  dollar,
  dollarTag,
  doubleQuote,
  endOfBlockComment,
  endOfLine,
  endOfToken,
  isLetter,
  isNewline,
  isSpace,
  isWordStart,
  openParen,
  quote,
  semicolon,
  skip,
  slash,
  star,
  unterminated
} from "../internal/sqlTokens.ts"
import { type SqlFileError, sqlFileError, type SqlFileErrorReason } from "./SqlFileError.ts"
import { advance, type SqlPlace, startOf } from "./SqlPlace.ts"

/**
 * One statement, and where its text stands.
 *
 * @since 0.1.0
 */
export interface SqlStatement extends SqlPlace {
  readonly text: string
  /** What is sent in place of the text, where that has parameters: of the same length. */
  readonly bound?: { readonly text: string; readonly parameters: ReadonlyArray<unknown> } | undefined
}

/**
 * A part of a file in its order: a statement, or a `--` comment that has a line of its own. A comment inside of a
 * statement comes before it.
 *
 * @since 0.1.0
 */
export type SqlPiece =
  | { readonly _tag: "Statement"; readonly statement: SqlStatement }
  | {
      readonly _tag: "Comment"
      readonly text: string
      readonly place: SqlPlace
      /** Whether a statement has begun before it and goes on. */
      readonly inside: boolean
    }

/**
 * Splits a text into its statements. `file` names the text in errors.
 *
 * @since 0.1.0
 */
export const splitStatements = (
  text: string,
  file = "<sql>"
): Result.Result<ReadonlyArray<SqlStatement>, SqlFileError> =>
  Result.map(
    splitPieces(text, file, () => false),
    (pieces) => pieces.flatMap((piece) => (piece._tag === "Statement" ? [piece.statement] : []))
  )

/**
 * Splits a text into its statements and its `--` comments that have a line of their own, outside of quotes, block
 * comments, parentheses and a function's body.
 *
 * A comment for which `endsStatement` holds ends a statement as a semicolon would.
 *
 * @since 0.1.0
 */
export const splitPieces = (
  text: string,
  file: string,
  endsStatement: (comment: string) => boolean
): Result.Result<ReadonlyArray<SqlPiece>, SqlFileError> => {
  const pieces: Array<SqlPiece> = []
  const first = startOf(text)
  let known = first
  let open: Open | undefined

  const placeOf = (offset: number): SqlPlace => (known = advance(text, known, offset))
  const failAt = (offset: number, reason: SqlFileErrorReason, subject?: string) =>
    Result.fail(sqlFileError(file, advance(text, known, offset), reason, subject))
  const close = () => {
    if (open?.hasToken === true) {
      const { place, end } = open
      pieces.push({ _tag: "Statement", statement: { ...place, text: text.slice(place.offset, end) } })
    }
    open = undefined
  }

  // Sent to the server, a zero byte would end the statement in its middle.
  const zero = text.indexOf("\0")
  if (zero >= 0) return failAt(zero, "ZeroByte")

  let at = first.offset
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (isSpace(code)) {
      at++
      continue
    }
    if (code === dash && text.charCodeAt(at + 1) === dash) {
      const end = endOfLine(text, at)
      if (isBetweenParts(open) && hasOwnLine(text, at, first.offset)) {
        const comment = text.slice(at, end)
        if (endsStatement(comment)) close()
        pieces.push({ _tag: "Comment", text: comment, place: placeOf(at), inside: open?.hasToken === true })
      }
      at = end
      continue
    }
    if (code === semicolon && isOutermost(open)) {
      close()
      at++
      continue
    }

    const isComment = code === slash && text.charCodeAt(at + 1) === star
    const end = isComment ? endOfBlockComment(text, at) : endOfToken(text, at, code)
    if (end === unterminated) return failAt(at, ...unterminatedAt(text, at, code))
    open ??= begin(placeOf(at))
    open.end = end
    if (!isComment) {
      open.hasToken = true
      if (isWordStart(code) && text.charCodeAt(end - 1) !== quote) {
        const word = end - at > longestKeyword ? "" : text.slice(at, end).toLowerCase()
        if (isCopyStream(open, word)) return failAt(at, "CopyStream", `copy ${open.previous} ${word}`.toUpperCase())
        readWord(open, word)
      } else if (code === backslash) {
        return failAt(at, "PsqlCommand", psqlCommand(text, at))
      } else {
        readSymbol(open, code)
      }
    }
    at = end
  }
  close()
  return Result.succeed(pieces)
}

// What is known of the statement that is being read

interface Open {
  readonly place: SqlPlace
  /** Behind the last token or block comment. */
  end: number
  hasToken: boolean
  /** Open parentheses. */
  parens: number
  /** Open `BEGIN ATOMIC` and, inside of it, `CASE`. */
  blocks: number
  /** The first four words: enough for `create or replace function`. */
  head: string
  words: number
  /** The last token: a word in lower case, or the first character of anything else. */
  previous: string
}

const begin = (place: SqlPlace): Open => ({
  place,
  end: place.offset,
  hasToken: false,
  parens: 0,
  blocks: 0,
  head: "",
  words: 0,
  previous: ""
})

const isOutermost = (open: Open | undefined): boolean => open === undefined || (open.parens === 0 && open.blocks === 0)

/** A header behind `;` counts even inside of parentheses: a missing `)` would swallow every query that follows. */
const isBetweenParts = (open: Open | undefined): boolean =>
  isOutermost(open) || (open?.blocks === 0 && open.previous === ";")

const longestKeyword = "procedure".length
const createsRoutine = /^create (or replace )?(function|procedure) /

const readWord = (open: Open, word: string): void => {
  if (open.words < 4) {
    open.words++
    open.head += `${word} `
  }
  // `as end` and `t.case` are names. `BEGIN` alone may be one too, so only `BEGIN ATOMIC` opens a body.
  const isName = open.previous === "as" || open.previous === "."
  if (open.parens === 0 && !isName) {
    if (word === "atomic" && open.previous === "begin" && createsRoutine.test(open.head)) open.blocks++
    else if (word === "case" && open.blocks > 0) open.blocks++
    else if (word === "end" && open.blocks > 0) open.blocks--
  }
  open.previous = word
}

const readSymbol = (open: Open, code: number): void => {
  if (code === openParen) open.parens++
  else if (code === closeParen && open.parens > 0) open.parens--
  open.previous = String.fromCharCode(code)
}

/** `COPY … FROM STDIN` and `TO STDOUT`; PostgreSQL's grammar takes each of the two words in both directions. */
const isCopyStream = (open: Open, word: string): boolean =>
  (word === "stdin" || word === "stdout") &&
  (open.previous === "from" || open.previous === "to") &&
  open.parens === 0 &&
  open.head.startsWith("copy ")

const hasOwnLine = (text: string, at: number, first: number): boolean => {
  let from = at
  while (isSpace(text.charCodeAt(from - 1)) && !isNewline(text.charCodeAt(from - 1))) from--
  return from === first || isNewline(text.charCodeAt(from - 1))
}

const unterminatedAt = (text: string, at: number, code: number): readonly [SqlFileErrorReason, string?] => {
  if (code === slash) return ["UnterminatedComment"]
  if (code === doubleQuote) return ["UnterminatedIdentifier"]
  if (code === dollar) return ["UnterminatedDollarQuote", dollarTag(text, at) ?? ""]
  return ["UnterminatedString"]
}

const psqlCommand = (text: string, at: number): string => {
  const end = skip(text, at + 1, (code) => isLetter(code) || code === 0x5f)
  return end > at + 1 ? text.slice(at, end) : text.slice(at, at + 2).trimEnd()
}
