import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Message } from "../../support/FaultScript.ts"
import { choose } from "../../support/FaultScript.ts"
import * as Faults from "../../support/Faults.ts"
import { answer, makeBench, size, statement } from "./bench.ts"
import { cancelRequest, connect, extended, message, ready, startup } from "./TcpPeer.ts"

const { bind, execute, parse, sync } = extended

const mebibyte = 1024 * 1024
const largestRead = 65_536

describe("a cut", () => {
  const asked = statement("commit")

  it.effect.each([
    {
      what: "before the client's message",
      options: { before: Faults.fromClient("Execute", { statement: "commit" }) },
      passes: [asked.slice(0, 3), []]
    },
    {
      what: "after the client's message",
      options: { after: Faults.fromClient("Execute", { statement: /^COMMIT$/i }) },
      passes: [asked.slice(0, 4), []]
    },
    {
      what: "before the server's message",
      options: { before: Faults.fromServer("CommandComplete", { statement: "commit" }) },
      passes: [asked, answer.slice(0, 3)]
    },
    {
      what: "after the server's message",
      options: { after: Faults.fromServer("BindComplete") },
      passes: [asked, answer.slice(0, 2)]
    },
    {
      what: "where a function says",
      options: { before: ({ statement, type }: Message) => type === "NoData" && statement === "commit" },
      passes: [asked, answer.slice(0, 2)]
    }
  ] as const)("$what lets pass exactly what came before it", ({ options, passes }) =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      for (const how of ["end", "reset"] as const) {
        const { client, server } = yield* open
        const fault = yield* faults.inject(Faults.cut({ how }), options)
        yield* client.send(...asked)
        if (passes[1].length > 0) {
          yield* server.received(size(startup, ...asked))
          yield* server.send(...answer)
        }
        assert.strictEqual(yield* client.over, how)
        assert.strictEqual(yield* server.over, how)
        assert.deepStrictEqual(yield* server.received(Infinity), Buffer.concat([startup, ...passes[0]]))
        assert.deepStrictEqual(yield* client.received(Infinity), Buffer.concat(passes[1]))
        const { connection, message } = yield* fault.fired
        assert.strictEqual(message?.connection, connection)
        yield* faults.awaitConnection(
          ({ id, state }) => id === connection && state === (how === "end" ? "cut" : "closed")
        )
      }
    })
  )

  it.effect("that is an end comes behind a message that the system does not take at once", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* faults.inject(Faults.cut({ how: "end" }), { after: Faults.fromServer("DataRow") })
      const big = message("D", Buffer.alloc(8_000_000, "x"))
      yield* server.send(big, ready)
      assert.strictEqual((yield* client.received(Infinity)).length, big.length)
    })
  )

  it.effect("after the first packet lets it reach the server, whose connection is made for it", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      yield* faults.inject(Faults.cut(), { after: Faults.fromClient("StartupMessage") })
      const client = yield* connect(faults.port)
      yield* client.send(startup)
      const peer = yield* server.accept
      assert.strictEqual(yield* peer.over, "reset")
      assert.deepStrictEqual(yield* peer.received(Infinity), startup)
    })
  )

  it.effect("strikes once at a message and lets the next one pass, unless told otherwise", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const fault = yield* faults.inject(Faults.cut(), { before: Faults.fromClient("Sync") })
      const first = yield* open
      yield* first.client.send(sync)
      assert.strictEqual(yield* first.client.over, "reset")
      const second = yield* open
      yield* second.client.send(sync)
      yield* second.server.received(size(startup, sync))
      assert.strictEqual(fault.count(), 1)
      yield* faults.inject(Faults.cut(), { before: Faults.fromClient("Sync"), times: 2 })
      const third = yield* open
      for (const { client } of [second, third]) {
        yield* client.send(sync)
        assert.strictEqual(yield* client.over, "reset")
      }
    })
  )

  it.effect("counts those that fit, on each connection by itself", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const other = yield* open
      const { client, server } = yield* open
      yield* faults.inject(Faults.cut(), { after: Faults.fromClient("Parse", { statement: "insert", nth: 2 }) })
      yield* other.client.send(parse("insert 1"))
      yield* other.server.received(size(startup, parse("insert 1")))
      const asked = [parse("insert 1"), parse("select 1"), parse("insert 2")]
      yield* client.send(...asked, parse("insert 3"))
      assert.deepStrictEqual(yield* server.received(Infinity), Buffer.concat([startup, ...asked]))
    })
  )

  it.effect("at once hits as many connections as it may", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const connections = [yield* open, yield* open, yield* open]
      const fault = yield* faults.inject(Faults.cut({ how: "end" }), { times: 2 })
      for (const { client } of connections) yield* client.send(sync)
      const states = yield* Effect.forEach(connections, ({ server }) => server.received(startup.length + sync.length))
      assert.deepStrictEqual(
        states.map(({ length }) => length),
        [startup.length, startup.length, startup.length + sync.length]
      )
      assert.strictEqual(fault.count(), 2)
    })
  )

  it.effect("strikes with whatever else does at a message, before anything more passes", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      const freeze = yield* faults.inject(Faults.freeze(), { after: Faults.fromClient("Execute") })
      yield* faults.inject(Faults.cut(), { after: Faults.fromClient("Execute") })
      yield* Effect.forkChild(Effect.andThen(freeze.fired, freeze.lift), { startImmediately: true })
      yield* client.send(...asked)
      assert.strictEqual(yield* server.over, "reset")
      assert.deepStrictEqual(yield* server.received(Infinity), Buffer.concat([startup, ...asked.slice(0, 4)]))
    })
  )

  it.effect("hits the connections that are meant: the open ones, those to come, or one", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const first = yield* open
      const second = yield* open
      yield* faults.inject(Faults.cut(), { on: 2 })
      assert.strictEqual(yield* second.client.over, "reset")
      yield* faults.inject(Faults.cut({ how: "end" }), { before: Faults.fromClient("Sync"), on: "coming" })
      yield* first.client.send(sync)
      yield* first.server.received(size(startup, sync))
      const third = yield* open
      yield* third.client.send(sync)
      assert.strictEqual(yield* third.client.over, "end")
      yield* faults.inject(Faults.cut())
      assert.strictEqual(yield* first.client.over, "reset")
      const fourth = yield* open
      yield* fourth.client.send(sync)
      yield* fourth.server.received(size(startup, sync))
    })
  )

  it.effect("at one connection's message hits everything, if that is asked for", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const first = yield* open
      const connections = [first, yield* open, yield* open]
      yield* faults.inject(Faults.cut(), { after: Faults.fromClient("Sync"), hits: "everything" })
      yield* first.client.send(sync)
      for (const { client, server } of connections) {
        assert.strictEqual(yield* client.over, "reset")
        assert.strictEqual(yield* server.over, "reset")
      }
    })
  )
})

