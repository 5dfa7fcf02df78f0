/**
 * How many queries have a span of their own: so many a second, and then no more until time has passed.
 *
 * A span costs 10 to 20 µs by the time it is exported, and a lookup takes 15 to 50 µs: with a span for each, half of the
 * work would be that of telling of it, for a trace of a hundred thousand spans that nobody can read.
 *
 * A token bucket of one second's size, on times that are given.
 *
 * @internal
 */
export class SpanQuota {
  private readonly perSecond: number
  private left: number
  private filledAt: number | undefined

  constructor(perSecond: number) {
    this.perSecond = perSecond
    this.left = perSecond
  }

  /** Whether there is one more. */
  take(nowMillis: number): boolean {
    this.filledAt ??= nowMillis
    if (this.left < 1) {
      const gained = ((nowMillis - this.filledAt) / 1000) * this.perSecond
      if (this.left + gained < 1) return false
      this.left = Math.min(this.perSecond, this.left + gained)
      this.filledAt = nowMillis
    }
    this.left--
    return true
  }
}
