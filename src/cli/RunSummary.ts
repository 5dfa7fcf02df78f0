/**
 * What people are told of a run as a whole: how its queries ended, for how long its snapshot was held, and what no order
 * of its queries could have beaten.
 *
 * @internal
 */
import type { LowerBound } from "../query/Plan.ts"
import { duration, plural, queryCount } from "./Amounts.ts"
import type { Screen } from "./Table.ts"
import { draw, style } from "./Table.ts"
import type { Finished, RunReport } from "./Teller.ts"
import { listed, toLine } from "./TextValue.ts"

/**
 * A table of the queries, and under it how many there were and what bounded them.
 *
 * @internal
 */
export const summary = (all: ReadonlyArray<Finished>, report: RunReport, screen: Screen): string => {
  const isRetried = all.some((finished) => finished.report.attempts > 1)
  const table = draw(
    [
      { name: "query", align: "left" },
      { name: "outcome", align: "left" },
      { name: "rows", align: "right" },
      { name: "waited", align: "right" },
      { name: "ran", align: "right" },
      ...(isRetried ? [{ name: "attempts", align: "right" as const }] : [])
    ],
    all.map(({ report: query, result }) => [
      toLine(query.name),
      query.outcome.toLowerCase() +
        because(query.because === undefined ? [] : [query.because]) +
        (result.parts === undefined ? "" : `, ${plural(result.parts, "part")}`),
      result.columns === undefined ? "" : result.rowCount.toLocaleString("en"),
      duration(query.waitedMillis),
      query.attempts === 0 ? "" : duration(query.ranMillis),
      String(query.attempts)
    ]),
    screen
  )
  const line = `${countsOf(all, report.makespanMillis)}, ${report.concurrency} at a time`
  // How long those that were cancelled would have taken nobody knows.
  const isCut = all.some((finished) => finished.report.outcome === "Cancelled")
  if (isCut || report.lowerBoundMillis === 0) return `${table}\n\n${line}`
  const longest = report.queries.reduce((a, b) => (b.ranMillis > a.ranMillis ? b : a)).name
  const bound = boundOf(report.binding, duration(report.lowerBoundMillis), longest, report.criticalPath, screen)
  return `${table}\n\n${line}\n${style(screen, "dim", bound)}`
}

/**
 * How many there were, and how they ended.
 *
 * @internal
 */
export const countsOf = (all: ReadonlyArray<Finished>, makespanMillis: number): string => {
  const counts = ["Succeeded", "Failed", "Cancelled", "Skipped"].flatMap((outcome) => {
    const ended = all.filter((finished) => finished.report.outcome === outcome)
    return ended.length === 0
      ? []
      : [`${ended.length.toLocaleString("en")} ${outcome.toLowerCase()}${becauseOf(ended)}`]
  })
  return `${queryCount(all.length)}: ${counts.join(", ")} in ${duration(makespanMillis)}`
}

const mostRoots = 3

const because = (roots: ReadonlyArray<string>): string =>
  roots.length === 0 ? "" : ` because ${listed(roots, mostRoots)}`

const becauseOf = (ended: ReadonlyArray<Finished>): string => {
  const roots = ended.flatMap(({ report }) => report.because ?? [])
  const some = roots.length > 0 && roots.length < ended.length ? `, ${roots.length.toLocaleString("en")}` : ""
  return some + because([...new Set(roots)])
}

/** From here on it is worth a word: what is deleted meanwhile stays in the way of every other query. */
const longHeldMillis = 5 * 60_000

/**
 * For how long the snapshot of a run was held.
 *
 * @internal
 */
export const snapshotLine = ({ heldMillis, lost }: NonNullable<RunReport["snapshot"]>, screen: Screen): string => {
  const isLong = heldMillis > longHeldMillis
  const line =
    `Snapshot ${lost ? "lost after" : "held"} ${duration(heldMillis)}` +
    (isLong ? ": it keeps vacuum from its work" : "")
  return style(screen, isLong || lost ? "yellow" : "dim", line)
}

const mostOfPath = 4

/**
 * What no order of the queries could have beaten, and because of what. On a terminal lines are broken between names.
 *
 * @internal
 */
export const boundOf = (
  binding: LowerBound["binding"],
  length: string,
  longest: string | undefined,
  path: ReadonlyArray<string>,
  { width = Infinity }: Screen
): string => {
  const shown =
    path.length <= mostOfPath ? path : [...path.slice(0, 2), `… (${path.length - 3} more)`, ...path.slice(-1)]
  const names = { "longest query": longest === undefined ? [] : [longest], "critical path": shown, "total work": [] }
  const lines = [`Lower bound ${length}: ${binding}`]
  for (const [index, name] of names[binding].entries()) {
    const word = index === 0 ? toLine(name) : `-> ${toLine(name)}`
    const line = `${lines.at(-1)} ${word}`
    if (line.length > width) lines.push(`  ${word}`)
    else lines[lines.length - 1] = line
  }
  return lines.join("\n")
}
