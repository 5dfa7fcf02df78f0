/**
 * The tokens of SQL, by the rules of PostgreSQL's lexer (scan.l) with `standard_conforming_strings` on: where a string, a
 * name, a number or a comment ends.
 *
 * Each `endOf…` takes the offset of a token's first character and gives the offset behind its last, or `unterminated`.
 * Time is linear in the length of the text, and nesting takes no stack.
 *
 * @internal
 */

export const dash = 0x2d
export const slash = 0x2f
export const star = 0x2a
export const semicolon = 0x3b
export const backslash = 0x5c
export const quote = 0x27
export const doubleQuote = 0x22
export const dollar = 0x24
const point = 0x2e
export const openParen = 0x28
export const closeParen = 0x29

/** The token has no end. */
export const unterminated = -1

export const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d)
export const isNewline = (code: number): boolean => code === 0x0a || code === 0x0d
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39
export const isLetter = (code: number): boolean => (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a)
/** Every character beyond ASCII counts as a letter, the no-break space among them. */
export const isWordStart = (code: number): boolean => isLetter(code) || code === 0x5f || code >= 0x80
const isTagPart = (code: number): boolean => isWordStart(code) || isDigit(code)
const isWordPart = (code: number): boolean => isTagPart(code) || code === dollar

export const skip = (text: string, at: number, holds: (code: number) => boolean): number => {
  let end = at
  while (end < text.length && holds(text.charCodeAt(end))) end++
  return end
}

export const endOfLine = (text: string, at: number): number => skip(text, at, (code) => !isNewline(code))

/** Operators need no rule of their own: they end where `--` or a block comment begins, and hold no quote. */
export const endOfToken = (text: string, at: number, code: number): number => {
  if (code === quote) return endOfQuoted(text, at, "'")
  if (code === doubleQuote) return endOfQuoted(text, at, `"`)
  if (code === dollar) return endOfDollar(text, at)
  if (isDigit(code)) return endOfNumber(text, at)
  if (!isWordStart(code)) return at + 1
  const end = skip(text, at + 1, isWordPart)
  const isEscapeString = end === at + 1 && (code === 0x65 || code === 0x45) && text.charCodeAt(end) === quote
  return isEscapeString ? endOfEscapeString(text, end) : end
}

const endOfQuoted = (text: string, at: number, mark: "'" | `"`): number => {
  let end = text.indexOf(mark, at + 1)
  while (end >= 0 && text[end + 1] === mark) end = text.indexOf(mark, end + 2)
  return end < 0 ? unterminated : end + 1
}

const endOfEscapeString = (text: string, at: number): number => {
  const marks = /\\.?|''?/g
  marks.lastIndex = at + 1
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    if (mark[0] !== "'") continue
    // `E'a'`, a newline and `'b\'c'` are one string: its second part knows backslashes as well.
    const next = startOfContinuation(text, marks.lastIndex)
    if (next === undefined) return marks.lastIndex
    marks.lastIndex = next + 1
  }
  return unterminated
}

const startOfContinuation = (text: string, at: number): number | undefined => {
  let next = at
  let hasNewline = false
  while (next < text.length) {
    const code = text.charCodeAt(next)
    if (isSpace(code)) {
      hasNewline ||= isNewline(code)
      next++
    } else if (code === dash && text.charCodeAt(next + 1) === dash) {
      next = endOfLine(text, next)
    } else {
      break
    }
  }
  return hasNewline && text.charCodeAt(next) === quote ? next : undefined
}

/** The `$tag$` that opens at an offset, if one does. */
export const dollarTag = (text: string, at: number): string | undefined => {
  const end = isWordStart(text.charCodeAt(at + 1)) ? skip(text, at + 1, isTagPart) : at + 1
  return text.charCodeAt(end) === dollar ? text.slice(at, end + 1) : undefined
}

const endOfDollar = (text: string, at: number): number => {
  const tag = dollarTag(text, at)
  if (tag === undefined) return skip(text, at + 1, isDigit)
  const end = text.indexOf(tag, at + tag.length)
  return end < 0 ? unterminated : end + tag.length
}

/** The point belongs to the number, because `end` behind a point of its own is a name: `case when a then 1. end`. */
const endOfNumber = (text: string, at: number): number => {
  const end = skip(text, at, isDigit)
  return text.charCodeAt(end) === point ? skip(text, end + 1, isDigit) : end
}

/** Behind white space and comments, if there are any. */
export const endOfGap = (text: string, from: number): number => {
  let at = from
  for (;;) {
    at = skip(text, at, isSpace)
    const [code, next] = [text.charCodeAt(at), text.charCodeAt(at + 1)]
    if (code === dash && next === dash) at = endOfLine(text, at)
    else if (code === slash && next === star) at = endOfBlockComment(text, at)
    else return at
    if (at === unterminated) return at
  }
}

export const endOfBlockComment = (text: string, at: number): number => {
  const marks = /\/\*|\*\//g
  marks.lastIndex = at
  let depth = 0
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    depth += mark[0] === "/*" ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
  return unterminated
}
