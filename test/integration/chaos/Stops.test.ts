import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Stops from "../../chaos/Stops.ts"
import * as Pg from "../../support/Pg.ts"
import * as Server from "../../support/Server.ts"

layer(Pg.layer("Stops"), { excludeTestServices: true })("tasks whose runner is stopped under load", (it) => {
  it.effect("are done or handed back, each once, and leave neither sessions nor fibers", () =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const server = yield* Server.make(url)
      // Other rounds than the long run of `npm run chaos:stop` begins with.
      const { wrong, ...figures } = yield* Stops.run({ url, server }, { rounds: 10, seed: 500_000 })
      assert.deepStrictEqual(wrong, [], "npm run chaos:stop -- --rounds 1 --seed <its seed>")
      assert.strictEqual(figures.accepted, figures.done + figures.handedBack)
      // A stop that found nothing to do would prove nothing.
      assert.isAbove(figures.done, 10, JSON.stringify(figures))
      assert.isAbove(figures.handedBack, 10, JSON.stringify(figures))
      assert.isAbove(figures.caught, 5, JSON.stringify(figures))
    })
  )
})
