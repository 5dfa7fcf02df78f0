/**
 * The tasks of the store in memory, and what finds them: what to claim, what is due, whose lease runs out, what has ended.
 *
 * Every change of a task's state goes through the pure machine and `enter`, which keeps the rest in agreement with it.
 * Nothing here reads a clock or waits.
 *
 * @internal
 */
import { Result } from "effect"
import { Heap } from "../internal/Heap.ts"
import type { TaskChanges } from "./TaskChanges.ts"
import { TaskCounts } from "./TaskCounts.ts"
import * as TaskEnd from "./TaskEnd.ts"
import { Entry, uniqueNameOf } from "./TaskEntry.ts"
import { TaskJoins } from "./TaskJoins.ts"
import { TaskPast } from "./TaskPast.ts"
import { TaskQueues } from "./TaskQueues.ts"
import { TaskSeries } from "./TaskSeries.ts"
import type { Input, TaskState } from "./TaskState.ts"
import { awaiting, isEnded, move, offered, whyExpired } from "./TaskState.ts"
import type {
  Advance,
  Claim,
  ClaimRequest,
  Count,
  Filter,
  Json,
  Offer,
  Settlement,
  Stored,
  Swept,
  TaskId
} from "./TaskStore.ts"

/** What is said of a task with its move. */
type Said = Pick<Settlement, "result" | "why">

/** @internal */
export interface Limits {
  readonly agingMillis: number
  readonly retentionMillis: number
  readonly retained: number
  readonly lostLeases: number
}

/** When something may have to be done with a task. */
interface Alarm {
  readonly entry: Entry
  readonly version: number
  readonly at: number
}

const alarms = () =>
  new Heap<Alarm>(
    (a, b) => a.at < b.at,
    ({ entry, version }) => entry.version === version
  )

/** @internal */
export class TaskTable {
  private readonly limits: Limits
  private readonly changes: TaskChanges
  private readonly entries = new Map<TaskId, Entry>()
  /** Of each name and key, the task that has not ended. */
  private readonly unique = new Map<string, Entry>()
  private readonly queues = new TaskQueues<Entry>()
  private readonly series = new TaskSeries<Entry>()
  private readonly waiting = alarms()
  private readonly leases = alarms()
  private readonly joins = new TaskJoins<Entry>()
  private readonly past: TaskPast<Entry>
  private readonly counted = new TaskCounts()
  private token = 0

  constructor(limits: Limits, changes: TaskChanges) {
    this.limits = limits
    this.changes = changes
    this.past = new TaskPast(limits, (entry) => {
      for (const id of entry.ids) this.entries.delete(id)
      this.counted.add(entry.queue, entry.name, entry.state._tag, -1)
    })
  }

  counts({ name, queue }: Pick<Filter, "queue" | "name">): ReadonlyArray<Count> {
    return this.counted.all.filter(
      (one) => (name === undefined || one.name === name) && (queue === undefined || one.queue === queue)
    )
  }

  /** The id under which the task is known already, if it is. */
  knownAs({ id, name, uniqueKey }: Offer): TaskId | undefined {
    const same = this.entries.get(id)
    if (same !== undefined) return same.id
    return uniqueKey === undefined ? undefined : this.unique.get(uniqueNameOf(name, uniqueKey))?.id
  }

  offer(offer: Offer, now: number): TaskId {
    const known = this.entries.get(this.knownAs(offer) ?? "")
    if (known === undefined) {
      const { at, awaits } = offer
      const entry = new Entry(offer, now, awaits === undefined ? offered(now, at) : awaiting(now, at))
      this.entries.set(offer.id, entry)
      this.counted.add(entry.queue, entry.name, entry.state._tag, 1)
      this.enter(entry, entry.state, now)
      const members = new Set(awaits?.flatMap((id) => this.entries.get(id) ?? []))
      if (awaits !== undefined && !this.joins.add(entry, members, ({ state }) => isEnded(state))) this.join(entry, now)
      return offer.id
    }
    if (!this.entries.has(offer.id)) {
      // Whoever offered it in a transaction was given this id, before it was known that there is another.
      this.entries.set(offer.id, known)
      known.ids.push(offer.id)
      this.changes.moved([offer.id])
    }
    return known.id
  }

