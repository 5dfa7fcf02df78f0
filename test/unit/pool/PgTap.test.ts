import { PgProtocol } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Fiber, Result, Schema } from "effect"
import { duplexPair } from "node:stream"
import * as PgTextFilter from "../../../src/pool/PgTextFilter.ts"
import { PgTap } from "../../../src/pool/PgTap.ts"
import type { Column, Flow } from "../../../src/query/RowReceiver.ts"
import { asPgSocket } from "../../support/asPgSocket.ts"
import { complete, cString, dataRow, frame, notice, ready, rowDescription } from "../../support/serverMessages.ts"

const parse = (sql: string) =>
  Buffer.from(Result.getOrThrow(PgProtocol.encodeParse({ name: "", query: sql, parameterTypes: [] })))
const bind = () => Buffer.from(Result.getOrThrow(PgProtocol.encodeBind({ portal: "", statement: "", parameters: [] })))
const preparation = Buffer.concat([parse("prepare"), bind()])
const statement = Buffer.concat([parse("select"), bind(), Buffer.from(PgProtocol.encodeSync())])

/** What the server says to the preparation. */
const prepared = [frame("1"), frame("2"), dataRow([Buffer.from("ISO, DMY"), Buffer.from("1")]), complete("SELECT 1")]

/** A tap on a socket to nowhere, and what its receiver got. */
const tapped = (options: { readonly text?: boolean; readonly onRows?: (rows: string, flow: Flow) => void } = {}) => {
  const [client] = duplexPair()
  const socket = asPgSocket(client)
  if (options.text === true) socket.through = PgTextFilter.make({ session: undefined })
  const got: { columns: Array<ReadonlyArray<Column>>; rows: Array<string>; counted: number; flow: Array<string> } = {
    columns: [],
    rows: [],
    counted: 0,
    flow: []
  }
  socket.hold = () => got.flow.push("hold")
  socket.flow = () => got.flow.push("flow")
  let flow: Flow | undefined
  const before = socket.through
  const tap = new PgTap(socket, preparation, {
    columns: (columns, given) => {
      got.columns.push(columns)
      flow = given
    },
    rows: (bytes, from, to) => {
      const rows = bytes.toString("latin1", from, to)
      got.rows.push(rows)
      if (flow !== undefined) options.onRows?.(rows, flow)
    },
    counted: (rows) => {
      got.counted += rows
    }
  })
  return { before, got, socket, tap }
}

const message = Arbitrary.all([
  Arbitrary.schema(Schema.Literals(["D", "D", "D", "D", "N", "S", "A"])),
  Arbitrary.array(Arbitrary.schema(Schema.Union([Schema.Null, Schema.String])), { maxLength: 6 })
])
const size = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })))

const toFrame = ([type, values]: readonly [string, ReadonlyArray<string | null>]): Buffer => {
  if (type === "D") return dataRow(values.map((value) => (value === null ? null : Buffer.from(value))))
  if (type === "N") return notice("NOTICE", `${values.length} values`)
  return type === "S"
    ? frame("S", cString("TimeZone"), cString("UTC"))
    : frame("A", Buffer.alloc(4), cString("channel"))
}

const isRow = (bytes: Buffer) => bytes[0] === 0x44

const description = rowDescription([
  ["a", 1700, 655_366],
  ["a", 25]
])

