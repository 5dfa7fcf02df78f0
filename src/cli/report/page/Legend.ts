/**
 * What the fillings of the picture mean: of those that there are.
 *
 * @internal
 */
import { html } from "./Element.ts"
import { swatch } from "./Patterns.ts"
import { inks } from "./Drawing.ts"
import type { State } from "./State.ts"
import { wordOf } from "./Words.ts"

const entry = (kind: string, text: string): HTMLElement => html("li", {}, swatch(kind), text)

/** @internal */
export const legend = ({ lanes, run }: State): HTMLElement => {
  const found = new Set(lanes.lanes.flatMap(({ bars }) => bars.map(({ fill }) => fill)))
  return html(
    "ul",
    { class: "legend" },
    ...inks.toReversed().flatMap((ink) => (ink !== "dense" && found.has(ink) ? [entry(ink, wordOf[ink])] : [])),
    run.criticalPath.length > 1 ? entry("path", "on the critical path") : undefined
  )
}
