/**
 * Which queries the table shows, and in what order. Pure.
 *
 * @internal
 */
import type { Item } from "./Model.ts"
import type { OutcomeName } from "./PageData.ts"
import { outcomes } from "./PageData.ts"
import { failureLine } from "./Words.ts"

/** @internal */
export type Column = "name" | "outcome" | "worker" | "start" | "waited" | "ran" | "attempts" | "rows"

/** @internal */
export interface Choice {
  /** Words that all have to be in a query's name, place, tags, error or SQL, whatever their case. */
  readonly text: string
  readonly outcome: OutcomeName | "retried" | undefined
  readonly column: Column | undefined
  readonly descending: boolean
}

const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" })

const values: Readonly<Record<Column, (item: Item) => number | string>> = {
  name: ({ name }) => name,
  outcome: ({ outcome }) => outcomes.indexOf(outcome),
  worker: ({ worker }) => (worker < 0 ? Infinity : worker),
  start: ({ started }) => started ?? Infinity,
  waited: ({ waited }) => waited,
  ran: ({ ran }) => ran,
  attempts: ({ attempts }) => attempts,
  rows: ({ rows }) => rows
}

const compare = (a: number | string, b: number | string): number =>
  typeof a === "string" || typeof b === "string" ? words.compare(String(a), String(b)) : a === b ? 0 : a - b

const textsOf = ({ extra, name, place, sql }: Item): ReadonlyArray<string | undefined> => [
  name,
  place,
  extra.because,
  extra.error === undefined ? undefined : `${extra.error.reason} ${failureLine(extra.error)}`,
  ...(extra.tags ?? []),
  sql
]

const isMeant = (item: Item, wanted: ReadonlyArray<string>): boolean => {
  const texts = textsOf(item).flatMap((text) => (text === undefined ? [] : [text.toLowerCase()]))
  return wanted.every((word) => texts.some((text) => text.includes(word)))
}

/** @internal */
export const rowsOf = (items: ReadonlyArray<Item>, choice: Choice): ReadonlyArray<Item> => {
  const { column, descending, outcome, text } = choice
  const wanted = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "")
  const chosen = items.filter(
    (item) =>
      (outcome === undefined || (outcome === "retried" ? item.attempts > 1 : item.outcome === outcome)) &&
      (wanted.length === 0 || isMeant(item, wanted))
  )
  if (column === undefined) return chosen
  const sign = descending ? -1 : 1
  // Sorting is stable: equals stay in the order of the run.
  return chosen.toSorted((a, b) => sign * compare(values[column](a), values[column](b)))
}
