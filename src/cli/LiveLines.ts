/**
 * A few lines at the bottom of a terminal that are drawn again and again in their place. Everything else is printed above
 * them, and stays.
 *
 *     what was printed          what was printed
 *     orders     12.3 s    ->   a line more
 *     3 of 7                    orders     12.4 s
 *                               3 of 7
 *
 * - Whoever prints while they stand there does it within `above`, or by the console of that name: they are taken away
 *   before, and come back when the work at hand is done.
 * - They are never wrapped: a line that a terminal takes for wider than we do is cut by it. One that becomes narrower has
 *   wrapped them itself, as nearly all do, and the rows that this took are cleared, too; what it has moved into its
 *   history by that, as tmux does, stays there.
 * - The cursor is hidden while they stand there, and shown again however the process ends or is stopped, but by SIGKILL.
 * - A terminal that is gone ends them, and not the process: that still has queries to stop on the server.
 *
 * A process has one terminal, so there is one of these at a time.
 *
 * @internal
 */
import type { Console } from "effect"
import { Effect } from "effect"
import { Writable } from "node:stream"
import { stripVTControlCharacters } from "node:util"
import { widthOf } from "./Table.ts"

/** Control sequences of ECMA-48 and DEC's VT100, and what xterm added to them. */
const sequence = {
  hideCursor: "\u001B[?25l",
  showCursor: "\u001B[?25h",
  wrap: "\u001B[?7h",
  doNotWrap: "\u001B[?7l",
  up: "\u001B[1A",
  clearLine: "\u001B[2K"
} as const

/** What it needs of a stream that writes to a terminal. */
interface Terminal {
  readonly write: (chunk: string | Uint8Array) => unknown
  readonly on: (event: "error", f: () => void) => unknown
  /** Columns and rows, as of the latest SIGWINCH. */
  readonly getWindowSize: () => [number, number]
}

/** What it needs of log-update. */
interface Update {
  (text: string): void
  readonly clear: () => void
}

let current: LiveLines | undefined

const hold = (lines: LiveLines): void => {
  current?.end()
  current = lines
}

/**
 * Prints above the lines, if there are any.
 *
 * @internal
 */
export const above = <A>(print: () => A): A => (current === undefined ? print() : current.above(print))

/**
 * Takes the lines away for good, if there are any: the process is about to end.
 *
 * @internal
 */
export const leave = (): void => current?.end()

/**
 * The process's console, which prints above the lines.
 *
 * @internal
 */
export const consoleAbove: Console.Console = new Proxy(globalThis.console, {
  get: (console, name) => {
    const member: unknown = Reflect.get(console, name)
    if (typeof member !== "function") return member
    return (...args: ReadonlyArray<unknown>): unknown => above(() => Reflect.apply(member, console, args))
  }
})

/**
 * Makes ready to draw on a terminal, without drawing yet.
 *
 * @internal
 */
export const make = (terminal: Terminal, env: Readonly<Record<string, string | undefined>>): Effect.Effect<LiveLines> =>
  // Loaded by those who draw: it takes a tenth of the time that the command takes to start.
  Effect.map(
    Effect.promise(() => import("log-update")),
    ({ createLogUpdate }) => {
      const written = new Writable({
        write: (chunk, _encoding, done) => {
          terminal.write(sequence.doNotWrap)
          terminal.write(chunk)
          terminal.write(sequence.wrap)
          done()
        }
      })
      // It has no need to know the width, as no line is too long, and would wrap by another opinion of what is wide.
      const unlimited = Object.assign(written, { isTTY: true, columns: Number.MAX_SAFE_INTEGER, rows: 1_000 })
      // Clearing more rows than its own would take away what was printed.
      const rewraps = env["XTERM_VERSION"] === undefined && env["STY"] === undefined
      return new LiveLines(terminal, createLogUpdate(unlimited, { showCursor: true }), rewraps)
    }
  )

/** @internal */
export class LiveLines {
  private readonly terminal: Terminal
  private readonly update: Update
  /** Not xterm, nor screen. */
  private readonly rewraps: boolean
  private lines: ReadonlyArray<string> = []
  private drawn: ReadonlyArray<string> = []
  private isDrawn = false
  private drawnColumns = 0
  private isBegun = false
  private isOver = false
  private due: NodeJS.Immediate | undefined

  constructor(terminal: Terminal, update: Update, rewraps: boolean) {
    this.terminal = terminal
    this.update = update
    this.rewraps = rewraps
  }

  /** Draws these in the place of the last, each of them narrower than the terminal. */
  show(lines: ReadonlyArray<string>): void {
    if (this.isOver) return
    this.lines = lines
    if (!this.isBegun) this.begin()
    this.draw()
  }

  above<A>(print: () => A): A {
    if (this.isDrawn) this.clear()
    const result = print()
    // Not now: a thousand lines that are printed in one go would have it drawn a thousand times.
    if (this.isBegun && !this.isOver) this.due ??= setImmediate(() => this.draw())
    return result
  }

  /** Takes them away, for good. */
  end(): void {
    if (this.isOver) return
    this.isOver = true
    if (this.due !== undefined) clearImmediate(this.due)
    if (current === this) current = undefined
    if (!this.isBegun) return
    if (this.isDrawn) this.clear()
    this.terminal.write(sequence.showCursor)
    process.off("exit", this.ended).off("SIGTSTP", this.suspended).off("SIGCONT", this.continued)
  }

  private begin(): void {
    hold(this)
    this.isBegun = true
    this.terminal.write(sequence.hideCursor)
    // Writing to a terminal that was closed fails later, and an error that nobody hears ends the process.
    this.terminal.on("error", this.ended)
    process.on("exit", this.ended).on("SIGTSTP", this.suspended).on("SIGCONT", this.continued)
  }

  private draw(): void {
    if (this.due !== undefined) clearImmediate(this.due)
    this.due = undefined
    if (this.isOver) return
    if (this.isDrawn && this.columns !== this.drawnColumns) this.clear()
    this.drawnColumns = this.columns
    this.update(this.lines.join("\n"))
    this.drawn = this.lines
    this.isDrawn = true
  }

  /** Asked before each drawing: of a new size node takes note by itself, when the signal comes. */
  private get columns(): number {
    return Math.max(1, this.terminal.getWindowSize()[0])
  }

  private clear(): void {
    const width = this.columns
    if (this.rewraps && width < this.drawnColumns) {
      const rows = this.drawn.reduce((sum, line) => sum + rowsOf(line, width), 0)
      const more = `${sequence.up}${sequence.clearLine}`.repeat(rows - this.drawn.length)
      this.terminal.write(sequence.clearLine + more)
    }
    this.update.clear()
    this.isDrawn = false
  }

  private readonly ended = (): void => this.end()

  /** By Ctrl-Z: the shell's prompt comes next. */
  private readonly suspended = (): void => {
    if (this.isDrawn) this.clear()
    this.terminal.write(sequence.showCursor)
    process.kill(process.pid, "SIGSTOP")
  }

  private readonly continued = (): void => {
    this.terminal.write(sequence.hideCursor)
    this.draw()
  }
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/** How many rows a line takes where it is wrapped. What is two cells wide does not begin in the last of a row. */
const rowsOf = (line: string, width: number): number => {
  let rows = 1
  let column = 0
  for (const { segment } of graphemes.segment(stripVTControlCharacters(line))) {
    const cells = widthOf(segment)
    column += cells
    if (column <= width) continue
    rows++
    column = cells
  }
  return rows
}
