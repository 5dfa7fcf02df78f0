import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"
import { createServer } from "node:net"
import type { AddressInfo, Socket } from "node:net"
import * as PgCopy from "../../../src/pool/PgCopy.ts"
import type { PgEndpoint } from "../../../src/pool/PgEndpoint.ts"
import * as PgTextFilter from "../../../src/pool/PgTextFilter.ts"
import * as PgWire from "../../../src/pool/PgWire.ts"
import { connect } from "../../../src/pool/ServerConnection.ts"
import { Collector } from "../../support/dataRows.ts"
import { complete, cString, dataRow, frame, int32, ready, rowDescription } from "../../support/serverMessages.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const prepared = Buffer.concat([frame("1"), frame("2"), dataRow([Buffer.from("ISO")]), complete("SELECT 1")])
const begun = Buffer.concat([frame("1"), frame("2"), rowDescription([["a", 25]])])
const row = dataRow([Buffer.from("x")])
const notification = frame("A", int32(7), cString("channel"), cString("payload"))

/** A server of one session that answers each Sync with the next of what the test has for it, and counts cancels. */
const serverOf = Effect.fnUntraced(function* (welcome: ReadonlyArray<Buffer> = []) {
  const statements: Array<string> = []
  const answers: Array<Buffer> = []
  let client: Socket | undefined
  let cancels = 0
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).on("close", () => sockets.delete(socket))
    socket.once("data", (first) => {
      if (first.length === 16) {
        cancels++
        return void socket.end()
      }
      client = socket
      socket.write(Buffer.concat([frame("R", int32(0)), frame("K", int32(1), int32(2)), ready, ...welcome]))
      socket.on("data", (bytes: Buffer) => {
        for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
          if (bytes[at] === 0x50) statements.push(bytes.toString("utf8", at + 6, bytes.indexOf(0, at + 6)))
          if (bytes[at] === 0x53) socket.write(answers.shift() ?? Buffer.alloc(0))
          if (bytes[at] === 0x58) socket.end()
        }
      })
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () =>
      Effect.callback<void>((resume) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resume(Effect.void))
      })
  )
  const endpoint: PgEndpoint = {
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    path: undefined,
    database: undefined,
    username: undefined,
    password: undefined,
    encryption: { mode: "disable" },
    applicationName: undefined,
    startupOptions: undefined,
    connectTimeoutSeconds: undefined
  }
  return {
    answers,
    statements,
    send: (...messages: ReadonlyArray<Buffer>) => void client?.write(Buffer.concat(messages)),
    cancels: () => cancels,
    connect: (text: boolean) =>
      Effect.acquireRelease(
        connect({
          driver: { username: "nobody" },
          openSocket: (observed) =>
            PgWire.open(endpoint, {
              filter: text && observed !== undefined ? PgTextFilter.make(observed) : undefined
            }),
          restore: Effect.interruptible
        }),
        (connection) => connection.close
      )
  }
})

const receiverOf = (collector: Collector) => ({
  columns: collector.columns.bind(collector),
  rows: collector.rows.bind(collector),
  counted: () => {}
})

describe.each([false, true])("a copy, with a filter for text: %s", (text) => {
  it.effect("begins between two messages: one that has come in part is waited for", () =>
    Effect.gen(function* () {
      const server = yield* serverOf([notification.subarray(0, 9)])
      const connection = yield* server.connect(text)
      // The part may come a moment after the connection is there.
      yield* waitUntil(
        "the part has come",
        Effect.sync(() => !connection.socket.atRest)
      )
      server.answers.push(
        Buffer.concat([notification.subarray(9), frame("1"), frame("2"), frame("n"), frame("I"), ready]),
        Buffer.concat([prepared, begun, row, complete("SELECT 1"), ready])
      )
      const collector = new Collector()
      assert.strictEqual(yield* PgCopy.copy(connection, "select 1", [], receiverOf(collector)), 1)
      assert.deepStrictEqual(collector.values, [["x"]])
      assert.strictEqual(server.statements[0], "")
      assert.strictEqual(server.statements.at(-1), "select 1")
      assert.lengthOf(server.statements, 3)
    })
  )

  it.effect("sends no more than its settings and its statement", () =>
    Effect.gen(function* () {
      const server = yield* serverOf()
      const connection = yield* server.connect(text)
      server.answers.push(Buffer.concat([prepared, begun, complete("SELECT 0"), ready]))
      assert.strictEqual(yield* PgCopy.copy(connection, "select 1", [], receiverOf(new Collector())), 0)
      assert.lengthOf(server.statements, 2)
    })
  )

  it.effect("is no success when a cancel was sent and rows were left out, though the statement completed", () =>
    Effect.gen(function* () {
      const server = yield* serverOf()
      const connection = yield* server.connect(text)
      const collector = new Collector()
      server.answers.push(Buffer.concat([prepared, begun, row]))
      const copy = yield* Effect.forkChild(PgCopy.copy(connection, "select 1", [], receiverOf(collector)))
      yield* waitUntil(
        "a row has come",
        Effect.sync(() => collector.bytes > 0)
      )
      connection.onCancel?.()
      server.send(row, complete("SELECT 2"), ready)
      const error = yield* Effect.flip(Fiber.join(copy))
      assert.include(error.reason.message, "was cancelled while its rows were copied")
      assert.lengthOf(collector.values, 1)
    })
  )

  it.effect("is a defect when rows got lost", () =>
    Effect.gen(function* () {
      const server = yield* serverOf()
      const connection = yield* server.connect(text)
      server.answers.push(Buffer.concat([prepared, begun, row, row, complete("SELECT 3"), ready]))
      const exit = yield* Effect.exit(PgCopy.copy(connection, "select 1", [], receiverOf(new Collector())))
      assert.isTrue(
        Exit.isFailure(exit) && String(Cause.squash(exit.cause)).includes("sent 3 rows, of which 2 were found")
      )
    })
  )

  it.effect("lets the socket flow at once when it is interrupted, before any cancel is sent", () =>
    Effect.gen(function* () {
      const server = yield* serverOf()
      const connection = yield* server.connect(text)
      const flows: Array<string> = []
      const { socket } = connection
      const hold = socket.hold.bind(socket)
      const flow = socket.flow.bind(socket)
      socket.hold = () => {
        flows.push("hold")
        hold()
      }
      socket.flow = () => {
        flows.push("flow")
        flow()
      }
      const collector = new Collector((one) => one.flow?.pause())
      server.answers.push(Buffer.concat([prepared, begun, row]))
      const copy = yield* Effect.forkChild(PgCopy.copy(connection, "select 1", [], receiverOf(collector)))
      yield* waitUntil(
        "a row has come",
        Effect.sync(() => collector.bytes > 0)
      )
      assert.deepStrictEqual(flows, ["hold"])
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(copy), { startImmediately: true })
      yield* Effect.yieldNow
      assert.strictEqual(flows[1], "flow")
      assert.strictEqual(server.cancels(), 0)
      server.send(complete("SELECT 1"), ready)
      yield* Fiber.join(interrupting)
      assert.isUndefined(connection.onCancel)
    })
  )
})
