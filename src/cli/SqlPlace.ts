/**
 * Places in a `.sql` file: from an offset, or from the position in PostgreSQL's error, to a line and a column, and to
 * the two lines that show it.
 *
 * A line ends at LF, CRLF or CR, as PostgreSQL's own `--` comments do. A column counts characters (code points) from
 * 1. A byte order mark at the start of the text is no character of the first line.
 *
 * @since 0.1.0
 */
import { isNewline } from "../internal/sqlTokens.ts"

/**
 * A place in a text.
 *
 * @since 0.1.0
 */
export interface SqlPlace {
  /** In UTF-16 code units from 0: what `String.prototype.slice` takes. */
  readonly offset: number
  /** From 1. */
  readonly line: number
  /** From 1, in code points. */
  readonly column: number
}

const lineFeed = 0x0a
const carriageReturn = 0x0d
const byteOrderMark = 0xfeff

/**
 * Where a text begins: behind its byte order mark, if it has one.
 *
 * @since 0.1.0
 */
export const startOf = (text: string): SqlPlace => ({
  offset: text.charCodeAt(0) === byteOrderMark ? 1 : 0,
  line: 1,
  column: 1
})

/**
 * Goes on from a known place to a later offset; reads only what lies between them.
 *
 * @since 0.1.0
 */
export const advance = (text: string, from: SqlPlace, offset: number): SqlPlace => {
  let { line, column } = from
  for (let at = from.offset; at < offset; at++) {
    const code = text.charCodeAt(at)
    if (code === lineFeed || (code === carriageReturn && text.charCodeAt(at + 1) !== lineFeed)) {
      line++
      column = 1
    } else if (!isSecondHalf(text, at, code)) {
      column++
    }
  }
  return { offset, line, column }
}

const isSecondHalf = (text: string, at: number, code: number): boolean =>
  code >= 0xdc00 && code <= 0xdfff && at > 0 && (text.codePointAt(at - 1) ?? 0) > 0xffff

/**
 * Where in the file an error of the server points to.
 *
 * `text` is the whole file, `statement` one that was split from it and sent as it is, and `position` the field of
 * PostgreSQL's ErrorResponse: characters from 1. A position outside of the statement gives its nearest end.
 *
 * @since 0.1.0
 */
export const locate = (text: string, statement: SqlPlace & { readonly text: string }, position: number): SqlPlace => {
  const end = statement.offset + statement.text.length
  let offset = statement.offset
  for (let left = position - 1; left > 0 && offset < end; left--) {
    offset += (text.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1
  }
  return advance(text, statement, offset)
}

/**
 * Two lines: the source line of a place, and a caret under the place.
 *
 * Neither is wider than `width` terminal cells (default 80, at least 20); a longer line is cut around the place and
 * `...` marks the cuts. A tab counts as 8 cells, which is the most it can take.
 *
 * @since 0.1.0
 */
export const excerpt = (text: string, { offset }: Pick<SqlPlace, "offset">, width = 80): string => {
  const cells = Math.max(width, 20)
  // A line can be megabytes long: glyphs further away than this cannot be shown, unless most of them take no cell.
  const reach = 4 * cells
  const first = startOf(text).offset
  let from = offset
  while (from > first && offset - from < reach && !isNewline(text.charCodeAt(from - 1))) from--
  let to = offset
  while (to < text.length && to - offset < reach && !isNewline(text.charCodeAt(to))) to++

  const before = Array.from(text.slice(from, offset), glyphOf).toReversed()
  const after = Array.from(text.slice(offset, to), glyphOf)
  const { left, right } = around(before, after, cells)
  const leftCut = left.length < before.length ? "..." : ""
  const rightCut = right.length < after.length ? "..." : ""
  const shownLeft = left.toReversed()
  const source = leftCut + [...shownLeft, ...right].map((glyph) => glyph.shown).join("") + rightCut
  const indent = " ".repeat(leftCut.length) + shownLeft.map(blankOf).join("")
  return `${source}\n${indent}^`
}

interface Glyph {
  readonly shown: string
  readonly cells: number
}

/** What fits beside the place, nearest first: all, or half on each side, and what one side leaves goes to the other. */
const around = (before: ReadonlyArray<Glyph>, after: ReadonlyArray<Glyph>, cells: number) => {
  // The caret needs a cell of its own when it stands behind the line.
  if (cellsOf(before) + Math.max(cellsOf(after), 1) <= cells) return { left: before.slice(), right: after }
  const room = cells - 2 * "...".length
  const right = fit(after, room - cellsOf(fit(before, Math.floor(room / 2))))
  return { left: fit(before, room - Math.max(cellsOf(right), 1)), right }
}

const fit = (glyphs: ReadonlyArray<Glyph>, cells: number): Array<Glyph> => {
  let left = cells
  const end = glyphs.findIndex((glyph) => (left -= glyph.cells) < 0)
  return glyphs.slice(0, end === -1 ? glyphs.length : end)
}

const cellsOf = (glyphs: ReadonlyArray<Glyph>): number => glyphs.reduce((sum, glyph) => sum + glyph.cells, 0)

const blankOf = (glyph: Glyph): string => (glyph.shown === "\t" ? "\t" : " ".repeat(glyph.cells))

// A control character of the file would act on the terminal (colours, cursor, direction of writing).
const unprintable = /[\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u
const withoutWidth = /[\p{M}\p{Cf}]/u
// The blocks that are wholly wide or fullwidth in Unicode's EastAsianWidth.txt, and what is shown as a picture.
const doubleWidth =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{17000}-\u{18cff}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u

const glyphOf = (character: string): Glyph => {
  if (character === "\t") return { shown: character, cells: 8 }
  if (character >= " " && character <= "~") return { shown: character, cells: 1 }
  if (unprintable.test(character)) return { shown: "\ufffd", cells: 1 }
  if (withoutWidth.test(character)) return { shown: character, cells: 0 }
  return { shown: character, cells: doubleWidth.test(character) ? 2 : 1 }
}
