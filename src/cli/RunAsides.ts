/**
 * What a run says beside its results, on standard error: what its queries go through, the server's notices, failures.
 *
 * @internal
 */
import { QueryError } from "../query/QueryError.ts"
import type { QueryEvent } from "../query/QueryEvent.ts"
import { SinkError } from "../sink/SinkError.ts"
import { duration, plural } from "./Amounts.ts"
import { sayable } from "./CliFailure.ts"
import { hintOf, messageOf, outcomeOf, placeOf } from "./Failure.ts"
import type { Output } from "./Output.ts"
import { excerpt } from "./SqlPlace.ts"
import { onlyReads } from "./StatementKind.ts"
import { style } from "./Table.ts"
import type { Finished, Teller } from "./Teller.ts"
import { toLine } from "./TextValue.ts"

/**
 * Tells of a run beside its results. With `quiet`, of nothing but failures and what has to be looked after; without
 * `failures`, of none of these, because they stand among the results.
 *
 * @internal
 */
export const asides = (
  output: Output,
  { failures, quiet }: { readonly quiet: boolean; readonly failures: boolean }
): Pick<Teller, "unreached" | "happened" | "ended"> => ({
  unreached: (message, delayMillis) => {
    const { console, stderr, target } = output
    if (quiet) return
    const name = target === undefined ? "" : `${style(stderr, ["bold", "yellow"], toLine(target))}: `
    console.error(`${name}${sayable(message)}. Retrying in ${duration(delayMillis)}`)
  },
  happened: (event) => sayHappening(output, event, quiet),
  ended: (finished) => {
    const isFailure = failures && finished.report.outcome === "Failed"
    if (!quiet || isFailure) sayNotices(output, finished)
    if (isFailure) sayFailure(output, finished)
  }
})

const nameOf = ({ stderr, target }: Output, color: "yellow" | "red", name: string): string =>
  style(stderr, ["bold", color], `${target === undefined ? "" : `${toLine(target)}: `}${toLine(name)}`)

const sayHappening = (output: Output, event: QueryEvent, quiet: boolean): void => {
  const { console } = output
  if (event._tag !== "Retrying" && event._tag !== "CancelEnded") return
  const isConfirmed = event._tag === "Retrying" || event.how !== "unconfirmed"
  if (quiet && isConfirmed) return
  const name = nameOf(output, isConfirmed ? "yellow" : "red", event.name)
  if (event._tag === "Retrying") {
    const { attempt, delayMillis, error } = event
    console.error(
      `${name} retrying in ${duration(delayMillis)}: attempt ${attempt} failed, ${toLine(messageOf(error))}`
    )
  } else {
    console.error(`${name} ${cancelEnds[event.how](duration(event.tookMillis))}`)
  }
}

const cancelEnds: { readonly [How in Extract<QueryEvent, { _tag: "CancelEnded" }>["how"]]: (took: string) => string } =
  {
    idle: (took) => `cancelled: the server stopped it in ${took}`,
    gone: (took) => `cancelled: the server closed its connection after ${took}`,
    terminated: (took) => `cancelled: it did not stop, and the server ended its connection after ${took}`,
    unconfirmed: (took) => `cancel unconfirmed: no answer in ${took}, so the server may still run it`
  }

const sayNotices = (output: Output, { report }: Finished): void => {
  const { console } = output
  const name = nameOf(output, "yellow", report.name)
  for (const { message, severity } of report.notices) console.error(`${name} ${severity}: ${toLine(message)}`)
  if (report.moreNotices > 0) console.error(`${name} … and ${plural(report.moreNotices, "more notice")}`)
}

const sayFailure = (output: Output, finished: Finished): void => {
  const { console, stderr } = output
  const { report, result } = finished
  const place = placeOf(finished)
  const often = report.attempts > 1 ? ` after ${report.attempts} attempts` : ""
  console.error(
    `${nameOf(output, "red", report.name)} failed${often}: ${toLine(messageOf(report.error))}` +
      (place === undefined ? "" : ` at ${result.query.file}:${place.line}:${place.column}`)
  )
  if (report.error instanceof QueryError) {
    const { reason } = report.error
    if (place !== undefined && reason._tag === "Rejected" && reason.position !== undefined) {
      console.error(excerpt(result.query.source.text, place, (stderr.width ?? 80) - 2).replaceAll(/^/gm, "  "))
    }
    const detail = "detail" in reason ? reason.detail : undefined
    if (detail !== undefined) console.error(`  detail: ${toLine(detail)}`)
    const hint = hintOf(report.error, finished)
    if (hint !== undefined) console.error(`  hint: ${toLine(hint)}`)
  }
  const outcome = whatIsLeft(finished)
  if (outcome !== undefined) console.error(`  outcome: ${outcome}`)
  console.error("")
}

/** What the server keeps of it, where that is more than nothing. */
const whatIsLeft = (finished: Finished): string | undefined => {
  const { report, result } = finished
  const outcome = outcomeOf(finished)
  if (outcome === "notApplied") return undefined
  if (report.error instanceof QueryError) return outcomes[outcome]
  const isWrite = report.error instanceof SinkError && !result.query.statements.every(({ text }) => onlyReads(text))
  if (!isWrite) return undefined
  return outcome === "partial" ? "partial: what it wrote stays applied, and its rows are in no file" : outcomes[outcome]
}

const outcomes = {
  partial: "partial: the statements that completed before stay applied",
  unknown: "unknown: it may be applied, so look before you run it again"
}
