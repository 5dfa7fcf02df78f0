import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { vi } from "vitest"
import type { Message } from "../../support/FaultScript.ts"
import { choose } from "../../support/FaultScript.ts"
import * as Faults from "../../support/Faults.ts"
import { answer, makeBench, size, statement } from "./bench.ts"
import { answers, backendKeyData, connect, extended, message, ready, sslRequest, startup } from "./TcpPeer.ts"

const { bind, describe: describePortal, execute, parse, sync } = extended

const times = <A>(count: number, value: A): ReadonlyArray<A> => Array.from({ length: count }, () => value)

/** What passed, type by type. */
const typesOf = (faults: Faults.Faults, direction: "toServer" | "toClient") =>
  faults
    .log()
    .flatMap((entry) => ("type" in entry && entry.direction === direction ? times(entry.times, entry.type) : []))

/** Every message that passes from now on, as the rules see it. */
const collect = Effect.fnUntraced(function* (faults: Faults.Faults) {
  const seen: Array<Message> = []
  yield* faults.inject(Faults.freeze(), {
    after: (message) => {
      seen.push(message)
      return false
    }
  })
  return seen
})

/** The bytes in chunks of the sizes given, the rest in one. */
const chunksOf = (bytes: Buffer, sizes: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const chunks: Array<Buffer> = []
  let at = 0
  for (const size of sizes) chunks.push(bytes.subarray(at, (at += size)))
  return [...chunks, bytes.subarray(at)]
}

