import { assert, layer } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Exit, Fiber, Redacted, Stream } from "effect"
import { Query } from "querypool"
import type { InjectOptions } from "../../support/FaultInjection.ts"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"

/** A proxy to the file's database, and connections through it. */
const makeBench = Effect.gen(function* () {
  const { applicationName, observer, url } = yield* Pg.Pg
  const { hostname, port } = new URL(Redacted.value(url))
  const faults = yield* Faults.make({ host: hostname, port: Number(port) })
  const connect = PgConnection.make({ url: faults.through(url), applicationName })
  return { applicationName, connect, faults, observer }
})

const pidOf = (connection: PgConnection.PgConnection) =>
  Effect.map(connection.queryValues("select pg_backend_pid()"), ([row]) => Number(row?.[0]))

const sleeping = "select pg_sleep(600)"

interface Loss {
  readonly what: string
  readonly fault: InjectOptions
  readonly statements: ReadonlyArray<string>
  readonly applied: boolean
}

const insert = "insert into account values (-1, 'lost', 0)"
const losses: ReadonlyArray<Loss> = [
  {
    what: "a COMMIT that does not reach the server is not applied",
    fault: { before: Faults.fromClient("Execute", { statement: "commit" }) },
    statements: ["begin", insert, "commit"],
    applied: false
  },
  {
    what: "a COMMIT whose answer is lost is applied",
    fault: { before: Faults.fromServer("CommandComplete", { statement: "commit" }) },
    statements: ["begin", insert, "commit"],
    applied: true
  },
  {
    what: "an INSERT in autocommit that does not reach the server is not applied",
    fault: { before: Faults.fromClient("Execute", { statement: insert }) },
    statements: [insert],
    applied: false
  },
  {
    what: "an INSERT in autocommit without its Sync is not applied",
    fault: { after: Faults.fromClient("Execute", { statement: insert }) },
    statements: [insert],
    applied: false
  },
  {
    what: "an INSERT in autocommit whose answer is lost is applied",
    fault: { before: Faults.fromServer("CommandComplete", { statement: insert }) },
    statements: [insert],
    applied: true
  },
  {
    what: "an INSERT in autocommit whose answer is cut behind BindComplete is applied",
    fault: { after: Faults.fromServer("BindComplete", { statement: insert }) },
    statements: [insert],
    applied: true
  },
  {
    what: "an INSERT in autocommit whose answer lacks only ReadyForQuery is applied",
    fault: { before: Faults.fromServer("ReadyForQuery", { statement: insert }) },
    statements: [insert],
    applied: true
  }
]

