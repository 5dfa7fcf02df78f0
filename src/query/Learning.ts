/**
 * Learning how long queries take: what a run teaches, as a fold of its events, and the contract of who remembers it.
 *
 * - Only queries that succeeded teach anything, and of one that was retried only the last attempt: what failed says
 *   nothing of how long the next will take. Times are those of a report's `ranMillis`, with a session, without waits.
 * - Queries of one name are taken to be alike: a run teaches the mean of them, which is one figure whether there was one
 *   or a hundred thousand.
 * - Parts of a query teach nothing: each is about as long as the others, so nobody asks how long, and thousands of them
 *   would push out what is of use.
 * - Memory is bounded by what runs at once and by a number of names: of more names, those that ended last are kept.
 *
 * A run in whose context is no `DurationHistory` keeps nothing and looks nothing up.
 *
 * @since 0.1.0
 */
import type { Scope } from "effect"
import { Context, Effect, Predicate } from "effect"
import { isOfPart } from "./PartName.ts"
import type { QueryEvent } from "./QueryEvent.ts"

/**
 * Remembers how long queries took, by their names. `DurationHistory.layer` keeps one in a `KeyValueStore`.
 *
 * It can neither fail nor be what a run waits for: what it cannot read or write it does without.
 *
 * @since 0.1.0
 */
export class DurationHistory extends Context.Service<
  DurationHistory,
  {
    /** What is known: gives the milliseconds that a query of a name is expected to take, if any was ever seen. */
    readonly recall: Effect.Effect<(name: string) => number | undefined>
    /**
     * Takes note of what a run has taught: of each name the mean milliseconds of its queries that succeeded, those that
     * ended last being last.
     */
    readonly learn: (run: ReadonlyMap<string, number>) => Effect.Effect<void>
  }
>()("querypool/query/DurationHistory") {}

/**
 * How many names a run teaches at most. A name that is made up for each query will not be seen again: remembering all
 * of them would take as much memory as there are queries.
 *
 * @internal
 */
export const mostNames = 4_096

interface Sum {
  times: number
  totalMillis: number
}

/**
 * Collects what one run teaches.
 *
 * @internal
 */
export interface Collector {
  readonly add: (event: QueryEvent) => void
  readonly learned: () => ReadonlyMap<string, number>
}

/** @internal */
export const collector = (): Collector => {
  /** When the attempt that runs was started, by the query's number. */
  const running = new Map<number, number>()
  /** Those that ended last are last. */
  const sums = new Map<string, Sum>()

  const addTook = (name: string, millis: number): void => {
    const sum = sums.get(name) ?? { times: 0, totalMillis: 0 }
    sum.times++
    sum.totalMillis += millis
    sums.delete(name)
    sums.set(name, sum)
    if (sums.size <= mostNames) return
    const [oldest] = sums.keys()
    if (oldest !== undefined) sums.delete(oldest)
  }

  const add = (event: QueryEvent): void => {
    if (event._tag === "Started") {
      if (!isOfPart(event.name)) running.set(event.id, event.at)
    } else if (event._tag === "Retrying") running.delete(event.id)
    else if (event._tag === "Ended") {
      const startedAt = running.get(event.id)
      running.delete(event.id)
      if (startedAt !== undefined && event.outcome === "Succeeded") addTook(event.name, event.at - startedAt)
    }
  }

  const learned = () => new Map(sums.entries().map(([name, { times, totalMillis }]) => [name, totalMillis / times]))

  return { add, learned }
}

type Listener = (event: QueryEvent) => void

/**
 * The listener of a run: where there is a history in the context, one that also learns, and tells the history when the
 * scope closes.
 *
 * @internal
 */
export const listening = (onEvent: Listener | undefined): Effect.Effect<Listener | undefined, never, Scope.Scope> =>
  Effect.withFiber((fiber) => {
    const history = Context.getOrUndefined(fiber.context, DurationHistory)
    if (history === undefined) return Effect.succeed(onEvent)
    const { add, learned } = collector()
    const listener: Listener = (event) => {
      add(event)
      onEvent?.(event)
    }
    return Effect.as(
      Effect.addFinalizer(() => Effect.suspend(() => history.learn(learned()))),
      listener
    )
  })

/**
 * What the history in the context knows, if there is one: the milliseconds that a query of a name is expected to take.
 *
 * @internal
 */
export const recall: Effect.Effect<((name: string) => number | undefined) | undefined> = Effect.withFiber((fiber) => {
  const history = Context.getOrUndefined(fiber.context, DurationHistory)
  return history === undefined ? Effect.undefined : history.recall
})

/**
 * What members of a run, or other things with names, are expected to take, in milliseconds, by the history in the
 * context: `undefined` for one that has no name or was never seen. Nothing at all without a history.
 *
 * @internal
 */
export const estimates = (members: ReadonlyArray<object>): Effect.Effect<ReadonlyArray<number | undefined>> =>
  Effect.map(recall, (expected) => {
    if (expected === undefined) return []
    // A thousand queries of one name are one question.
    const known = new Map<string, number | undefined>()
    return members.map((member) => {
      if (!Predicate.hasProperty(member, "name") || typeof member.name !== "string") return undefined
      if (!known.has(member.name)) known.set(member.name, expected(member.name))
      return known.get(member.name)
    })
  })
