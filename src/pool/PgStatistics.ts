/**
 * What a pool has done so far, counted as it happens.
 *
 * @internal
 */
import type { HistogramState } from "../internal/Histogram.ts"
import { Histogram } from "../internal/Histogram.ts"
import type { CancelEnd } from "../query/QueryEvent.ts"

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

/**
 * What OpenTelemetry asks of histograms of database calls, in seconds.
 *
 * @internal
 */
export const boundsSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

/** @internal */
export class PgStatistics {
  private readonly buckets = boundsMillis.map(() => 0)
  private totalMillis = 0
  private readonly retirements = new Map<string, number>()
  private longestMillis = 0
  /** In seconds: how long connections took to open, and how long borrowers had them. */
  readonly creates = new Histogram(boundsSeconds)
  readonly uses = new Histogram(boundsSeconds)
  readonly cancels = new Map<CancelEnd["how"], Histogram>()
  opened = 0
  refused = 0
  /** Borrowers that gave up waiting. */
  timedOut = 0
  /** Slots that were free when they were asked for: counted apart, as this is every lookup's way. */
  immediate = 0

  waited(millis: number): void {
    this.totalMillis += millis
    if (millis > this.longestMillis) this.longestMillis = millis
    const index = boundsMillis.findIndex((bound) => millis <= bound)
    this.buckets[index] = (this.buckets[index] ?? 0) + 1
  }

  retired(why: string): void {
    this.retirements.set(why, (this.retirements.get(why) ?? 0) + 1)
  }

  cancelled({ how, tookMillis }: CancelEnd): void {
    const known = this.cancels.get(how) ?? new Histogram(boundsSeconds)
    this.cancels.set(how, known)
    known.add(tookMillis / 1000)
  }

  /** The waits, in seconds and by the bounds of the other histograms, which are among those of the waits. */
  get waitSeconds(): HistogramState {
    const upTo = (millis: number) =>
      this.buckets.reduce((sum, count, index) => ((boundsMillis[index] ?? Infinity) <= millis ? sum + count : sum), 0)
    return {
      buckets: boundsSeconds.map((bound) => [bound, this.immediate + upTo(bound * 1000)]),
      count: this.immediate + upTo(Infinity),
      min: 0,
      max: this.longestMillis / 1000,
      sum: this.totalMillis / 1000
    }
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
