/**
 * What a pool has done so far, counted as it happens.
 *
 * @internal
 */

/**
 * A pool at one moment. Counts are since the pool was made; durations are milliseconds.
 *
 * @since 0.1.0
 */
export interface Statistics {
  /** The most connections there can be for queries. */
  readonly maxConnections: number
  /** Slots that are taken: sessions in use, being opened, reset or closed. */
  readonly inUse: number
  /** Connections that wait for a borrower. */
  readonly idle: number
  /** Borrowers that wait for a slot. */
  readonly waiting: number
  /** The pipelined lane: its connections, statements under way there, and queries that wait for a place. */
  readonly pipelined: { readonly connections: number; readonly inFlight: number; readonly waiting: number }
  /** How long borrowers waited for their slot, of those who got one. */
  readonly waits: {
    readonly count: number
    readonly totalMillis: number
    /** How many waited at most so long, and longer than the bucket before; the last has no bound. */
    readonly buckets: ReadonlyArray<{ readonly upToMillis: number; readonly count: number }>
  }
  /** Connections that were opened. */
  readonly opened: number
  /** Connections that were given up, by why: `expired`, `idle`, `cancelled`, `broken`, … */
  readonly retired: Readonly<Record<string, number>>
  /** Borrowers that were refused at once, because the queue was full. */
  readonly refused: number
}

/** From "none" to "somebody has given up by now", a third of a decade each. */
const boundsMillis = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, Infinity]

/** @internal */
export class PgStatistics {
  private readonly buckets = boundsMillis.map(() => 0)
  private totalMillis = 0
  private readonly retirements = new Map<string, number>()
  opened = 0
  refused = 0
  /** Slots that were free when they were asked for: counted apart, as this is every lookup's way. */
  immediate = 0

  waited(millis: number): void {
    this.totalMillis += millis
    const index = boundsMillis.findIndex((bound) => millis <= bound)
    this.buckets[index] = (this.buckets[index] ?? 0) + 1
  }

  retired(why: string): void {
    this.retirements.set(why, (this.retirements.get(why) ?? 0) + 1)
  }

  snapshot(now: Pick<Statistics, "maxConnections" | "inUse" | "idle" | "waiting" | "pipelined">): Statistics {
    const counts = this.buckets.map((count, index) => (index === 0 ? count + this.immediate : count))
    return {
      ...now,
      waits: {
        count: counts.reduce((sum, count) => sum + count, 0),
        totalMillis: this.totalMillis,
        buckets: boundsMillis.map((upToMillis, index) => ({ upToMillis, count: counts[index] ?? 0 }))
      },
      opened: this.opened,
      retired: Object.fromEntries(this.retirements),
      refused: this.refused
    }
  }
}
