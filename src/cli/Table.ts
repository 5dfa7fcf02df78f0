/**
 * Tables of text that fit where they are shown.
 *
 * On a terminal a table is never wider than the terminal: the widest columns give way, what does not fit ends in `…`,
 * and a table of too many columns becomes a list of records. Elsewhere nothing is cut, and a table can be longer than a
 * text can be: its lines are made one by one.
 *
 * @internal
 */
import { CliOutput } from "effect/cli"
import { styleText } from "node:util"

/** @internal */
export interface Column {
  readonly name: string
  readonly align: "left" | "right"
}

/**
 * Where a table goes.
 *
 * @internal
 */
export interface Screen {
  /** Cells in a line, or `undefined` for a file or a pipe. */
  readonly width: number | undefined
  readonly color: boolean
}

/** A column is not made narrower than this: below it nothing can be recognised. */
const narrowest = 6
/** Between two columns. */
const gap = 2

/** @internal */
export const style = (screen: Screen, format: Parameters<typeof styleText>[0], text: string): string =>
  screen.color ? styleText(format, text, { validateStream: false }) : text

/** A cell of the screen shows one character, and what is joined to it: accents, or the parts of an emoji. */
const mostPerCell = 16

/**
 * As much of a value as the screen can show, and `…` where that is not all: a table that waits for its last row needs to
 * keep no more.
 *
 * @internal
 */
export const shorten = (text: string, { width }: Screen): string => {
  const most = (width ?? Infinity) * mostPerCell
  if (text.length <= most) return text
  // A copy: a slice would keep the whole value in memory.
  return `${structuredClone(text.slice(0, most).toWellFormed())}…`
}

/**
 * Draws rows of cells under a header. Cells must be single lines without control characters.
 *
 * @internal
 */
export const draw = (...table: Parameters<typeof drawLines>): string => [...drawLines(...table)].join("\n")

/**
 * The lines of what `draw` draws.
 *
 * @internal
 */
export function* drawLines(
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  screen: Screen
): Generator<string> {
  const heads = columns.map((column) => measured(column.name))
  const body = rows.map((row) => columns.map((_, index) => measured(row[index] ?? "")))
  const natural = heads.map((head, index) =>
    body.reduce((width, cells) => Math.max(width, cells[index]?.width ?? 0), head.width)
  )
  const widths = screen.width === undefined ? natural : fit(natural, screen.width - gap * (columns.length - 1))
  if (widths === undefined) return yield* records(heads, body, screen)
  const line = (cells: ReadonlyArray<Cell>): string =>
    cells
      .map((cell, index) => {
        const room = widths[index] ?? 0
        const { text, width } = clip(cell, room)
        const blank = " ".repeat(room - width)
        return columns[index]?.align === "right" ? blank + text : text + blank
      })
      .join(" ".repeat(gap))
      .trimEnd()
  yield style(screen, "bold", line(heads))
  yield style(screen, "dim", widths.map((width) => "─".repeat(width)).join(" ".repeat(gap)))
  for (const cells of body) yield line(cells)
}

/** A text, and how many cells of a terminal it takes. */
interface Cell {
  readonly text: string
  readonly width: number
}

/**
 * How many cells of a terminal a text takes.
 *
 * @internal
 */
// In plain ASCII one for each character, which needs no look at each of a million.
export const widthOf = (text: string): number => (/^[ -~]*$/.test(text) ? text.length : CliOutput.displayWidth(text))

const measured = (text: string): Cell => ({ text, width: widthOf(text) })

/** Makes the widest columns narrower until the sum fits; `undefined` when it cannot. */
const fit = (natural: ReadonlyArray<number>, room: number): Array<number> | undefined => {
  const least = natural.reduce((sum, width) => sum + Math.min(width, narrowest), 0)
  if (least > room) return undefined
  let cap = Math.min(Math.max(...natural, 0), room)
  const total = (limit: number) => natural.reduce((sum, width) => sum + Math.min(width, limit), 0)
  while (total(cap) > room) cap--
  const widths = natural.map((width) => Math.min(width, cap))
  // What rounding left over goes to the columns that were cut.
  for (let spare = room - total(cap), index = 0; spare > 0 && index < widths.length; index++) {
    const wanted = natural[index] ?? 0
    const width = widths[index] ?? 0
    if (wanted > width) {
      widths[index] = width + 1
      spare--
    }
  }
  return widths
}

function* records(
  heads: ReadonlyArray<Cell>,
  body: ReadonlyArray<ReadonlyArray<Cell>>,
  screen: Screen
): Generator<string> {
  const { width = Infinity } = screen
  // A value needs as much room as its name; cut within its colours, it would leave half an escape sequence.
  const widest = Math.max(...heads.map((head) => head.width))
  const label = Math.min(30, widest, Math.max(narrowest, Math.floor((width - gap) / 2)))
  const room = Math.max(narrowest, width - label - gap)
  const names = heads.map((head) => {
    const { text, width } = clip(head, label)
    return style(screen, "bold", text) + " ".repeat(label - width + gap)
  })
  for (const [number, cells] of body.entries()) {
    yield style(screen, "dim", `── ${number + 1} ──`)
    for (const [index, cell] of cells.entries()) yield `${names[index]}${clip(cell, room).text}`.trimEnd()
  }
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/**
 * As much of a text as fits into so many cells, with `…` where something is missing.
 *
 * @internal
 */
export const clipped = (text: string, room: number): string => clip(measured(text), room).text

/** What fits, with `…` where something is missing. */
const clip = (cell: Cell, room: number): Cell => {
  if (cell.width <= room) return cell
  let end = 0
  let width = 1
  for (const { index, segment } of graphemes.segment(cell.text)) {
    const wider = width + widthOf(segment)
    if (wider > room) break
    width = wider
    end = index + segment.length
  }
  return { text: `${cell.text.slice(0, end)}…`, width }
}
