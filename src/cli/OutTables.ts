/**
 * What is said of a run whose rows go to files: for people one table, and for programs a document without rows.
 *
 * @internal
 */
import { seconds } from "./Amounts.ts"
import type { Output } from "./Output.ts"
import { countsOf, snapshotLine } from "./RunSummary.ts"
import type { Screen } from "./Table.ts"
import { draw } from "./Table.ts"
import type { Finished, Teller } from "./Teller.ts"
import { toLine } from "./TextValue.ts"

/** @internal */
export const outTable = ({ console, stdout }: Output): Pick<Teller, "over"> => ({
  over: (all, report) => {
    console.log(`${filesTable(all, stdout)}\n\n${countsOf(all, report.makespanMillis)}`)
    if (report.snapshot !== undefined) console.log(snapshotLine(report.snapshot, stdout))
  }
})

/**
 * A line for each query: what is in its file, and where that is.
 *
 * @internal
 */
export const filesTable = (all: ReadonlyArray<Finished>, screen: Screen): string =>
  draw(
    [
      { name: "query", align: "left" },
      { name: "rows", align: "right" },
      { name: "bytes", align: "right" },
      { name: "seconds", align: "right" },
      { name: "file", align: "left" }
    ],
    all.map((finished) => [
      toLine(finished.report.name),
      finished.result.file === undefined ? "" : finished.result.rowCount.toLocaleString("en"),
      finished.result.file?.bytes.toLocaleString("en") ?? "",
      finished.report.attempts === 0 ? "" : seconds(finished.report.ranMillis).toFixed(2),
      fileOf(finished)
    ]),
    screen
  )

/** Where the rows are, or why they are nowhere. */
const fileOf = ({ report, result }: Finished): string => {
  const why = report.because === undefined ? "" : ` because ${toLine(report.because)}`
  if (report.outcome !== "Succeeded") return report.outcome.toLowerCase() + why
  if (result.isKept) return `kept: ${toLine(result.file?.path ?? "no file")}`
  return result.file === undefined ? `no file: ${result.command ?? "no rows"}` : toLine(result.file.path)
}

/**
 * What the document of a run says of a query's file in place of its rows.
 *
 * @internal
 */
export const fileDocument = ({ result }: Finished) => ({
  file: result.file?.path ?? null,
  bytes: result.file?.bytes ?? null,
  kept: result.isKept
})
