/** What a store of tasks has to do, said in the simplest way: the pure machine, a map and a sort. */
import { Result } from "effect"
import type { Input, TaskState } from "../../src/task/TaskState.ts"
import { awaiting, isEnded, move, offered } from "../../src/task/TaskState.ts"
import type { Advance, Count, End, Json, Offer, Settlement, TaskId } from "../../src/task/TaskStore.ts"

interface Known {
  readonly offer: Offer
  state: TaskState
  /** Which one it was of those that were offered or queued again. */
  turn: number
  result?: Json | undefined
  why?: string | undefined
  /** How those that it awaits had ended, once they all had. */
  awaited?: ReadonlyArray<End> | undefined
}

export class Model {
  readonly tasks = new Map<string, Known>()
  readonly cursors = new Map<string, number>()
  readonly agingMillis: number
  private turns = 0
  /** Every token with which a task ended, to see that none does twice. */
  readonly endings = new Set<string>()

  constructor(agingMillis: number) {
    this.agingMillis = agingMillis
  }

  offer(offer: Offer, now: number): void {
    const { at, awaits, id } = offer
    const state = awaits === undefined ? offered(now, at) : awaiting(now, at)
    this.tasks.set(id, { offer, state, turn: this.turns++ })
    this.join(now)
  }

  step(id: string, input: Input, now: number, said?: Pick<Settlement, "result" | "why">): boolean {
    const known = this.tasks.get(id)
    if (known === undefined) return false
    const next = move(known.state, input, now)
    if (Result.isFailure(next)) return false
    known.state = next.success
    if (input._tag === "requeue") known.turn = this.turns++
    if (input._tag !== "renew") known.result = isEnded(known.state) ? said?.result : undefined
    if (!["join", "due", "claim", "renew"].includes(input._tag)) known.why = said?.why
    if (known.state._tag === "succeeded") known.awaited = undefined
    this.join(now)
    return true
  }

  /** Whatever awaits only what has ended goes on. */
  private join(now: number): void {
    for (const [id, known] of this.tasks) {
      if (known.state._tag !== "awaiting") continue
      const ends = (known.offer.awaits ?? []).map((member) => this.endOf(member))
      if (ends.includes(undefined)) continue
      known.awaited = ends.filter((end) => end !== undefined)
      this.step(id, { _tag: "join" }, now)
      this.step(id, { _tag: "due" }, now)
    }
  }

  private endOf(id: string): End | undefined {
    const known = this.tasks.get(id)
    if (known === undefined) return { id, state: "unknown", attempts: 0 }
    const { offer, result, state, why } = known
    if (!isEnded(state)) return undefined
    const end = { id, name: offer.name, state: state._tag, attempts: state.attempt }
    return { ...end, ...(result !== undefined && { result }), ...(why !== undefined && { why }) }
  }

  advance({ from, offers, overlap, schedule, to }: Advance, now: number): number | undefined {
    if (this.cursors.get(schedule) !== from) return this.cursors.get(schedule)
    this.cursors.set(schedule, to)
    const series = this.series(schedule)
    if (offers.length === 0 || (overlap === "skip" && series.length > 0)) return to
    if (overlap === "replace") for (const { offer } of series) this.step(offer.id, { _tag: "cancel" }, now)
    for (const offer of offers) if (this.living(offer.name, offer.uniqueKey) === undefined) this.offer(offer, now)
    return to
  }

  /** What has not ended of a schedule, the first first. */
  series(schedule: string): ReadonlyArray<Known> {
    return [...this.tasks.values()]
      .filter(({ offer, state }) => offer.schedule === schedule && !isEnded(state))
      .toSorted((x, y) => x.turn - y.turn)
  }

  mayRun(known: Known): boolean {
    const { schedule } = known.offer
    return schedule === undefined || this.series(schedule)[0] === known
  }

  /** The first of these that is another one's already, or that of one before it. */
  duplicateOf(offers: ReadonlyArray<Offer>): { readonly id: TaskId; readonly uniqueKey: string } | undefined {
    for (const [index, { id, name, uniqueKey }] of offers.entries()) {
      if (uniqueKey === undefined) continue
      const before = offers.slice(0, index).find((one) => one.name === name && one.uniqueKey === uniqueKey)
      const other = this.living(name, uniqueKey)?.offer.id ?? before?.id ?? id
      if (other !== id) return { id: other, uniqueKey }
    }
    return undefined
  }

  living(name: string, key: string | undefined): Known | undefined {
    if (key === undefined) return undefined
    return [...this.tasks.values()].find(
      ({ offer, state }) => offer.name === name && offer.uniqueKey === key && !isEnded(state)
    )
  }

  get counts(): ReadonlyArray<Count> {
    return [...this.tasks.values()].map(({ offer: { name, queue }, state }) => ({
      queue,
      name,
      state: state._tag,
      count: 1
    }))
  }

  rank({ offer, state }: Known): number {
    return state.at - offer.priority * this.agingMillis
  }

  /** All that may be claimed of a queue, the first first. */
  claimable(queue: string, handled: ReadonlyArray<string>): ReadonlyArray<Known> {
    return [...this.tasks.values()]
      .filter(({ offer, state }) => state._tag === "ready" && offer.queue === queue && handled.includes(offer.name))
      .filter((known) => this.mayRun(known))
      .toSorted((x, y) => this.rank(x) - this.rank(y) || (x.offer.id < y.offer.id ? -1 : 1))
  }

  makeDue(now: number): void {
    for (const id of this.tasks.keys()) this.step(id, { _tag: "due" }, now)
  }
}
