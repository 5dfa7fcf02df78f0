import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Redacted } from "effect"
import { PgQueryPool } from "querypool"

const refusalOf = (config: PgQueryPool.Config) =>
  Effect.map(Effect.flip(Layer.build(PgQueryPool.layer(config))), (error) => error.reason.message)

describe("PgQueryPool.layer", () => {
  it.effect.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses %d connections", (maxConnections) =>
    Effect.gen(function* () {
      const message = yield* refusalOf({ maxConnections })
      assert.strictEqual(message, `Expected \`maxConnections\` to be an integer from 1, got ${maxConnections}`)
    })
  )

  it.effect("refuses a URL that is none, without repeating it", () =>
    Effect.gen(function* () {
      const message = yield* refusalOf({ url: Redacted.make("me:hunter2") })
      assert.match(message ?? "", /Expected .*postgres:\/\//)
      assert.notInclude(message, "hunter2")
    })
  )

  it.effect("opens and closes without a server", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(PgQueryPool.layer({ port: 1 }))))
      assert.isTrue(Exit.isSuccess(exit))
    })
  )
})