  /** A task with the unique key of one of these that is not the same one. */
  duplicateOf(
    offers: ReadonlyArray<Offer>
  ): { readonly name: string; readonly id: TaskId; readonly uniqueKey: string } | undefined {
    const offered = new Map<string, TaskId>()
    for (const offer of offers) {
      const { id, name, uniqueKey } = offer
      if (uniqueKey === undefined) continue
      const uniqueName = uniqueNameOf(name, uniqueKey)
      const known = this.knownAs(offer) ?? offered.get(uniqueName) ?? id
      if (known !== id) return { name, id: known, uniqueKey }
      offered.set(uniqueName, id)
    }
    return undefined
  }

  /** How far the schedule has come then. */
  advance({ from, offers, overlap, schedule, to }: Advance, now: number): number | undefined {
    const cursor = this.series.cursorOf(schedule)
    if (cursor !== from) return cursor
    const living = this.series.of(schedule)
    this.series.move(schedule, to)
    if (offers.length === 0 || (overlap === "skip" && living.length > 0)) return to
    if (overlap === "replace") for (const { id } of living) this.cancel(id, now)
    for (const one of offers) if (this.knownAs(one) === undefined) this.offer(one, now)
    return to
  }

  claim(request: ClaimRequest): ReadonlyArray<Stored & { readonly token: number }> {
    const { keys, leaseMillis, limit: inAll = Infinity, now, perKey = Infinity, queues, runner } = request
    this.makeReady(now)
    const names = new Set(request.names)
    const taken = new Map<string, number>()
    const claimed: Array<Stored & { readonly token: number }> = []
    const allowance = (key: string): number => (keys?.get(key) ?? perKey) - (taken.get(key) ?? 0)
    for (const { limit, queue } of queues) {
      this.queues.take(queue, { allowance, limit: Math.min(limit, inAll - claimed.length), names }, (entry) => {
        const token = ++this.token
        this.step(entry, { _tag: "claim", token, runner, leaseUntil: now + leaseMillis }, now)
        if (entry.limitKey !== undefined) taken.set(entry.limitKey, (taken.get(entry.limitKey) ?? 0) + 1)
        claimed.push({ ...entry.stored(), token })
      })
    }
    return claimed
  }

  renew(claims: ReadonlyArray<Claim>, leaseMillis: number, now: number): ReadonlyArray<Claim> {
    const leaseUntil = now + leaseMillis
    return claims.filter(({ id, token }) => !this.stepById(id, { _tag: "renew", token, leaseUntil }, now))
  }

  settle(settlements: ReadonlyArray<Settlement>, now: number): ReadonlyArray<Claim> {
    const stale: Array<Claim> = []
    for (const settlement of settlements) {
      const { id, input, token } = settlement
      if (!this.stepById(id, { ...input, token }, now, settlement)) stale.push({ id, token })
    }
    return stale
  }

  report(id: TaskId, token: number, progress: Json): void {
    const entry = this.entries.get(id)
    if (entry?.state._tag !== "running" || entry.state.token !== token) return
    entry.progress = progress
    this.changes.moved(entry.ids)
  }

  cancel(id: TaskId, now: number): boolean {
    return this.stepById(id, { _tag: "cancel" }, now)
  }

  requeue(id: TaskId, now: number): boolean {
    const entry = this.entries.get(id)
    if (entry === undefined) return false
    if (entry.uniqueName !== undefined && this.unique.has(entry.uniqueName)) return false
    // Those that it awaits may have been forgotten since: it would run without their ends.
    if (entry.offer.awaits !== undefined && entry.awaited === undefined) return false
    return this.step(entry, { _tag: "requeue" }, now)
  }

  get(id: TaskId): Stored | undefined {
    return this.entries.get(id)?.stored()
  }

