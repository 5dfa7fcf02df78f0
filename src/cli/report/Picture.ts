/**
 * The report as one picture: the lanes of each run, one below the other, all at the same scale.
 *
 * As the page, it holds names as they are, escaped, and nothing in it acts or asks for anything.
 *
 * @internal
 */
import type * as ReportDocument from "../../query/ReportDocument.ts"
import { duration, queryCount } from "../Amounts.ts"
import { style } from "./Assets.ts"
import { pageDataOf } from "./Packing.ts"
import { ticksOf, xOf } from "./page/Axis.ts"
import { draw, inks } from "./page/Drawing.ts"
import { hatches, hatchSize } from "./page/Hatching.ts"
import { lanesOf } from "./page/Lanes.ts"
import { cut, widthOf } from "./page/Lettering.ts"
import type { Run } from "./page/Model.ts"
import { runsOf } from "./page/Model.ts"
import { verdictOf, wrongOf } from "./page/Words.ts"

const width = 960
const margin = 14
const gutter = 76
const head = 26
const axis = 24
const gap = 16
/** Less than half, as beside it stand facts, and the label of a lower bound that is in the other half. */
const widestTitle = 230
/** Of bold letters to others. */
const boldness = 1.15

/** XML has no place for some characters, escaped or not (XML 1.0, 2.2). */
const impossible = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu

const escapes: Readonly<Record<string, string>> = {
  "<": "&lt;",
  ">": "&gt;",
  "&": "&amp;",
  '"': "&quot;",
  "'": "&#39;"
}

const escaped = (text: string): string =>
  text
    .toWellFormed()
    .replace(impossible, "\ufffd")
    .replace(/[<>&"']/g, (character) => escapes[character] ?? "")

const patterns = Object.entries(hatches)
  .map(
    ([name, d]) =>
      `<pattern id="hatch-${name}" class="hatch ${name}" width="${hatchSize}" height="${hatchSize}" patternUnits="userSpaceOnUse">` +
      `<rect width="${hatchSize}" height="${hatchSize}"/><path d="${d}"/></pattern>`
  )
  .join("")

const titleOf = ({ items, name }: Run): string => cut(name ?? queryCount(items.length), widestTitle / boldness)

/** How long it took, and what went wrong with it. */
const factsOf = ({ items, makespanMillis, unreachable }: Run): string =>
  [
    duration(makespanMillis),
    wrongOf(
      unreachable,
      items.map(({ outcome }) => outcome)
    )
  ]
    .filter((fact) => fact !== undefined)
    .join(", ")

/** One run: what it is called, its lanes, and its lower bound. */
const panelOf = (run: Run, end: number): { readonly height: number; readonly text: string } => {
  const view = { from: 0, to: end, width: width - 2 * margin - gutter }
  const { lanes: all } = lanesOf(run)
  const lanes = all.filter(({ group }) => group !== "waiting")
  const height = lanes.reduce((most, lane) => Math.max(most, lane.top + lane.height), 0)
  const drawn = draw(lanes, view)
  const bound = xOf(view, run.lowerBoundMillis)
  const isLate = bound > view.width / 2
  const [title, facts] = [titleOf(run), factsOf(run)]
  const behindTitle = widthOf(title) * boldness + widthOf(facts) + 2 * 8 - gutter
  const parts = [
    `<text class="flag" x="0" y="${head / 2}">${escaped(title)}<tspan class="dim" dx="8">${facts}</tspan></text>`,
    ...lanes.map(
      (lane) =>
        `<rect class="ground" x="${gutter}" y="${head + lane.top}" width="${view.width}" height="${lane.height - 1}"/>` +
        `<text class="lane" x="${gutter - 8}" y="${head + lane.top + lane.height / 2}">${escaped(lane.label)}</text>`
    ),
    `<g transform="translate(${gutter} ${head})">`,
    ...inks.map((ink) => {
      const path = drawn.paths.get(ink)
      return path === undefined ? "" : `<path class="ink ${ink}" d="${path}"/>`
    }),
    ...drawn.labels.map(
      ({ ink, text, x, y }) => `<text class="on ${ink}" x="${Math.round(x)}" y="${y}">${escaped(text)}</text>`
    ),
    verdictOf(run) === undefined
      ? ""
      : `<path class="bound" d="M${Math.round(bound)}.5 -6V${height}"/>` +
        `<text class="dim" x="${Math.round(isLate ? bound - 5 : Math.max(bound + 6, behindTitle))}" y="-9" text-anchor="${isLate ? "end" : "start"}">lower bound ${duration(run.lowerBoundMillis)}</text>`,
    "</g>"
  ]
  return { height: head + height, text: parts.join("\n") }
}

/** @internal */
export const picture = (document: ReportDocument.Document): string => {
  const data = pageDataOf(document)
  const runs = runsOf(data).map((run) => run())
  const end = Math.max(0.01, ...runs.map((run) => Math.max(run.makespanMillis, run.lowerBoundMillis))) * 1.01
  const view = { from: 0, to: end, width: width - 2 * margin - gutter }
  let top = margin
  const panels: Array<string> = []
  for (const run of runs) {
    const { height, text } = panelOf(run, end)
    panels.push(`<g transform="translate(${margin} ${top})">\n${text}\n</g>`)
    top += height + gap
  }
  const ticks = ticksOf(view, data.steps).map(
    ({ anchor, text, x }) =>
      `<path class="tick" d="M${Math.round(x)}.5 0v5"/><text class="tick" x="${Math.round(x)}" y="15" text-anchor="${anchor}">${text}</text>`
  )
  const height = top - gap + axis + margin + 6
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Timeline of ${runs.map((run) => escaped(titleOf(run))).join(", ")}">
<style>
${style("colors")}
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.dim { fill: var(--dim); font-weight: 400; }
.paper { fill: var(--paper); }
</style>
<defs>${patterns}</defs>
<rect class="paper" width="${width}" height="${height}" rx="6"/>
${panels.join("\n")}
<g transform="translate(${margin + gutter} ${top - gap + 6})">
<path class="line" d="M0 .5h${view.width}"/>
${ticks.join("\n")}
</g>
</svg>
`
}