describe("a freeze", () => {
  it.effect("holds both directions and delivers them in order when it is lifted", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      const freeze = yield* faults.inject(Faults.freeze())
      for (const part of [parse("select 1"), bind(), execute(), sync]) yield* client.send(part)
      for (const part of answer) yield* server.send(part)
      const asked = Buffer.concat([parse("select 1"), bind(), execute(), sync])
      const held = yield* faults.awaitConnection(
        ({ heldBytes }) => heldBytes.toServer === asked.length && heldBytes.toClient === size(...answer)
      )
      assert.deepInclude(held, { state: "frozen", passedBytes: { toServer: startup.length, toClient: 0 } })
      yield* freeze.lift
      assert.deepStrictEqual((yield* server.received(startup.length + asked.length)).subarray(startup.length), asked)
      assert.deepStrictEqual(yield* client.received(size(...answer)), Buffer.concat(answer))
      assert.deepInclude(faults.connections()[0], { state: "open", heldBytes: { toServer: 0, toClient: 0 } })
    })
  )

  it.effect("of one direction leaves the other alone", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* faults.inject(Faults.freeze({ way: "toClient" }))
      yield* client.send(sync)
      yield* server.received(size(startup, sync))
      yield* server.send(ready)
      yield* faults.awaitConnection(({ heldBytes }) => heldBytes.toClient === ready.length)
      yield* faults.heal
      assert.deepStrictEqual(yield* client.received(ready.length), ready)
    })
  )

  it.effect("accepts connections, of which the server sees nothing, and says nothing to them", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      yield* faults.inject(Faults.freeze())
      const client = yield* connect(faults.port)
      yield* client.send(startup)
      const held = yield* faults.awaitConnection(({ heldBytes }) => heldBytes.toServer === startup.length)
      assert.deepInclude(held, { kind: "unknown", server: "none", state: "frozen" })
      yield* faults.heal
      assert.deepStrictEqual(yield* (yield* server.accept).received(startup.length), startup)
    })
  )

  it.effect.each(["before", "after"] as const)(
    "that begins %s a message holds from exactly there, and lifted does not strike at that message again",
    (place) =>
      Effect.gen(function* () {
        const { faults, open } = yield* makeBench()
        const { client, server } = yield* open
        const freeze = yield* faults.inject(Faults.freeze(), { [place]: Faults.fromClient("Execute"), times: 5 })
        const asked = statement("select 1")
        yield* client.send(...asked)
        yield* freeze.fired
        const passed = asked.slice(0, place === "before" ? 3 : 4)
        const state = yield* faults.awaitConnection(({ heldBytes }) => heldBytes.toServer > 0)
        assert.deepInclude(state, {
          passedBytes: { toServer: size(startup, ...passed), toClient: 0 },
          heldBytes: { toServer: size(...asked) - size(...passed), toClient: 0 }
        })
        yield* freeze.lift
        assert.deepStrictEqual(yield* server.received(size(startup, ...asked)), Buffer.concat([startup, ...asked]))
        assert.strictEqual(freeze.count(), 1)
      })
  )

  it.effect("that takes everything at a message holds the connections to come, too", () =>
    Effect.gen(function* () {
      const { faults, open, server } = yield* makeBench()
      const { client } = yield* open
      const freeze = yield* faults.inject(Faults.freeze(), {
        after: Faults.fromClient("Sync"),
        hits: "everything"
      })
      yield* client.send(sync)
      yield* freeze.fired
      const late = yield* connect(faults.port)
      yield* late.send(startup)
      yield* faults.awaitConnection(({ heldBytes, id }) => id === 2 && heldBytes.toServer === startup.length)
      yield* freeze.lift
      assert.deepStrictEqual(yield* (yield* server.accept).received(startup.length), startup)
    })
  )

  it.effect("keeps what it holds of a client that has gone, and its end, for the server", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* faults.inject(Faults.freeze())
      yield* client.send(...statement("insert"))
      yield* client.end
      yield* faults.awaitConnection((state) => state.client === "ended" && state.heldBytes.toServer > 0)
      yield* faults.heal
      assert.strictEqual(yield* server.over, "end")
      assert.deepStrictEqual(yield* server.received(Infinity), Buffer.concat([startup, ...statement("insert")]))
    })
  )

  it.effect("keeps nothing of a connection that both sides have left", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* faults.inject(Faults.freeze())
      yield* client.send(sync)
      yield* faults.awaitConnection(({ heldBytes }) => heldBytes.toServer === sync.length)
      yield* client.reset
      yield* server.reset
      const { heldBytes } = yield* faults.awaitConnection(({ state }) => state === "closed")
      assert.deepStrictEqual(heldBytes, { toServer: 0, toClient: 0 })
    })
  )

  it.effect("takes in no more than a mebibyte or so, and loses nothing of what is more", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      const other = yield* open
      yield* faults.inject(Faults.freeze(), { on: 1 })
      const data = message("d", Buffer.alloc(16_000_000, "x"))
      yield* client.send(data)
      yield* faults.awaitConnection(({ heldBytes }) => heldBytes.toServer > mebibyte)
      // As often as a message passes here, more could have been read there.
      for (let round = 1; round <= 20; round++) {
        yield* other.client.send(sync)
        yield* other.server.received(startup.length + round * sync.length)
      }
      assert.isAtMost(faults.connections()[0]?.heldBytes.toServer ?? NaN, mebibyte + largestRead)
      yield* faults.heal
      assert.strictEqual((yield* server.received(size(startup, data))).length, size(startup, data))
    })
  )
})

