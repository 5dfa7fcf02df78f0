import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Redacted } from "effect"
import * as PgCancel from "../../../src/pool/PgCancel.ts"
import * as PgEndpoint from "../../../src/pool/PgEndpoint.ts"
import * as PgWire from "../../../src/pool/PgWire.ts"
import type { ServerConnection } from "../../../src/pool/ServerConnection.ts"
import { connect } from "../../../src/pool/ServerConnection.ts"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const sleeping = "select pg_sleep(600)"

/** Takes a cancel for a notice. */
const stubborn = `do $$ begin loop begin perform pg_sleep(600); exception when query_canceled then null; end; end loop; end $$`

/** Connections through a proxy, as a pool makes them. */
const makeBench = Effect.fnUntraced(function* (options?: Partial<PgCancel.Config>, adapt?: (url: URL) => void) {
  const { applicationName, observer, url } = yield* Pg.Pg
  const { hostname, port } = new URL(Redacted.value(url))
  const faults = yield* Faults.make({ host: hostname, port: Number(port) })
  const led = new URL(Redacted.value(faults.through(url)))
  adapt?.(led)
  const endpoint = yield* Effect.fromResult(PgEndpoint.make({ url: Redacted.make(led.href) }))
  const { database, password, username } = endpoint
  const driver = { database, password, username, applicationName, ssl: false, host: endpoint.host }
  const openSocket = () => PgWire.open(endpoint, {})
  const cancel = yield* PgCancel.make({ driver, openSocket, ...options })
  const open = Effect.acquireRelease(
    connect({ driver, openSocket, cancel, restore: Effect.interruptible }),
    (connection) => connection.close
  )
  return { cancel, faults, observer, open }
})

/** Starts a statement, and waits until the server works on it. */
const start = Effect.fnUntraced(function* (connection: ServerConnection, sql: string) {
  const { observer } = yield* Pg.Pg
  const fiber = yield* Effect.forkChild(connection.pg.query(sql, [], false), { startImmediately: true })
  yield* observer.seen(
    "it runs",
    ({ pid, state, wait }) => pid === connection.backend?.pid && state === "active" && wait === "Timeout:PgSleep"
  )
  return fiber
})

const interrupt = <A, E>(connection: ServerConnection, fiber: Fiber.Fiber<A, E>) =>
  Effect.map(Effect.andThen(Fiber.interrupt(fiber), connection.settleCancel), (end) => end?.how)

const stateOf = Effect.fnUntraced(function* ({ backend }: ServerConnection) {
  const { observer } = yield* Pg.Pg
  return yield* observer.value("select state from pg_stat_activity where pid = $1", [backend?.pid])
})

