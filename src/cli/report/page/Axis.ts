/**
 * The axis of time. Pure.
 *
 * @internal
 */

import { widthOf } from "./Lettering.ts"

/**
 * The part of a run's time that is shown, and on how many pixels.
 *
 * @internal
 */
export interface View {
  readonly from: number
  readonly to: number
  readonly width: number
}

/** @internal */
export const xOf = ({ from, to, width }: View, millis: number): number => ((millis - from) / (to - from)) * width

/** @internal */
export const millisAt = ({ from, to, width }: View, x: number): number => from + (x / width) * (to - from)

/** Room for one label, in pixels. */
const labelWidth = 76
/** Of long ones. The last stands before its tick, and half of another one between the two. */
const roomFor = (text: string): number => Math.max(labelWidth, 1.5 * widthOf(text) + 6)

const two = (part: number): string => String(part).padStart(2, "0")

/** As on a clock: 1:05, 1:02:05; 2 d, 2 d 1:02:05. */
const clock = (millis: number): string => {
  const seconds = Math.floor(millis / 1000)
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  const days = Math.floor(hours / 24)
  if (days > 0 && seconds % 86_400 === 0) return `${days} d`
  const ofDay = hours > 0 ? `${hours % 24}:${two(minutes % 60)}` : String(minutes)
  return `${days > 0 ? `${days} d ` : ""}${ofDay}:${two(seconds % 60)}`
}

/** How many digits it takes to tell multiples of a number apart. */
const fractionOf = (step: number): number => Math.max(0, -Math.floor(Math.log10(step) + 1e-9))

/** A time as fine as the ticks are apart. */
const tickText = (millis: number, step: number): string => {
  if (millis === 0) return "0"
  if (millis < 1000) return `${millis.toFixed(fractionOf(step))} ms`
  if (millis < 60_000) return `${(millis / 1000).toFixed(fractionOf(step / 1000))} s`
  const fraction = fractionOf(step / 1000)
  return clock(millis) + (fraction === 0 ? "" : ((millis % 1000) / 1000).toFixed(fraction).slice(1))
}

interface Tick {
  readonly x: number
  readonly text: string
  /** Of its label, which is not to be cut off at the end. */
  readonly anchor: "middle" | "end"
}

/**
 * The ticks of a view: multiples of the smallest of the steps that leaves room for labels.
 *
 * @internal
 */
export const ticksOf = (view: View, steps: ReadonlyArray<number>): ReadonlyArray<Tick> => {
  const perPixel = (view.to - view.from) / view.width
  const step = steps.find((one) => one >= perPixel * labelWidth && one >= perPixel * roomFor(tickText(view.to, one)))
  if (step === undefined) return []
  const ticks: Array<Tick> = []
  // Counted, and not added up: a sum of many steps is off by a pixel in the end.
  const last = Math.floor(view.to / step + 1e-9)
  for (let number = Math.ceil(view.from / step - 1e-9); number <= last; number++) {
    const x = xOf(view, number * step)
    ticks.push({ x, text: tickText(number * step, step), anchor: x > view.width - labelWidth / 2 ? "end" : "middle" })
  }
  return ticks
}
