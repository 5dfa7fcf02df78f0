import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { duplexPair } from "node:stream"
import * as PgCancel from "../../../src/pool/PgCancel.ts"
import { PgStartup } from "../../../src/pool/PgStartup.ts"
import type { PgSocket } from "../../../src/pool/PgWire.ts"
import { connect } from "../../../src/pool/ServerConnection.ts"
import { asPgSocket } from "../../support/asPgSocket.ts"
import { ScriptedServer } from "../../support/ScriptedServer.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const driver = { username: "nobody" }

const started = Effect.fnUntraced(function* (options?: Partial<PgCancel.Config>) {
  const server = new ScriptedServer()
  const openSocket = server.open
  const cancel = yield* PgCancel.make({ driver, openSocket, ...options })
  const open = Effect.acquireRelease(
    connect({ driver, openSocket, cancel, restore: Effect.interruptible }),
    (connection) => connection.close
  )
  return { server, cancel, open }
})

const frame = (type: string, body: Buffer): Buffer => {
  const head = Buffer.from(`${type}....`)
  head.writeInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

const number = (value: number, bytes: 2 | 4): Buffer => {
  const buffer = Buffer.alloc(bytes)
  buffer.writeIntBE(value, 0, bytes)
  return buffer
}

const textColumn = (name: string): Buffer =>
  Buffer.concat([
    Buffer.from(`${name}\0`),
    number(0, 4),
    number(0, 2),
    number(25, 4),
    number(-1, 2),
    number(-1, 4),
    number(1, 2)
  ])

const textValue = (value: string): Buffer => Buffer.concat([number(value.length, 4), Buffer.from(value)])

/** A pooler: it answers each statement with the backend that serves it, and gives every client a pid of its own. */
class Pooler {
  opened = 0
  present = 0
  asked = 0
  answers = true
  private readonly backendOf: (client: number) => number

  constructor(backendOf: (client: number) => number) {
    this.backendOf = backendOf
  }

  readonly open = (): PgSocket => {
    const [client, server] = duplexPair()
    client.on("close", () => server.destroy())
    server.on("close", () => client.destroy())
    const id = ++this.opened
    this.present++
    server.on("close", () => this.present--)
    const ready = frame("Z", Buffer.from("I"))
    server.once("data", (first: Buffer) => {
      if (first.length === 16) return void server.destroy()
      server.on("data", (chunk: Buffer) => {
        if (chunk[0] === 0x58) return void server.end()
        this.asked++
        if (!this.answers) return
        const description = [number(2, 2), textColumn("pid"), textColumn("started_at")]
        const row = [number(2, 2), textValue(String(this.backendOf(id))), textValue("1.5")]
        server.write(
          Buffer.concat([
            frame("1", Buffer.alloc(0)),
            frame("2", Buffer.alloc(0)),
            frame("T", Buffer.concat(description)),
            frame("D", Buffer.concat(row)),
            frame("C", Buffer.from("SELECT 1\0")),
            ready
          ])
        )
      })
      server.write(
        Buffer.concat([
          frame("R", Buffer.alloc(4)),
          frame("K", Buffer.concat([number(1_000_000 + id, 4), number(id, 4)])),
          ready
        ])
      )
    })
    return asPgSocket(client)
  }
}

/** Collects what is logged as a warning. */
const warnings = () => {
  const logged: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") logged.push(String(message))
  })
  return { logged, layer: Logger.layer([logger]) }
}

const settingsIn = (server: ScriptedServer, session: number): number =>
  server.statements.filter(([of, sql]) => of === session && sql.includes("set_config")).length

const startup = (options: ConstructorParameters<typeof PgStartup>[0]) =>
  new PgStartup(options, { idleInTransactionTimeout: Duration.minutes(5) }).driver.startupParameters

