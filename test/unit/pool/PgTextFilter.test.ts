import { PgProtocol, PgTypes } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import * as PgTextFilter from "../../../src/pool/PgTextFilter.ts"
import type { Observed } from "../../../src/pool/PgTextFilter.ts"
import { complete, cString, dataRow, frame, notice, ready, rowDescription } from "../../support/serverMessages.ts"

type Session = NonNullable<Observed["session"]>
type Columns = Parameters<Session["onColumns"]>[0]

/** A filter, with a record of what it told its session. */
const filterWithLog = () => {
  const log: Array<unknown> = []
  const session: Session = {
    onColumns: (columns: Columns) => log.push(columns),
    onCommand: (tag: string) => log.push(tag),
    onNotice: (severity: string, text: string) => log.push([severity, text])
  }
  return { log, filter: PgTextFilter.make({ session }) }
}

const messagesOf = (bytes: Buffer): ReadonlyArray<PgProtocol.BackendMessage> => PgProtocol.makeParser().push(bytes)

const name = Schema.Literals(["a", "b", "a_2", "a_3", "?column?", "ä", "", "__proto__"])
const value = Schema.Union([Schema.Null, Schema.String])
const message = Arbitrary.all([
  Arbitrary.schema(Schema.Literals(["T", "D", "D", "D", "C", "N", "Z", "1", "2", "S"])),
  Arbitrary.array(Arbitrary.schema(name), { maxLength: 6 }),
  Arbitrary.array(Arbitrary.schema(value), { maxLength: 6 })
])
const size = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })))

const toFrame = ([type, names, values]: readonly [
  string,
  ReadonlyArray<string>,
  ReadonlyArray<string | null>
]): Buffer => {
  if (type === "T") return rowDescription(names.map((name, index) => [name, 23 + index]))
  if (type === "D") return dataRow(values.map((value) => (value === null ? null : Buffer.from(value))))
  if (type === "C") return complete(`SELECT ${values.length}`)
  if (type === "N") return notice("NOTICE", names.join())
  if (type === "S") return frame("S", cString("TimeZone"), cString("UTC"))
  return type === "Z" ? ready : frame(type)
}

const bind = (parameters: ReadonlyArray<Uint8Array | null>) =>
  Buffer.from(Result.getOrThrow(PgProtocol.encodeBind({ portal: "", statement: "s1", parameters })))
const startup = Buffer.from(PgProtocol.encodeStartupMessage({ user: "u" }))

/** The result formats at the end of a Bind. */
const resultFormats = (bytes: Buffer, parameters: ReadonlyArray<Uint8Array | null>) => {
  const at = bytes.length - 4
  assert.strictEqual(bytes.readInt32BE(1), bytes.length - 1, `${parameters.length} parameters`)
  return [bytes.readInt16BE(at), bytes.readInt16BE(at + 2)]
}

