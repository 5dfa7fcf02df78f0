/**
 * What can be known about a run before it starts: in which order its queries can run, and how long that takes. Pure.
 *
 *     const plan = Plan.make([{ name: "load", needs: [] }, { name: "report", needs: ["load"] }])
 *
 * Durations are in one unit of the caller's choice. Where some are expected and others not, the mean of the expected
 * ones stands for each of the others; where none is expected, each query counts as 1, so that lengths are numbers of
 * queries.
 *
 * @since 0.1.0
 */
import { Data, Graph, Option, Result } from "effect"
import { nearest } from "../internal/editDistance.ts"
import { filledIn, Frontier } from "./Agenda.ts"

/**
 * A query as a plan sees it.
 *
 * @since 0.1.0
 */
export interface PlanQuery {
  readonly name: string
  /** Names of the queries that have to succeed before it can start. */
  readonly needs: ReadonlyArray<string>
  /** How long it is expected to take, if that is known. */
  readonly expected?: number | undefined
}

/**
 * A query at its place in a plan.
 *
 * @since 0.1.0
 */
export interface PlanNode extends PlanQuery {
  /** Its place among the queries, from 0. */
  readonly index: number
  /** From 0: one more than that of what it needs last. The queries of a wave could run at once. */
  readonly wave: number
  /** What it is taken to take: what is expected, or what stands for that. */
  readonly duration: number
  /** From its start to the end of the run, if everything that needs it came without a wait: its remaining path. */
  readonly remaining: number
}

/**
 * Queries, and what they need, without cycles.
 *
 * @since 0.1.0
 */
export interface Plan {
  /** In the order given. */
  readonly nodes: ReadonlyArray<PlanNode>
  /** For each, the places of what it needs. */
  readonly needs: ReadonlyArray<ReadonlyArray<number>>
}

/**
 * Queries that need each other in a circle, so that none of them could start.
 *
 * @since 0.1.0
 */
export class Cycle extends Data.TaggedError("Cycle")<{
  /** Each needs the next; the last is the first. */
  readonly names: ReadonlyArray<string>
}> {
  override get message(): string {
    return `Queries need each other in a circle: ${this.names.join(" -> ")}`
  }
}

/**
 * A query needs one that is not there.
 *
 * @since 0.1.0
 */
export class UnknownNeed extends Data.TaggedError("UnknownNeed")<{
  readonly name: string
  readonly need: string
  /** The name that was probably meant, if there is one like it. */
  readonly nearest: string | undefined
}> {
  override get message(): string {
    const meant = this.nearest === undefined ? "" : `. Did you mean "${this.nearest}"?`
    return `Query "${this.name}" needs "${this.need}", which is not there${meant}`
  }
}

/**
 * Two queries have one name, so that a need would mean both.
 *
 * @since 0.1.0
 */
export class DuplicateName extends Data.TaggedError("DuplicateName")<{ readonly name: string }> {
  override get message(): string {
    return `Two queries are named "${this.name}"`
  }
}

/**
 * What can be wrong with a plan.
 *
 * @since 0.1.0
 */
export type PlanError = Cycle | UnknownNeed | DuplicateName

/**
 * A plan of queries, if there is an order in which they can run.
 *
 * @since 0.1.0
 */
