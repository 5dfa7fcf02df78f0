/**
 * What a run prints: tables for people, or one JSON document for programs.
 *
 * Results go to standard output, failures and the server's notices to standard error.
 *
 * @internal
 */
import type { Console } from "effect"
import { QueryError } from "../query/QueryError.ts"
import type { QueryEvent } from "../query/QueryEvent.ts"
import type { LowerBound } from "../query/Plan.ts"
import type { Finished, RunReport, Teller } from "./FileRun.ts"
import { placeOf } from "./FileRun.ts"
import { excerpt } from "./SqlPlace.ts"
import type { Screen } from "./Table.ts"
import { draw, drawLines, style } from "./Table.ts"
import { isNumeric, toJson, toLine } from "./TextValue.ts"

/**
 * Where a run's output goes.
 *
 * @internal
 */
export interface Output {
  readonly console: Pick<Console.Console, "log" | "error">
  /** Puts text on standard output, without an end of line. */
  readonly write: (text: string) => void
  readonly stdout: Screen
  readonly stderr: Screen
  /** Said before the names of queries on standard error, where a run is one of many. */
  readonly target?: string | undefined
}

const nameOf = ({ stderr, target }: Output, color: "yellow" | "red", name: string): string =>
  style(stderr, ["bold", color], `${target === undefined ? "" : `${toLine(target)}: `}${toLine(name)}`)

const plural = (count: number, thing: string): string =>
  `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`

/** @internal */
export const queryCount = (count: number): string =>
  `${count.toLocaleString("en")} ${count === 1 ? "query" : "queries"}`

/** As precise as a person needs it: 0.4 ms, 12 ms, 1.23 s, 75.0 s, 12 min 5 s. */
export const duration = (millis: number): string => {
  // Each bound is where the text would be rounded up to the next unit: 1000 ms, 10.00 s.
  if (millis < 9.95) return `${millis.toFixed(1)} ms`
  if (millis < 999.5) return `${millis.toFixed(0)} ms`
  if (millis < 9_995) return `${(millis / 1000).toFixed(2)} s`
  if (millis < 119_950) return `${(millis / 1000).toFixed(1)} s`
  const seconds = Math.round(millis / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

const messageOf = (error: unknown): string => {
  if (!(error instanceof QueryError)) return error instanceof Error ? error.message : String(error)
  const { reason } = error
  const state = "sqlState" in reason && reason.sqlState !== undefined ? ` (${reason.sqlState})` : ""
  return `${reason.message}${state}`
}

// Beside the results, so that a pipe gets results alone

/** What a query goes through before it ends; where they asked for quiet, only what they have to look after. */
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
    const { outcome, reason } = report.error
    if (place !== undefined && reason._tag === "Rejected" && reason.position !== undefined) {
      console.error(excerpt(result.query.source.text, place, (stderr.width ?? 80) - 2).replaceAll(/^/gm, "  "))
    }
    const detail = "detail" in reason ? reason.detail : undefined
    if (detail !== undefined) console.error(`  detail: ${toLine(detail)}`)
    const hint = hintOf(report.error)
    if (hint !== undefined) console.error(`  hint: ${toLine(hint)}`)
    if (outcome !== "notApplied") console.error(`  outcome: ${outcomes[outcome]}`)
  }
  console.error("")
}

const outcomes = {
  partial: "partial: the statements that completed before stay applied",
  unknown: "unknown: it may be applied, so look before you run it again"
}

/** What the library advises, in the words of the command line where these are others. */
const hintOf = (error: QueryError): string | undefined => {
  const { hint, reason } = error
  if (reason._tag === "TimedOut") {
    return reason.limit === "deadline"
      ? "raise --deadline"
      : "raise --timeout, or write a line `-- timeout:` in the file"
  }
  if (reason._tag === "QueueTimeout") return "raise --queue-timeout or --concurrency"
  if (reason._tag === "TooBusy" && reason.hint === undefined && reason.sqlState === "53300") {
    return "lower --concurrency, or raise the server's max_connections"
  }
  return hint
}

// For people