describe("a half-open connection", () => {
  it.effect.each(["server", "client"] as const)(
    "has lost its %s, and the other side is told when it is lifted",
    (gone) =>
      Effect.gen(function* () {
        const { faults, open } = yield* makeBench()
        const { client, server } = yield* open
        const [lost, left] = gone === "server" ? [server, client] : [client, server]
        const halfOpen = yield* faults.inject(Faults.halfOpen({ gone }))
        assert.strictEqual(yield* lost.over, "reset")
        yield* left.send(...statement("select 1"))
        assert.deepInclude(faults.connections()[0], { state: "halfOpen", [gone]: "closed" })
        yield* halfOpen.lift
        assert.strictEqual(yield* left.over, "reset")
        yield* faults.awaitConnection(({ state }) => state === "closed")
      })
  )

  it.effect("is over when it is cut as well", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client } = yield* open
      yield* faults.inject(Faults.halfOpen({ gone: "server" }))
      yield* faults.inject(Faults.cut())
      assert.strictEqual(yield* client.over, "reset")
      yield* faults.awaitConnection(({ state }) => state === "closed")
    })
  )

  it.effect("closes with the side that was left", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client } = yield* open
      yield* faults.inject(Faults.halfOpen({ gone: "server" }), { after: Faults.fromClient("Sync") })
      yield* client.send(sync)
      yield* faults.awaitConnection(({ state }) => state === "halfOpen")
      yield* client.end
      assert.strictEqual(yield* client.over, "end")
      yield* faults.awaitConnection(({ state }) => state === "closed")
    })
  )
})

