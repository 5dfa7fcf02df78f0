/**
 * The same queries on many databases at once, each in a pool of its own.
 *
 * - No target waits for another: one that is down or slow ends when it ends, and so do the others.
 * - With a total, no more queries run at once over all targets, and no more targets are under way: so there are never
 *   more connections than that many times the concurrency of one, and those beside the pools. A target that hangs keeps
 *   its place, and as much of the total as its own concurrency, until its queries time out or the command is stopped.
 * - Every query of every target is told to have ended in one way: where a target cannot be reached, or was stopped
 *   before, all of its queries are skipped.
 *
 * @internal
 */
import type { FileSystem, Path } from "effect"
import { Cause, Clock, Effect, Exit } from "effect"
import { Slots, withSlot } from "../internal/Slots.ts"
import { unstarted } from "../query/Attempts.ts"
import type { QueryPool } from "../query/QueryPool.ts"
import { QueryFailed } from "./CliFailure.ts"
import { runOn } from "./DatabaseRun.ts"
import * as Durations from "./Durations.ts"
import type { FilePlan } from "./FilePlan.ts"
import * as FileRun from "./FileRun.ts"
import type { OutRun } from "./OutRun.ts"
import type { Target } from "./TargetsFile.ts"
import type { Finished, Teller } from "./Teller.ts"

/**
 * How a run on one target ended.
 *
 * @internal
 */
export interface TargetEnd {
  readonly name: string
  /** `skipped` where the command was stopped before any of its queries began. */
  readonly outcome: "succeeded" | "failed" | "cancelled" | "skipped" | "unreachable"
  /** How many of its queries ended so. */
  readonly counts: Readonly<Record<Finished["report"]["outcome"], number>>
  /** From the start of the target, with the time to connect. */
  readonly millis: number
}

/**
 * Who is told of the runs.
 *
 * @internal
 */
export interface TargetsTeller {
  /** A target begins: gives who is to be told of its run. */
  readonly begun: (name: string) => Teller & {
    /** It cannot be reached, which is told before its queries are skipped. */
    readonly unreachable: (message: string) => void
  }
  /** All are over, one way or another: told in the order in which they ended. */
  readonly over: (ends: ReadonlyArray<TargetEnd>, makespanMillis: number) => void
}

/** @internal */
export interface Options extends FileRun.Options {
  /** How many queries run at once over all targets. Unlimited where it is `undefined`. */
  readonly total: number | undefined
  /** Where the rows of each target go. They are shown where it is `undefined`. */
  readonly outOf?: ((target: Target) => OutRun | undefined) | undefined
}

type Pool = QueryPool["Service"]

/**
 * A pool that waits for a slot of its own, and then for one of all, as it waits for a session. In this order, as nobody is
 * to hold one of all while it waits for its own. For bodies that run no other query: that one would need a second slot.
 */
const within = (pool: Pool, own: Slots, total: Slots, clock: Clock.Clock): Pool => {
  const use: Pool["use"] = (query, body, terms) => {
    const queue = terms?.queue
    const until = queue === undefined ? undefined : clock.currentTimeMillisUnsafe() + queue.millis
    const inOne = <A, E, R>(slots: Slots, effect: Effect.Effect<A, E, R>) =>
      Effect.suspend(() =>
        queue === undefined || until === undefined
          ? withSlot(slots, effect)
          : withSlot(slots, effect, {
              millis: until - clock.currentTimeMillisUnsafe(),
              orElse: Effect.suspend(() => Effect.fail(unstarted(query, queue.reason)))
            })
      )
    return inOne(own, inOne(total, pool.use(query, body, terms)))
  }
  return { ...pool, use }
}

/**
 * Runs the queries on each target. Fails with `QueryFailed` when any of them did not succeed, or a target could not be
 * reached.
 *
 * @internal
 */
export const run = Effect.fnUntraced(function* (
  targets: ReadonlyArray<Target>,
  filePlan: FilePlan,
  options: Options,
  teller: TargetsTeller
): Effect.fn.Return<void, QueryFailed, FileSystem.FileSystem | Path.Path> {
  const { total } = options
  const slots = total === undefined ? undefined : new Slots(total)
  const clock = yield* Clock.Clock
  const now = () => Number(clock.currentTimeNanosUnsafe()) / 1e6
  const startedAt = now()
  /** In the order in which they ended. */
  const ends = new Map<Target, TargetEnd>()

  const begin = (target: Target) => {
    const begunAt = now()
    const told = teller.begun(target.name)
    let isUnreachable = false
    const ofRun: Teller = {
      ...told,
      over: (all, report, interrupted) => {
        const counts = { Succeeded: 0, Failed: 0, Cancelled: 0, Skipped: 0 }
        for (const one of all) counts[one.report.outcome]++
        const outcome = isUnreachable ? "unreachable" : outcomeOf(counts, interrupted)
        ends.set(target, { name: target.name, outcome, counts, millis: now() - begunAt })
        told.over(all, report, interrupted)
      }
    }
    const skipped = (interrupted: boolean): void => {
      if (!ends.has(target)) FileRun.tellSkipped(filePlan, options, ofRun, interrupted)
    }
    const unreachable = (message: string): void => {
      isUnreachable = true
      told.unreachable(message)
      skipped(false)
    }
    return { ofRun, skipped, unreachable }
  }

  const begun = new Set<Target>()
  const bounded = (pool: Pool): Pool =>
    slots === undefined ? pool : within(pool, new Slots(options.concurrency), slots, clock)
  const runOne = (target: Target) =>
    Effect.suspend(() => {
      begun.add(target)
      const { ofRun, skipped, unreachable } = begin(target)
      return Effect.suspend(() =>
        runOn(target, filePlan, { ...options, out: options.outOf?.(target) }, ofRun, bounded)
      ).pipe(
        Effect.catchTags({
          QueryFailed: () => Effect.void,
          Unreachable: ({ message }) => Effect.sync(() => unreachable(message)),
          UsageError: ({ message }) => Effect.sync(() => unreachable(message))
        }),
        Effect.onExit((exit) => Effect.sync(() => skipped(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))))
      )
    })

  yield* Effect.forEach(targets, runOne, { concurrency: total ?? "unbounded", discard: true }).pipe(
    Effect.ensuring(
      Effect.sync(() => {
        for (const target of targets) if (!begun.has(target)) begin(target).skipped(true)
        teller.over([...ends.values()], now() - startedAt)
      })
    ),
    Effect.provide(Durations.shared)
  )
  for (const { outcome } of ends.values()) if (outcome !== "succeeded") return yield* new QueryFailed()
})

const outcomeOf = (counts: TargetEnd["counts"], interrupted: boolean): TargetEnd["outcome"] => {
  if (counts.Succeeded + counts.Failed + counts.Cancelled === 0) return "skipped"
  if (interrupted) return "cancelled"
  return counts.Failed + counts.Cancelled + counts.Skipped === 0 ? "succeeded" : "failed"
}
