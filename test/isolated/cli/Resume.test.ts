import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { EmbeddedPostgres } from "querypool/embedded"
import * as Kills from "../../chaos/Kills.ts"
import * as Server from "../../support/Server.ts"

describe("a run with --resume", () => {
  it.live("ends as if nobody had killed it, and writes nothing twice, whenever it is killed", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres
      const server = yield* Server.make(url)
      const result = yield* Kills.run({ url: Redacted.value(url), server }, { kills: 6, seed: 1 })
      assert.deepStrictEqual(result.wrong, [])
      assert.strictEqual(result.kills, 6)
    }).pipe(Effect.scoped, Effect.provide(EmbeddedPostgres.layer()))
  )
})
