/**
 * How many queries did what at once, over the time of a run. Pure.
 *
 * @internal
 */
import type { View } from "./Axis.ts"
import { xOf } from "./Axis.ts"
import type { Item } from "./Model.ts"
import type { Kind } from "./PageData.ts"

/** @internal */
export interface Counted {
  /** For each pixel, the most at once. */
  readonly columns: ReadonlyArray<number>
  readonly most: number
}

/**
 * How many did one of these kinds of things.
 *
 * @internal
 */
export const countsOf = (items: ReadonlyArray<Item>, kinds: ReadonlySet<Kind>, view: View): Counted => {
  const changes: Array<{ readonly at: number; readonly by: number }> = []
  for (const { spans } of items) {
    for (const { from, kind, to } of spans) if (kinds.has(kind)) changes.push({ at: from, by: 1 }, { at: to, by: -1 })
  }
  changes.sort((a, b) => a.at - b.at)
  const columns = Array.from({ length: Math.ceil(view.width) }, () => 0)
  let now = 0
  let most = 0
  for (const [index, { at, by }] of changes.entries()) {
    now += by
    const next = changes[index + 1]?.at ?? at
    // In the middle of a moment: one who takes the place of another is not counted beside it.
    if (now === 0 || next === at) continue
    most = Math.max(most, now)
    const last = Math.min(Math.floor(xOf(view, next)), columns.length - 1)
    for (let column = Math.max(0, Math.floor(xOf(view, at))); column <= last; column++) {
      columns[column] = Math.max(columns[column] ?? 0, now)
    }
  }
  return { columns, most }
}

/**
 * The area below the counts, as a path: `height` pixels high where there are `most`.
 *
 * @internal
 */
export const areaOf = ({ columns }: Counted, most: number, height: number): string => {
  let path = `M0 ${height}`
  let before = 0
  for (const [x, count] of columns.entries()) {
    if (count === before) continue
    path += `H${x}V${Math.round((height - (count / Math.max(most, 1)) * height) * 10) / 10}`
    before = count
  }
  return `${path}H${columns.length}V${height}Z`
}