describe("a delay", () => {
  it.effect("makes each chunk at least so late, in order, and then the connection's end", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* faults.inject(Faults.delay({ millis: [20, 60], way: "toServer" }))
      const begun = performance.now()
      const asked = statement("select 1")
      for (const part of asked) yield* client.send(part)
      yield* client.end
      assert.strictEqual(yield* server.over, "end")
      assert.isAtLeast(performance.now() - begun, 19)
      assert.deepStrictEqual(yield* server.received(Infinity), Buffer.concat([startup, ...asked]))
    })
  )

  it.effect("is chosen anew for each chunk", () =>
    Effect.gen(function* () {
      const seed = 1
      const chosen = [0, 1].map((choice) => 100 * choose(seed, 1, 1, 0, choice))
      const { faults, open } = yield* makeBench(seed)
      const { client, server } = yield* open
      yield* faults.inject(Faults.delay({ millis: [0, 100], way: "toServer" }))
      for (const [index, millis] of chosen.entries()) {
        const begun = performance.now()
        yield* client.send(sync)
        yield* server.received(startup.length + (index + 1) * sync.length)
        assert.isAtLeast(performance.now() - begun, millis - 1)
      }
      // Or the second time would prove nothing.
      assert.isAbove((chosen[1] ?? 0) - (chosen[0] ?? 0), 60)
    })
  )

  it.effect("delays the message at which it begins", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      yield* faults.inject(Faults.delay({ millis: 40 }), { before: Faults.fromClient("CancelRequest") })
      const client = yield* connect(faults.port)
      const begun = performance.now()
      yield* client.send(cancelRequest(4711))
      const peer = yield* server.accept
      assert.isAtLeast(performance.now() - begun, 39)
      assert.deepStrictEqual(yield* peer.received(16), cancelRequest(4711))
    })
  )

  it.effect("delivers at once what it holds when it is lifted", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      const delay = yield* faults.inject(Faults.delay({ millis: 3_600_000 }))
      const other = yield* faults.inject(Faults.throttle({ bytesPerSecond: 0.001 }))
      const asked = statement("select 1")
      for (const part of asked) yield* client.send(part)
      yield* faults.awaitConnection(({ heldBytes }) => heldBytes.toServer === size(...asked))
      yield* delay.lift
      yield* other.lift
      assert.deepStrictEqual(yield* server.received(size(startup, ...asked)), Buffer.concat([startup, ...asked]))
    })
  )

  it.effect("refuses bounds in the wrong order, and a throttle that lets nothing pass", () =>
    Effect.sync(() => {
      assert.throws(
        () => Faults.delay({ millis: [2, 1] }),
        "Expected a delay from 0, or from one to a longer one, got 2,1"
      )
      assert.throws(() => Faults.throttle({ bytesPerSecond: 0 }), "Expected `bytesPerSecond` to be more than 0, got 0")
    })
  )
})

describe("a throttle", () => {
  it.effect("lets so many bytes pass per second, all of them, and the rest at once when it is lifted", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      const throttle = yield* faults.inject(Faults.throttle({ bytesPerSecond: 20_000 }))
      const data = message("d", Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 256)))
      const begun = performance.now()
      yield* client.send(data)
      yield* server.received(startup.length + 2_000)
      // The first slice is not waited for.
      assert.isAtLeast(performance.now() - begun, 79)
      yield* throttle.lift
      assert.deepStrictEqual(yield* server.received(size(startup, data)), Buffer.concat([startup, data]))
    })
  )
})