describe("PgTap", () => {
  it("puts the preparation in front of the statement, asks for text in both, and touches no later message", () => {
    const { tap } = tapped()
    const sent = tap.outgoing(Buffer.from(statement))
    const expected = Buffer.concat([preparation, statement])
    PgTextFilter.askForText(expected)
    assert.deepStrictEqual(sent, expected)
    assert.deepStrictEqual(tap.outgoing(Buffer.from(statement)), statement)
  })

  it.prop(
    "gives each row once and whole and passes all else, however the bytes are cut",
    [
      Arbitrary.array(message, { maxLength: 12 }),
      Arbitrary.array(size, { minLength: 1, maxLength: 8 }),
      Arbitrary.schema(Schema.Boolean)
    ],
    ([messages, sizes, text]) => {
      const frames = messages.map(toFrame)
      const begun = [frame("1"), frame("2"), description]
      const ended = [complete("SELECT"), ready, notice("WARNING", "after"), frame("A", Buffer.alloc(4), cString("c"))]
      const bytes = Buffer.concat([...prepared, ...begun, ...frames, ...ended])
      const { got, tap } = tapped({ text })
      tap.outgoing(Buffer.from(statement))
      const passed: Array<Buffer> = []
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const length = sizes[turn % sizes.length] ?? 1
        const chunk = Buffer.from(bytes.subarray(at, at + length))
        passed.push(Buffer.from(tap.incoming(chunk)))
        // The tap keeps nothing of it; the filter for text does.
        if (!text) chunk.fill(0xff)
        at += length
      }
      const rest = Buffer.concat([...begun, ...frames.filter((one) => !isRow(one)), ...ended])
      // The driver takes columns that are text, and no others.
      assert.strictEqual(
        Buffer.concat(passed).toString("hex"),
        PgTextFilter.make({ session: undefined }).incoming(rest).toString("hex")
      )
      assert.strictEqual(got.rows.join(""), Buffer.concat(frames.filter(isRow)).toString("latin1"))
      assert.strictEqual(got.counted, frames.filter(isRow).length)
      assert.strictEqual(tap.rows, got.counted)
      assert.deepStrictEqual(got.columns, [
        [
          { name: "a", typeOid: 1700, typeModifier: 655_366 },
          { name: "a_2", typeOid: 25, typeModifier: -1 }
        ]
      ])
      assert.deepStrictEqual(tap.prepared, ["ISO, DMY", "1"])
      assert.isFalse(tap.lost)
      // Every call gives whole rows.
      for (const rows of got.rows) assert.isTrue(endsWithRow(Buffer.from(rows, "latin1")))
    },
    { arbitrary: { runs: 500 } }
  )

  it("copies a row of 100 MB once, in chunks of 64 KB", () => {
    const { got, tap } = tapped()
    tap.outgoing(Buffer.from(statement))
    tap.incoming(Buffer.concat([...prepared, frame("1"), frame("2"), description]))
    const head = dataRow([Buffer.alloc(0), null]).subarray(0, 11)
    const bytes = 100_000_000
    head.writeInt32BE(bytes + 14, 1)
    head.writeInt32BE(bytes, 7)
    const chunk = Buffer.alloc(65_536, "x")
    let copied = 0
    const copy = chunk.copy.bind(chunk)
    chunk.copy = (...args) => {
      const count = copy(...args)
      copied += count
      return count
    }
    assert.lengthOf(tap.incoming(head), 0)
    const { length } = got.rows
    for (let sent = 0; sent + chunk.length < bytes; sent += chunk.length) {
      assert.lengthOf(tap.incoming(chunk), 0)
      assert.lengthOf(got.rows, length)
    }
    assert.isAtMost(copied, bytes)
    tap.incoming(Buffer.alloc(bytes % chunk.length, "x"))
    tap.incoming(dataRow([null]).subarray(7))
    assert.lengthOf(got.rows, 1)
    assert.lengthOf(got.rows[0] ?? "", bytes + 15)
  })

  it("says whether a transaction is open, and not failed, when the statement has ended", () => {
    for (const [status, isOpen] of [
      ["I", false],
      ["T", true],
      ["E", false]
    ] as const) {
      const { tap } = tapped()
      tap.outgoing(Buffer.from(statement))
      tap.incoming(Buffer.concat([...prepared, complete("SELECT 0"), frame("Z", Buffer.from(status))]))
      assert.strictEqual(tap.inTransaction, isOpen, status)
    }
  })

  it("passes an error in the preparation, which is the statement's end", () => {
    const { got, tap } = tapped()
    tap.outgoing(Buffer.from(statement))
    const error = frame("E", cString("SERROR"), cString("C25P02"), Buffer.from([0]))
    const bytes = Buffer.concat([error, frame("Z", Buffer.from("E"))])
    assert.deepStrictEqual(tap.incoming(bytes), bytes)
    assert.isEmpty(got.columns)
  })

  it("discards: takes no more rows, lets the socket flow, and knows that it has lost some", () => {
    const { got, tap } = tapped({ onRows: (_, flow) => flow.pause() })
    tap.outgoing(Buffer.from(statement))
    const row = dataRow([Buffer.from("1"), null])
    tap.incoming(Buffer.concat([...prepared, frame("1"), frame("2"), description, row]))
    assert.deepStrictEqual(got.flow, ["hold"])
    tap.discard()
    assert.deepStrictEqual(got.flow, ["hold", "flow"])
    assert.isFalse(tap.lost)
    const rest = Buffer.concat([complete("SELECT 2"), ready])
    assert.deepStrictEqual(tap.incoming(Buffer.concat([row, rest])), rest)
    assert.isTrue(tap.lost)
    assert.lengthOf(got.rows, 1)
    tap.pause()
    assert.deepStrictEqual(got.flow, ["hold", "flow"])
  })

  it.effect("gives what the receiver throws to whoever waits, and not to the socket", () =>
    Effect.gen(function* () {
      const defect = new Error("full")
      const { got, tap } = tapped({
        onRows: () => {
          throw defect
        }
      })
      const waiting = yield* Effect.forkChild(tap.stopped, { startImmediately: true })
      tap.outgoing(Buffer.from(statement))
      const row = dataRow([Buffer.from("1"), null])
      const rest = Buffer.concat([frame("1"), frame("2"), description, row, row, complete("SELECT 2"), ready])
      tap.incoming(Buffer.concat([...prepared, rest]))
      const exit = yield* Fiber.await(waiting)
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === defect)
      assert.lengthOf(got.rows, 1)
    })
  )

  it.effect("hangs up where a length cannot be one", () =>
    Effect.gen(function* () {
      const { socket, tap } = tapped()
      tap.outgoing(Buffer.from(statement))
      tap.incoming(Buffer.concat([...prepared, frame("1"), frame("2"), description]))
      const said = Effect.callback<Error>(
        (resume) => void socket.once("error", (error) => resume(Effect.succeed(error)))
      )
      const failed = yield* Effect.forkChild(said, { startImmediately: true })
      assert.lengthOf(tap.incoming(Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff, 0, 0])), 0)
      assert.isTrue(socket.destroyed)
      assert.include((yield* Fiber.join(failed)).message, "a message of -1 bytes")
    })
  )

  it("leaves the filter that was there", () => {
    const { before, socket, tap } = tapped({ text: true })
    assert.strictEqual(socket.through, tap)
    tap.remove()
    assert.strictEqual(socket.through, before)
  })
})

/** Whether the bytes are whole rows. */
const endsWithRow = (bytes: Buffer): boolean => {
  let at = 0
  while (at < bytes.length) at += 1 + bytes.readInt32BE(at + 1)
  return at === bytes.length
}
