/**
 * Who is next among the members of a run.
 *
 * - `given`: in the order of an iterable, which is pulled as workers become free.
 * - `ordered`: known members in another order, fixed before the run.
 * - `Frontier`: known members of which some need others. One is ready when all that it needs have succeeded, and of
 *   those that are ready the first in a fixed order is next. When one does not succeed, all that need it, by however
 *   many steps, are skipped.
 *
 * An agenda serves one run and gives each member once, or skips it, never both. What it does it does in one step, so
 * that workers cannot come in between.
 *
 * @internal
 */
import { Effect } from "effect"

/**
 * A member whose turn has come.
 *
 * @internal
 */
export interface Turn<out A> {
  /** Its place among the members as they were given, from 0. */
  readonly index: number
  readonly member: A
}

/** @internal */
export interface Agenda<A> {
  /** Takes the next member, or none when there is none now. */
  readonly take: () => Turn<A> | undefined
  /** Takes all known members of a kind whose turn has not come. */
  readonly takeAll: (isMeant: (member: A) => boolean) => ReadonlyArray<Turn<A>>
  /** To be called when the run is over. */
  readonly close: () => void
}

/** @internal */
export const given = <A>(members: Iterable<A>): Agenda<A> => {
  const known: ReadonlyArray<A> = Array.isArray(members) ? members : []
  const source = members[Symbol.iterator]()
  let taken = 0
  let gone: ReadonlySet<number> | undefined
  return {
    take: () => {
      for (;;) {
        const next = source.next()
        if (next.done === true) return undefined
        const index = taken++
        if (gone === undefined || !gone.has(index)) return { index, member: next.value }
      }
    },
    takeAll: (isMeant) => {
      const turns = turnsOf(known).filter(({ index, member }) => index >= taken && isMeant(member))
      gone = new Set(turns.map(({ index }) => index))
      return turns
    },
    close: () => void source.return?.()
  }
}

/** @internal */
export const ordered = <A>(turns: ReadonlyArray<Turn<A>>): Agenda<A> => {
  const inOrder = given(turns)
  return {
    take: () => inOrder.take()?.member,
    takeAll: (isMeant) => inOrder.takeAll(({ member }) => isMeant(member)).map(({ member }) => member),
    close: inOrder.close
  }
}

const turnsOf = <A>(members: ReadonlyArray<A>): ReadonlyArray<Turn<A>> =>
  members.map((member, index) => ({ index, member }))

/**
 * The members with the longest first: a long one that starts last is what everybody waits for in the end. Equals stay
 * in the order given, and one without an estimate counts as the mean of the others. `undefined` where the order given
 * is as good.
 *
 * @internal
 */
export const longestFirst = <A>(
  members: ReadonlyArray<A>,
  estimates: ReadonlyArray<number | undefined>
): ReadonlyArray<Turn<A>> | undefined => {
  const durations = filledIn(members.map((_, index) => estimates[index]))
  if (durations.every((duration) => duration === durations[0])) return undefined
  const durationOf = ({ index }: Turn<A>): number => durations[index] ?? 0
  return turnsOf(members).toSorted((a, b) => durationOf(b) - durationOf(a))
}

/**
 * Estimates in which the mean of the known stands for each unknown, or 1 where none is known.
 *
 * @internal
 */
export const filledIn = (estimates: ReadonlyArray<number | undefined>): ReadonlyArray<number> => {
  const known = estimates.filter(isKnown)
  const mean = known.length === 0 ? 1 : known.reduce((total, one) => total + one, 0) / known.length
  return estimates.map((estimate) => (isKnown(estimate) ? estimate : mean))
}

const isKnown = (estimate: number | undefined): estimate is number =>
  estimate !== undefined && estimate >= 0 && estimate < Infinity

interface Node<A> extends Turn<A> {
  /** Its place in the order of those that are ready. */
  readonly rank: number
  readonly dependents: Array<Node<A>>
  /** How many of those that it needs have not succeeded. */
  missing: number
  /** Its turn has come, or never will. */
  gone: boolean
}