  list({ after, limit = 100, name, queue, states }: Filter): ReadonlyArray<Stored> {
    const found: Array<Entry> = []
    for (const [id, entry] of this.entries) {
      // Each but once, by its own id.
      if (id !== entry.id || (after !== undefined && id <= after)) continue
      if (name !== undefined && entry.name !== name) continue
      if (queue !== undefined && entry.queue !== queue) continue
      if (states === undefined || states.includes(entry.state._tag)) found.push(entry)
    }
    return found
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit)
      .map((entry) => entry.stored())
  }

  sweep(now: number): Swept {
    this.makeReady(now)
    const expired: Array<Stored> = []
    for (let next = this.leases.peek(); next !== undefined && next.at <= now; next = this.leases.peek()) {
      const { entry, version } = next
      this.leases.pop()
      if (entry.state._tag !== "running") continue
      // The lease may have been renewed since.
      if (entry.state.leaseUntil > now) this.leases.push({ entry, version, at: entry.state.leaseUntil })
      else {
        this.expire(entry, now)
        expired.push(entry.stored())
      }
    }
    const moments = [this.waiting.peek()?.at, this.leases.peek()?.at, this.past.sweep(now)]
    const known = moments.filter((moment) => moment !== undefined)
    return { next: known.length === 0 ? undefined : Math.min(...known), expired }
  }

  private expire(entry: Entry, now: number): void {
    if (entry.state._tag !== "running") return
    const why = whyExpired(entry.state)
    this.step(entry, { _tag: "expire", limit: this.limits.lostLeases }, now, { why })
  }

  private makeReady(now: number): void {
    for (let next = this.waiting.peek(); next !== undefined && next.at <= now; next = this.waiting.peek()) {
      this.waiting.pop()
      this.step(next.entry, { _tag: "due" }, now)
    }
  }

  private stepById(id: TaskId, input: Input, now: number, said?: Said): boolean {
    const entry = this.entries.get(id)
    return entry !== undefined && this.step(entry, input, now, said)
  }

  private step(entry: Entry, input: Input, now: number, said?: Said): boolean {
    const from = entry.state
    const next = move(from, input, now)
    if (Result.isFailure(next)) return false
    if (input._tag === "renew") {
      // Its place among the leases is looked at again when it comes up: moved, it would leave one behind each time.
      entry.state = next.success
      if (from._tag === "running" && input.leaseUntil < from.leaseUntil) {
        this.leases.push({ entry, version: entry.version, at: input.leaseUntil })
      }
      return true
    }
    if (input._tag === "requeue") {
      this.past.remove(entry)
      this.joins.revived(entry)
      entry.progress = undefined
    }
    entry.result = isEnded(next.success) ? said?.result : undefined
    if (isEnded(next.success) || from._tag === "running" || input._tag === "requeue") entry.why = said?.why
    this.enter(entry, next.success, now)
    if (from._tag === "awaiting") this.release(entry, now)
    if (from._tag === "running" && input._tag === "cancel") this.changes.moved(entry.ids, true)
    return true
  }

  /** Gives a task its state, and the place that it has by it. */
  private enter(entry: Entry, state: TaskState, now: number): void {
    if (state !== entry.state) {
      this.counted.add(entry.queue, entry.name, entry.state._tag, -1)
      this.counted.add(entry.queue, entry.name, state._tag, 1)
    }
    entry.state = state
    const version = ++entry.version
    this.changes.moved(entry.ids)
    if (isEnded(state)) return this.end(entry, now)
    this.series.enter(entry)
    if (entry.uniqueName !== undefined) this.unique.set(entry.uniqueName, entry)
    switch (state._tag) {
      case "scheduled":
      case "retrying":
        return this.waiting.push({ entry, version, at: state.at })
      case "running":
        return this.leases.push({ entry, version, at: state.leaseUntil })
      case "ready":
        if (this.series.mayRun(entry)) this.queue(entry)
    }
  }

  private queue(entry: Entry): void {
    this.queues.add(entry, entry.state.at - entry.offer.priority * this.limits.agingMillis)
    this.changes.ready(entry.queue)
  }

  private end(entry: Entry, now: number): void {
    if (entry.uniqueName !== undefined) this.unique.delete(entry.uniqueName)
    const next = this.series.leave(entry)
    if (next?.state._tag === "ready") this.queue(next)
    // Nobody can have it run again.
    if (entry.state._tag === "succeeded") entry.awaited = undefined
    if (!this.joins.isAwaited(entry)) this.past.add(entry, now)
    for (const task of this.joins.ended(entry)) this.join(task, now)
  }

  /** All that it awaits has ended. */
  private join(entry: Entry, now: number): void {
    entry.awaited = entry.offer.awaits?.map((id) => TaskEnd.of(id, this.entries.get(id)))
    this.step(entry, { _tag: "join" }, now)
    // At once, if it may: whoever settles the last of them is a runner that would otherwise sleep until its next lease.
    this.step(entry, { _tag: "due" }, now)
  }

  /** Lets go of those that it has awaited. */
  private release(entry: Entry, now: number): void {
    for (const member of this.joins.leave(entry)) if (isEnded(member.state)) this.past.add(member, now)
  }
}
