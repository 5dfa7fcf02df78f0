import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { PgQueryPool, Query, QueryPool, RetryPolicy } from "querypool"
import { endpointOf } from "../../chaos/Round.ts"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"

class Own extends Schema.TaggedError<Own>()("Own", {}) {}

const ownAgain = RetryPolicy.make({ on: ["Own"], schedule: RetryPolicy.backoff({ base: "1 millis", times: 2 }) })

/** A pool of one connection behind a proxy, and what its queries have written. */
const bench = Effect.fnUntraced(function* (table: string) {
  const { applicationName, observer, url } = yield* Pg.Pg
  yield* observer.rows(`create table ${table} (token text)`)
  const faults = yield* Faults.make(endpointOf(url))
  return {
    faults,
    pool: PgQueryPool.layer({ url: faults.through(url), applicationName, maxConnections: 1 }),
    written: Effect.map(observer.value(`select count(*) from ${table}`), Number)
  }
})

layer(Pg.layer("Doubt"), { excludeTestServices: true })(
  "a query that goes on after a statement without an answer",
  (it) => {
    it.effect("is in doubt, and is not tried again, when it fails with the next one", () =>
      Effect.gen(function* () {
        const { faults, pool, written } = yield* bench("stopped_too_late")
        // The server has committed when it is asked to stop, and its answer arrives after that.
        const late = yield* faults.inject(Faults.delay({ millis: 200, way: "toClient" }), {
          before: Faults.fromServer("CommandComplete", { statement: "insert into stopped_too_late" }),
          times: 3
        })
        let attempts = 0
        const query = Query.make(
          "goes on",
          (sql, unit) =>
            Effect.gen(function* () {
              attempts++
              yield* Effect.raceFirst(sql`insert into stopped_too_late values ('a')`, late.fired)
              const error = yield* Effect.flip(sql`select 1 / 0`)
              assert.strictEqual(unit.outcome, "unknown", error.message)
              return yield* new Own()
            }),
          { retry: ownAgain }
        )
        const [outcome] = yield* QueryPool.all([query], { mode: "outcome" }).pipe(Effect.provide(pool))
        assert.strictEqual(outcome._tag, "Failed")
        assert.deepStrictEqual({ attempts, written: yield* written }, { attempts: 1, written: 1 })
      })
    )

    it.effect("is in doubt when the answer to its COMMIT is lost, though an earlier statement was stopped", () =>
      Effect.gen(function* () {
        const { faults, pool, written } = yield* bench("stopped_before")
        yield* faults.inject(Faults.cut(), { before: Faults.fromServer("CommandComplete", { statement: /^commit/i }) })
        const query = Query.make(
          "goes on",
          (sql) =>
            Effect.andThen(
              sql`insert into stopped_before values ('a')`,
              Effect.timeoutOption(sql.withTransaction(sql`select pg_sleep(600)`), 50)
            ),
          { mode: "transaction" }
        )
        const error = yield* Effect.flip(query).pipe(Effect.provide(pool))
        assert.deepInclude(error, { outcome: "unknown", connection: "gone" })
        assert.strictEqual(yield* written, 1)
      })
    )

    it.effect("is in doubt when its connection was gone before the next one could be sent", () =>
      Effect.gen(function* () {
        const { faults, pool, written } = yield* bench("never_sent")
        yield* faults.inject(Faults.cut(), {
          before: Faults.fromServer("CommandComplete", { statement: "insert into never_sent" })
        })
        const query = Query.make("loses its connection", (sql) =>
          Effect.andThen(Effect.ignore(sql`insert into never_sent values ('a')`), sql`select 1`)
        )
        const error = yield* Effect.flip(query).pipe(Effect.provide(pool))
        assert.deepInclude(error, { outcome: "unknown", connection: "gone" })
        assert.strictEqual(yield* written, 1)
      })
    )

    it.effect("is not in doubt when its COMMIT was never sent", () =>
      Effect.gen(function* () {
        const { faults, pool, written } = yield* bench("never_committed")
        yield* faults.inject(Faults.cut(), {
          before: Faults.fromServer("CommandComplete", { statement: "select 'last'" })
        })
        const query = Query.make(
          "commits on nothing",
          (sql) => Effect.andThen(sql`insert into never_committed values ('a')`, Effect.ignore(sql`select 'last'`)),
          { mode: "transaction" }
        )
        const error = yield* Effect.flip(query).pipe(Effect.provide(pool))
        assert.deepInclude(error, { outcome: "notApplied", connection: "gone" })
        assert.strictEqual(yield* written, 0)
      })
    )
  }
)