layer(Pg.layer("PgCancel"), { excludeTestServices: true })("a cancel", (it) => {
  it.effect("leaves the backend idle", () =>
    Effect.gen(function* () {
      const { open } = yield* makeBench()
      const connection = yield* open
      assert.strictEqual(yield* interrupt(connection, yield* start(connection, sleeping)), "idle")
      assert.strictEqual(yield* stateOf(connection), "idle")
      assert.strictEqual(connection.reasonToGo(0), "cancelled")
    })
  )

  it.effect("that finds nothing under way is over at once", () =>
    Effect.gen(function* () {
      const { observer, open } = yield* makeBench({ cancelGrace: Duration.minutes(1) })
      const connection = yield* open
      yield* connection.pg.interrupt
      assert.strictEqual((yield* connection.settleCancel)?.how, "idle")
      assert.deepStrictEqual(yield* connection.pg.queryValues("select 1"), [[1]])
      assert.lengthOf(yield* observer.backends, 1)
    })
  )

  it.effect("that is lost is repeated over a connection of its own", () =>
    Effect.gen(function* () {
      // Without the repetition it would end in `terminated`, a minute later.
      const { faults, observer, open } = yield* makeBench({ cancelGrace: Duration.minutes(1) })
      yield* faults.inject(Faults.keepCancel())
      const connection = yield* open
      assert.strictEqual(yield* interrupt(connection, yield* start(connection, sleeping)), "idle")
      assert.strictEqual(yield* stateOf(connection), "idle")
      assert.lengthOf(yield* observer.everyBackend, 2)
    })
  )

  it.effect("that is lost for many at once is repeated for all of them together", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench({ cancelGrace: Duration.minutes(1) })
      yield* faults.inject(Faults.keepCancel())
      const connections = yield* Effect.replicateEffect(open, 20)
      const fibers = yield* Effect.forEach(connections, (connection) => start(connection, sleeping))
      yield* Fiber.interruptAll(fibers)
      for (const connection of connections) assert.strictEqual((yield* connection.settleCancel)?.how, "idle")
      const sessions = faults.connections().filter(({ kind }) => kind === "session")
      assert.lengthOf(sessions, 21)
      const questions = faults
        .log()
        .filter((entry) => "type" in entry && entry.connection > 21 && entry.type === "Parse")
      assert.isBelow(questions.length, 10)
    })
  )

  it.effect("never hits the statement that comes after the one it is meant for", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench({ cancelGrace: Duration.minutes(1) })
      yield* faults.inject(Faults.keepCancel())
      const connection = yield* open
      // Each ends by itself in the moment in which its cancel is repeated.
      for (let millis = 90; millis <= 120; millis += 1) {
        const running = yield* start(connection, `select pg_sleep(${millis / 1000})`)
        yield* Fiber.interrupt(running)
        yield* connection.pg.query("select pg_sleep(0.005)", [], false)
        assert.strictEqual((yield* connection.settleCancel)?.how, "idle")
      }
    })
  )

  it.effect("that a statement does not heed ends its backend", () =>
    Effect.gen(function* () {
      const { observer, open } = yield* makeBench({ cancelGrace: Duration.millis(300) })
      const connection = yield* open
      const bystander = yield* open
      assert.strictEqual(yield* interrupt(connection, yield* start(connection, stubborn)), "terminated")
      assert.isUndefined(yield* stateOf(connection))
      assert.isTrue(connection.broken)
      assert.deepStrictEqual(yield* bystander.pg.queryValues("select 1"), [[1]])
      assert.isNotEmpty(yield* observer.backends)
    })
  )

  it.effect("during which the server hangs up is over at once", () =>
    Effect.gen(function* () {
      const { observer, open } = yield* makeBench({ cancelGrace: Duration.minutes(1) })
      const connection = yield* open
      const running = yield* start(connection, stubborn)
      const ended = yield* Effect.forkChild(interrupt(connection, running))
      yield* waitUntil(
        "it is sent",
        Effect.sync(() => connection.cancelSent)
      )
      yield* observer.terminate(connection.backend?.pid ?? 0)
      assert.strictEqual(yield* Fiber.join(ended), "gone")
    })
  )

  it.effect("whose connection is dead, but not its network, ends the backend", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench({ cancelGrace: Duration.millis(300) })
      const connection = yield* open
      const running = yield* start(connection, sleeping)
      yield* faults.inject(Faults.freeze(), { on: 1 })
      assert.strictEqual(yield* interrupt(connection, running), "terminated")
      assert.isUndefined(yield* stateOf(connection))
    })
  )

  it.effect("on a dead network is unconfirmed, and nothing waits for an answer any more", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench({ cancelGrace: Duration.millis(300) })
      const connection = yield* open
      const running = yield* start(connection, sleeping)
      yield* faults.inject(Faults.freeze(), { on: "all" })
      assert.strictEqual(yield* interrupt(connection, running), "unconfirmed")
      assert.strictEqual(yield* stateOf(connection), "active")
      yield* connection.close
      assert.isTrue(connection.broken)
    })
  )

  it.effect("that nothing could confirm leaves a backend that notices that nobody is there", () =>
    Effect.gen(function* () {
      const { faults, observer, open } = yield* makeBench({ cancelGrace: Duration.millis(300) })
      const connection = yield* open
      const running = yield* start(connection, sleeping)
      yield* faults.inject(Faults.keepCancel())
      yield* faults.inject(Faults.answer({ code: "53300" }))
      assert.strictEqual(yield* interrupt(connection, running), "unconfirmed")
      yield* observer.gone
      assert.strictEqual(yield* faults.deliverCancels, 1)
    })
  )

  it.effect("is confirmed by a server that answers late", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench({ cancelGrace: Duration.minutes(1) })
      const connection = yield* open
      const running = yield* start(connection, sleeping)
      yield* faults.inject(Faults.delay({ millis: [30, 90] }), { on: "all" })
      assert.strictEqual(yield* interrupt(connection, running), "idle")
      assert.strictEqual(yield* stateOf(connection), "idle")
    })
  )

  it.effect("keeps its own connection for the next, and gives it up when there is none", () =>
    Effect.gen(function* () {
      const { faults, observer, open } = yield* makeBench({ controlIdleTimeout: Duration.millis(300) })
      yield* faults.inject(Faults.keepCancel())
      for (let round = 0; round < 2; round++) {
        const connection = yield* open
        assert.strictEqual(yield* interrupt(connection, yield* start(connection, sleeping)), "idle")
        yield* connection.close
      }
      assert.lengthOf(
        faults.connections().filter(({ kind }) => kind === "session"),
        3
      )
      yield* observer.gone
    })
  )
})

