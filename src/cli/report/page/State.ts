/**
 * What is looked at: the part of time that is shown, the bar that is pointed at, and the query whose details are open.
 * The parts of the page tell each other of nothing else.
 *
 * @internal
 */
import type { Bar, Lanes } from "./Lanes.ts"
import { placeOf } from "./Lanes.ts"
import type { Item, Run } from "./Model.ts"

type Change = "view" | "pointed" | "pinned"

/** So much of a run is seen at most when zoomed in: a hundredth of a millisecond. */
const leastMillis = 0.01

/** @internal */
export class State {
  readonly run: Run
  readonly lanes: Lanes
  readonly steps: ReadonlyArray<number>
  /** The end of what can be shown. */
  readonly end: number
  from = 0
  to: number
  pointed: Bar | undefined
  pinned: Item | undefined
  private readonly listeners: Array<(change: Change) => void> = []

  constructor(run: Run, lanes: Lanes, steps: ReadonlyArray<number>) {
    this.run = run
    this.lanes = lanes
    this.steps = steps
    // Some room for what stands at the end; and a run of no time at all has an axis, too.
    this.end = Math.max(run.makespanMillis, run.lowerBoundMillis, leastMillis) * 1.01
    this.to = this.end
  }

  on(listener: (change: Change) => void): void {
    this.listeners.push(listener)
  }

  private tell(change: Change): void {
    for (const listener of this.listeners) listener(change)
  }

  get isZoomed(): boolean {
    return this.from > 0 || this.to < this.end
  }

  /** Shows a part of time, as far as there is one. */
  look(from: number, to: number): void {
    const span = Math.min(Math.max(to - from, Math.min(leastMillis, this.end)), this.end)
    this.from = Math.min(Math.max(from, 0), this.end - span)
    this.to = this.from + span
    this.tell("view")
  }

  /** Makes what is shown so many times as long, around a time that stays where it is. */
  zoom(factor: number, around = (this.from + this.to) / 2): void {
    this.look(around - (around - this.from) * factor, around + (this.to - around) * factor)
  }

  pan(share: number): void {
    const by = (this.to - this.from) * share
    this.look(this.from + by, this.to + by)
  }

  point(bar: Bar | undefined): void {
    if (this.pointed === bar) return
    this.pointed = bar
    this.tell("pointed")
  }

  /** Points at a query where it is best seen. */
  pointAt(item: Item): void {
    this.point(placeOf(this.lanes, item)?.bar)
  }

  pin(item: Item | undefined): void {
    if (this.pinned === item) return
    this.pinned = item
    this.tell("pinned")
  }

  /** Brings a time into what is shown. */
  reveal(from: number, to: number): void {
    const span = this.to - this.from
    if (from < this.to && to > this.from) return
    const middle = (from + to) / 2
    this.look(middle - span / 2, middle + span / 2)
  }
}
