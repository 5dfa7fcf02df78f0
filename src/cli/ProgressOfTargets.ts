/**
 * How far runs on many databases are: each as one line, and all as one whole.
 *
 * @internal
 */
import type { Collector } from "../query/Progress.ts"
import { elapsed, number } from "./Amounts.ts"
import type { UnderWay, Whole } from "./ProgressLines.ts"

interface Counts {
  readonly ended: number
  readonly failed: number
  readonly skipped: number
}

/**
 * A run, and the target that it is on.
 *
 * @internal
 */
export interface RunOf {
  readonly name: string
  /** In milliseconds of the clock. */
  readonly begunAt: number
  /** While it runs: not while it connects. */
  collector: Collector | undefined
  /** How its queries ended, when it is over. */
  counts: Counts | undefined
}

/**
 * How much there is to do in all.
 *
 * @internal
 */
export interface TargetsShape {
  readonly targets: number
  /** Of each target. */
  readonly queries: number
  /** They have to share so many slots, if that is said. */
  readonly total: number | undefined
}

/** @internal */
export const ofTargets = (
  runs: ReadonlyArray<RunOf>,
  { queries, targets, total }: TargetsShape,
  now: number,
  startedAt: number
): Whole => {
  const underWay: Array<UnderWay> = []
  let ended = 0
  let failed = 0
  let skipped = 0
  let running = 0
  // How long what has not begun will take is not known, and one that shares slots with others goes on as they do.
  let remainingMillis = runs.length < targets || total !== undefined ? undefined : 0
  for (const { begunAt, collector, counts, name } of runs) {
    const progress = collector?.progress(now)
    const isRunning = progress === undefined ? 0 : progress.running.length
    const own: Counts =
      progress === undefined
        ? (counts ?? { ended: 0, failed: 0, skipped: 0 })
        : {
            ended: progress.succeeded + progress.failed + progress.cancelled + progress.skipped,
            failed: progress.failed,
            skipped: progress.skipped
          }
    ended += own.ended
    failed += own.failed
    skipped += own.skipped
    running += isRunning
    if (counts !== undefined) continue
    const left = progress?.remainingMillis
    remainingMillis = left === undefined || remainingMillis === undefined ? undefined : Math.max(remainingMillis, left)
    underWay.push({
      name,
      facts:
        progress === undefined
          ? ["connecting"]
          : [
              ...(own.failed === 0 ? [] : [`${number(own.failed)} failed`]),
              ...(isRunning === 0 ? [] : [`${number(isRunning)} running`]),
              `${number(own.ended)} of ${number(queries)}`
            ],
      time: elapsed(now - begunAt)
    })
  }
  return {
    underWay,
    ended,
    total: targets * queries,
    failed,
    skipped,
    running,
    elapsedMillis: now - startedAt,
    remainingMillis
  }
}