layer(Pg.layer("PgStartup"), { excludeTestServices: true })("a session", (it) => {
  const settings = `select current_setting('client_connection_check_interval') as client,
    current_setting('idle_in_transaction_session_timeout') as idle`

  it.effect("has the pool's settings, also after a reset", () =>
    Effect.gen(function* () {
      const { open } = yield* makeBench({ idleInTransactionTimeout: Duration.seconds(7) })
      const { pg } = yield* open
      assert.deepStrictEqual((yield* pg.query(settings)).rows, [{ client: "500ms", idle: "7s" }])
      yield* pg.query("reset all")
      assert.deepStrictEqual((yield* pg.query(settings)).rows, [{ client: "500ms", idle: "7s" }])
    })
  )

  it.effect("has them where a pooler refuses them in the startup message", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench({ idleInTransactionTimeout: Duration.seconds(7) })
      yield* faults.inject(Faults.answer({ code: "08P01", message: "unsupported startup parameter" }), { times: 1 })
      for (let round = 0; round < 2; round++) {
        const connection = yield* open
        assert.deepStrictEqual((yield* connection.pg.query(settings)).rows, [{ client: "500ms", idle: "7s" }])
        yield* connection.pg.query("reset all")
        assert.notDeepEqual((yield* connection.pg.query(settings)).rows, [{ client: "500ms", idle: "7s" }])
        yield* connection.settings ?? Effect.die("nothing to set")
        assert.deepStrictEqual((yield* connection.pg.query(settings)).rows, [{ client: "500ms", idle: "7s" }])
      }
      assert.lengthOf(faults.connections(), 3)
    })
  )

  it.effect("has those that the server takes, where it refuses another's value", () =>
    Effect.gen(function* () {
      const { open } = yield* makeBench({ idleInTransactionTimeout: Duration.days(365) })
      const { pg } = yield* open
      const [row] = (yield* pg.query(settings)).rows
      assert.deepStrictEqual(row, { client: "500ms", idle: "0" })
    })
  )
})

layer(Pg.layer("PgAbort"), { excludeTestServices: true })("an abort", (it) => {
  it.effect.each([
    { what: "a statement", sql: sleeping },
    { what: "a statement that does not heed a cancel", sql: stubborn }
  ])("ends $what, whoever waits for it, and its backend", ({ sql }) =>
    Effect.gen(function* () {
      const { observer, open } = yield* makeBench({ cancelGrace: Duration.millis(300) })
      const connection = yield* open
      const running = yield* start(connection, sql)
      yield* connection.abort
      assert.isTrue(Exit.isFailure(yield* Fiber.await(running)))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(connection.pg.query("select 1"))))
      const { pid } = connection.backend ?? {}
      yield* waitUntil(
        "its backend is gone",
        Effect.map(observer.backends, (all) => !all.some((backend) => backend.pid === pid))
      )
    })
  )

  it.effect("ends a transaction in which nothing runs", () =>
    Effect.gen(function* () {
      const { observer, open } = yield* makeBench({ cancelGrace: Duration.minutes(1) })
      const connection = yield* open
      yield* connection.pg.query("begin", [], false)
      assert.strictEqual((yield* connection.abort).how, "idle")
      yield* observer.gone
    })
  )

  it.effect("on a dead network ends in bounded time", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench({ cancelGrace: Duration.millis(300) })
      const connection = yield* open
      const running = yield* start(connection, sleeping)
      yield* faults.inject(Faults.freeze(), { on: "all" })
      assert.strictEqual((yield* connection.abort).how, "unconfirmed")
      assert.isTrue(Exit.isFailure(yield* Fiber.await(running)))
    })
  )
})