describe("the settings of a pool's sessions", () => {
  it("are in the startup message, and the user's own come before them", () => {
    assert.deepStrictEqual(startup(driver), {
      client_connection_check_interval: "500ms",
      idle_in_transaction_session_timeout: "300000ms"
    })
    assert.deepStrictEqual(startup({ startupParameters: { Client_Connection_Check_Interval: "0", work_mem: "1MB" } }), {
      idle_in_transaction_session_timeout: "300000ms",
      Client_Connection_Check_Interval: "0",
      work_mem: "1MB"
    })
    assert.deepStrictEqual(startup({ startupOptions: "-c idle_in_transaction_session_timeout=1s" }), {
      client_connection_check_interval: "500ms"
    })
  })

  it("say never with zero", () => {
    const never = new PgStartup(driver, { idleInTransactionTimeout: Duration.infinity })
    assert.strictEqual(never.driver.startupParameters?.["idle_in_transaction_session_timeout"], "0")
  })

  it.effect.each(["08P01", "42704", "22023", "0A000"])(
    "that are refused with %s are set by a statement, and not sent again to be refused",
    (sqlState) =>
      Effect.gen(function* () {
        const { open, server } = yield* started()
        server.refuseOnce(sqlState)
        const first = yield* open
        assert.strictEqual(server.opened, 2)
        assert.strictEqual(settingsIn(server, 2), 2)
        yield* open
        assert.strictEqual(server.opened, 3)
        assert.strictEqual(settingsIn(server, 3), 1)
        yield* first.settings ?? Effect.die("nothing to set")
        assert.strictEqual(settingsIn(server, 2), 3)
      })
  )

  it.effect("that are taken need no statement, also after a reset", () =>
    Effect.gen(function* () {
      const { open, server } = yield* started()
      const connection = yield* open
      assert.strictEqual(settingsIn(server, 1), 0)
      assert.isUndefined(connection.settings)
    })
  )

  it.effect("are not blamed for an error of another kind", () =>
    Effect.gen(function* () {
      const { open, server } = yield* started()
      server.refuseOnce("53300")
      const error = yield* Effect.flip(open)
      assert.strictEqual(error.reason.operation, "connect")
      assert.strictEqual(server.opened, 1)
      assert.isUndefined((yield* open).settings)
    })
  )
})

