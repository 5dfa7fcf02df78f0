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
import { filledIn } from "./Agenda.ts"
import { remainingPaths } from "./Makespan.ts"

export type { LowerBound, Order } from "./Makespan.ts"
export { criticalPath, lowerBound, schedule } from "./Makespan.ts"

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

/**
 * The queries by their waves: what could run at once, if there were workers for all of it.
 *
 * @since 0.1.0
 */
export const waves = (plan: Plan): ReadonlyArray<ReadonlyArray<PlanNode>> => {
  const found: Array<Array<PlanNode>> = []
  for (const node of plan.nodes) (found[node.wave] ??= []).push(node)
  return found
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
