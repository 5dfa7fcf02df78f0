/**
 * How often what took how long: counts in buckets, as OpenTelemetry's explicit bucket histograms have them.
 *
 * A count costs a few nanoseconds, so that what every lookup does can be counted without being asked for.
 *
 * @internal
 */

/** @internal */
export interface HistogramState {
  /** With each bound, how many were at most that. What is beyond the last is in `count` alone. */
  readonly buckets: ReadonlyArray<[bound: number, count: number]>
  readonly count: number
  readonly min: number
  readonly max: number
  readonly sum: number
}

/** @internal */
export class Histogram {
  private readonly bounds: ReadonlyArray<number>
  private readonly counts: Array<number>
  private count = 0
  private sum = 0
  private min = Infinity
  private max = 0

  /** Bounds stand in ascending order; what is counted is not negative. */
  constructor(bounds: ReadonlyArray<number>) {
    this.bounds = bounds
    this.counts = bounds.map(() => 0)
  }

  add(value: number): void {
    const { bounds, counts } = this
    this.count++
    this.sum += value
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
    for (let index = 0; index < bounds.length; index++) {
      if (value > (bounds[index] ?? Infinity)) continue
      counts[index] = (counts[index] ?? 0) + 1
      return
    }
  }

  get state(): HistogramState {
    let upTo = 0
    const buckets = this.bounds.map((bound, index): [number, number] => [bound, (upTo += this.counts[index] ?? 0)])
    return { buckets, count: this.count, min: this.count === 0 ? 0 : this.min, max: this.max, sum: this.sum }
  }
}
