import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Query from "../../../src/query/Query.ts"
import { ConnectFailed, QueryError } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"

const takes = (name: string, millis: number) => Query.make(name, () => Effect.sleep(millis))

const listened = () => {
  const events: Array<QueryEvent> = []
  return { events, onEvent: (event: QueryEvent) => void events.push(event) }
}

describe("a run with a snapshot", () => {
  it.effect("takes one for all of its queries, streams included, and releases it at its end", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({ rows: [] })
      const rows = Query.stream({ name: "rows", schema: Schema.Unknown, statement: (sql) => sql`select 1` })
      const members = [takes("a", 0), takes("b", 0), Effect.andThen(takes("c", 0), Stream.runDrain(rows))]
      yield* provide(QueryPool.all(members, { snapshot: true }))
      assert.deepStrictEqual(ledger.joined.toSorted(), ["a", "b", "c", "rows"])
      assert.deepStrictEqual(ledger.snapshots, ["taken", "released"])
    })
  )

  it.effect("asks the pool for none without being told to", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      yield* provide(QueryPool.all([takes("a", 0)], { snapshot: false }))
      assert.deepStrictEqual([ledger.joined, ledger.snapshots], [[], []])
    })
  )

  it.effect("lets each query try until one has taken it, and fails those that could not", () =>
    Effect.gen(function* () {
      let tries = 0
      const { ledger, provide } = yield* TestQueryPool.make(
        {},
        {
          snapshot: () =>
            Effect.suspend(() => (++tries < 3 ? Effect.fail(new ConnectFailed({ message: "no" })) : Effect.void))
        }
      )
      const members = ["a", "b", "c", "d"].map((name) => takes(name, 0))
      const outcomes = yield* provide(QueryPool.all(members, { snapshot: true, concurrency: 1, mode: "outcome" }))
      assert.deepStrictEqual(
        outcomes.map(({ _tag }) => _tag),
        ["Failed", "Failed", "Succeeded", "Succeeded"]
      )
      assert.deepStrictEqual(ledger.snapshots, ["taken", "released"])
    })
  )

  it.effect("lets the next query take it when the one that was taking it is interrupted", () =>
    Effect.gen(function* () {
      const taking = yield* Deferred.make<void>()
      let tries = 0
      const { ledger, provide } = yield* TestQueryPool.make(
        {},
        {
          snapshot: () =>
            Effect.suspend(() =>
              ++tries === 1 ? Effect.andThen(Deferred.succeed(taking, undefined), Effect.never) : Effect.void
            )
        }
      )
      const members = [Effect.timeoutOption(takes("impatient", 0), 50), takes("patient", 0)]
      const run = yield* Effect.forkChild(provide(QueryPool.all(members, { snapshot: true })))
      yield* Deferred.await(taking)
      yield* TestClock.adjust(50)
      yield* Fiber.join(run)
      assert.deepStrictEqual(ledger.joined, ["patient"])
      assert.deepStrictEqual(ledger.snapshots, ["taken", "released"])
    })
  )

  it.effect("refuses queries that are made to write, without a session", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      for (const mode of ["transaction", "autocommit"] as const) {
        const writes = Query.make("writes", () => Effect.void, { mode })
        const rows = Query.stream({ name: "rows", schema: Schema.Unknown, statement: (sql) => sql`select 1` }, { mode })
        for (const member of [writes, Stream.runDrain(rows)]) {
          const error = yield* Effect.flip(provide(QueryPool.all([member], { snapshot: true })))
          assert.instanceOf(error, QueryError)
          assert.match(error.message, new RegExp(`mode "${mode}" is for queries that write, and those of a run with`))
          assert.match(error.message, /hint: leave `mode` out, or say "readOnly"/)
        }
      }
      assert.deepStrictEqual([ledger.opened, ledger.snapshots], [[], []])
      yield* provide(QueryPool.all([Query.make("reads", () => Effect.void, { mode: "readOnly" })], { snapshot: true }))
      assert.deepStrictEqual(ledger.joined, ["reads"])
    })
  )

  it.effect("retries a query of which a statement had completed: it can have written nothing", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(() => [])
      class Again extends Schema.TaggedError<Again>()("Again", {}) {}
      let tries = 0
      const query = Query.make(
        "query",
        (sql) =>
          Effect.andThen(
            sql`select 1`,
            Effect.suspend(() => (++tries < 3 ? Effect.fail(new Again()) : Effect.succeed(tries)))
          ),
        { retry: RetryPolicy.make({ on: ["Again"], schedule: RetryPolicy.backoff({ base: 0 }) }) }
      )
      assert.deepStrictEqual(yield* provide(QueryPool.all([query], { snapshot: true })), [3])
      assert.deepStrictEqual(ledger.joined, ["query", "query", "query"])
      tries = 0
      assert.instanceOf(yield* Effect.flip(provide(QueryPool.all([query]))), Again)
    })
  )

  it.effect("reports for how long it was held, from its first query on, and whether it was lost", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const { events, onEvent } = listened()
      const members = [Effect.sleep(100), Effect.andThen(Effect.sleep(40), takes("late", 30))]
      const run = yield* Effect.forkChild(provide(QueryPool.report(members, { snapshot: true, onEvent })))
      yield* TestClock.adjust(45)
      ledger.loseSnapshot()
      yield* TestClock.adjust(100)
      const { snapshot } = yield* Fiber.join(run)
      assert.deepStrictEqual(snapshot, { heldMillis: 5, lost: true })
      assert.deepStrictEqual(
        events.flatMap((event) => ("id" in event ? [] : [event._tag])),
        ["RunStarted", "SnapshotTaken", "SnapshotEnded", "RunEnded"]
      )
      const kept = yield* Effect.forkChild(provide(QueryPool.report(members, { snapshot: true })))
      yield* TestClock.adjust(100)
      assert.deepStrictEqual((yield* Fiber.join(kept)).snapshot, { heldMillis: 60, lost: false })
      const none = yield* Effect.forkChild(provide(QueryPool.report([Effect.void], { snapshot: true })))
      assert.notProperty(yield* Fiber.join(none), "snapshot")
    })
  )

  it.effect("says so to a pool on a standby only when it is allowed", () =>
    Effect.gen(function* () {
      const allowed: Array<boolean> = []
      const { provide } = yield* TestQueryPool.make(
        {},
        {
          snapshot: ({ allowStandby }) => Effect.sync(() => void allowed.push(allowStandby))
        }
      )
      for (const snapshot of [true, {}, { allowStandby: true }]) {
        yield* provide(QueryPool.all([takes("a", 0)], { snapshot }))
      }
      assert.deepStrictEqual(allowed, [false, false, true])
    })
  )
})
