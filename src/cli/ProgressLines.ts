/**
 * How far a run is, as lines for a screen: one for each that is under way, and one for the whole.
 *
 *     import/orders       1,204,332 rows  12.3 s
 *     daily/revenue   attempt 2, 17 rows   0.4 s
 *     … and 12 more
 *     █████████░░░░░░░░░░░  12 of 40  2 failed  14 running  1 min 12 s  about 3 min left
 *
 * - No line is as wide as the screen: names are cut by the cells that they take, and of the rest goes first what is
 *   missed least.
 * - What does not fit in a third of the screen's height, and in ten lines, is counted: the longest running are shown.
 * - The bar is as long as the screen allows, whatever else is in the line, so that it never goes back.
 *
 * @internal
 */
import type { Progress } from "../query/Progress.ts"
import { elapsed, number, plural, queryCount, roughly } from "./Amounts.ts"
import type { Screen } from "./Table.ts"
import { clipped, style, widthOf } from "./Table.ts"
import { toLine } from "./TextValue.ts"

/**
 * What is under way, a query or a target.
 *
 * @internal
 */
export interface UnderWay {
  readonly name: string
  readonly facts: ReadonlyArray<string>
  readonly time: string
}

/**
 * How far something is.
 *
 * @internal
 */
export interface Whole {
  /** The longest running first. */
  readonly underWay: ReadonlyArray<UnderWay>
  readonly ended: number
  readonly total: number
  readonly failed: number
  readonly skipped: number
  readonly running: number
  readonly elapsedMillis: number
  readonly remainingMillis: number | undefined
}

/**
 * A terminal. Widths and heights are in cells.
 *
 * @internal
 */
export interface Terminal extends Screen {
  readonly width: number
  readonly height: number
}

/** @internal */
export const ofRun = (progress: Progress): Whole => {
  const { cancelled, elapsedMillis, failed, remainingMillis, retrying, running, skipped, succeeded, waiting } = progress
  const ended = succeeded + failed + cancelled + skipped
  return {
    underWay: [
      ...running.map(({ attempt, name, ranMillis, rows }): UnderWay => ({
        name,
        facts: [...(attempt === 1 ? [] : [`attempt ${attempt}`]), ...(rows === 0 ? [] : [plural(rows, "row")])],
        time: elapsed(ranMillis)
      })),
      ...retrying.map(({ attempt, inMillis, name }): UnderWay => ({
        name,
        facts: [`attempt ${attempt + 1}`],
        time: inMillis === 0 ? "waits" : `in ${elapsed(inMillis)}`
      }))
    ],
    ended,
    total: progress.total ?? ended + running.length + retrying.length + waiting,
    failed,
    skipped,
    running: running.length,
    elapsedMillis,
    remainingMillis
  }
}

const mostLines = 10
const indent = "  "
const gap = "  "
/** A name is cut to so much before something else gives way. */
const nameCells = 16

/** @internal */
export const lines = (whole: Whole, terminal: Terminal): ReadonlyArray<string> => {
  // In the last column a terminal waits for the next character to wrap, and clearing the rest of the line would take it.
  const width = Math.max(1, terminal.width - 1)
  const room = Math.min(mostLines, Math.floor(terminal.height / 3))
  return [...underWay(whole.underWay, room, width, terminal), overall(whole, width, terminal)]
}

