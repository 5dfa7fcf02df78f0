/**
 * A small model of a terminal: what stands on its screen after what was written to it.
 *
 * It knows the control sequences that the command writes, and fails with any other: a character of a query's name that
 * acts on the terminal is a fault. As terminals differ in what they take for wide, it counts either by what is shown as
 * one (`joined`) or, as older ones do, by the characters. Made narrower, it wraps what does not fit, as most do.
 */
import { CliOutput } from "effect/cli"

interface Row {
  cells: Array<string>
  /** Goes on in the next row. */
  wraps: boolean
}

const newRow = (): Row => ({ cells: [], wraps: false })

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })

const escape = "\u001B"
const control = new RegExp(`^(?:${escape}\\[(?<private>\\?)?(?<numbers>[\\d;]*)(?<final>[A-Za-z])|[\\n\\r])`)
/** A sequence that more is to come of. */
const incomplete = new RegExp(`^${escape}(?:\\[[?\\d;]*)?$`)

export class TerminalModel {
  columns: number
  rows: number
  readonly joined: boolean
  cursorShown = true
  /** How many characters found no room in their row, and were cut, as they were not to be wrapped. */
  overflown = 0
  /** Between the two sequences that say so, nothing is shown. */
  updating = false
  private all: Array<Row> = [newRow()]
  /** Of the screen's first row. */
  private top = 0
  private x = 0
  private y = 0
  private wraps = true
  private held = ""
  private readonly decoder = new TextDecoder()

  constructor(columns: number, rows: number, joined = true) {
    this.columns = columns
    this.rows = rows
    this.joined = joined
  }

  write(chunk: string | Uint8Array): void {
    let text = this.held + (typeof chunk === "string" ? chunk : this.decoder.decode(chunk, { stream: true }))
    this.held = ""
    while (text !== "") {
      if (incomplete.test(text)) {
        this.held = text
        return
      }
      const found = control.exec(text)
      if (found !== null) {
        this.act(found[0], found.groups ?? {})
        text = text.slice(found[0].length)
        continue
      }
      if (/^\p{Cc}/u.test(text)) throw new Error(`The terminal was sent ${JSON.stringify(text.slice(0, 20))}`)
      const [plain = ""] = /^\P{Cc}+/u.exec(text) ?? []
      for (const part of this.joined ? Array.from(graphemes.segment(plain), ({ segment }) => segment) : plain) {
        this.put(part)
      }
      text = text.slice(plain.length)
    }
  }

  private act(sequence: string, groups: Readonly<Record<string, string | undefined>>): void {
    if (sequence === "\n") return this.down()
    if (sequence === "\r") return void (this.x = 0)
    const { final, numbers = "", private: isPrivate } = groups
    const count = Math.max(1, Number(numbers))
    if (isPrivate !== undefined) {
      if (numbers === "25") this.cursorShown = final === "h"
      else if (numbers === "7") this.wraps = final === "h"
      else if (numbers === "2026") this.updating = final === "h"
      else throw new Error(`The terminal was sent ${JSON.stringify(sequence)}`)
      return
    }
    // Above the screen's first row it cannot go, whatever stood there.
    if (final === "A") this.y = Math.max(this.top, this.y - count)
    else if (final === "B") this.y = Math.min(this.top + this.rows - 1, this.y + count)
    else if (final === "G") this.x = count - 1
    else if (final === "K" && numbers === "2") this.row.cells = []
    else if (final === "K" && numbers === "") this.row.cells.length = Math.min(this.x, this.row.cells.length)
    else if (final !== "m") throw new Error(`The terminal was sent ${JSON.stringify(sequence)}`)
    if (final === "K") this.row.wraps = false
  }

  private get row(): Row {
    while (this.all.length <= this.y) this.all.push(newRow())
    // It was just made, if it was not there.
    return this.all[this.y] ?? newRow()
  }

  private down(): void {
    this.y++
    if (this.y >= this.top + this.rows) this.top = this.y - this.rows + 1
    void this.row
  }

  private put(part: string): void {
    const width = CliOutput.displayWidth(part)
    if (width === 0) return
    if (this.x + width > this.columns) {
      if (!this.wraps) {
        this.overflown++
        return
      }
      this.row.wraps = true
      this.down()
      this.x = 0
    }
    const { cells } = this.row
    while (cells.length < this.x) cells.push(" ")
    cells.splice(this.x, width, part, ...Array.from({ length: width - 1 }, () => ""))
    this.x += width
  }

  /** A new size, in which long lines are wrapped anew, if `rewraps`, and otherwise cut. */
  resize(columns: number, rows: number, rewraps = true): void {
    this.columns = columns
    this.rows = rows
    if (rewraps) {
      const wrapped: Array<Row> = []
      let line: Array<string> = []
      let cursor = 0
      for (const [index, { cells, wraps }] of this.all.slice(0, this.y + 1).entries()) {
        line.push(...cells)
        if (wraps && index < this.y) continue
        cursor = wrapped.length
        let next = newRow()
        wrapped.push(next)
        for (let at = 0; at < line.length;) {
          const width = line[at + 1] === "" ? 2 : 1
          if (next.cells.length + width > columns) {
            next.wraps = true
            next = newRow()
            wrapped.push(next)
          }
          next.cells.push(...line.slice(at, at + width))
          at += width
        }
        line = []
      }
      this.all = wrapped
      this.y = Math.max(cursor, wrapped.length - 1)
    } else {
      for (const row of this.all) row.cells.length = Math.min(row.cells.length, columns)
    }
    this.x = Math.min(this.x, columns - 1)
    this.top = Math.max(0, this.y - rows + 1)
  }

  /** What stands on the screen, without blank lines at its end. */
  get screen(): ReadonlyArray<string> {
    return textOf(this.all.slice(this.top, this.top + this.rows))
  }

  /** All that was written and not taken away, on the screen or above it. */
  get everything(): ReadonlyArray<string> {
    return textOf(this.all)
  }
}

const textOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const lines = rows.map(({ cells }) => cells.join("").trimEnd())
  return lines.slice(0, lines.findLastIndex((line) => line !== "") + 1)
}
