/**
 * A line of text and a caret under one of its columns, for an error's message.
 *
 * Columns are code points. What would act on a terminal stands as a blank, and a tab as one too; a wide character
 * shifts the caret by a cell.
 *
 * @internal
 */

/** As much as fits a terminal of 80 cells beside the indent and the line's number. */
const width = 72

const cut = "..."

// A tab would move the caret elsewhere than the text; a control character of the SQL could colour or clear a terminal.
const unprintable = /[\p{Cc}\p{Cs}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu

/**
 * The line, cut around the column (from 1) when it is longer than 72 characters, and the caret's line.
 *
 * @internal
 */
export const excerpt = (line: string, column: number): readonly [source: string, caret: string] => {
  let at = 0
  for (let left = column - 1; left > 0 && at < line.length; left--) at += (line.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  // A line can be megabytes long: what is further away cannot be shown.
  const before = Array.from(line.slice(Math.max(at - 2 * width, 0), at))
  const after = Array.from(line.slice(at, at + 2 * width))
  const all = before.length + after.length <= width
  // Half on each side, and what one side leaves goes to the other.
  const left = all ? before.length : Math.min(before.length, Math.max(width / 2, width - after.length))
  const right = all ? after.length : width - left
  const start = left < before.length ? cut : ""
  const end = right < after.length ? cut : ""
  const shown = [...before.slice(before.length - left), ...after.slice(0, right)].join("").replace(unprintable, " ")
  return [start + shown + end, `${" ".repeat(start.length + left)}^`]
}
