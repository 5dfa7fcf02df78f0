/**
 * What a run on many databases prints: by target, as each ends, with what its run alone would print, and in the end how
 * all of them went.
 *
 * What a target gives is kept until it has ended, so that it stands together: as much memory as is shown of the targets
 * that are under way (`--max-rows`). Retries and cancels are told at once.
 *
 * @internal
 */
import { duration, seconds } from "./Amounts.ts"
import { sayable } from "./CliFailure.ts"
import type { Output } from "./Output.ts"
import { filesTable } from "./OutTables.ts"
import { forPeople, forPrograms } from "./RunOutput.ts"
import { countsOf, snapshotLine } from "./RunSummary.ts"
import type { Screen } from "./Table.ts"
import { draw, style } from "./Table.ts"
import type { TargetEnd, TargetsTeller } from "./TargetRun.ts"
import { toLine } from "./TextValue.ts"

const indent = "  "

const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, indent)

const sayUnreachable = ({ console, stderr }: Output, name: string, message: string): void => {
  console.error(`${style(stderr, ["bold", "red"], toLine(name))}: ${sayable(message)}`)
}

/**
 * Tells people: under a line for each target its results, indented, with its failures beside them, and in the end a
 * table of the targets.
 *
 * @internal
 */
export const targetsForPeople = (output: Output, quiet: boolean): TargetsTeller => {
  const { console, stdout } = output
  const { width } = stdout
  /** A line of a target stands there, with nothing under it. */
  let isBare = false
  const narrower: Screen = { ...stdout, width: width === undefined ? undefined : Math.max(1, width - indent.length) }
  const log = (text: string): void => {
    isBare = false
    console.log(indented(text))
  }
  return {
    begun: (name) => {
      const kept: Array<() => void> = []
      const keeping: Output["console"] = {
        log: (text) => void kept.push(() => log(String(text))),
        error: (text) => void kept.push(() => console.error(text))
      }
      const { ended } = forPeople({ ...output, target: name, console: keeping, stdout: narrower }, quiet)
      const { happened, unreached } = forPeople({ ...output, target: name }, quiet)
      let isHeaded = !quiet
      return {
        unreached,
        happened,
        ended,
        unreachable: (message) => {
          isHeaded = false
          sayUnreachable(output, name, message)
        },
        over: (all, { makespanMillis, snapshot }) => {
          if (all.every(({ report }) => report.outcome === "Skipped")) isHeaded = false
          if (isHeaded) {
            console.log(`${style(stdout, "bold", toLine(name))}  ${countsOf(all, makespanMillis)}`)
            isBare = true
          }
          for (const say of kept) say()
          if (isHeaded && output.toFiles === true) log(`${filesTable(all, narrower)}\n`)
          if (isHeaded && snapshot !== undefined) log(`${snapshotLine(snapshot, stdout)}\n`)
        }
      }
    },
    over: (ends, makespanMillis) => {
      if (!quiet) console.log((isBare ? "\n" : "") + summary(ends, makespanMillis, stdout))
    }
  }
}

const summary = (ends: ReadonlyArray<TargetEnd>, makespanMillis: number, screen: Screen): string => {
  const isCancelled = ends.some(({ counts }) => counts.Cancelled > 0)
  const counted = ["Succeeded", "Failed", ...(isCancelled ? ["Cancelled" as const] : []), "Skipped"] as const
  const table = draw(
    [
      { name: "target", align: "left" },
      { name: "outcome", align: "left" },
      ...counted.map((outcome) => ({ name: outcome.toLowerCase(), align: "right" as const })),
      { name: "time", align: "right" }
    ],
    ends.map(({ counts, millis, name, outcome }) => [
      toLine(name),
      outcome,
      ...counted.map((of) => counts[of].toLocaleString("en")),
      outcome === "skipped" ? "" : duration(millis)
    ]),
    screen
  )
  const outcomes = ["succeeded", "failed", "unreachable", "cancelled", "skipped"].flatMap((outcome) => {
    const count = ends.filter((end) => end.outcome === outcome).length
    return count === 0 ? [] : [`${count.toLocaleString("en")} ${outcome}`]
  })
  const targets = `${ends.length.toLocaleString("en")} ${ends.length === 1 ? "target" : "targets"}`
  return `${table}\n\n${targets}: ${outcomes.join(", ")} in ${duration(makespanMillis)}`
}

/**
 * Tells programs: one JSON document with one of each target, in the order in which they end.
 *
 * @internal
 */
export const targetsForPrograms = (output: Output, quiet: boolean): TargetsTeller => {
  const { write } = output
  let separator = '{\n  "targets": ['
  return {
    begun: (name) => {
      const kept: Array<string> = []
      let error: { readonly message: string } | undefined
      const head = () => ({ name, ...(error === undefined ? {} : { error }) })
      const keeping = (text: string): void => void kept.push(text.replaceAll("\n", "\n    "))
      const told = forPrograms({ ...output, target: name, write: keeping }, quiet, head)
      return {
        ...told,
        unreachable: (message) => {
          error = { message: sayable(message) }
          sayUnreachable(output, name, message)
        },
        over: (all, report, interrupted) => {
          told.over(all, report, interrupted)
          write(`${separator}\n    `)
          separator = ","
          for (const [index, text] of kept.entries()) write(index === kept.length - 1 ? text.trimEnd() : text)
        }
      }
    },
    over: (_ends, makespanMillis) => {
      write(`\n  ],\n  "makespanSeconds": ${seconds(makespanMillis)}\n}\n`)
    }
  }
}
