/** What docs/failures.md says of a whole server: it needs one of the test's own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { EmbeddedPostgres } from "querypool/embedded"
import type { QueryError, QueryEvent } from "querypool"
import { PgQueryPool, Query, QueryPool, RetryPolicy } from "querypool"
import * as Server from "../../support/Server.ts"
import * as ServerProcess from "../../support/ServerProcess.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const applicationName = "pool under test"

/** What `RetryPolicy.connect` tries again, for as long as it takes. */
const patient = RetryPolicy.make({ on: RetryPolicy.connect.matches, schedule: Schedule.spaced("50 millis") })

const answers = (retry?: Query.Options<QueryError.QueryError>["retry"]) =>
  Query.make("answers", (sql) => sql<{ readonly one: number }>`select 1 as one`, { retry })

const statement = "select pg_sleep(600)"
const sleeps = (mode: "autocommit" | "transaction") => Query.make("sleeps", (sql) => sql.unsafe(statement), { mode })

/** Waits until so many of them run; gives the process id of one of the backends. */
const seen = Effect.fnUntraced(function* (server: Server.Server, count: number) {
  const sleeping = server.rows("select pid from pg_stat_activity where wait_event = 'PgSleep' and query = $1", [
    statement
  ])
  yield* waitUntil(
    `${count} run`,
    Effect.map(sleeping, (rows) => rows.length === count)
  )
  const [row] = yield* sleeping
  return Number(row?.["pid"])
})

/** Two queries run, in autocommit and in a transaction, until `act` ends them; gives their errors. */
const endedBy = Effect.fnUntraced(function* (act: (pid: number) => Effect.Effect<unknown, unknown>) {
  const { url } = yield* EmbeddedPostgres
  const server = yield* Server.make(url)
  const running = yield* Effect.forkChild(
    QueryPool.all([Effect.flip(sleeps("autocommit")), Effect.flip(sleeps("transaction"))])
  )
  yield* act(yield* seen(server, 2))
  return (yield* Fiber.join(running)).map(({ connection, outcome, reason }) => [reason._tag, connection, outcome])
})

const lost = [
  ["ConnectionLost", "gone", "unknown"],
  ["ConnectionLost", "gone", "notApplied"]
]

const onOwnServer = <A, E>(
  test: Effect.Effect<A, E, Effect.Services<ReturnType<typeof endedBy>> | PgQueryPool.Services>,
  settings?: Readonly<Record<string, number>>
) =>
  Effect.gen(function* () {
    const { url } = yield* EmbeddedPostgres
    return yield* Effect.provide(test, PgQueryPool.layer({ url, applicationName, cancelGrace: "300 millis" }))
  }).pipe(Effect.scoped, Effect.provide(EmbeddedPostgres.layer({ settings })))

describe("a pool whose server", () => {
  it.live.each(["fast", "immediate"] as const)("restarts (%s) loses what runs, and serves who waits for it", (how) =>
    Effect.gen(function* () {
      const server = yield* ServerProcess.make(yield* EmbeddedPostgres)
      assert.deepStrictEqual(yield* endedBy(() => server.stop(how)), lost)
      const away = yield* Effect.flip(answers())
      assert.deepInclude({ ...away.reason }, { _tag: "ConnectFailed", sqlState: undefined })
      assert.deepInclude(away, { connection: "gone", outcome: "notApplied" })
      const waiting = yield* Effect.forkChild(answers(patient), { startImmediately: true })
      yield* server.start
      assert.deepStrictEqual(yield* Fiber.join(waiting), [{ one: 1 }])
    }).pipe(onOwnServer)
  )

  it.live("has a backend killed loses what runs on all of them, and serves who waits until it has recovered", () =>
    Effect.gen(function* () {
      const server = yield* ServerProcess.make(yield* EmbeddedPostgres)
      assert.deepStrictEqual(yield* endedBy(server.killBackend), lost)
      assert.deepStrictEqual(yield* answers(patient), [{ one: 1 }])
    }).pipe(onOwnServer)
  )

  it.live("has no connection left says so, confirms a cancel all the same, and serves who waits for room", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres
      const server = yield* Server.make(url)
      const ends: Array<QueryEvent.CancelEnd["how"]> = []
      const running = yield* Effect.forkChild(
        QueryPool.all([sleeps("autocommit")], {
          onEvent: (event) => event._tag === "CancelEnded" && ends.push(event.how)
        })
      )
      yield* seen(server, 1)
      const waiting = yield* Effect.gen(function* () {
        yield* server.exhaust
        const refused = yield* Effect.flip(answers())
        assert.deepInclude({ ...refused.reason }, { _tag: "TooBusy", sqlState: "53300" })
        assert.deepInclude(refused, { connection: "gone", outcome: "notApplied" })
        yield* Fiber.interrupt(running)
        assert.deepStrictEqual(ends, ["idle"])
        return yield* Effect.forkDetach(answers(patient), { startImmediately: true })
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(yield* Fiber.join(waiting), [{ one: 1 }])
    }).pipe((test) => onOwnServer(test, { max_connections: 8 }))
  )
})