export const make = (queries: ReadonlyArray<PlanQuery>): Result.Result<Plan, PlanError> => {
  const places = new Map<string, number>()
  for (const [index, { name }] of queries.entries()) {
    if (places.has(name)) return Result.fail(new DuplicateName({ name }))
    places.set(name, index)
  }
  const needs: Array<ReadonlyArray<number>> = []
  for (const { name, needs: names } of queries) {
    const found = new Set<number>()
    for (const need of names) {
      const place = places.get(need)
      if (place === undefined) {
        return Result.fail(new UnknownNeed({ name, need, nearest: nearest(need, places.keys()) }))
      }
      found.add(place)
    }
    needs.push([...found])
  }
  const graph = Graph.directed<string, void>((mutable) => {
    for (const { name } of queries) Graph.addNode(mutable, name)
    needs.forEach((places, index) => {
      for (const need of places) Graph.addEdge(mutable, need, index, undefined)
    })
  })
  const nameAt = (index: number): string => queries[index]?.name ?? ""
  const cycle = Graph.findCycle(graph)
  // Along the edges each comes before the next; read backwards, each needs the next.
  if (Option.isSome(cycle)) return Result.fail(new Cycle({ names: cycle.value.path.map(nameAt).toReversed() }))

  const order = [...Graph.indices(Graph.topo(graph))]
  const waves = queries.map(() => 0)
  for (const index of order) {
    for (const need of needs[index] ?? []) waves[index] = Math.max(waves[index] ?? 0, (waves[need] ?? 0) + 1)
  }
  const durations = filledIn(queries.map(({ expected }) => expected))
  const remaining = remainingPaths(needs, order, durations)
  const nodes = queries.map(({ expected, name }, index): PlanNode => ({
    index,
    name,
    needs: (needs[index] ?? []).map(nameAt),
    expected,
    wave: waves[index] ?? 0,
    duration: durations[index] ?? 0,
    remaining: remaining[index] ?? 0
  }))
  return Result.succeed({ nodes, needs })
}

/** For each, its duration and the longest remaining path of those that need it. */
const remainingPaths = (
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

const inWaves = ({ nodes }: Plan): ReadonlyArray<PlanNode> => nodes.toSorted((a, b) => a.wave - b.wave)

const durationsOf = ({ nodes }: Plan): ReadonlyArray<number> => nodes.map(({ duration }) => duration)

/**
 * The queries by their waves: what could run at once, if there were workers for all of it.
 *
 * @since 0.1.0
 */
export const waves = (plan: Plan): ReadonlyArray<ReadonlyArray<PlanNode>> => {
  const found: Array<Array<PlanNode>> = []
  for (const node of inWaves(plan)) (found[node.wave] ??= []).push(node)
  return found
}

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
  const order = inWaves(plan).map(({ index }) => index)
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
    /** In the place of the plan's own, by the queries' places. */
    readonly durations?: ReadonlyArray<number> | undefined
  }
): {
  /** In the order in which they start. */
  readonly starts: ReadonlyArray<{ readonly name: string; readonly at: number }>
  readonly makespan: number
} => {
  const { durations = durationsOf(plan), order = "given", workers } = options
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
      const endsAt = now + (durations[node.index] ?? 0)
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
 * The queries that are meant, with everything that they need, in the order given.
 *
 * @since 0.1.0
 */
export const withNeeds = (plan: Plan, isMeant: (node: PlanNode) => boolean): ReadonlyArray<PlanNode> => {
  const found = new Set(plan.nodes.filter(isMeant))
  // A set gives what is added while it is read, too.
  for (const { index } of found) {
    for (const need of plan.needs[index] ?? []) {
      const node = plan.nodes[need]
      if (node !== undefined) found.add(node)
    }
  }
  return plan.nodes.filter((node) => found.has(node))
}

/**
 * A picture of the plan, as text for Mermaid: an arrow leads from each query to those that need it.
 *
 * @since 0.1.0
 */
export const toMermaid = ({ needs, nodes }: Plan): string =>
  [
    "flowchart LR",
    ...nodes.map(({ index, name }) => `  q${index}["${escaped(name)}"]`),
    ...needs.flatMap((places, index) => places.map((need) => `  q${need} --> q${index}`))
  ].join("\n")

/** Letters, digits and what is nothing to Mermaid, Markdown and HTML stand as they are, all else by its code point. */
const escaped = (name: string): string =>
  name.toWellFormed().replace(/[^\p{L}\p{N} ./-]/gu, (character) => `#${character.codePointAt(0) ?? 0};`)

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
 * processors' part.
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
  const duration = Math.max(longest, path, share)
  return {
    duration,
    binding: duration === longest ? "longest query" : duration === path ? "critical path" : "total work"
  }
}
