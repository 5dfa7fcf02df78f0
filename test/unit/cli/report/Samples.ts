/** Runs as the page has them. */
import type * as ReportDocument from "../../../../src/query/ReportDocument.ts"
import { pageDataOf } from "../../../../src/cli/report/Packing.ts"
import type { Run } from "../../../../src/cli/report/page/Model.ts"
import { runsOf } from "../../../../src/cli/report/page/Model.ts"
import { documentOf } from "../../../support/ReportSamples.ts"

export const unpacked = (run: ReportDocument.Run): Run => {
  const [first] = runsOf(pageDataOf(documentOf(run)))
  if (first === undefined) throw new Error("There is no run")
  return first()
}