describe("PgTextFilter", () => {
  describe("towards the driver", () => {
    it("says that every column is text, and tells the session what it was", () => {
      const { filter, log } = filterWithLog()
      const row = dataRow([Buffer.from("1"), null])
      const out = filter.incoming(
        Buffer.concat([
          rowDescription([
            ["n", 23],
            ["at", 1184, 3]
          ]),
          row,
          complete("SELECT 1"),
          ready
        ])
      )
      const [description, ...rest] = messagesOf(out)
      assert.strictEqual(description?._tag, "RowDescription")
      if (description?._tag !== "RowDescription") return
      assert.deepStrictEqual(
        description.fields.map(({ dataTypeOid, format, name }) => [name, dataTypeOid, format]),
        [
          ["n", PgTypes.OID.text, 1],
          ["at", PgTypes.OID.text, 1]
        ]
      )
      assert.deepStrictEqual(rest, messagesOf(Buffer.concat([row, complete("SELECT 1"), ready])))
      assert.deepStrictEqual(log, [
        [
          { name: "n", typeOid: 23, typeModifier: -1 },
          { name: "at", typeOid: 1184, typeModifier: 3 }
        ],
        "SELECT 1"
      ])
    })

    it.each([
      [
        ["a", "a"],
        ["a", "a_2"]
      ],
      [
        ["a", "a", "a"],
        ["a", "a_2", "a_3"]
      ],
      [
        ["a", "a", "a_2"],
        ["a", "a_3", "a_2"]
      ],
      [
        ["a_2", "a", "a"],
        ["a_2", "a", "a_3"]
      ],
      [
        ["a", "a_2", "a_2", "a"],
        ["a", "a_2", "a_2_2", "a_3"]
      ],
      [
        ["?column?", "?column?"],
        ["?column?", "?column?_2"]
      ],
      [
        ["", ""],
        ["", "_2"]
      ],
      [[], []]
    ])("calls the columns %j %j", (names, expected) => {
      const { filter, log } = filterWithLog()
      filter.incoming(rowDescription(names.map((name) => [name, 25])))
      assert.deepStrictEqual(log, [expected.map((name) => ({ name, typeOid: 25, typeModifier: -1 }))])
    })

    it("passes what it does not know, and tells nobody when no session is there", () => {
      const filter = PgTextFilter.make({ session: undefined })
      const bytes = Buffer.concat([
        ready,
        notice("WARNING", "w"),
        complete("BEGIN"),
        frame("S", cString("a"), cString("b"))
      ])
      assert.deepStrictEqual(filter.incoming(bytes), bytes)
    })

    it.prop(
      "gives the same bytes and tells the same, however the bytes are cut",
      [Arbitrary.array(message, { maxLength: 8 }), Arbitrary.array(size, { minLength: 1, maxLength: 8 })],
      ([messages, sizes]) => {
        const bytes = Buffer.concat(messages.map(toFrame))
        const whole = filterWithLog()
        const expected = whole.filter.incoming(Buffer.from(bytes))
        const cut = filterWithLog()
        const parts: Array<Buffer> = []
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1
          parts.push(Buffer.from(cut.filter.incoming(Buffer.from(bytes.subarray(at, at + size)))))
          at += size
        }
        assert.deepStrictEqual(Buffer.concat(parts).toString("hex"), expected.toString("hex"))
        assert.deepStrictEqual(cut.log, whole.log)
        // And names are unique in each result, and there are as many messages as before.
        assert.lengthOf(messagesOf(expected), messages.length)
        for (const said of whole.log) {
          if (!Array.isArray(said) || typeof said[0] !== "object") continue
          assert.lengthOf(new Set(said.map((column: Columns[number]) => column.name)), said.length)
        }
      },
      { arbitrary: { runs: 300 } }
    )
  })

  describe("towards the server", () => {
    it.each([0, 1, 3, 300, 32_767])(
      "asks for text in a statement with %d parameters, and changes nothing else",
      (count) => {
        const { filter } = filterWithLog()
        filter.outgoing(startup)
        const parameters = Array.from({ length: count }, (_, n) => (n % 3 === 2 ? null : Buffer.from(`value ${n}`)))
        const before = bind(parameters)
        assert.deepStrictEqual(resultFormats(before, parameters), [1, 1])
        const parse = Buffer.from(
          Result.getOrThrow(PgProtocol.encodeParse({ name: "s1", query: "select", parameterTypes: [] }))
        )
        const sync = Buffer.from(PgProtocol.encodeSync())
        const out = filter.outgoing(Buffer.concat([parse, before, sync]))
        const changed = out.subarray(parse.length, parse.length + before.length)
        assert.deepStrictEqual(resultFormats(changed, parameters), [1, 0])
        assert.deepStrictEqual(changed.subarray(0, -2), before.subarray(0, -2))
        assert.deepStrictEqual(out.subarray(0, parse.length), parse)
        assert.deepStrictEqual(out.subarray(parse.length + before.length), sync)
      }
    )

    it("leaves the first message alone, which has no type", () => {
      const { filter } = filterWithLog()
      // As a message with a type, this one would be a Bind.
      const odd = Buffer.concat([Buffer.from("B"), startup])
      assert.deepStrictEqual(filter.outgoing(Buffer.from(odd)), odd)
    })
  })
})
