/**
 * The lanes of the picture: one for each worker, and below those what has no worker: parts of queries, which have
 * sessions of their own, and waits. Pure.
 *
 * - On a worker's lane no two bars overlap. Bars of other lanes are packed into as few as they need.
 * - Waits are drawn one by one while at most a dozen queries wait at once. Where more do, which is so for each of ten
 *   thousand queries at its start, only the waits for another attempt are: how many wait is shown by Counts.ts.
 *
 * @internal
 */
import type { Item, Run, Span } from "./Model.ts"
import { holdsSession } from "./Model.ts"
import type { Kind } from "./PageData.ts"

/**
 * How a bar is filled in: `retried` is an attempt that failed and was followed by another.
 *
 * @internal
 */
export type Fill = Exclude<Kind, "running"> | "succeeded" | "failed" | "cancelled" | "retried"

/** @internal */
export interface Bar {
  readonly item: Item
  readonly fill: Fill
  readonly from: number
  readonly to: number
  readonly attempt: number
  /** What stands on it where there is no room for the name of its query. */
  readonly short: string
}

/** @internal */
export interface Lane {
  readonly group: "workers" | "parts" | "waiting"
  readonly label: string
  /** By their beginning. */
  readonly bars: ReadonlyArray<Bar>
  readonly top: number
  readonly height: number
}

/** @internal */
export interface Placed {
  readonly bar: Bar
  readonly lane: Lane
}

/** @internal */
export interface Lanes {
  readonly lanes: ReadonlyArray<Lane>
  readonly height: number
  /** Where each query is drawn, in the order of the lanes. */
  readonly places: ReadonlyMap<Item, ReadonlyArray<Placed>>
}

const fillOf = (item: Item, { attempt, kind }: Span): Fill => {
  if (kind !== "running") return kind
  if (attempt < item.attempts) return "retried"
  return item.outcome === "skipped" ? "cancelled" : item.outcome
}

/** Of a part, `[3/8]`: its lane says what it is a part of, or its neighbours do. */
const shortOf = ({ name, short, whole }: Item): string =>
  whole !== undefined && name.startsWith(`${whole.name} `) ? name.slice(whole.name.length + 1) : short

const barOf = (item: Item, span: Span): Bar => ({
  item,
  fill: fillOf(item, span),
  from: span.from,
  to: span.to,
  attempt: span.attempt,
  short: shortOf(item)
})

/** Bars that stay together: those of one query that follow each other. */
type Block = ReadonlyArray<Bar>

const startOf = (block: Block): number => block[0]?.from ?? 0
const endOf = (block: Block): number => block.at(-1)?.to ?? 0

/** Puts each block in the first row where it overlaps nothing; in the last one where there are too many rows. */
const packed = (blocks: ReadonlyArray<Block>, most: number): ReadonlyArray<ReadonlyArray<Bar>> => {
  const rows: Array<Array<Bar>> = []
  for (const block of blocks.toSorted((a, b) => startOf(a) - startOf(b))) {
    const free = rows.find((row) => (row.at(-1)?.to ?? 0) <= startOf(block))
    if (free !== undefined) free.push(...block)
    else if (rows.length < most) rows.push([...block])
    else rows.at(-1)?.push(...block)
  }
  return rows
}

/** How many of the blocks there are at once, at most. */
const mostAtOnce = (blocks: ReadonlyArray<Block>): number => {
  const starts = blocks.map(startOf).toSorted((a, b) => a - b)
  const ends = blocks.map(endOf).toSorted((a, b) => a - b)
  let most = 0
  let ended = 0
  for (const [begun, start] of starts.entries()) {
    while ((ends[ended] ?? Infinity) <= start) ended++
    most = Math.max(most, begun + 1 - ended)
  }
  return most
}

/** Stretches of a query's life for which all spans are of a kind. */
const stretches = (item: Item, isMeant: (span: Span) => boolean): ReadonlyArray<Block> => {
  const blocks: Array<Array<Bar>> = []
  let open: Array<Bar> | undefined
  for (const span of item.spans) {
    if (!isMeant(span)) open = undefined
    else if (open === undefined) blocks.push((open = [barOf(item, span)]))
    else open.push(barOf(item, span))
  }
  return blocks
}