describe("the proxy without a fault", () => {
  const sent = [
    startup,
    message("p", "secret"),
    ...statement("select $1"),
    message("Q", "copy t from stdin"),
    message("d", Buffer.alloc(300, "x")),
    message("c"),
    message("B", "", "", Buffer.alloc(70_000)),
    message("X")
  ]
  const sentTypes = "StartupMessage Password Parse Bind Describe Execute Sync Query CopyData CopyDone Bind Terminate"
  const returned = [
    message("R", Buffer.alloc(4)),
    backendKeyData(4711),
    ready,
    ...answer,
    ...times(50, answers.row),
    answers.failed("40001"),
    message("D", Buffer.alloc(70_000)),
    message("@", "of no known type")
  ]
  const returnedTypes = [
    "Authentication BackendKeyData ReadyForQuery",
    "ParseComplete BindComplete NoData CommandComplete ReadyForQuery",
    ...times(50, "DataRow"),
    "ErrorResponse DataRow @"
  ].join(" ")

  const cuts = Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 700 }))), {
    minLength: 1,
    maxLength: 12
  })

  it.effect.prop(
    "passes every byte as it is and sees every message once, wherever the chunks are cut",
    [cuts, cuts],
    ([there, back]) =>
      Effect.gen(function* () {
        const { faults, server } = yield* makeBench()
        const seen = yield* collect(faults)
        const client = yield* connect(faults.port)
        const passChunks = Effect.fnUntraced(function* (
          bytes: Buffer,
          sizes: ReadonlyArray<number>,
          direction: "toServer" | "toClient",
          send: (chunk: Buffer) => Effect.Effect<void>
        ) {
          let total = 0
          for (const chunk of chunksOf(bytes, sizes)) {
            total += chunk.length
            yield* send(chunk)
            // Each chunk is sent once the last has come, so that the system does not put them together.
            yield* faults.awaitConnection(
              ({ heldBytes, passedBytes }) => heldBytes[direction] + passedBytes[direction] === total
            )
          }
        })
        yield* passChunks(Buffer.concat(sent), there, "toServer", client.send)
        const peer = yield* server.accept
        assert.isTrue((yield* peer.received(size(...sent))).equals(Buffer.concat(sent)))
        yield* passChunks(Buffer.concat(returned), back, "toClient", peer.send)
        assert.isTrue((yield* client.received(size(...returned))).equals(Buffer.concat(returned)))
        assert.strictEqual(typesOf(faults, "toServer").join(" "), sentTypes)
        assert.strictEqual(typesOf(faults, "toClient").join(" "), returnedTypes)
        assert.strictEqual(faults.totals("toClient")["DataRow"], 51)
        const statements = seen.filter(({ direction }) => direction === "toServer").map(({ statement }) => statement)
        assert.deepStrictEqual(statements, [
          ...times(2, undefined),
          ...times(5, "select $1"),
          ...times(3, "copy t from stdin"),
          ...times(2, "select $1")
        ])
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 30 } }
  )

  it.effect.each(["client", "server"] as const)(
    "passes on the end of one side, and then of the other: %s first",
    (first) =>
      Effect.gen(function* () {
        const { faults, open } = yield* makeBench()
        const { client, server } = yield* open
        const [one, other] = first === "client" ? [client, server] : [server, client]
        yield* one.end
        assert.strictEqual(yield* other.over, "end")
        yield* other.send(sync)
        yield* other.end
        assert.strictEqual(yield* one.over, "end")
        assert.include((yield* one.received(Infinity)).toString(), sync.toString())
        yield* faults.awaitConnection(({ state }) => state === "closed")
      })
  )

  it.effect("passes on the part of a message with which its sender ends", () =>
    Effect.gen(function* () {
      const { open } = yield* makeBench()
      const { client, server } = yield* open
      const part = parse("select 1").subarray(0, 9)
      yield* client.send(part)
      yield* client.end
      assert.strictEqual(yield* server.over, "end")
      assert.deepStrictEqual(yield* server.received(Infinity), Buffer.concat([startup, part]))
    })
  )

  it.effect("passes a reset on as a reset, either way", () =>
    Effect.gen(function* () {
      const { open } = yield* makeBench()
      const one = yield* open
      yield* one.client.reset
      assert.strictEqual(yield* one.server.over, "reset")
      const other = yield* open
      yield* other.server.reset
      assert.strictEqual(yield* other.client.over, "reset")
    })
  )

  it.effect("resets the server's side when the client goes for good after it has ended its data", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* client.end
      assert.strictEqual(yield* server.over, "end")
      yield* client.reset
      // The proxy learns of it when it writes to the client.
      yield* server.send(ready)
      yield* faults.awaitConnection(({ state }) => state === "closed")
    })
  )

  it.effect("closes with a client that says nothing, and resets one whose server is not there", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      const silent = yield* connect(faults.port)
      yield* silent.end
      assert.strictEqual(yield* silent.over, "end")
      assert.strictEqual(yield* server.waiting, 0)
      yield* server.stop
      const refused = yield* connect(faults.port)
      yield* refused.send(startup)
      assert.strictEqual(yield* refused.over, "reset")
    })
  )

  it.effect("passes unread what is encrypted", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      const client = yield* connect(faults.port)
      yield* client.send(sslRequest)
      const peer = yield* server.accept
      yield* peer.received(sslRequest.length)
      yield* peer.send(Buffer.from("S"))
      yield* client.received(1)
      // Though it could be read.
      yield* client.send(startup)
      yield* peer.send(ready)
      assert.deepStrictEqual((yield* peer.received(size(sslRequest, startup))).subarray(8), startup)
      assert.deepStrictEqual((yield* client.received(1 + ready.length)).subarray(1), ready)
      assert.deepStrictEqual(typesOf(faults, "toServer"), ["SSLRequest"])
      assert.deepStrictEqual(typesOf(faults, "toClient"), ["EncryptionAnswer"])
      assert.strictEqual(faults.connections()[0]?.kind, "encrypted")
    })
  )

  it.effect("reads on in the clear when the server declines encryption", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      const client = yield* connect(faults.port)
      yield* client.send(sslRequest)
      const peer = yield* server.accept
      yield* peer.received(sslRequest.length)
      yield* peer.send(Buffer.from("N"))
      yield* client.received(1)
      yield* client.send(startup, parse("select 1"))
      yield* peer.received(size(sslRequest, startup, parse("select 1")))
      yield* peer.send(backendKeyData(4711), ready)
      yield* client.received(1 + size(backendKeyData(4711), ready))
      assert.deepStrictEqual(typesOf(faults, "toServer"), ["SSLRequest", "StartupMessage", "Parse"])
      assert.deepStrictEqual(typesOf(faults, "toClient"), ["EncryptionAnswer", "BackendKeyData", "ReadyForQuery"])
      assert.deepInclude(faults.connections()[0], {
        kind: "session",
        state: "open",
        pid: 4711,
        applicationName: "peer",
        client: "open",
        server: "open"
      })
    })
  )

  it.effect("passes unread what is not the protocol", () =>
    Effect.gen(function* () {
      const { faults, server } = yield* makeBench()
      const client = yield* connect(faults.port)
      const request = Buffer.from("GET / HTTP/1.1\r\n\r\n")
      yield* client.send(request)
      assert.deepStrictEqual(yield* (yield* server.accept).received(request.length), request)
      assert.deepStrictEqual(typesOf(faults, "toServer"), [])
    })
  )
})

