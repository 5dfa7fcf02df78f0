/**
 * What stands in the picture beside the bars: the lower bound, the end of the run, the critical path, and of one query
 * its wait and what it needs. Pure.
 *
 * @internal
 */
import { duration } from "../../Amounts.ts"
import type { View } from "./Axis.ts"
import { xOf } from "./Axis.ts"
import { rectangle } from "./Drawing.ts"
import type { Lane } from "./Lanes.ts"
import { placeOf } from "./Lanes.ts"
import type { Item } from "./Model.ts"
import { needsOf } from "./Model.ts"
import type { State } from "./State.ts"

interface Flag {
  readonly kind: "bound"
  readonly x: number
  readonly anchor: "start" | "middle" | "end"
  readonly text: string
}

const near = 150

/** @internal */
export const marksOf = (
  { lanes, run }: State,
  view: View
): {
  readonly criticalPath: string
  readonly bound: string
  readonly end: string
  readonly flags: ReadonlyArray<Flag>
} => {
  const isIn = (x: number): boolean => x >= 0 && x <= view.width
  const boundAt = xOf(view, run.lowerBoundMillis)
  const endAt = xOf(view, run.makespanMillis)
  const flags: Array<Flag> = []
  // Close to each other, one stands on each side.
  const anchorOf = (x: number): Flag["anchor"] =>
    x > view.width - near || Math.abs(endAt - x) < near ? "end" : "start"
  if (run.isBounded && isIn(boundAt)) {
    const text = `lower bound ${duration(run.lowerBoundMillis)}`
    flags.push({ kind: "bound", x: boundAt, anchor: anchorOf(boundAt), text })
  }
  const path = run.criticalPath.length < 2 ? [] : run.criticalPath
  return {
    flags,
    bound: run.isBounded && isIn(boundAt) ? `M${boundAt} 0V${lanes.height}` : "",
    end: isIn(endAt) ? `M${endAt} 0V${lanes.height}` : "",
    criticalPath: path
      .flatMap((item) => lanes.places.get(item) ?? [])
      .filter(({ lane }) => lane.group === "workers")
      .map(({ bar, lane }) => {
        const [from, to] = [Math.max(xOf(view, bar.from), 0), Math.min(xOf(view, bar.to), view.width)]
        return to <= from ? "" : rectangle(from, lane.top + lane.height - 4, Math.max(to - from - 1, 2), 3)
      })
      .join("")
  }
}

const middleOf = ({ height, top }: Lane): number => top + height / 2

/** So many lines can be told apart. */
const mostLinks = 40

/**
 * From where a query waited to where it started, and curves from what it needs, and to what needs it.
 *
 * @internal
 */
export const linksOf = (
  { lanes, run }: State,
  view: View,
  active: Item
): { readonly life: string; readonly links: string } => {
  const item = active.whole ?? active
  const needs = needsOf(run.items, item)
  const dependents = run.dependents.get(item) ?? []
  const own = placeOf(lanes, item)
  if (own === undefined) return { life: "", links: "" }
  const started = item.started ?? own.bar.from
  const curve = (from: Item, to: Item): string => {
    const [a, b] = [placeOf(lanes, from), placeOf(lanes, to)]
    if (a === undefined || b === undefined) return ""
    const [x1, x2] = [xOf(view, a.bar.to), xOf(view, to.started ?? b.bar.from)]
    const bend = Math.max(24, Math.abs(x2 - x1) / 3)
    return `M${x1} ${middleOf(a.lane)}C${x1 + bend} ${middleOf(a.lane)} ${x2 - bend} ${middleOf(b.lane)} ${x2} ${middleOf(b.lane)}m-5 -3l5 3l-5 3`
  }
  const first = lanes.places.get(item)?.find(({ bar, lane }) => lane.group !== "waiting" && bar.from === started) ?? own
  const foot = first.lane.top + first.lane.height - 2
  return {
    life: started > item.submitted ? `M${xOf(view, item.submitted)} ${foot}H${xOf(view, started)}` : "",
    links: [
      ...needs.slice(0, mostLinks).map((need) => curve(need, item)),
      ...dependents.slice(0, mostLinks).map((one) => curve(item, one))
    ].join("")
  }
}
