/**
 * What a store has to do, said in the simplest way: the pure machine, a map and a sort. A sequence of commands that
 * follow from a seed is given to both, and after each of them they have to agree.
 */
import { assert } from "@effect/vitest"
import { Effect, Result } from "effect"
import type { Input, TaskState } from "../../src/task/TaskState.ts"
import { awaiting, isEnded, move, offered, whyExpired } from "../../src/task/TaskState.ts"
import type { Advance, Claim, Count, End, Json, Offer, Settlement } from "../../src/task/TaskStore.ts"
import { TaskStore } from "../../src/task/TaskStore.ts"
import { Dice } from "../chaos/Dice.ts"

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

const commands = [
  "offer",
  "offer",
  "advance",
  "claim",
  "claim",
  "settle",
  "settle",
  "renew",
  "cancel",
  "requeue",
  "sweep"
] as const
const names = ["a", "b"] as const
const queues = ["p", "q"] as const
const schedules = ["s", "t"] as const

/** What is said of a task that is not there. */

class Model {
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

/** Gives the same commands to the store and to the model. */
export const agree = Effect.fnUntraced(function* (seed: number, steps: number, agingMillis: number) {
  const store = yield* TaskStore
  const dice = new Dice(seed)
  const model = new Model(agingMillis)
  const claims: Array<Claim> = []
  let now = 0
  let told = ""

  const anyClaims = (): ReadonlyArray<Claim> =>
    claims.length === 0 ? [] : [dice.pick(asPair(claims)), dice.pick(asPair(claims))].slice(0, dice.between(1, 2))

  const offerSome = Effect.fnUntraced(function* () {
    const offers = anyOffers()
    const given = new Map<string, string>()
    const expected = offers.map((offer) => {
      const living = model.living(offer.name, offer.uniqueKey)
      const awaits = offer.awaits?.map((id) => given.get(id) ?? id)
      if (living === undefined) model.offer(awaits === undefined ? offer : { ...offer, awaits }, now)
      const id = living?.offer.id ?? offer.id
      given.set(offer.id, id)
      return id
    })
    assert.deepStrictEqual(yield* store.offer(offers, now), expected, told)
  })

  const anyOffers = (schedule?: string): ReadonlyArray<Offer> => {
    const before = [...model.tasks.keys()]
    const offers: Array<Offer> = []
    for (let index = dice.between(0, 2); index >= 0; index--)
      offers.push({ ...anyOffer(index, before, offers), schedule })
    return offers
  }

  const advanceSome = Effect.fnUntraced(function* () {
    const schedule = dice.pick(schedules)
    const advance: Advance = {
      schedule,
      from: dice.chance(0.8) ? model.cursors.get(schedule) : dice.pick([undefined, now - 1]),
      to: now,
      offers: dice.chance(0.8) ? anyOffers(schedule) : [],
      overlap: dice.pick(["skip", "queue", "queue", "replace"])
    }
    assert.deepStrictEqual(yield* store.advance([advance], now), [model.advance(advance, now)], told)
  })

  /** May await some that there are, some before it, and one that there is not. */
  const anyOffer = (index: number, before: ReadonlyArray<string>, siblings: ReadonlyArray<Offer>): Offer => {
    const recent = [...before.slice(-4), ...siblings.map(({ id }) => id), "none"]
    return {
      id: `${String(now).padStart(6, "0")}-${dice.between(0, 999)}-${index}-${model.tasks.size}`,
      name: dice.pick(names),
      queue: dice.pick(queues),
      priority: dice.between(-2, 2),
      payload: { n: now },
      at: now + (dice.chance(0.4) ? dice.between(1, 30) : 0),
      uniqueKey: dice.chance(0.3) ? dice.pick(["k", "l"]) : undefined,
      limitKey: dice.chance(0.3) ? dice.pick(["x", "y"]) : undefined,
      awaits: dice.chance(0.3) ? recent.filter(() => dice.chance(0.5)) : undefined
    }
  }

  const claimSome = Effect.fnUntraced(function* () {
    model.makeDue(now)
    const handled = dice.chance(0.7) ? names : [dice.pick(names)]
    const limits = queues.map((queue) => ({ queue, limit: dice.between(0, 3) }))
    const perKey = dice.between(0, 2)
    const leaseMillis = dice.between(1, 20)
    const request = { runner: "r", queues: limits, names: handled, perKey, leaseMillis, now }
    const taken = new Map<string, number>()
    const expected: Array<string> = []
    for (const { limit, queue } of limits) {
      let left = limit
      for (const { offer } of model.claimable(queue, handled)) {
        const used = taken.get(offer.limitKey ?? "") ?? 0
        if (left === 0 || (offer.limitKey !== undefined && used >= perKey)) continue
        if (offer.limitKey !== undefined) taken.set(offer.limitKey, used + 1)
        expected.push(offer.id)
        left--
      }
    }
    const claimed = yield* store.claim(request)
    assert.deepStrictEqual(
      claimed.map(({ id }) => id),
      expected,
      told
    )
    for (const { awaited, id, token } of claimed) {
      assert.deepStrictEqual(awaited, model.tasks.get(id)?.awaited, `${told}: what ${id} has awaited`)
      const before = claims.filter((claim) => claim.id === id)
      assert.isTrue(
        before.every((claim) => claim.token < token),
        `${told}: the token of ${id} grows`
      )
      assert.isTrue(model.step(id, { _tag: "claim", token, runner: "r", leaseUntil: now + leaseMillis }, now), told)
      claims.push({ id, token })
    }
  })

  const settleSome = Effect.fnUntraced(function* () {
    const settlements = anyClaims().map((claim): Settlement => {
      const later = now + dice.between(0, 20)
      const input = dice.pick<Settlement["input"]>([
        { _tag: "succeed" },
        { _tag: "fail" },
        { _tag: "discard" },
        { _tag: "giveUp" },
        { _tag: "handBack" },
        { _tag: "retry", at: later },
        { _tag: "snooze", at: later }
      ])
      return { ...claim, input, result: dice.between(0, 99), why: dice.chance(0.5) ? `so ${now}` : undefined }
    })
    const stale = settlements.filter((said) => !model.step(said.id, { ...said.input, token: said.token }, now, said))
    for (const settlement of settlements) {
      const state = model.tasks.get(settlement.id)?.state
      if (stale.includes(settlement) || state === undefined || !isEnded(state)) continue
      const ending = `${settlement.id} ${settlement.token}`
      assert.isFalse(model.endings.has(ending), `${told}: ${ending} ended twice`)
      model.endings.add(ending)
    }
    const expected = stale.map(({ id, token }) => ({ id, token }))
    assert.deepStrictEqual(yield* store.settle(settlements, now), expected, told)
  })

  const renewSome = Effect.fnUntraced(function* () {
    const some = anyClaims()
    const leaseMillis = dice.between(1, 20)
    const lost = some.filter(
      ({ id, token }) => !model.step(id, { _tag: "renew", token, leaseUntil: now + leaseMillis }, now)
    )
    assert.deepStrictEqual(yield* store.renew(some, leaseMillis, now), lost, told)
  })

  const cancelSome = Effect.fnUntraced(function* (input: "cancel" | "requeue") {
    const ids = [...model.tasks.keys()].filter(() => dice.chance(0.2))
    const expected = ids.filter((id) => {
      const known = model.tasks.get(id)
      if (known === undefined) return false
      const { name, uniqueKey } = known.offer
      if (input === "requeue" && model.living(name, uniqueKey) !== undefined) return false
      if (input === "requeue" && known.offer.awaits !== undefined && known.awaited === undefined) return false
      return model.step(id, { _tag: input }, now)
    })
    assert.deepStrictEqual(yield* input === "cancel" ? store.cancel(ids, now) : store.requeue(ids, now), expected, told)
  })

  const sweep = Effect.fnUntraced(function* () {
    model.makeDue(now)
    const due = [...model.tasks].flatMap(([id, { state }]) => {
      if (state._tag !== "running") return []
      return model.step(id, { _tag: "expire", limit: 3 }, now, { why: whyExpired(state) }) ? [id] : []
    })
    const { expired, next } = yield* store.sweep(now)
    assert.deepStrictEqual(expired.map(({ id }) => id).toSorted(), due.toSorted(), told)
    const moments = [...model.tasks.values()].flatMap(({ state }) => {
      if (state._tag === "running") return [state.leaseUntil]
      return state._tag === "scheduled" || state._tag === "retrying" ? [state.at] : []
    })
    assert.isTrue(
      moments.every((moment) => next !== undefined && next <= moment && next > now),
      `${told}: ${next} is not after the next of ${moments.join()}`
    )
  })

  for (let step = 0; step < steps; step++) {
    now += dice.between(0, 8)
    const command = dice.pick(commands)
    told = `seed ${seed}, step ${step}, ${command}`
    if (command === "offer") yield* offerSome()
    else if (command === "advance") yield* advanceSome()
    else if (command === "claim") yield* claimSome()
    else if (command === "settle") yield* settleSome()
    else if (command === "renew") yield* renewSome()
    else if (command === "sweep") yield* sweep()
    else yield* cancelSome(command)
    assert.deepStrictEqual(countsOf(yield* store.counts({})), countsOf(model.counts), told)
    const ids = [...model.tasks.keys()]
    const stored = yield* store.get(ids)
    assert.deepStrictEqual(
      stored.map(({ id, state, why }) => [id, state, why]),
      ids.map((id) => [id, model.tasks.get(id)?.state, model.tasks.get(id)?.why]),
      told
    )
  }
})

/** In one order, those of a kind together. */
const countsOf = (counts: ReadonlyArray<Count>): ReadonlyArray<string> => {
  const sums = new Map<string, number>()
  for (const { count, name, queue, state } of counts) {
    const kind = `${queue} ${name} ${state}`
    sums.set(kind, (sums.get(kind) ?? 0) + count)
  }
  return [...sums].map(([kind, count]) => `${kind} ${count}`).toSorted()
}

/** For `Dice.pick`, which never has nothing to choose from. */
const asPair = (claims: ReadonlyArray<Claim>): readonly [Claim, ...ReadonlyArray<Claim>] => {
  const [first, ...rest] = claims
  return first === undefined ? [{ id: "none", token: 0 }] : [first, ...rest]
}