/**
 * The agenda of members that need others. What needs itself, by however many steps, is never ready: plans are checked
 * before they come here.
 *
 * @internal
 */
export class Frontier<A> implements Agenda<A> {
  private readonly nodes: ReadonlyArray<Node<A>>
  /** The next is the last. */
  private ready: Array<Node<A>>
  private left: number
  private readonly waiting = new Set<() => void>()

  /** `needs` are the places of what each member needs; `order` is all places, the first to take first. */
  constructor(members: ReadonlyArray<A>, needs: ReadonlyArray<ReadonlyArray<number>>, order: ReadonlyArray<number>) {
    const ranks = new Map(order.map((index, rank) => [index, rank]))
    this.nodes = members.map((member, index) => ({
      index,
      member,
      rank: ranks.get(index) ?? members.length,
      dependents: [],
      missing: needs[index]?.length ?? 0,
      gone: false
    }))
    for (const node of this.nodes) for (const need of needs[node.index] ?? []) this.nodes[need]?.dependents.push(node)
    this.ready = this.nodes.filter(({ missing }) => missing === 0).toSorted((a, b) => b.rank - a.rank)
    this.left = members.length
  }

  take(): Turn<A> | undefined {
    const next = this.ready.pop()
    if (next !== undefined) this.leave(next)
    return next
  }

  takeAll(isMeant: (member: A) => boolean): ReadonlyArray<Turn<A>> {
    const turns = this.nodes.filter(({ gone, member }) => !gone && isMeant(member))
    for (const node of turns) this.leave(node)
    this.ready = this.ready.filter(({ gone }) => !gone)
    this.wake()
    return turns
  }

  close(): void {}

  /** Whether there will be a turn when there is none now: something that runs has to end before. */
  get waits(): boolean {
    return this.left > 0
  }

  /** To be called when a member whose turn had come has ended. Gives those that are skipped because of that. */
  ended({ index }: Turn<A>, hasSucceeded: boolean): ReadonlyArray<Turn<A>> {
    const node = this.nodes[index]
    const skipped = node === undefined || hasSucceeded ? [] : this.skip(node)
    if (hasSucceeded) {
      for (const dependent of node?.dependents ?? []) {
        dependent.missing--
        if (dependent.missing === 0 && !dependent.gone) this.insert(dependent)
      }
    }
    this.wake()
    return skipped
  }

  private skip(root: Node<A>): ReadonlyArray<Turn<A>> {
    const skipped: Array<Node<A>> = []
    const found = [root]
    for (const { dependents } of found) {
      for (const dependent of dependents) {
        if (dependent.gone) continue
        this.leave(dependent)
        skipped.push(dependent)
        found.push(dependent)
      }
    }
    return skipped.toSorted((a, b) => a.index - b.index)
  }

  private leave(node: Node<A>): void {
    node.gone = true
    this.left--
  }

  private insert(node: Node<A>): void {
    let from = 0
    let to = this.ready.length
    while (from < to) {
      const middle = (from + to) >>> 1
      if ((this.ready[middle]?.rank ?? 0) > node.rank) from = middle + 1
      else to = middle
    }
    this.ready.splice(from, 0, node)
  }

  /** Waits until there may be a turn, or there will be none any more. */
  readonly change: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.ready.length > 0 || this.left === 0) return resume(Effect.void)
    const wake = () => resume(Effect.void)
    this.waiting.add(wake)
    return Effect.sync(() => this.waiting.delete(wake))
  })

  /**
   * Wakes as many as there are turns, and all when there will be none. Whoever was woken and takes no turn after all has
   * to call it again.
   */
  wake(): void {
    let turns = this.left === 0 ? Infinity : this.ready.length
    for (const wake of this.waiting) {
      if (turns-- <= 0) return
      this.waiting.delete(wake)
      // Not at once: members that never wait would run one within the end of the other.
      queueMicrotask(wake)
    }
  }
}
