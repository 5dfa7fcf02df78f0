import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import type { Offer } from "../../../src/task/TaskStore.ts"
import { TaskStore } from "../../../src/task/TaskStore.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { suite } from "../../suites/TaskStore.ts"
import { agreeAlways } from "../../suites/TaskStoreModel.ts"

/** Offers of one unique key. */
const one = (id: string): Offer => ({
  id,
  name: "clean-up",
  queue: "default",
  priority: 0,
  payload: null,
  at: 0,
  uniqueKey: "all"
})

describe("the store in memory", () => {
  suite(layerMemory, { sequences: 10_000 })

  it.effect("keeps nothing of an offer that found another task", () =>
    Effect.gen(function* () {
      const { get, offer } = yield* TaskStore
      assert.deepStrictEqual(yield* offer([one("1")], 0), ["1"])
      assert.deepStrictEqual(yield* offer([one("2")], 0), ["1"])
      assert.deepStrictEqual(yield* get(["2"]), [])
    }).pipe(Effect.provide(layerMemory()))
  )
})

type Store = TaskStore["Service"]

/** A store with a mistake. */
const wrong = (mistake: (store: Store) => Partial<Store>) => (options: { readonly aging: number }) =>
  Layer.effect(
    TaskStore,
    Effect.map(TaskStore, (store) => ({ ...store, ...mistake(store) }))
  ).pipe(Layer.provide(layerMemory(options)))

describe("the sequences that stores are tried with", () => {
  it.effect.each([
    ["renews what was lost", (store: Store) => ({ renew: () => Effect.succeed([]), settle: store.settle })],
    [
      "gives no word of what is stale",
      ({ settle }: Store) => ({ settle: (...said) => Effect.as(settle(...said), []) })
    ],
    ["takes whatever is due", ({ claim }: Store) => ({ claim: (request) => claim({ ...request, perKey: undefined }) })],
    [
      "forgets why",
      ({ settle }: Store) => ({
        settle: (settlements, now) =>
          settle(
            settlements.map((one) => ({ ...one, why: undefined })),
            now
          )
      })
    ]
  ] satisfies ReadonlyArray<readonly [string, (store: Store) => Partial<Store>]>)(
    "find a store that %s, and need few commands to show it",
    ([, mistake]) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(agreeAlways(wrong(mistake), 100))
        const text = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "nothing was found"
        const steps = text.match(/^step \d+ at/gm) ?? []
        assert.match(text, /With seed \d+ they do not agree/)
        assert.isAtLeast(steps.length, 1)
        assert.isAtMost(steps.length, 8, text)
      })
  )
})
