/**
 * Fillings that can be told apart without their colours, for all pictures of the page.
 *
 * @internal
 */
import { svg } from "./Element.ts"
import { hatches, hatchSize } from "./Hatching.ts"

/** @internal */
export const patterns = (): SVGSVGElement =>
  svg(
    "svg",
    { class: "patterns", width: 0, height: 0, "aria-hidden": "true" },
    svg(
      "defs",
      {},
      ...Object.entries(hatches).map(([name, d]) =>
        svg(
          "pattern",
          {
            id: `hatch-${name}`,
            class: `hatch ${name}`,
            width: hatchSize,
            height: hatchSize,
            patternUnits: "userSpaceOnUse"
          },
          svg("rect", { width: hatchSize, height: hatchSize }),
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
