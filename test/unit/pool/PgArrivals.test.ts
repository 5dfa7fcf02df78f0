import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { PgArrivals } from "../../../src/pool/PgArrivals.ts"

const message = (type: string, body: number): Buffer => {
  // The body is full of heads of rows, which must not be taken for such.
  const bytes = Buffer.alloc(5 + body, Buffer.from([0x44, 0, 0, 0, 4]))
  bytes.write(type, 0, "latin1")
  bytes.writeInt32BE(4 + body, 1)
  return bytes
}

/** A connection that shows what it is made to receive. */
const scripted = () => {
  const listeners = new Set<(chunk: Buffer) => void>()
  return {
    listeners,
    connection: {
      onBytes: (f: (chunk: Buffer) => void) => {
        listeners.add(f)
        return () => listeners.delete(f)
      }
    },
    receive: (chunk: Buffer) => listeners.forEach((f) => f(chunk))
  }
}

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const Message = Schema.Struct({ type: Schema.Literals(["D", "D", "D", "T", "C", "N", "S"]), body: integer(0, 40) })
const Script = Schema.Struct({
  messages: Schema.Array(Message).check(Schema.isMaxLength(40)),
  chunks: Schema.NonEmptyArray(integer(1, 60))
})

describe("the rows that have arrived", () => {
  it.effect.prop(
    "are counted wherever the bytes are cut",
    [Script],
    ([{ chunks, messages }]) =>
      Effect.sync(() => {
        const { connection, receive } = scripted()
        const arrivals = new PgArrivals(connection)
        arrivals.begin()
        const bytes = Buffer.concat(messages.map(({ body, type }) => message(type, body)))
        let at = 0
        for (let turn = 0; at < bytes.length; turn++) {
          const size = chunks[turn % chunks.length] ?? 1
          receive(bytes.subarray(at, at + size))
          at += size
        }
        assert.strictEqual(arrivals.rows, messages.filter(({ type }) => type === "D").length)
      }),
    { arbitrary: { runs: 1_000, seed: 20_260_201 } }
  )

  it("are no longer counted once the driver has given them", () => {
    const { connection, listeners, receive } = scripted()
    const arrivals = new PgArrivals(connection)
    arrivals.begin()
    arrivals.begin()
    receive(Buffer.concat([message("D", 9), message("D", 9), message("D", 9)]))
    arrivals.given(2, false)
    assert.strictEqual(arrivals.rows, 1)
    arrivals.given(0, true)
    assert.strictEqual(arrivals.rows, 0)
    assert.strictEqual(listeners.size, 0)
  })

  it("begin anew with the next statement, in the middle of whatever the last one left", () => {
    const { connection, receive } = scripted()
    const arrivals = new PgArrivals(connection)
    arrivals.begin()
    receive(message("D", 9).subarray(0, 7))
    arrivals.given(0, true)
    arrivals.begin()
    receive(message("D", 9))
    assert.strictEqual(arrivals.rows, 1)
  })

  it("are not looked for in what is no message", () => {
    const { connection, receive } = scripted()
    const arrivals = new PgArrivals(connection)
    arrivals.begin()
    receive(Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff]))
    receive(message("D", 9))
    assert.strictEqual(arrivals.rows, 0)
  })
})
