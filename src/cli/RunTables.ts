/**
 * The results of a run for people, on standard output: a table for each query, and in the end one for the run.
 *
 * @internal
 */
import { duration, plural } from "./Amounts.ts"
import type { Output } from "./Output.ts"
import { snapshotLine, summary } from "./RunSummary.ts"
import type { Screen } from "./Table.ts"
import { drawLines, style } from "./Table.ts"
import type { Finished, Teller } from "./Teller.ts"
import { isNumeric, toLine } from "./TextValue.ts"

/** @internal */
export const tables = (output: Output): Pick<Teller, "ended" | "over"> => {
  const { console, stdout } = output
  return {
    ended: (finished) => {
      if (finished.report.outcome === "Succeeded") showResult(output, finished)
    },
    over: (all, report, interrupted) => {
      if (all.length > 1 || interrupted) console.log(summary(all, report, stdout))
      if (report.snapshot !== undefined) console.log(snapshotLine(report.snapshot, stdout))
    }
  }
}

const showResult = ({ console, stdout }: Output, { report, result }: Finished): void => {
  const { columns = [], rows } = result
  const took = style(stdout, "dim", `in ${duration(report.ranMillis)}`)
  const gave = result.columns === undefined ? (result.command ?? "done") : plural(result.rowCount, "row")
  const others = result.resultSets < 2 ? "" : style(stdout, "dim", `, the last of ${result.resultSets} results`)
  const parts = result.parts === undefined ? "" : style(stdout, "dim", `, ${plural(result.parts, "part")}`)
  console.log(`${style(stdout, "bold", toLine(report.name))}  ${gave} ${took}${others}${parts}`)
  if (rows.length > 0 && columns.length > 0) {
    const lines = drawLines(
      columns.map(({ name, typeOid }) => ({ name: toLine(name), align: isNumeric(typeOid) ? "right" : "left" })),
      rows.map((row) => columns.map(({ name }) => cell(row[name], stdout))),
      stdout
    )
    for (const line of lines) console.log(line)
  }
  const cut = result.rowCount - rows.length
  if (cut > 0) console.log(style(stdout, "dim", `… and ${plural(cut, "more row")} (--max-rows)`))
  console.log("")
}

const cell = (text: string | null | undefined, screen: Screen): string =>
  text === null || text === undefined ? style(screen, "dim", "NULL") : toLine(text)
