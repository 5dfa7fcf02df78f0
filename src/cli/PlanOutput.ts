/**
 * What is said of a plan: a table for people, or one JSON document for programs.
 *
 * @internal
 */
import { boundOfPlan } from "../query/Makespan.ts"
import * as Plan from "../query/Plan.ts"
import { duration, queryCount, seconds } from "./Amounts.ts"
import type { FilePlan } from "./FilePlan.ts"
import { boundOf } from "./RunSummary.ts"
import type { Screen } from "./Table.ts"
import { draw, style } from "./Table.ts"
import { toLine } from "./TextValue.ts"

/** A query of a plan. Lengths are in the plan's unit. */
interface QueryFacts {
  readonly name: string
  readonly file: string
  readonly line: number
  /** From 1. */
  readonly wave: number
  readonly needs: ReadonlyArray<string>
  readonly tags: Readonly<Record<string, string>>
  /** How long it is expected to take, if that is known. */
  readonly expected: number | null
  /** From its start to the end of the last that needs it. */
  readonly remaining: number
  /** When it would start. */
  readonly start: number
  /** Its place in the order in which they would start, from 1. */
  readonly place: number
}

/**
 * A plan, as programs are told of it.
 *
 * @internal
 */
export interface Facts {
  readonly concurrency: number
  readonly order: Plan.Order
  /** Of all lengths: `queries` where no duration is known, and each counts as 1. */
  readonly unit: "seconds" | "queries"
  readonly makespan: number
  readonly lowerBound: number
  readonly binding: Plan.LowerBound["binding"]
  readonly criticalPath: ReadonlyArray<string>
  /** By wave, and in each in the order in which they would start. */
  readonly queries: ReadonlyArray<QueryFacts>
}

/** @internal */
export const factsOf = ({ plan, queries }: FilePlan, concurrency: number, order: Plan.Order): Facts => {
  const unit = plan.nodes.some(({ expected }) => expected !== undefined) ? "seconds" : "queries"
  const lengthOf = unit === "seconds" ? seconds : (count: number) => count
  const schedule = Plan.schedule(plan, { workers: concurrency, order })
  const bound = boundOfPlan(plan, concurrency)
  const starts = new Map(schedule.starts.map(({ at, name }, index) => [name, { at, place: index + 1 }]))
  return {
    concurrency,
    order,
    unit,
    makespan: lengthOf(schedule.makespan),
    lowerBound: lengthOf(bound.duration),
    binding: bound.binding,
    criticalPath: bound.criticalPath,
    queries: queries
      .flatMap(({ file, line, name, settings }, index): ReadonlyArray<QueryFacts> => {
        const node = plan.nodes[index]
        const start = starts.get(name)
        if (node === undefined || start === undefined) return []
        return [
          {
            name,
            file,
            line,
            wave: node.wave + 1,
            needs: node.needs,
            tags: settings.tags ?? {},
            expected: node.expected === undefined ? null : lengthOf(node.expected),
            remaining: lengthOf(node.remaining),
            start: lengthOf(start.at),
            place: start.place
          }
        ]
      })
      .toSorted((a, b) => a.wave - b.wave || a.place - b.place)
  }
}

const orders: { readonly [O in Plan.Order]: string } = {
  given: "in the order given",
  "longest-first": "the longest first"
}

/**
 * The table for people.
 *
 * @internal
 */
export const toTable = (facts: Facts, screen: Screen): string => {
  const { binding, concurrency, criticalPath, lowerBound, makespan, order, queries, unit } = facts
  const isKnown = unit === "seconds"
  const text = (length: number): string => (isKnown ? duration(length * 1000) : queryCount(length))
  const table = draw(
    [
      { name: "wave", align: "right" },
      { name: "query", align: "left" },
      { name: "needs", align: "left" },
      ...(isKnown ? [{ name: "expected", align: "right" as const }] : []),
      { name: "remaining", align: "right" },
      { name: "order", align: "right" }
    ],
    queries.map(({ expected, name, needs, place, remaining, wave }) => [
      String(wave),
      toLine(name),
      needs.map(toLine).join(", "),
      ...(isKnown ? [expected === null ? "" : text(expected)] : []),
      text(remaining),
      String(place)
    ]),
    screen
  )
  const waves = queries.at(-1)?.wave ?? 0
  const unknown = queries.filter(({ expected }) => expected === null).length
  const longest = isKnown ? queries.reduce((a, b) => ((b.expected ?? 0) > (a.expected ?? 0) ? b : a)).name : undefined
  const length = isKnown
    ? `Expected ${text(makespan)}` +
      (unknown === 0 ? "" : `, where the mean stands for ${queryCount(unknown)} of unknown duration`)
    : `As long as ${queryCount(makespan)} in a row, if all take the same: no durations are known`
  return [
    table,
    "",
    `${queryCount(queries.length)} in ${waves} ${waves === 1 ? "wave" : "waves"}, ${concurrency} at a time, ${orders[order]}`,
    length,
    style(screen, "dim", boundOf(binding, text(lowerBound), longest, criticalPath, screen))
  ].join("\n")
}
