/**
 * The runs of the page, unpacked: queries, and parts of queries, with what they did when. Pure.
 *
 * Times are milliseconds from the start of the run.
 *
 * @internal
 */
import type { Extra, Kind, OutcomeName, PackedQuery, PageData, PageRun } from "./PageData.ts"
import { kinds, outcomes } from "./PageData.ts"

/** @internal */
export interface Span {
  readonly kind: Kind
  readonly from: number
  readonly to: number
  /** From 0, or -1 for none. */
  readonly worker: number
  readonly attempt: number
}

/**
 * A query, or a part of one.
 *
 * @internal
 */
export interface Item {
  /** Its place among the queries of its run, or among the parts of its query. */
  readonly index: number
  readonly name: string
  /** Without what the names of all queries begin with. */
  readonly short: string
  readonly outcome: OutcomeName
  readonly rows: number
  readonly attempts: number
  readonly spans: ReadonlyArray<Span>
  readonly submitted: number
  /** When it first had a session, if it ever had one. */
  readonly started: number | undefined
  readonly ended: number
  readonly waited: number
  readonly ran: number
  /** The worker of its last attempt, from 0, or -1. */
  readonly worker: number
  /** As `file:line`. */
  readonly place: string | undefined
  readonly sql: string | undefined
  readonly extra: Extra
  /** What it is a part of. */
  readonly whole: Item | undefined
  readonly parts: ReadonlyArray<Item>
}

/** @internal */
export interface Run extends Omit<PageRun, "queries" | "criticalPath"> {
  readonly items: ReadonlyArray<Item>
  readonly criticalPath: ReadonlyArray<Item>
  /** For each query, those that need it. */
  readonly dependents: ReadonlyMap<Item, ReadonlyArray<Item>>
  /** Whether its lower bound says anything: how long what was cancelled would have taken nobody knows. */
  readonly isBounded: boolean
}

const spansOf = (packed: ReadonlyArray<number>): ReadonlyArray<Span> => {
  const spans: Array<Span> = []
  let from = (packed[0] ?? 0) / 1000
  for (let at = 1; at + 3 < packed.length; at += 4) {
    const [kind = 0, until = 0, worker = -1, attempt = 1] = packed.slice(at, at + 4)
    const to = until / 1000
    spans.push({ kind: kinds[kind] ?? "waiting", from, to, worker, attempt })
    from = to
  }
  return spans
}

/** @internal */
export const holdsSession = ({ kind }: Span): boolean => kind === "running" || kind === "cancelling"

const total = (spans: ReadonlyArray<Span>): number => spans.reduce((sum, { from, to }) => sum + to - from, 0)

/** Whole microseconds were packed: a sum of their thousandths may have lost that. */
const rounded = (millis: number): number => Math.round(millis * 1000) / 1000

/** With how many characters all names begin alike, up to a blank, a stroke or the like. */
const prefixOf = ([first, ...others]: ReadonlyArray<PackedQuery>): number => {
  if (first === undefined || others.length === 0) return 0
  let [common] = first
  for (const [name] of others) {
    let length = 0
    while (length < common.length && common[length] === name[length]) length++
    common = common.slice(0, length)
  }
  return common.replace(/[\p{L}\p{N}]*$/u, "").length
}

interface Around {
  readonly texts: ReadonlyArray<string>
  readonly prefix: number
  readonly whole?: Item
}

const itemOf = (around: Around, packed: PackedQuery, index: number): Item => {
  const { prefix, texts, whole } = around
  const [name, outcome, rows, attempts, segments, file, line, sql, extra = {}] = packed
  const spans = spansOf(segments)
  const submitted = (segments[0] ?? 0) / 1000
  const held = spans.filter(holdsSession)
  const parts: Array<Item> = []
  const item: Item = {
    index,
    name,
    short: prefix === 0 ? name : `…${name.slice(prefix)}`,
    outcome: outcomes[outcome] ?? "skipped",
    rows,
    attempts,
    spans,
    submitted,
    started: held[0]?.from,
    ended: spans.at(-1)?.to ?? submitted,
    waited: rounded(total(spans) - total(held)),
    ran: rounded(total(held)),
    worker: held.at(-1)?.worker ?? -1,
    place: texts[file] === undefined ? undefined : `${texts[file]}:${line}`,
    sql: texts[sql],
    extra,
    whole,
    parts
  }
  for (const [place, part] of (extra.parts ?? []).entries()) parts.push(itemOf({ ...around, whole: item }, part, place))
  return item
}

const runOf = (texts: ReadonlyArray<string>, run: PageRun): Run => {
  const around = { texts, prefix: prefixOf(run.queries) }
  const items = run.queries.map((packed, index) => itemOf(around, packed, index))
  const dependents = new Map<Item, Array<Item>>()
  for (const item of items) {
    for (const need of needsOf(items, item)) {
      const known = dependents.get(need)
      if (known === undefined) dependents.set(need, [item])
      else known.push(item)
    }
  }
  const isBounded = run.lowerBoundMillis > 0 && items.every(({ outcome }) => outcome !== "cancelled")
  return {
    ...run,
    items,
    dependents,
    isBounded,
    criticalPath: isBounded ? run.criticalPath.flatMap((index) => items[index] ?? []) : []
  }
}

/**
 * What a query needs.
 *
 * @internal
 */
export const needsOf = (items: ReadonlyArray<Item>, { extra }: Item): ReadonlyArray<Item> =>
  (extra.needs ?? []).flatMap((index) => items[index] ?? [])

/** @internal */
export const runsOf = ({ runs, texts }: PageData): ReadonlyArray<() => Run> =>
  // Unpacked when it is shown: of a hundred targets one is.
  runs.map((run) => {
    let unpacked: Run | undefined
    return () => (unpacked ??= runOf(texts, run))
  })
