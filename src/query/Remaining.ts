/**
 * How long a run will take from now on: what its queries are expected to take, corrected by how it has gone so far.
 *
 * - A query whose duration was learned takes that, times the run's pace: what those that succeeded took, against what was
 *   expected of them. One that runs for longer than expected counts for the pace already. To begin with, a tenth of all
 *   that is expected counts as having gone as expected, so that the first small query does not turn hours into days.
 * - A query of which nothing was learned takes the mean of those like it that succeeded, once these are as many as can run
 *   at once. One that runs for longer than that counts as well, as if it ended now: those that have ended are the short
 *   ones first. Before that, the mean of the learned stands for it, if at least half of the queries are learned.
 * - Nothing is said of the whole where that leaves a query of which nothing is known, and where all that still run have
 *   taken more than twice what they were to take: when they end is anybody's guess.
 *
 * What is left is laid out on the run's workers as the run itself will do it (`Plan.schedule`), needs included.
 *
 * @internal
 */
import type { Plan, PlanNode } from "./Plan.ts"
import { lowerBound, schedule } from "./Plan.ts"

/**
 * A query that has not ended.
 *
 * @internal
 */
export interface Open {
  readonly id: number
  /** What it was expected to take before the run, in milliseconds. */
  readonly expected: number | undefined
}

/**
 * What has not ended of a run.
 *
 * @internal
 */
export interface Left {
  /** Since when, in milliseconds of a clock. */
  readonly running: ReadonlyMap<number, Open & { readonly since: number }>
  /** Until when. */
  readonly resting: ReadonlyMap<number, Open & { readonly until: number }>
  readonly waiting: ReadonlyMap<number, Open>
}

/** What share of all that is expected counts as having gone as expected. */
const priorShare = 0.1

/** Of the time that it ran, what a query is taken to need that has run for as long as it was to take. */
const overrunShare = 0.1

/** A query that has taken so many times what it was to take is beyond guessing. */
const beyond = 2

/**
 * Of more queries, what is left is shared among the workers in equal parts, whatever their order and needs. To lay out
 * 2,000 takes 3 ms, and may be asked for ten times a second; the difference is that of one query to hundreds.
 */
const mostLaidOut = 2_000

interface Sum {
  count: number
  expected: number
  took: number
}

/** @internal */
export class Remaining {
  private readonly workers: number
  private readonly needs: Plan["needs"] | undefined
  private readonly compare: ((one: Open, other: Open) => number) | undefined
  /** All queries of which something was learned, and the number of the others. */
  private readonly known: Sum = { count: 0, expected: 0, took: 0 }
  private unknown = 0
  /** Those that succeeded. */
  private readonly knownEnded: Sum = { count: 0, expected: 0, took: 0 }
  private readonly unknownEnded: Sum = { count: 0, expected: 0, took: 0 }

  constructor(options: {
    readonly workers: number
    /** By their numbers. */
    readonly needs?: Plan["needs"] | undefined
    /** Sorts those that wait by who is next; by their numbers, if absent. */
    readonly compare?: ((one: Open, other: Open) => number) | undefined
  }) {
    this.workers = options.workers
    this.needs = options.needs
    this.compare = options.compare
  }

  submitted(expected: number | undefined): void {
    if (expected === undefined) this.unknown++
    else add(this.known, expected, 0)
  }

  succeeded(expected: number | undefined, tookMillis: number): void {
    add(expected === undefined ? this.unknownEnded : this.knownEnded, expected ?? 0, tookMillis)
  }

  /** Milliseconds to the end of the last, if that can be said. */
  millis({ resting, running, waiting }: Left, now: number): number | undefined {
    const pace = this.pace(running.values(), now)
    const others = this.unknownMillis(running.values(), pace, now)
    const wholeOf = ({ expected }: Open): number => (expected === undefined ? (others ?? NaN) : expected * pace)
    const open: Array<Open> = []
    const durations: Array<number> = []
    let longest = 0
    const push = (one: Open, millis: number, delay = 0): void => {
      open.push(one)
      durations.push(millis)
      longest = Math.max(longest, delay + millis)
    }
    let areBeyond = running.size > 0 && resting.size + waiting.size === 0
    for (const one of running.values()) {
      const ran = now - one.since
      const whole = wholeOf(one)
      if (ran <= beyond * whole) areBeyond = false
      push(one, whole <= ran ? ran * overrunShare : whole - ran)
    }
    if (areBeyond) return undefined
    for (const one of resting.values()) push(one, wholeOf(one), Math.max(0, one.until - now))
    const next = [...waiting.values()]
    if (this.compare !== undefined && next.length <= mostLaidOut) next.sort(this.compare)
    for (const one of next) push(one, wholeOf(one))
    if (Number.isNaN(longest)) return undefined
    return Math.max(longest, this.makespan(open, durations))
  }

  private pace(running: Iterable<Open & { readonly since: number }>, now: number): number {
    const sum = { ...this.knownEnded }
    for (const { expected, since } of running) {
      if (expected !== undefined && now - since > expected) add(sum, expected, now - since)
    }
    const prior = priorShare * this.known.expected
    return prior === 0 ? 1 : (sum.took + prior) / (sum.expected + prior)
  }

  private unknownMillis(
    running: Iterable<Open & { readonly since: number }>,
    pace: number,
    now: number
  ): number | undefined {
    const { unknownEnded } = this
    if (unknownEnded.count >= this.workers) {
      const mean = unknownEnded.took / unknownEnded.count
      const sum = { ...unknownEnded }
      for (const { expected, since } of running) {
        if (expected === undefined && now - since > mean) add(sum, 0, now - since)
      }
      return sum.took / sum.count
    }
    const { known, unknown } = this
    return known.count > 0 && known.count >= unknown ? (known.expected / known.count) * pace : undefined
  }

  private makespan(open: ReadonlyArray<Open>, durations: ReadonlyArray<number>): number {
    const { needs, workers } = this
    if (open.length > mostLaidOut) return lowerBound({ durations, workers }).duration
    const places = needs === undefined ? undefined : new Map(open.map(({ id }, place) => [id, place]))
    const nodes = durations.map((duration, index): PlanNode => {
      return { index, name: "", needs: [], wave: 0, duration, remaining: duration }
    })
    // What has ended is needed no more.
    const left = open.map(({ id }) => (needs?.[id] ?? []).flatMap((need) => places?.get(need) ?? []))
    return schedule({ nodes, needs: left }, { workers }).makespan
  }
}

const add = (sum: Sum, expected: number, took: number): void => {
  sum.count++
  sum.expected += expected
  sum.took += took
}
