/**
 * A sequence of commands that follow from a seed is given to a store and to the model, and after each of them they have to
 * agree. Of a sequence in which they do not, as few commands as possible are left.
 */
import { assert } from "@effect/vitest"
import { Cause, Effect, Exit, type Layer } from "effect"
import { isDeepStrictEqual } from "node:util"
import { isEnded, whyExpired } from "../../src/task/TaskState.ts"
import type { Advance, Claim, Count, Offer, Settlement } from "../../src/task/TaskStore.ts"
import { TaskStore } from "../../src/task/TaskStore.ts"
import { Dice } from "../chaos/Dice.ts"
import { Model } from "./TaskModel.ts"

/** Beside what is compared here tens of millions of times, chai's own comparison takes most of the time. */
const same = <A>(actual: A, expected: A, told: string): void => {
  if (!isDeepStrictEqual(actual, expected)) assert.deepStrictEqual(actual, expected, told)
}

/** How long a task waits for one more of priority. */
const agingMillis = 10

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

/** The commands of a sequence that are given: each follows from the seed and its own number. */
interface Sequence {
  readonly seed: number
  readonly steps: ReadonlyArray<number>
}

/** Gives the same commands to the store and to the model, and gives what they were, as far as they agreed. */
const agree = Effect.fnUntraced(function* ({ seed, steps }: Sequence, said: Array<string>) {
  const store = yield* TaskStore
  let dice = new Dice(seed)
  const model = new Model(agingMillis)
  const claims: Array<Claim> = []
  let now = 0
  let told = ""

  const anyClaims = (): ReadonlyArray<Claim> =>
    claims.length === 0 ? [] : [dice.pick(asPair(claims)), dice.pick(asPair(claims))].slice(0, dice.between(1, 2))

  const offerSome = Effect.fnUntraced(function* () {
    const offers = anyOffers()
    const onDuplicate = dice.chance(0.2) ? "fail" : "existing"
    const duplicate = onDuplicate === "fail" ? model.duplicateOf(offers) : undefined
    if (duplicate !== undefined) {
      const { reason } = yield* Effect.flip(store.offer(offers, now, { onDuplicate }))
      same<unknown>({ ...reason }, { _tag: "Duplicate", ...duplicate }, told)
      return
    }
    const given = new Map<string, string>()
    const expected = offers.map((offer) => {
      const living = model.living(offer.name, offer.uniqueKey)
      const awaits = offer.awaits?.map((id) => given.get(id) ?? id)
      if (living === undefined) model.offer(awaits === undefined ? offer : { ...offer, awaits }, now)
      const id = living?.offer.id ?? offer.id
      given.set(offer.id, id)
      return id
    })
    same(yield* store.offer(offers, now, { onDuplicate }), expected, told)
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
    same(yield* store.advance([advance], now), [model.advance(advance, now)], told)
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
    same(
      claimed.map(({ id }) => id),
      expected,
      told
    )
    for (const { awaited, id, token } of claimed) {
      same(awaited, model.tasks.get(id)?.awaited, `${told}: what ${id} has awaited`)
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
    same(yield* store.settle(settlements, now), expected, told)
  })

  const renewSome = Effect.fnUntraced(function* () {
    const some = anyClaims()
    const leaseMillis = dice.between(1, 20)
    const lost = some.filter(
      ({ id, token }) => !model.step(id, { _tag: "renew", token, leaseUntil: now + leaseMillis }, now)
    )
    same(yield* store.renew(some, leaseMillis, now), lost, told)
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
    same(yield* input === "cancel" ? store.cancel(ids, now) : store.requeue(ids, now), expected, told)
  })

  const sweep = Effect.fnUntraced(function* () {
    model.makeDue(now)
    const due = [...model.tasks].flatMap(([id, { state }]) => {
      if (state._tag !== "running") return []
      return model.step(id, { _tag: "expire", limit: 3 }, now, { why: whyExpired(state) }) ? [id] : []
    })
    const { expired, next } = yield* store.sweep(now)
    same(expired.map(({ id }) => id).toSorted(), due.toSorted(), told)
    const moments = [...model.tasks.values()].flatMap(({ state }) => {
      if (state._tag === "running") return [state.leaseUntil]
      return state._tag === "scheduled" || state._tag === "retrying" ? [state.at] : []
    })
    assert.isTrue(
      moments.every((moment) => next !== undefined && next <= moment && next > now),
      `${told}: ${next} is not after the next of ${moments.join()}`
    )
  })

  const given = new Set(steps)
  for (let step = 0; step <= (steps.at(-1) ?? -1); step++) {
    dice = new Dice(seed * 1000 + step)
    now += dice.between(0, 8)
    if (!given.has(step)) continue
    const command = dice.pick(commands)
    told = `step ${step} at ${now}, ${command}`
    said.push(told)
    if (command === "offer") yield* offerSome()
    else if (command === "advance") yield* advanceSome()
    else if (command === "claim") yield* claimSome()
    else if (command === "settle") yield* settleSome()
    else if (command === "renew") yield* renewSome()
    else if (command === "sweep") yield* sweep()
    else yield* cancelSome(command)
    if (step % 5 === 0) same(countsOf(yield* store.counts({})), countsOf(model.counts), told)
    const ids = [...model.tasks.keys()]
    const stored = yield* store.get(ids)
    same(
      stored.map(({ id, state, why }) => [id, state, why]),
      ids.map((id) => [id, model.tasks.get(id)?.state, model.tasks.get(id)?.why]),
      told
    )
  }
})

type MakeStore = (options: { readonly aging: number }) => Layer.Layer<TaskStore>

/** How a sequence ends, and what was said by then. */
const tried = (make: MakeStore, sequence: Sequence) => {
  const said: Array<string> = []
  const exit = Effect.exit(Effect.provide(agree(sequence, said), make({ aging: agingMillis })))
  return Effect.map(exit, (exit) => ({ exit, said }))
}

/** Leaves out one command after the other, as long as the store and the model do not agree. */
const shrunk = Effect.fnUntraced(function* (make: MakeStore, { seed, steps }: Sequence) {
  let few = steps
  for (const step of steps.toReversed()) {
    const fewer = few.filter((one) => one !== step)
    const { exit } = yield* tried(make, { seed, steps: fewer })
    if (Exit.isFailure(exit)) few = fewer
  }
  return { seed, steps: few }
})

/** Tries many sequences of thirty commands. Dies of the first in which a store does not do as the model. */
export const agreeAlways = Effect.fnUntraced(function* (make: MakeStore, sequences: number) {
  const steps = Array.from({ length: 30 }, (_, step) => step)
  for (let seed = 0; seed < sequences; seed++) {
    const { exit } = yield* tried(make, { seed, steps })
    if (Exit.isSuccess(exit)) continue
    const least = yield* shrunk(make, { seed, steps })
    const { exit: last, said } = yield* tried(make, least)
    const why = Exit.isFailure(last) ? Cause.pretty(last.cause) : "now they agree"
    return yield* Effect.die(
      new Error(`With seed ${seed} they do not agree. Of its commands these are enough:\n${said.join("\n")}\n${why}`)
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
