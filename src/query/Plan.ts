/**
 * What can be known about a run before it starts. Pure.
 *
 * @since 0.1.0
 */

/**
 * The shortest makespan that any scheduler could reach for these durations.
 *
 * It is `max(longest, total / min(workers, processors))`: no run ends before its longest query, and no more than
 * `workers` queries, nor more than the server has processors, make progress at once (R. L. Graham, "Bounds on
 * Multiprocessing Timing Anomalies", SIAM J. Appl. Math. 17, 1969). It holds for work that keeps a processor busy;
 * queries that wait for something else can beat the processors' part.
 *
 * Durations and result are in one unit of the caller's choice. No durations give 0.
 *
 * @since 0.1.0
 */
export const lowerBound = (options: {
  readonly durations: Iterable<number>
  readonly workers: number
  /** Processors of the server; unlimited when left out. */
  readonly processors?: number | undefined
}): number => {
  let longest = 0
  let total = 0
  for (const duration of options.durations) {
    total += duration
    if (duration > longest) longest = duration
  }
  return Math.max(longest, total / Math.min(options.workers, options.processors ?? Infinity))
}