describe("the statement of a message", () => {
  it.effect("is found by name, by portal, and by its turn in a pipeline", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const seen = yield* collect(faults)
      const { client, server } = yield* open
      const asked = [
        parse("insert a", "a"),
        parse("insert b", "b"),
        bind("a", "p"),
        bind("b", "q"),
        describePortal("p"),
        execute("q"),
        execute("p"),
        sync,
        message("Q", "commit")
      ]
      const answered = [
        answers.parsed,
        answers.parsed,
        answers.bound,
        answers.bound,
        message("T", Buffer.alloc(2)),
        answers.row,
        answers.complete("b"),
        message("N", "SNOTICE", Buffer.alloc(1)),
        answers.complete("a"),
        ready,
        message("A", Buffer.alloc(6)),
        answers.complete("COMMIT"),
        ready
      ]
      yield* client.send(...asked)
      yield* server.received(size(startup, ...asked))
      yield* server.send(...answered)
      yield* client.received(size(...answered))
      const told = seen.map(({ count, statement, type }) => `${type} ${count} ${statement}`)
      assert.deepStrictEqual(told, [
        "StartupMessage 1 undefined",
        "Parse 1 insert a",
        "Parse 2 insert b",
        "Bind 1 insert a",
        "Bind 2 insert b",
        "Describe 1 insert a",
        "Execute 1 insert b",
        "Execute 2 insert a",
        "Sync 1 insert a",
        "Query 1 commit",
        "ParseComplete 1 insert a",
        "ParseComplete 2 insert b",
        "BindComplete 1 insert a",
        "BindComplete 2 insert b",
        "RowDescription 1 insert a",
        "DataRow 1 insert b",
        "CommandComplete 1 insert b",
        "NoticeResponse 1 insert a",
        "CommandComplete 2 insert a",
        "ReadyForQuery 1 insert a",
        "NotificationResponse 1 commit",
        "CommandComplete 3 commit",
        "ReadyForQuery 2 commit"
      ])
    })
  )

  it.effect.each([
    ["before the rest of the pipeline is sent", 3],
    ["after all of it was sent", 10]
  ] as const)("is right behind an error, which skips what comes up to the Sync: %s", ([, sentFirst]) =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const seen = yield* collect(faults)
      const { client, server } = yield* open
      const asked = [...statement("select 1/0"), ...statement("select 2")]
      const answered = [answers.parsed, answers.failed("22012"), ready, ...answer]
      yield* client.send(...asked.slice(0, sentFirst))
      yield* server.received(size(startup, ...asked.slice(0, sentFirst)))
      yield* server.send(...answered.slice(0, 2))
      yield* client.received(size(...answered.slice(0, 2)))
      yield* client.send(...asked.slice(sentFirst))
      yield* server.received(size(startup, ...asked))
      yield* server.send(...answered.slice(2))
      yield* client.received(size(...answered))
      const told = seen.filter(({ direction }) => direction === "toClient").map(({ statement }) => statement)
      assert.deepStrictEqual(told, [...times(3, "select 1/0"), ...times(5, "select 2")])
    })
  )
})

/** Which of 24 connections a fault strikes by chance. */
const struck = (seed: number) =>
  Effect.gen(function* () {
    const { faults } = yield* makeBench(seed)
    yield* faults.inject(Faults.cut(), { before: Faults.fromClient("StartupMessage"), chance: 0.5, times: 24 })
    const fates: Array<string> = []
    for (let count = 1; count <= 24; count++) {
      const client = yield* connect(faults.port)
      yield* client.send(startup)
      const { state } = yield* faults.awaitConnection(
        ({ id, passedBytes, state }) => id === count && (state === "closed" || passedBytes.toServer > 0)
      )
      fates.push(state)
    }
    return fates
  }).pipe(Effect.scoped)

