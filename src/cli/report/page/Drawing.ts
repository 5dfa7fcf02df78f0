/**
 * Bars as paths of SVG: one path for each way in which they are filled in, whatever their number, so that ten thousand
 * bars are drawn as quickly as ten. Pure.
 *
 * Bars too narrow to be seen by themselves are drawn together. What did not succeed is drawn by itself all the same, and
 * on top: one failure among ten thousand queries is to be seen.
 *
 * @internal
 */
import type { View } from "./Axis.ts"
import { xOf } from "./Axis.ts"
import type { Bar, Fill, Lane } from "./Lanes.ts"
import { firstAfter } from "./Lanes.ts"
import { cut, widthOf } from "./Lettering.ts"

/**
 * How a part of the picture is filled in: `dense` stands for several bars.
 *
 * @internal
 */
export type Ink = Fill | "dense"

/**
 * In the order in which they are drawn: the last are on top.
 *
 * @internal
 */
export const inks: ReadonlyArray<Ink> = [
  "needing",
  "waiting",
  "retrying",
  "dense",
  "succeeded",
  "cancelled",
  "cancelling",
  "retried",
  "failed"
]

interface Label {
  readonly x: number
  readonly y: number
  readonly text: string
  readonly ink: Ink
}

/** @internal */
export interface Drawn {
  readonly paths: ReadonlyMap<Ink, string>
  readonly labels: ReadonlyArray<Label>
}

const pixels = (number: number): string => String(Math.round(number * 100) / 100)

/** @internal */
export const rectangle = (x: number, y: number, width: number, height: number): string =>
  `M${pixels(x)} ${pixels(y)}h${pixels(width)}v${pixels(height)}h${pixels(-width)}z`

/** Narrower than this, in pixels, a bar is drawn with its neighbours. */
const narrow = 2

/** What is of no interest by itself, and what has to be seen. */
const leastWidth = (fill: Fill): number => (fill === "failed" || fill === "retried" || fill === "cancelled" ? 2 : 1)

const lowestForText = 12

/** A name, or what stands for it where there is too little room, or as much of that as there is room for. */
const fitting = (name: string, short: string, width: number): string => {
  if (widthOf(name) <= width) return name
  if (widthOf(short) <= width) return short
  const shown = cut(short, width)
  // An ellipsis alone tells nothing.
  return shown.replaceAll("…", "") === "" ? "" : shown
}

/**
 * What of some lanes is to be seen.
 *
 * @internal
 */
export const draw = (lanes: ReadonlyArray<Lane>, view: View): Drawn => {
  const paths = new Map<Ink, string>()
  const labels: Array<Label> = []
  const add = (ink: Ink, path: string): void => void paths.set(ink, (paths.get(ink) ?? "") + path)

  for (const lane of lanes) {
    const top = lane.top + 1
    const height = lane.height - 2
    /** Neighbours that are to be drawn together. */
    const open = new Map<Fill, { from: number; to: number; bars: number }>()
    const close = (fill: Fill): void => {
      const block = open.get(fill)
      if (block === undefined) return
      open.delete(fill)
      const ink = block.bars > 1 && fill === "succeeded" ? "dense" : fill
      add(ink, rectangle(block.from, top, block.to - block.from, height))
    }
    const drawOne = ({ fill, from, item, short, to }: Bar): void => {
      const left = Math.max(xOf(view, from), -1)
      const right = Math.min(xOf(view, to), view.width + 1)
      if (right - left < narrow) {
        const end = Math.max(right, left + leastWidth(fill))
        const block = open.get(fill)
        if (block !== undefined && left <= block.to + 0.5) {
          block.to = Math.max(block.to, end)
          block.bars++
          return
        }
        close(fill)
        open.set(fill, { from: left, to: end, bars: 1 })
        return
      }
      close(fill)
      // A hair's breadth to the next.
      const width = right - left > 4 ? right - left - 1 : right - left
      add(fill, rectangle(left, top, width, height))
      const text = height < lowestForText ? "" : fitting(item.name, short, width - 10)
      if (text !== "") labels.push({ x: Math.max(left, 0) + 5, y: lane.top + lane.height / 2, text, ink: fill })
    }
    for (let index = firstAfter(lane, view.from); index < lane.bars.length; index++) {
      const bar = lane.bars[index]
      if (bar === undefined || bar.from > view.to) break
      drawOne(bar)
    }
    for (const fill of open.keys()) close(fill)
  }
  return { paths, labels }
}