describe("a pooler", () => {
  const openTwo = Effect.fnUntraced(function* (pooler: Pooler) {
    const cancel = yield* PgCancel.make({ driver, openSocket: pooler.open })
    const open = Effect.acquireRelease(
      connect({ driver, openSocket: pooler.open, cancel, restore: Effect.interruptible }),
      (connection) => connection.close
    )
    const first = yield* open
    const sharedAtOnce = cancel.shared
    yield* open
    return { cancel, first, sharedAtOnce }
  })

  it.effect("that passes one backend around is found out at the first connection, and warned of once", () => {
    const { layer, logged } = warnings()
    return Effect.gen(function* () {
      const { cancel, first, sharedAtOnce } = yield* openTwo(new Pooler(() => 7))
      assert.isTrue(sharedAtOnce)
      assert.isTrue(cancel.shared)
      assert.isUndefined(first.settings)
      assert.lengthOf(logged, 1)
      assert.include(logged[0], "A cancel cannot be confirmed")
    }).pipe(Effect.provide(layer))
  })

  it.effect("that passes it to the second connection only is found out then", () => {
    const { layer, logged } = warnings()
    return Effect.gen(function* () {
      const { cancel, sharedAtOnce } = yield* openTwo(new Pooler((client) => (client === 2 ? 8 : 7)))
      assert.isFalse(sharedAtOnce)
      assert.isTrue(cancel.shared)
      assert.lengthOf(logged, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("whose other clients take the backend meanwhile is found out by asking again", () => {
    const { layer, logged } = warnings()
    return Effect.gen(function* () {
      let asked = 0
      const moving = new Pooler((client) => (client === 1 && ++asked > 3 ? 9 : 6 + client))
      const { sharedAtOnce } = yield* openTwo(moving)
      assert.isTrue(sharedAtOnce)
      assert.lengthOf(logged, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("that gives each client its own backend is trusted", () => {
    const { layer, logged } = warnings()
    return Effect.gen(function* () {
      const { cancel, first } = yield* openTwo(new Pooler((client) => 6 + client))
      assert.isTrue(first.behindPooler)
      assert.isFalse(cancel.shared)
      assert.lengthOf(logged, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("that passes backends around is sent nothing that names one by its pid", () =>
    Effect.gen(function* () {
      const pooler = new Pooler(() => 7)
      const { first } = yield* openTwo(pooler)
      pooler.answers = false
      const running = yield* Effect.forkChild(first.pg.query("select", [], false), { startImmediately: true })
      const { asked } = pooler
      const ended = yield* Effect.forkChild(first.abort, { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(ended)).how, "unconfirmed")
      assert.isTrue(Exit.isFailure(yield* Fiber.await(running)))
      assert.strictEqual(pooler.asked, asked)
    })
  )
})

describe("a cancel", () => {
  it.effect("that nothing answers ends unconfirmed, when the grace is over and not before", () =>
    Effect.gen(function* () {
      const { open, server } = yield* started({ cancelGrace: Duration.seconds(3) })
      const connection = yield* open
      server.answering.close()
      const running = yield* Effect.forkChild(connection.pg.query("select", [], false), { startImmediately: true })
      const ended = yield* Effect.forkChild(Effect.andThen(Fiber.interrupt(running), connection.settleCancel), {
        startImmediately: true
      })
      yield* waitUntil(
        "the cancel is sent",
        Effect.sync(() => connection.cancelSent)
      )
      yield* TestClock.adjust("2999 millis")
      assert.isFalse(connection.broken)
      assert.isUndefined(connection.cancelled)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(ended), { how: "unconfirmed", tookMillis: 3000 })
      assert.isTrue(connection.broken)
      assert.strictEqual(connection.reasonToGo(0), "broken")
    })
  )

  it.effect("that the statement's end answers leaves the session to its unit, and to nobody else", () =>
    Effect.gen(function* () {
      const { open, server } = yield* started()
      const connection = yield* open
      server.answering.close()
      const running = yield* Effect.forkChild(connection.pg.query("select", [], false), { startImmediately: true })
      const interrupted = yield* Effect.forkChild(Fiber.interrupt(running), { startImmediately: true })
      yield* waitUntil(
        "the cancel is sent",
        Effect.sync(() => connection.cancelSent)
      )
      server.answering.open()
      yield* Fiber.join(interrupted)
      assert.strictEqual((yield* connection.settleCancel)?.how, "idle")
      yield* connection.pg.query("select", [], false)
      assert.strictEqual(connection.reasonToGo(0), "cancelled")
    })
  )

  it.effect("of a session that breaks meanwhile is over at once", () =>
    Effect.gen(function* () {
      const { open, server } = yield* started()
      const connection = yield* open
      server.answering.close()
      const running = yield* Effect.forkChild(connection.pg.query("select", [], false), { startImmediately: true })
      const interrupted = yield* Effect.forkChild(Fiber.interrupt(running), { startImmediately: true })
      yield* waitUntil(
        "the cancel is sent",
        Effect.sync(() => connection.cancelSent)
      )
      server.drop(1)
      yield* Fiber.join(interrupted)
      assert.strictEqual((yield* connection.settleCancel)?.how, "unconfirmed")
    })
  )

  it.effect("that was never sent has no end to wait for", () =>
    Effect.gen(function* () {
      const { open } = yield* started()
      const connection = yield* open
      assert.isUndefined(yield* connection.settleCancel)
    })
  )

  it.effect("is not sent for a connection that is being opened: its socket is destroyed", () =>
    Effect.gen(function* () {
      const pooler = new Pooler(() => 7)
      pooler.answers = false
      const cancel = yield* PgCancel.make({ driver, openSocket: pooler.open })
      const opening = yield* Effect.forkChild(
        connect({ driver, openSocket: pooler.open, cancel, restore: Effect.interruptible }),
        { startImmediately: true }
      )
      yield* waitUntil(
        "it asks",
        Effect.sync(() => pooler.asked === 1)
      )
      yield* Fiber.interrupt(opening)
      yield* waitUntil(
        "it is gone",
        Effect.sync(() => pooler.present === 0)
      )
      assert.strictEqual(pooler.opened, 1)
    })
  )
})