describe("the seed", () => {
  it.effect("decides every choice", () =>
    Effect.gen(function* () {
      const first = yield* struck(7)
      assert.deepStrictEqual(yield* struck(7), first)
      assert.notDeepEqual(yield* struck(8), first)
      assert.includeMembers(first, ["open", "closed"])
    })
  )

  it("chooses evenly, and otherwise for each place", () => {
    const choices = Array.from({ length: 20_000 }, (_, index) => choose(42, index % 7, index % 11, index))
    const mean = choices.reduce((sum, choice) => sum + choice, 0) / choices.length
    assert.closeTo(mean, 0.5, 0.01)
    for (let tenth = 0; tenth < 10; tenth++) {
      assert.closeTo(choices.filter((choice) => Math.floor(choice * 10) === tenth).length, 2_000, 200)
    }
    assert.isAbove(new Set(choices).size, 19_900)
    assert.strictEqual(choose(42, 1, 2), choose(42, 1, 2))
    assert.notStrictEqual(choose(42, 1, 2), choose(42, 2, 1))
  })

  it.effect("is told with the script and what passed", () =>
    Effect.gen(function* () {
      const { faults, open, server: target } = yield* makeBench(42)
      yield* faults.inject(Faults.delay({ millis: [0, 1] }), { chance: 0.5, on: 9 })
      const cut = yield* faults.inject(Faults.cut({ how: "end" }), {
        before: Faults.fromServer("CommandComplete", { statement: /^commit/i, nth: 1 })
      })
      const { client, server } = yield* open
      yield* server.send(backendKeyData(4711), ready)
      yield* client.received(size(backendKeyData(4711), ready))
      yield* client.send(...statement("commit\n  and chain"))
      yield* server.received(size(startup, ...statement("commit\n  and chain")))
      yield* server.send(...answer)
      yield* client.over
      yield* cut.lift
      const printed = faults.describe().replaceAll(/^ +[\d.]+ ms/gm, "  … ms")
      assert.strictEqual(
        printed,
        `proxy 127.0.0.1:${faults.port} to 127.0.0.1:${target.port}, seed 42
  #1 delay millis=[0,1] way="both" on 9, chance 0.5: struck 0×
  #2 cut how="end" before #1 CommandComplete toClient of /^commit/i on all, times 1: struck 1×, lifted
1 connections, 0 CancelRequests kept
  1 session "peer" of process 4711 cut: client open, server open, passed 101/34 bytes
messages > StartupMessage 1, Bind 1, Describe 1, Execute 1, Parse 1, Sync 1; < ParseComplete 1, BindComplete 1, BackendKeyData 1, ReadyForQuery 1, NoData 1
  … ms   1 > StartupMessage
  … ms   1 < BackendKeyData ReadyForQuery
  … ms   1 > Parse Bind Describe Execute "commit and chain" Sync
  … ms   1 < ParseComplete BindComplete NoData
  … ms   1 ! #2 cut how="end"`
      )
    })
  )
})

describe("a proxy whose scope closes", () => {
  const printedWith = Effect.fnUntraced(function* (exit: Exit.Exit<void, string>) {
    const printed: Array<string> = []
    const write = vi.spyOn(process.stderr, "write").mockImplementation((text) => printed.push(String(text)) > 0)
    const scope = yield* Scope.make()
    yield* Scope.provide(makeBench(42), scope)
    yield* Scope.close(scope, exit)
    write.mockRestore()
    return printed.join("")
  })

  it.effect("with a failure tells its seed and its log, and otherwise says nothing", () =>
    Effect.gen(function* () {
      assert.include(yield* printedWith(Exit.fail("no good")), "seed 42\n")
      assert.strictEqual(yield* printedWith(Exit.void), "")
      assert.strictEqual(yield* printedWith(Exit.interrupt()), "")
    })
  )
})

