/**
 * How long a run of a plan takes: at least, whoever decides what is next, and with the order that a run keeps to. Pure.
 *
 * All durations are in the plan's unit.
 *
 * @internal
 */
import { Frontier } from "./Agenda.ts"
import type { Plan, PlanNode } from "./Plan.ts"

/**
 * For each, its duration and the longest remaining path of those that need it.
 *
 * @internal
 */
export const remainingPaths = (
  needs: Plan["needs"],
  /** Each after all that it needs. */
  order: ReadonlyArray<number>,
  durations: ReadonlyArray<number>
): ReadonlyArray<number> => {
  const remaining = needs.map(() => 0)
  for (const index of order.toReversed()) {
    const path = (remaining[index] ?? 0) + (durations[index] ?? 0)
    remaining[index] = path
    for (const need of needs[index] ?? []) remaining[need] = Math.max(remaining[need] ?? 0, path)
  }
  return remaining
}

const durationsOf = ({ nodes }: Plan): ReadonlyArray<number> => nodes.map(({ duration }) => duration)

/**
 * The path that takes the longest among those on which each query needs the one before: no number of workers makes a
 * run shorter. `durations` stand in the place of the plan's own, by the queries' places.
 *
 * @since 0.1.0
 */
export const criticalPath = (
  plan: Plan,
  durations: ReadonlyArray<number> = durationsOf(plan)
): { readonly names: ReadonlyArray<string>; readonly duration: number } => {
  const order = plan.nodes.toSorted((a, b) => a.wave - b.wave).map(({ index }) => index)
  const remaining = remainingPaths(plan.needs, order, durations)
  const dependents = plan.nodes.map((): Array<number> => [])
  plan.needs.forEach((places, index) => {
    for (const need of places) dependents[need]?.push(index)
  })
  // What takes no time is no part of it.
  const longestOf = (places: ReadonlyArray<number>): number | undefined =>
    places.reduce<number | undefined>(
      (best, place) => ((remaining[place] ?? 0) > (best === undefined ? 0 : (remaining[best] ?? 0)) ? place : best),
      undefined
    )
  const names: Array<string> = []
  const first = longestOf(order)
  for (let place = first; place !== undefined; place = longestOf(dependents[place] ?? [])) {
    names.push(plan.nodes[place]?.name ?? "")
  }
  return { names, duration: first === undefined ? 0 : (remaining[first] ?? 0) }
}

/**
 * Which of the queries that are ready starts first: the first of those given, or the one with the longest remaining
 * path. Either way the makespan is at most 2 - 1 / workers times the shortest (Graham, see `lowerBound`).
 *
 * @since 0.1.0
 */
export type Order = "given" | "longest-first"

/**
 * All places, those first that start first when they are ready.
 *
 * @internal
 */
export const orderOf = ({ nodes }: Plan, order: Order): ReadonlyArray<number> =>
  (order === "given" ? nodes : nodes.toSorted((a, b) => b.remaining - a.remaining)).map(({ index }) => index)

/**
 * When each query starts and when the last one ends, if each takes as long as its duration and starts as soon as it is
 * ready and there is a worker for it: what a run does.
 *
 * @since 0.1.0
 */
export const schedule = (
  plan: Plan,
  options: {
    /** An integer from 1. */
    readonly workers: number
    /** Default `given`. */
    readonly order?: Order | undefined
  }
): {
  /** In the order in which they start. */
  readonly starts: ReadonlyArray<{ readonly name: string; readonly at: number }>
  readonly makespan: number
} => {
  const { order = "given", workers } = options
  const frontier = new Frontier(plan.nodes, plan.needs, orderOf(plan, order))
  const starts: Array<{ readonly name: string; readonly at: number }> = []
  const running: Array<{ readonly node: PlanNode; readonly endsAt: number }> = []
  let now = 0
  for (;;) {
    while (running.length < workers) {
      const turn = frontier.take()
      if (turn === undefined) break
      const node = turn.member
      starts.push({ name: node.name, at: now })
      const endsAt = now + node.duration
      const later = running.findIndex((other) => other.endsAt > endsAt)
      running.splice(later === -1 ? running.length : later, 0, { node, endsAt })
    }
    const first = running.shift()
    if (first === undefined) return { starts, makespan: now }
    now = first.endsAt
    frontier.ended({ index: first.node.index, member: first.node }, true)
  }
}

/**
 * What the shortest makespan cannot be shorter than, and because of what.
 *
 * @since 0.1.0
 */
export interface LowerBound {
  readonly duration: number
  /** Of several, the first of `longest query`, `critical path`, `total work`: more workers help only for the last. */
  readonly binding: "longest query" | "critical path" | "total work"
}

/**
 * The shortest makespan that any scheduler could reach for these durations.
 *
 * It is `max(longest, critical path, total / min(workers, processors))`: no run ends before its longest query, nor
 * before queries that need each other one after the other, and no more than `workers` queries, nor more than the server
 * has processors, make progress at once (R. L. Graham, "Bounds on Multiprocessing Timing Anomalies", SIAM J. Appl.
 * Math. 17, 1969). It holds for work that keeps a processor busy; queries that wait for something else can beat the
 * processors' part. Give `processors` with durations that were measured one after the other: those of queries beside
 * each other are longer where processors were short, so that they would count twice.
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
  /** The duration of the critical path, where queries need others. */
  readonly criticalPath?: number | undefined
}): LowerBound => {
  let longest = 0
  let total = 0
  for (const duration of options.durations) {
    total += duration
    if (duration > longest) longest = duration
  }
  const path = options.criticalPath ?? 0
  const share = total / Math.min(options.workers, options.processors ?? Infinity)
  const alone = Math.max(longest, path)
  if (share > alone * (1 + rounding)) return { duration: share, binding: "total work" }
  return { duration: alone, binding: alone === longest ? "longest query" : "critical path" }
}

/** Sums of fractions depend on their order: three times 0.1, shared by three, is more than 0.1. */
const rounding = 1e-9

/**
 * The lower bound of a plan, and the names on the path that takes the longest. `durations` as for `criticalPath`.
 *
 * @internal
 */
export const boundOfPlan = (
  plan: Plan,
  workers: number,
  durations: ReadonlyArray<number> = durationsOf(plan)
): LowerBound & { readonly criticalPath: ReadonlyArray<string> } => {
  const path = criticalPath(plan, durations)
  return { ...lowerBound({ durations, workers, criticalPath: path.duration }), criticalPath: path.names }
}