describe("an answer in the server's place", () => {
  it.effect("refuses so many connections, of which the server sees nothing", () =>
    Effect.gen(function* () {
      const { faults, open, server } = yield* makeBench()
      const before = yield* open
      yield* faults.inject(Faults.answer({ code: "53300", message: "too many" }), { times: 2 })
      for (let refused = 0; refused < 2; refused++) {
        const client = yield* connect(faults.port)
        yield* client.send(startup)
        assert.strictEqual(yield* client.over, "end")
        const error = message("E", "SFATAL", "VFATAL", "C53300", "Mtoo many", Buffer.alloc(1))
        assert.deepStrictEqual(yield* client.received(Infinity), error)
      }
      assert.strictEqual(yield* server.waiting, 0)
      yield* open
      yield* before.client.send(sync)
      yield* before.server.received(size(startup, sync))
    })
  )

  it.effect("ends an open session as a server does that shuts down", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* faults.inject(Faults.answer({ code: "57P01" }), { on: "open" })
      assert.strictEqual(yield* client.over, "end")
      assert.include((yield* client.received(Infinity)).toString(), "C57P01\0")
      assert.strictEqual(yield* server.over, "end")
    })
  )
})

describe("CancelRequests", () => {
  const send = Effect.fnUntraced(function* (port: number, pid: number) {
    const client = yield* connect(port)
    yield* client.send(cancelRequest(pid))
    return client
  })

  it.effect("that are kept are said to be taken, and delivered in order when that is asked for", () =>
    Effect.gen(function* () {
      const { faults, open, server } = yield* makeBench()
      yield* faults.inject(Faults.keepCancel())
      for (const pid of [1, 2]) assert.strictEqual(yield* (yield* send(faults.port, pid)).over, "end")
      yield* open
      assert.deepInclude(faults.connections()[0], { kind: "cancel", pid: 1, server: "none" })
      const delivering = yield* Effect.forkChild(faults.deliverCancels)
      for (const pid of [1, 2]) {
        const peer = yield* server.accept
        assert.deepStrictEqual(yield* peer.received(16), cancelRequest(pid))
        yield* peer.end
      }
      assert.strictEqual(yield* Fiber.join(delivering), 2)
      assert.strictEqual(yield* faults.deliverCancels, 0)
    })
  )

  it.effect("can be duplicated", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      yield* faults.inject(Faults.keepCancel({ passing: true }))
      const client = yield* send(faults.port, 4711)
      const first = yield* server.accept
      assert.deepStrictEqual(yield* first.received(16), cancelRequest(4711))
      yield* first.end
      assert.strictEqual(yield* client.over, "end")
      const delivering = yield* Effect.forkChild(faults.deliverCancels)
      const second = yield* server.accept
      assert.deepStrictEqual(yield* second.received(16), cancelRequest(4711))
      yield* second.end
      yield* Fiber.join(delivering)
    })
  )

  it.effect("can be lost while their sender waits", () =>
    Effect.gen(function* () {
      const { faults, open, server } = yield* makeBench()
      yield* faults.inject(Faults.halfOpen({ gone: "server" }), { before: Faults.fromClient("CancelRequest") })
      yield* send(faults.port, 4711)
      yield* faults.awaitConnection(({ kind, state }) => kind === "cancel" && state === "halfOpen")
      yield* open
      assert.strictEqual(yield* server.waiting, 0)
    })
  )
})

describe("a refusal", () => {
  it.effect("keeps new connections out, lets the open ones be, and ends", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      const refusal = yield* faults.inject(Faults.refuse())
      assert.strictEqual(yield* Effect.flip(connect(faults.port)), "ECONNREFUSED")
      yield* client.send(sync)
      yield* server.received(size(startup, sync))
      yield* refusal.lift
      yield* open
    })
  )

  it.effect("can begin at a message, and ends with the last of several", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client } = yield* open
      const first = yield* faults.inject(Faults.refuse(), { after: Faults.fromClient("Sync") })
      yield* client.send(sync)
      yield* first.fired
      const second = yield* faults.inject(Faults.refuse())
      yield* first.lift
      assert.strictEqual(yield* Effect.flip(connect(faults.port)), "ECONNREFUSED")
      yield* second.lift
      yield* open
    })
  )
})