const underWay = (all: ReadonlyArray<UnderWay>, room: number, width: number, screen: Screen): ReadonlyArray<string> => {
  const shown = all.slice(0, all.length > room ? Math.max(0, room - 1) : room)
  const rows = shown.map(({ facts, name, time }) => ({ name: toLine(name), facts: facts.join(", "), time }))
  const most = (of: (row: (typeof rows)[number]) => string) => Math.max(0, ...rows.map((row) => widthOf(of(row))))
  const [longest, factCells, timeCells] = [
    most(({ name }) => name),
    most(({ facts }) => facts),
    most(({ time }) => time)
  ]
  const rest = (cells: number) => width - indent.length - (cells === 0 ? 0 : gap.length + cells)
  const least = Math.max(1, Math.min(longest, nameCells))
  const withTime = rest(timeCells) >= least
  const forFacts = factCells === 0 ? 0 : gap.length + factCells
  const withFacts = withTime && rest(timeCells) - forFacts >= least
  const cells = Math.max(1, Math.min(longest, rest(withTime ? timeCells : 0) - (withFacts ? forFacts : 0)))
  const drawn = rows.map(({ facts, name, time }) => {
    const text = clipped(name, cells)
    const blank = " ".repeat(Math.max(0, cells - widthOf(text)))
    const right = [
      ...(withFacts && factCells > 0 ? [facts.padStart(factCells)] : []),
      ...(withTime ? [time.padStart(timeCells)] : [])
    ]
    return clippedTo(
      width,
      indent + text,
      right.length === 0 ? "" : blank + gap + style(screen, "dim", right.join(gap))
    )
  })
  const others = all.length - shown.length
  return others === 0 || room === 0 ? drawn : [...drawn, clipped(`${indent}… and ${number(others)} more`, width)]
}

/** On a screen of a few cells not even the indent fits. */
const clippedTo = (width: number, name: string, rest: string): string =>
  widthOf(name) > width ? clipped(name, width) : name + rest

interface Part {
  readonly text: string
  readonly styled: string
  /** Those that are missed least have the highest, and go first. */
  readonly rank: number
}

const overall = (whole: Whole, width: number, screen: Screen): string => {
  const { elapsedMillis, ended, failed, remainingMillis, running, skipped, total } = whole
  const part = (rank: number, text: string, format?: Parameters<typeof style>[1]): Part => ({
    rank,
    text,
    styled: format === undefined ? text : style(screen, format, text)
  })
  const cells = Math.min(30, Math.floor(width / 4))
  const parts = [
    ...(cells < 5 ? [] : [bar(cells, ended, total, failed > 0, screen)]),
    part(0, `${number(ended)} of ${number(total)}`),
    ...(failed === 0 ? [] : [part(1, `${number(failed)} failed`, "red")]),
    ...(skipped === 0 ? [] : [part(5, `${number(skipped)} skipped`)]),
    ...(running === 0 ? [] : [part(6, `${number(running)} running`)]),
    part(4, elapsed(elapsedMillis)),
    ...(remainingMillis === undefined ? [] : [part(3, `about ${roughly(remainingMillis)} left`)])
  ]
  let left = width
  const fitting = new Set<Part>()
  for (const one of parts.toSorted((a, b) => a.rank - b.rank)) {
    const needed = widthOf(one.text) + (fitting.size === 0 ? 0 : gap.length)
    if (needed > left) break
    left -= needed
    fitting.add(one)
  }
  if (fitting.size === 0) return clipped(`${number(ended)}/${number(total)}`, width)
  return parts
    .filter((one) => fitting.has(one))
    .map(({ styled }) => styled)
    .join(gap)
}

const bar = (cells: number, ended: number, total: number, hasFailed: boolean, screen: Screen): Part => {
  const full = total === 0 ? cells : Math.floor((cells * ended) / total)
  const [done, rest] = ["█".repeat(full), "░".repeat(cells - full)]
  return {
    rank: 2,
    text: done + rest,
    styled: style(screen, hasFailed ? "red" : "green", done) + style(screen, "dim", rest)
  }
}

/**
 * All of it in one line, for a log.
 *
 * @internal
 */
export const inOneLine = (whole: Whole): string => {
  const { elapsedMillis, ended, failed, remainingMillis, running, skipped, total } = whole
  const [longest] = whole.underWay
  const who =
    longest === undefined ? "" : ` (${toLine(longest.name)} for ${[longest.time, ...longest.facts].join(", ")})`
  return [
    `${number(ended)} of ${queryCount(total)} done after ${elapsed(elapsedMillis)}`,
    ...(failed === 0 ? [] : [`${number(failed)} failed`]),
    ...(skipped === 0 ? [] : [`${number(skipped)} skipped`]),
    `${number(running)} running${who}`,
    ...(remainingMillis === undefined ? [] : [`about ${roughly(remainingMillis)} left`])
  ].join(", ")
}