describe("the log", () => {
  it.effect("counts what repeats, and forgets the oldest", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* server.send(...Array.from({ length: 5_000 }, () => answers.row), ready)
      yield* client.received(5_000 * answers.row.length + ready.length)
      assert.deepInclude(faults.log()[1], { connection: 1, direction: "toClient", type: "DataRow", times: 5_000 })
      const many = Array.from({ length: 3_000 }, () => [answers.row, ready]).flat()
      yield* server.send(...many)
      yield* client.received(5_000 * answers.row.length + ready.length + size(...many))
      assert.strictEqual(faults.totals("toClient")["DataRow"], 8_000)
      assert.isAtMost(faults.log().length, 400)
      assert.isBelow(faults.describe().length, 20_000)
    })
  )
})

describe("waiting", () => {
  it.effect("for a message ends when the next such message has passed", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      yield* client.send(sync)
      yield* server.received(size(startup, sync))
      const waiting = yield* Effect.forkChild(faults.awaitMessage(Faults.fromClient("Sync")), {
        startImmediately: true
      })
      yield* client.send(parse("select 1"))
      yield* server.received(size(startup, sync, parse("select 1")))
      assert.isUndefined(waiting.pollUnsafe())
      yield* client.send(sync)
      assert.deepInclude(yield* Fiber.join(waiting), { type: "Sync", count: 2, statement: "select 1" })
    })
  )

  it.effect("dies with the proxy rather than hang", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { faults } = yield* Scope.provide(makeBench(), scope)
      const fault = yield* faults.inject(Faults.cut(), { before: Faults.fromClient("Sync") })
      const waits = [fault.fired, faults.awaitMessage(Faults.fromClient("Sync")), faults.awaitConnection(() => false)]
      const fibers = yield* Effect.forEach(waits, (wait) => Effect.forkChild(wait, { startImmediately: true }))
      yield* Scope.close(scope, Exit.void)
      for (const fiber of fibers) {
        assert.include(String(yield* Fiber.await(fiber)), "The proxy closed before")
      }
    })
  )

  it.effect("can be interrupted, and disturbs nobody else who waits", () =>
    Effect.gen(function* () {
      const { faults, open } = yield* makeBench()
      const { client, server } = yield* open
      const other = yield* Effect.forkChild(faults.awaitMessage(Faults.fromClient("Sync")), { startImmediately: true })
      const waiting = yield* Effect.forkChild(
        faults.awaitMessage(() => assert.fail("it is not asked any more")),
        {
          startImmediately: true
        }
      )
      yield* Fiber.interrupt(waiting)
      yield* client.send(sync)
      yield* server.received(size(startup, sync))
      assert.strictEqual((yield* Fiber.join(other)).type, "Sync")
    })
  )
})

describe("the end of the scope", () => {
  // Sockets and listeners that were left would fail the test by themselves.
  it.effect("closes everything, whatever faults are in force", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { faults, open } = yield* Scope.provide(makeBench(), scope)
      const set = vi.spyOn(globalThis, "setTimeout")
      const cleared = vi.spyOn(globalThis, "clearTimeout")
      /** Timers of an hour or so that are running. */
      const timers = () => {
        const long = set.mock.results.filter((_, index) => Number(set.mock.calls[index]?.[1]) > 500_000)
        return long.filter(({ value }) => !cleared.mock.calls.some(([timer]) => timer === value)).length
      }
      const connections = yield* Scope.provide(Effect.all([open, open, open, open, open, open]), scope)
      yield* faults.inject(Faults.freeze(), { on: 1 })
      yield* faults.inject(Faults.delay({ millis: 3_600_000 }), { on: 2 })
      yield* faults.inject(Faults.throttle({ bytesPerSecond: 0.001 }), { on: 3 })
      yield* faults.inject(Faults.halfOpen({ gone: "server" }), { on: 4 })
      yield* faults.inject(Faults.halfOpen({ gone: "client" }), { on: 5 })
      yield* faults.inject(Faults.cut({ how: "end" }), { on: 6 })
      yield* faults.inject(Faults.refuse())
      for (const { client, server } of connections) {
        yield* client.send(...statement("select 1"))
        yield* server.send(...answer)
      }
      for (const slow of [2, 3]) {
        yield* faults.awaitConnection(
          ({ heldBytes, id }) => id === slow && heldBytes.toServer > 0 && heldBytes.toClient > 0
        )
      }
      assert.strictEqual(timers(), 4)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(timers(), 0)
      set.mockRestore()
      cleared.mockRestore()
    })
  )
})