/**
 * Tells people: a table for each query and one for the run.
 *
 * @internal
 */
export const forPeople = (output: Output, quiet: boolean): Teller => {
  const { console, stdout } = output
  const success = ({ report, result }: Finished): void => {
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

  return {
    happened: (event) => sayHappening(output, event, quiet),
    ended: (finished) => {
      const { outcome } = finished.report
      if (!quiet || outcome === "Failed") sayNotices(output, finished)
      if (outcome === "Failed") sayFailure(output, finished)
      else if (outcome === "Succeeded" && !quiet) success(finished)
    },
    over: (all, report, interrupted) => {
      if (quiet) return
      if (all.length > 1 || interrupted) console.log(summary(all, report, stdout))
      if (report.snapshot !== undefined) console.log(snapshotLine(report.snapshot, stdout))
    }
  }
}

const cell = (text: string | null | undefined, screen: Screen): string =>
  text === null || text === undefined ? style(screen, "dim", "NULL") : toLine(text)

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

const summary = (all: ReadonlyArray<Finished>, report: RunReport, screen: Screen): string => {
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

const mostRoots = 3

const because = (roots: ReadonlyArray<string>): string => {
  if (roots.length === 0) return ""
  const others = roots.length - mostRoots
  return ` because ${roots.slice(0, mostRoots).map(toLine).join(", ")}${others > 0 ? ` and ${others} more` : ""}`
}

const becauseOf = (ended: ReadonlyArray<Finished>): string => {
  const roots = ended.flatMap(({ report }) => report.because ?? [])
  const some = roots.length > 0 && roots.length < ended.length ? `, ${roots.length.toLocaleString("en")}` : ""
  return some + because([...new Set(roots)])
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

// For programs

/**
 * Tells programs: one JSON document, written query by query, so that it takes no more memory than one of them. `head` is
 * asked for the fields that it begins with when the first query has ended.
 *
 * @internal
 */
export const forPrograms = (
  output: Output,
  quiet: boolean,
  head: () => Readonly<Record<string, unknown>> = () => ({})
): Teller => {
  const { write } = output
  let isBegun = false
  const begin = (): void => {
    isBegun = true
    const fields = Object.entries(head()).map(
      ([name, value]) => `\n  ${JSON.stringify(name)}: ${JSON.stringify(value)},`
    )
    write(`{${fields.join("")}\n  "queries": [`)
  }
  return {
    happened: (event) => sayHappening(output, event, quiet),
    ended: (finished) => {
      if (!quiet) sayNotices(output, finished)
      if (isBegun) write(",")
      else begin()
      writeQuery(finished, write)
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

const writeQuery = (finished: Finished, write: Output["write"]): void => {
  const { report, result } = finished
  const { columns = [], command = null, rowCount, rows } = result
  const parts = result.parts === undefined ? {} : { parts: result.parts }
  const head = { name: report.name, outcome: report.outcome.toLowerCase(), command, ...parts, rowCount }
  const tail = {
    truncated: rowCount > rows.length,
    ...(report.outcome === "Failed" ? { error: errorDocument(finished) } : {}),
    ...(report.because === undefined ? {} : { because: report.because }),
    waitedSeconds: seconds(report.waitedMillis),
    ranSeconds: seconds(report.ranMillis),
    attempts: report.attempts
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

const errorDocument = (finished: Finished) => {
  const { error } = finished.report
  const reason = error instanceof QueryError ? error.reason : undefined
  const place = placeOf(finished)
  return {
    reason: reason?._tag ?? "Defect",
    sqlState: (reason !== undefined && "sqlState" in reason ? reason.sqlState : undefined) ?? null,
    message: reason?.message ?? messageOf(error),
    // What a defect leaves behind is not known.
    outcome: error instanceof QueryError ? error.outcome : "unknown",
    connection: error instanceof QueryError ? error.connection : null,
    line: place?.line ?? null,
    column: place?.column ?? null
  }
}

/** Microseconds are as fine as the clock is. */
export const seconds = (millis: number): number => Math.round(millis * 1000) / 1_000_000