const mostWaiting = 12
const mostRetrying = 8
const mostParts = 32

const workersOf = ({ items }: Run): ReadonlyArray<ReadonlyArray<Bar>> => {
  const lanes: Array<Array<Bar>> = [[]]
  for (const item of items) {
    for (const span of item.spans) {
      if (holdsSession(span) && span.worker >= 0) (lanes[span.worker] ??= []).push(barOf(item, span))
    }
  }
  return Array.from(lanes, (bars) => (bars ?? []).toSorted((a, b) => a.from - b.from))
}

const waitsOf = ({ items }: Run): ReadonlyArray<ReadonlyArray<Bar>> => {
  const waits = items.flatMap((item) => stretches(item, (span) => !holdsSession(span)))
  if (mostAtOnce(waits) <= mostWaiting) return packed(waits, mostWaiting)
  const retries = items.flatMap((item) => stretches(item, ({ kind }) => kind === "retrying"))
  return packed(retries, mostRetrying)
}

/** Lower where there are many, so that a hundred of them are seen at once. */
const heightOf = (workers: number): number => (workers <= 16 ? 24 : workers <= 40 ? 16 : workers <= 100 ? 10 : 6)

const gap = 10

/** @internal */
export const lanesOf = (run: Run): Lanes => {
  const workers = workersOf(run)
  const parts = packed(
    run.items.flatMap(({ parts }) => parts.flatMap((part) => stretches(part, holdsSession))),
    mostParts
  )
  const waits = waitsOf(run)
  const lanes: Array<Lane> = []
  let top = 0
  const add = (
    group: Lane["group"],
    rows: ReadonlyArray<ReadonlyArray<Bar>>,
    height: number,
    labelOf: (index: number) => string
  ): void => {
    if (rows.length > 0 && lanes.length > 0) top += gap
    for (const [index, bars] of rows.entries()) {
      lanes.push({ group, label: labelOf(index), bars, top, height })
      top += height
    }
  }
  const isLow = workers.length > 40
  add("workers", workers, heightOf(workers.length), (index) => (isLow && index % 5 !== 0 ? "" : `worker ${index + 1}`))
  add("parts", parts, 14, (index) => (index === 0 ? "parts" : ""))
  add("waiting", waits, 14, (index) => (index === 0 ? "waiting" : ""))
  const places = new Map<Item, Array<Placed>>()
  for (const lane of lanes) {
    for (const bar of lane.bars) {
      const known = places.get(bar.item)
      if (known === undefined) places.set(bar.item, [{ bar, lane }])
      else known.push({ bar, lane })
    }
  }
  return { lanes, height: top, places }
}

/**
 * Where a query is best seen: its last attempt, or else its wait.
 *
 * @internal
 */
export const placeOf = ({ places }: Lanes, item: Item): Placed | undefined => {
  const all = places.get(item) ?? []
  const attempts = all.filter(({ lane }) => lane.group !== "waiting")
  return (
    attempts.reduce<Placed | undefined>(
      (last, place) => (last === undefined || place.bar.to > last.bar.to ? place : last),
      undefined
    ) ?? all.at(-1)
  )
}

/**
 * The place of the first bar of a lane that ends after a time.
 *
 * @internal
 */
export const firstAfter = ({ bars }: Lane, millis: number): number => {
  let low = 0
  let high = bars.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((bars[middle]?.to ?? 0) > millis) high = middle
    else low = middle + 1
  }
  return low
}

/**
 * The bar of a lane at a time or, within a reach, next to it.
 *
 * @internal
 */
export const barAt = (lane: Lane, millis: number, reach = Infinity): Bar | undefined => {
  const after = firstAfter(lane, millis)
  const near = [lane.bars[after], lane.bars[after - 1]].flatMap((bar) => {
    const distance = bar === undefined ? Infinity : Math.max(bar.from - millis, millis - bar.to, 0)
    return bar === undefined || distance > reach ? [] : [{ bar, distance }]
  })
  return near.toSorted((a, b) => a.distance - b.distance)[0]?.bar
}
