/**
 * Tables of text that fit where they are shown.
 *
 * On a terminal a table is never wider than the terminal: the widest columns give way, what does not fit ends in `…`,
 * and a table of too many columns becomes a list of records. Elsewhere nothing is cut.
 *
 * @internal
 */
import CliTable from "cli-table3"
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

const plain = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: " ".repeat(gap)
}

/** @internal */
export const style = (screen: Screen, format: Parameters<typeof styleText>[0], text: string): string =>
  screen.color ? styleText(format, text, { validateStream: false }) : text

/**
 * Draws rows of cells under a header. Cells must be single lines without control characters.
 *
 * @internal
 */
export const draw = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  screen: Screen
): string => {
  const natural = columns.map((column, index) =>
    rows.reduce(
      (width, row) => Math.max(width, CliOutput.displayWidth(row[index] ?? "")),
      CliOutput.displayWidth(column.name)
    )
  )
  const widths = screen.width === undefined ? natural : fit(natural, screen.width - gap * (columns.length - 1))
  if (widths === undefined) return records(columns, rows, screen)
  const table = new CliTable({
    head: columns.map((column) => column.name),
    colWidths: widths,
    colAligns: columns.map((column) => column.align),
    chars: plain,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true }
  })
  table.push(...rows.map((row) => [...row]))
  const [head = "", ...body] = table.toString().split("\n")
  const rule = widths.map((width) => "─".repeat(width)).join(" ".repeat(gap))
  return [style(screen, "bold", head), style(screen, "dim", rule), ...body].map((line) => line.trimEnd()).join("\n")
}

/** Makes the widest columns narrower until the sum fits; `undefined` when it cannot. */
const fit = (natural: ReadonlyArray<number>, room: number): Array<number> | undefined => {
  const least = natural.reduce((sum, width) => sum + Math.min(width, narrowest), 0)
  if (least > room) return undefined
  let cap = Math.max(...natural, 0)
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

const records = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  screen: Screen
): string => {
  const label = Math.min(30, Math.max(...columns.map((column) => CliOutput.displayWidth(column.name))))
  const room = (screen.width ?? Infinity) - label - gap
  return rows
    .flatMap((row, number) => [
      style(screen, "dim", `── ${number + 1} ──`),
      ...columns.map((column, index) => {
        const name = clip(column.name, label)
        const padding = " ".repeat(label - CliOutput.displayWidth(name) + gap)
        return `${style(screen, "bold", name)}${padding}${clip(row[index] ?? "", room)}`.trimEnd()
      })
    ])
    .join("\n")
}

const clip = (text: string, width: number): string => {
  if (CliOutput.displayWidth(text) <= width) return text
  let clipped = ""
  let used = 1
  for (const character of text) {
    used += CliOutput.displayWidth(character)
    if (used > width) break
    clipped += character
  }
  return `${clipped}…`
}
