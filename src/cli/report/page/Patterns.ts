/**
 * Fillings that can be told apart without their colours, for all pictures of the page.
 *
 * @internal
 */
import { svg } from "./Element.ts"

const size = 6

/** What is drawn on a ground: lines rising, falling, across, upright or crossed, or dots. */
const lines: Readonly<Record<string, string>> = {
  failed: "M-1 7L7 -1",
  retried: "M-1 -1L7 7",
  cancelled: "M0 3H6",
  cancelling: "M-1 7L7 -1M-1 -1L7 7",
  waiting: "M1 3h1.5",
  needing: "M3 0V6",
  retrying: "M0 3h4"
}

/** @internal */
export const patterns = (): SVGSVGElement =>
  svg(
    "svg",
    { class: "patterns", width: 0, height: 0, "aria-hidden": "true" },
    svg(
      "defs",
      {},
      ...Object.entries(lines).map(([name, d]) =>
        svg(
          "pattern",
          { id: `hatch-${name}`, class: `hatch ${name}`, width: size, height: size, patternUnits: "userSpaceOnUse" },
          svg("rect", { width: size, height: size }),
          svg("path", { d })
        )
      )
    )
  )

/**
 * A small piece of a filling, for a legend.
 *
 * @internal
 */
export const swatch = (kind: string): SVGSVGElement =>
  svg(
    "svg",
    { class: "swatch", width: 16, height: 12, "aria-hidden": "true" },
    svg("path", { class: `ink ${kind}`, d: kind === "path" ? "M0 5h16v3h-16z" : "M1 1h14v10h-14z" })
  )
