/**
 * The results of a run for programs: one JSON document, written query by query and row by row, so that it takes no more
 * memory than what is kept of one query.
 *
 * @internal
 */
import { seconds } from "./Amounts.ts"
import { failureDocument } from "./Failure.ts"
import { fileDocument } from "./OutTables.ts"
import type { Output } from "./Output.ts"
import type { Finished, Teller } from "./Teller.ts"
import { toJson } from "./TextValue.ts"

/**
 * `head` is asked for the fields that it begins with when the first query has ended.
 *
 * @internal
 */
export const document = (
  { toFiles = false, write }: Output,
  head: () => Readonly<Record<string, unknown>> = () => ({})
): Pick<Teller, "ended" | "over"> => {
  let isBegun = false
  const begin = (): void => {
    isBegun = true
    const fields = Object.entries(head()).map(
      ([name, value]) => `\n  ${JSON.stringify(name)}: ${JSON.stringify(value)},`
    )
    write(`{${fields.join("")}\n  "queries": [`)
  }
  return {
    ended: (finished) => {
      if (isBegun) write(",")
      else begin()
      writeQuery(finished, write, toFiles)
    },
    over: (_all, report) => {
      if (!isBegun) begin()
      const { binding, criticalPath, lowerBoundMillis, makespanMillis, snapshot } = report
      write(`\n  ],\n  "makespanSeconds": ${seconds(makespanMillis)},`)
      write(`\n  "lowerBoundSeconds": ${seconds(lowerBoundMillis)},`)
      write(`\n  "binding": ${JSON.stringify(binding)},\n  "criticalPath": ${JSON.stringify(criticalPath)}`)
      if (snapshot !== undefined) {
        const { heldMillis, lost } = snapshot
        write(`,\n  "snapshot": ${JSON.stringify({ heldSeconds: seconds(heldMillis), lost })}`)
      }
      write("\n}\n")
    }
  }
}

const writeQuery = (finished: Finished, write: Output["write"], toFiles: boolean): void => {
  const { report, result } = finished
  const { columns = [], command = null, rowCount, rows } = result
  const parts = result.parts === undefined ? {} : { parts: result.parts }
  const head = { name: report.name, outcome: report.outcome.toLowerCase(), command, ...parts, rowCount }
  const tail = {
    ...(toFiles ? {} : { truncated: rowCount > rows.length }),
    ...(report.outcome === "Failed" ? { error: failureDocument(finished) } : {}),
    ...(report.because === undefined ? {} : { because: report.because }),
    waitedSeconds: seconds(report.waitedMillis),
    ranSeconds: seconds(report.ranMillis),
    attempts: report.attempts
  }
  if (toFiles) {
    write(`\n    {${fieldsOf({ ...head, ...fileDocument(finished), ...tail })}\n    }`)
    return
  }
  write(`\n    {${fieldsOf(head)},\n      "rows": [`)
  // A row at a time: all rows in one text can be longer than a string can be.
  rows.forEach((row, index) => {
    const values = columns.map(({ name, typeOid }) => [name, toJson(row[name] ?? null, typeOid)])
    write(`${index === 0 ? "" : ","}\n        ${JSON.stringify(Object.fromEntries(values))}`)
  })
  write(`${rows.length === 0 ? "" : "\n      "}],${fieldsOf(tail)}\n    }`)
}

const fieldsOf = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .map(([name, value]) => `\n      ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
    .join(",")
