import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Task from "../../../src/task/Task.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { logged } from "./logged.ts"

const mail = Task.make("mail", { payload: Schema.Int, session: "none" })

describe("the end of the store in memory", () => {
  it.effect("names each task that has not ended, a hundred in a line, and no other", () => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      const ids = yield* Effect.gen(function* () {
        const handles = yield* Task.enqueueAll(
          mail,
          Array.from({ length: 151 }, (_, n) => n)
        )
        const [first, ...others] = handles
        yield* first?.cancel ?? Effect.void
        return others.map(({ id }) => id)
      }).pipe(Effect.provide(layerMemory()))
      assert.lengthOf(lines, 2)
      const named = lines.join("\n").match(/(?<=Task "mail" \()[^)]+/g) ?? []
      assert.deepStrictEqual(named, ids)
    }).pipe(Effect.provide(logger))
  })

  it.effect("says nothing where all have ended", () => {
    const { lines, logger } = logged()
    return Effect.gen(function* () {
      yield* Effect.provide(
        Effect.flatMap(Task.enqueue(mail, 1), ({ cancel }) => cancel),
        layerMemory()
      )
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide(logger))
  })
})
