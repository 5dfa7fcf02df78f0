import { assert, describe, layer } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Latch, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Query } from "querypool"
import type { QueryPool } from "querypool"
import * as Pg from "../../support/Pg.ts"

const backendPid = Query.make("which backend", (sql) =>
  Effect.map(sql<{ readonly pid: number }>`select pg_backend_pid() as pid`, ([row]) => row?.pid)
)

const isDefect = (exit: Exit.Exit<unknown, unknown>, query: string) => {
  const [reason] = Exit.isFailure(exit) ? exit.cause.reasons : []
  assert.isTrue(reason !== undefined && Cause.isDieReason(reason), String(exit))
  if (reason === undefined || !Cause.isDieReason(reason)) return
  assert.match(String(reason.defect), new RegExp(`The session of query "${query}" was used after that query had ended`))
}

/** Starts reading, and stays at the first row. */
const opened = Effect.fnUntraced(function* (rows: Stream.Stream<unknown, unknown, QueryPool.QueryPool>) {
  const first = yield* Deferred.make<void>()
  const fiber = yield* Effect.forkChild(
    Stream.runForEach(rows, () => Effect.andThen(Deferred.succeed(first, undefined), Effect.never))
  )
  yield* Deferred.await(first)
  return fiber
})

layer(Pg.layer("PgSessionMisuse"), { excludeTestServices: true })("a session", (it) => {
  describe("that is used after its unit has ended", () => {
    it.effect("is a defect of that fiber, for statements, transactions, streams and queries", () =>
      Effect.gen(function* () {
        const over = yield* Latch.make()
        const sqlOutside = yield* SqlClient.SqlClient
        const late = <R>(effect: Effect.Effect<unknown, unknown, R>) =>
          Effect.forkDetach(Effect.andThen(over.await, Effect.exit(effect)))
        const fibers = yield* Query.make("forks", (sql) =>
          Effect.all([
            late(sql`select 1`),
            late(sql`select 1`.raw),
            late(sql.withTransaction(sql`select 1`)),
            late(Stream.runDrain(sql`select 1`.stream)),
            late(backendPid),
            late(
              Stream.runDrain(Query.stream({ name: "s", schema: Schema.Unknown, statement: (sql) => sql`select 1` }))
            ),
            late(sqlOutside`select 1`)
          ])
        )
        // The next unit has the same connection, and is not disturbed.
        const rows = yield* Query.make("next", (sql) =>
          Effect.gen(function* () {
            yield* over.open
            for (const fiber of fibers) isDefect(yield* Fiber.join(fiber), "forks")
            return yield* sql`select 'undisturbed' as state`
          })
        )
        assert.deepStrictEqual(rows, [{ state: "undisturbed" }])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("by a statement in flight stops that statement, and the next unit gets another connection", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const before = yield* backendPid
        const fiber = yield* Query.make("forks", (sql) =>
          Effect.gen(function* () {
            const fiber = yield* Effect.forkDetach(sql`select pg_sleep(600)`)
            yield* observer.seen("the statement runs", (backend) => backend.query.includes("pg_sleep(600)"))
            return fiber
          })
        )
        const [after, backends] = [yield* backendPid, yield* observer.backends]
        assert.notStrictEqual(after, before)
        assert.deepStrictEqual(
          backends.map(({ pid }) => pid),
          [after ?? 0]
        )
        assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("by an open stream stops that stream, and the next unit gets another connection", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const before = yield* backendPid
        const fiber = yield* Query.make("forks", (sql) =>
          Effect.gen(function* () {
            const first = yield* Deferred.make<void>()
            const rows = sql`select n from generate_series(1, 10000000) n`.stream
            const fiber = yield* Effect.forkDetach(
              Stream.runForEach(rows, () => Effect.andThen(Deferred.succeed(first, undefined), Effect.never))
            )
            yield* Deferred.await(first)
            return fiber
          })
        )
        const after = yield* backendPid
        assert.notStrictEqual(after, before)
        assert.lengthOf(yield* observer.backends, 1)
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect("by an open transaction rolls that back", () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const fiber = yield* Query.make("forks", (sql) =>
          Effect.gen(function* () {
            const inserted = yield* Deferred.make<void>()
            const fiber = yield* Effect.forkDetach(
              sql.withTransaction(
                sql`insert into account values (-2, 'forked', 0)`.pipe(
                  Effect.andThen(Deferred.succeed(inserted, undefined)),
                  Effect.andThen(Effect.never)
                )
              )
            )
            yield* Deferred.await(inserted)
            return fiber
          })
        )
        assert.isDefined(yield* backendPid)
        assert.strictEqual(yield* observer.value("select count(*)::int from account where id = -2"), 0)
        yield* Fiber.interrupt(fiber)
        assert.isDefined(yield* backendPid)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })

  describe("with an open stream of rows", () => {
    const numbers = Query.stream({
      name: "numbers",
      schema: Schema.Struct({ n: Schema.Finite }),
      statement: (sql) => sql`select n from generate_series(1, 2000) n`
    })

    it.effect("refuses another statement at once, and works again when the stream is over", () =>
      Effect.gen(function* () {
        const rows = yield* Query.make("a statement per row", (sql) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(Stream.runForEach(numbers, ({ n }) => sql`select ${n}::int`))
            assert.strictEqual(error._tag, "SqlError")
            const typed = yield* Effect.flip(Stream.runForEach(numbers, () => backendPid))
            assert.strictEqual(typed._tag === "QueryError" ? typed.reason._tag : typed._tag, "SessionBusy")
            return yield* sql`select 'works' as state`
          })
        )
        assert.deepStrictEqual(rows, [{ state: "works" }])
        const error = yield* Effect.flip(
          Query.make("a statement per row", (sql) => Stream.runForEach(numbers, ({ n }) => sql`select ${n}::int`))
        )
        assert.strictEqual(error.reason._tag, "SessionBusy")
        assert.strictEqual(error.connection, "usable")
        assert.match(error.message, /^Query "a statement per row" failed: the session has an open stream of rows/)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )

    it.effect.each([
      { how: "rolled back", end: Effect.fail("rolls back" as const) },
      { how: "committed", end: Effect.void }
    ])("keeps nothing silently in a transaction that could not be $how", ({ end }) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const error = yield* Effect.flip(
          Query.make("ends under a stream", (sql) =>
            Effect.gen(function* () {
              let reader: Fiber.Fiber<unknown, unknown> | undefined
              const transaction = Effect.gen(function* () {
                reader = yield* opened(numbers)
                return yield* end
              })
              assert.isTrue(Exit.isFailure(yield* Effect.exit(sql.withTransaction(transaction))))
              if (reader !== undefined) yield* Fiber.interrupt(reader)
              yield* sql`insert into account values (-5, 'must not seem to be kept', 0)`
            })
          )
        )
        assert.deepInclude(error, { connection: "gone" })
        assert.strictEqual(error.reason._tag, "ConnectionLost")
        assert.match(error.message, /could be neither committed nor rolled back/)
        assert.isDefined(yield* backendPid)
        assert.strictEqual(yield* observer.value("select count(*)::int from account where id < 0"), 0)
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
    )
  })
})
