import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { Query } from "querypool"
import { findLeaks, takeStock } from "../support/leaks.ts"
import * as Pg from "../support/Pg.ts"

const answer = Query.make("answer", (sql) => sql`select 1`)

layer(Pg.layer("leaks"), { excludeTestServices: true })("the check for what a test leaves on the server", (it) => {
  let open = Scope.makeUnsafe()

  /** A pool that outlives the test, with one connection. */
  const leak = Effect.gen(function* () {
    open = Scope.makeUnsafe()
    const context = yield* Layer.buildWithScope(Pg.pool(), open)
    yield* Effect.provideContext(answer, context)
  })

  it.effect("names a backend, its pool and its socket", () =>
    Effect.gen(function* () {
      const before = yield* Effect.promise(takeStock)
      yield* leak
      const [backend] = yield* (yield* Pg.Pg).observer.backends
      const leaks = yield* Effect.promise(() => findLeaks(before))
      for (const leak of ["1 × pool", `backend ${backend?.pid} (idle: select 1)`, "1 × socket"]) {
        assert.include(leaks, leak)
      }
      yield* Scope.close(open, Exit.void)
    })
  )

  it.effect.fails("fails a test that leaves a backend", () => leak)

  it.effect("passes the next test, once that backend is gone", () => Scope.close(open, Exit.void))
})

layer(Layer.provideMerge(Pg.pool({ maxConnections: 2 }), Pg.layer("shared")), { excludeTestServices: true })(
  "a pool that a suite shares",
  (it) => {
    it.effect("may keep its idle connections when a test ends", () => answer)

    it.effect("may not keep a busy one", () =>
      Effect.gen(function* () {
        const before = yield* Effect.promise(takeStock)
        yield* Query.make("checks itself", (sql) =>
          Effect.gen(function* () {
            yield* sql`select 2`
            const leaks = yield* Effect.promise(() => findLeaks(before))
            assert.deepStrictEqual(
              leaks.filter((leak) => leak.startsWith("backend")),
              []
            )
            yield* sql`begin`
            const open = yield* Effect.promise(() => findLeaks(before))
            assert.match(open.join(), /backend \d+ \(idle in transaction: begin\)/)
          })
        )
      })
    )
  }
)
