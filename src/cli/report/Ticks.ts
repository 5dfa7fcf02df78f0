/**
 * What may lie between two ticks of an axis of time: the steps that d3-scale would take, for spans from a hundredth of a
 * millisecond to a year.
 *
 * They are worked out when a page is made, and the page picks among them as it is zoomed: it has no code of others.
 *
 * @internal
 */
import { scaleLinear, scaleUtc } from "d3-scale"

const dayMillis = 86_400_000

/** About so many ticks on a span. */
const wanted = 10

const ticksOn = (span: number): ReadonlyArray<number> => {
  // Below a minute and above some days, times are numbers like any other.
  if (span < 60_000) return scaleLinear().domain([0, span]).ticks(wanted)
  if (span < 10 * dayMillis) return scaleUtc().domain([0, span]).ticks(wanted).map(Number)
  return scaleLinear()
    .domain([0, span / dayMillis])
    .ticks(wanted)
    .map((days) => days * dayMillis)
}

const stepOn = (span: number): number => {
  const [first = 0, second = 0] = ticksOn(span)
  // Sums of fractions end in 0000000004.
  return Number((second - first).toPrecision(12))
}

/** Two neighbouring spans give neighbouring steps. */
const growth = 1.1

/** @internal */
export const steps: ReadonlyArray<number> = (() => {
  const found = new Set<number>()
  for (let span = 0.01; span < 366 * dayMillis; span *= growth) found.add(stepOn(span))
  return [...found].toSorted((a, b) => a - b)
})()