layer(Pg.layer("Faults"), { excludeTestServices: true })("a proxy before a server", (it) => {
  it.effect("changes nothing for a client as long as it is left alone", () =>
    Effect.gen(function* () {
      const { connect, faults, observer } = yield* makeBench
      const connection = yield* connect
      const rows = yield* connection.query("select * from account where id <= $1 order by id", [500])
      assert.deepStrictEqual(rows.rows, yield* observer.rows("select * from account where id <= 500 order by id"))
      const sum = yield* Stream.runFold(
        connection.stream("select i from generate_series(1, 200000) i"),
        () => 0,
        (total, row) => total + Number(row["i"])
      )
      assert.strictEqual(sum, (200_000 * 200_001) / 2)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.query("select 1/0"))))
      const busy = yield* Effect.forkChild(connection.query(sleeping))
      yield* faults.awaitMessage(Faults.fromClient("Sync", { statement: sleeping }))
      yield* Fiber.interrupt(busy)
      assert.deepStrictEqual(yield* connection.queryValues("select 1"), [[1]])
      assert.strictEqual(faults.totals("toServer")["CancelRequest"], 1)
      const { id, pid } = yield* faults.awaitConnection(({ kind }) => kind === "session")
      assert.deepStrictEqual([id, pid], [1, yield* pidOf(connection)])
    })
  )

  it.effect("serves a pool", () =>
    Effect.gen(function* () {
      const { applicationName, faults } = yield* makeBench
      const count = Query.make("count", (sql) => sql`select count(*)::int as accounts from account`)
      const pool = Pg.pool({ maxConnections: 1 }, (url) => (url.port = String(faults.port)))
      assert.deepStrictEqual(yield* Effect.provide(count, pool), [{ accounts: 1_000 }])
      const state = yield* faults.awaitConnection(({ kind }) => kind === "session")
      assert.strictEqual(state.applicationName, applicationName)
    })
  )

  it.effect.each(losses)("cuts such that $what", ({ applied, fault, statements }) =>
    Effect.gen(function* () {
      const { connect, faults, observer } = yield* makeBench
      // The second time, statements are sent by name alone.
      for (const warm of [false, true]) {
        const connection = yield* connect
        if (warm) {
          for (const statement of statements) {
            yield* connection.query(statement)
            yield* observer.rows("delete from account where id = -1")
          }
        }
        const cut = yield* faults.inject(Faults.cut(), fault)
        const exit = yield* Effect.exit(Effect.forEach(statements, (statement) => connection.query(statement)))
        assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(cut.count(), 1)
        yield* observer.gone
        const deleted = yield* observer.rows("delete from account where id = -1 returning id")
        assert.lengthOf(deleted, applied ? 1 : 0)
      }
    })
  )

  it.effect("freezes a query that has been sent, and lets it end when it thaws", () =>
    Effect.gen(function* () {
      const { applicationName, connect, faults, observer } = yield* makeBench
      const connection = yield* connect
      const freeze = yield* faults.inject(Faults.freeze(), { after: Faults.fromClient("Sync", { statement: "pid" }) })
      const query = yield* Effect.forkChild(pidOf(connection))
      yield* freeze.fired
      // The answer has come as far as the proxy.
      yield* faults.awaitConnection(({ heldBytes }) => heldBytes.toClient > 0)
      const [backend] = yield* observer.backends
      assert.deepInclude(backend, { state: "idle" }, applicationName)
      assert.isUndefined(query.pollUnsafe())
      yield* freeze.lift
      assert.strictEqual(yield* Fiber.join(query), backend?.pid)
    })
  )

  it.effect("delivers a late cancel to the statement that runs by then", () =>
    Effect.gen(function* () {
      const { connect, faults, observer } = yield* makeBench
      const connection = yield* connect
      const keep = yield* faults.inject(Faults.keepCancel())
      yield* observer.hold(1)
      const first = yield* Effect.forkChild(connection.query("select pg_advisory_lock(1)"))
      yield* observer.seen("it waits for the lock", ({ query, wait }) => query.includes("lock(1)") && wait !== null)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(first))
      yield* keep.fired
      yield* observer.release(1)
      yield* Fiber.join(interrupting)
      const second = yield* Effect.forkChild(connection.query(sleeping))
      yield* observer.seen("the second runs", ({ query, state }) => query === sleeping && state === "active")
      assert.strictEqual(yield* faults.deliverCancels, 1)
      assert.include(String(yield* Fiber.await(second)), "canceling statement due to user request")
    })
  )

  it.effect("leaves the client alone when the server's side is gone", () =>
    Effect.gen(function* () {
      const { connect, faults, observer } = yield* makeBench
      const connection = yield* connect
      const halfOpen = yield* faults.inject(Faults.halfOpen({ gone: "server" }))
      yield* observer.gone
      const query = yield* Effect.forkChild(connection.query("select 1"))
      yield* faults.awaitConnection(({ client, state }) => state === "halfOpen" && client === "open")
      assert.isUndefined(query.pollUnsafe())
      yield* halfOpen.lift
      assert.isTrue(Exit.isFailure(yield* Fiber.await(query)))
    })
  )

  it.effect("leaves the server alone when the client's side is gone", () =>
    Effect.gen(function* () {
      const { connect, faults, observer } = yield* makeBench
      const connection = yield* connect
      const pid = yield* pidOf(connection)
      const halfOpen = yield* faults.inject(Faults.halfOpen({ gone: "client" }))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.query("select 1"))))
      assert.deepInclude(yield* observer.backends, {
        pid,
        state: "idle",
        query: "select pg_backend_pid()",
        wait: "Client:ClientRead"
      })
      yield* halfOpen.lift
      yield* observer.gone
    })
  )

  it.effect("answers a startup as a server without room", () =>
    Effect.gen(function* () {
      const { connect, faults, observer } = yield* makeBench
      yield* faults.inject(Faults.answer({ code: "53300", message: "sorry, too many clients already" }), { times: 1 })
      const refused = yield* Effect.flip(connect)
      assert.deepInclude(refused.reason.cause, { code: "53300", message: "sorry, too many clients already" })
      assert.isEmpty(yield* observer.backends)
      yield* connect
    })
  )
})
