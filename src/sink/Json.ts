/**
 * JSON: one object a row, its keys the names of the columns, in their order.
 *
 * - `ndjson`: each row in a line of its own, so that a file of any size is read line by line.
 * - `json`: one array of all rows, still a row a line.
 *
 * Values are as `JsonValue.ts` says. A file is UTF-8 without a byte order mark (RFC 8259, section 8.1), and its lines end
 * in `\n`, the last one too. A NULL and the JSON value `null` are both `null`.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import { int32, lengthBytes, nullLength, rowEnd, valuesOffset } from "./DataRows.ts"
import type { Column, Encoder, Format } from "./Encoder.ts"
import { append, elementKindOf, kindOf, write, writeNull } from "./JsonValue.ts"
import { Output } from "./Output.ts"

/** What stands around the rows and between them. */
interface Frame {
  readonly begin: string
  readonly between: string
  readonly end: string
  /** What a file without rows is. */
  readonly empty: string
}

const lines: Frame = { begin: "", between: "\n", end: "\n", empty: "" }
const array: Frame = { begin: "[\n", between: ",\n", end: "\n]\n", empty: "[]\n" }

/**
 * Files of one JSON document a line.
 *
 * @since 0.1.0
 */
export const ndjson: Format = {
  name: "ndjson",
  extension: "ndjson",
  encoder: (columns) => Effect.sync(() => new JsonEncoder(columns, lines))
}

/**
 * Files that are one JSON array.
 *
 * @since 0.1.0
 */
export const json: Format = {
  name: "json",
  extension: "json",
  encoder: (columns) => Effect.sync(() => new JsonEncoder(columns, array))
}

class JsonEncoder implements Encoder {
  private readonly output = new Output()
  private readonly frame: Frame
  private readonly between: Buffer
  /** What stands before the next row. */
  private before: Buffer
  /** By column: what stands before its value. */
  private readonly keys: ReadonlyArray<Buffer>
  private readonly keysBytes: number
  private readonly kinds: Uint8Array
  private readonly elementKinds: Uint8Array

  constructor(columns: ReadonlyArray<Column>, frame: Frame) {
    this.frame = frame
    this.before = Buffer.from(frame.begin)
    this.between = Buffer.from(frame.between)
    this.keys = columns.map(({ name }, index) => Buffer.from(`${index === 0 ? "" : ","}${JSON.stringify(name)}:`))
    this.keysBytes = this.keys.reduce((total, key) => total + key.length, 0)
    this.kinds = Uint8Array.from(columns, ({ typeOid }) => kindOf(typeOid))
    this.elementKinds = Uint8Array.from(columns, ({ typeOid }) => elementKindOf(typeOid))
  }

  add(bytes: Buffer, from: number, to: number): number {
    const { elementKinds, keys, keysBytes, kinds, output } = this
    let rows = 0
    for (let at = from; at < to; at = rowEnd(bytes, at)) {
      output.reserve(keysBytes + mostRowBytes(bytes, at, rowEnd(bytes, at)))
      const out = output.bytes
      let end = append(this.before, out, output.at)
      out[end++] = openBrace
      let value = at + valuesOffset
      for (let column = 0; column < keys.length; column++) {
        end = append(keys[column] ?? nothing, out, end)
        const length = int32(bytes, value)
        value += lengthBytes
        if (length === nullLength) {
          end = writeNull(out, end)
        } else {
          end = write(kinds[column] ?? 0, elementKinds[column] ?? 0, bytes, value, value + length, out, end)
          value += length
        }
      }
      out[end++] = closeBrace
      output.at = end
      this.before = this.between
      rows++
    }
    return rows
  }

  take(): ReadonlyArray<Uint8Array> {
    return this.output.take()
  }

  end(): ReadonlyArray<Uint8Array> {
    const { empty, end } = this.frame
    const last = Buffer.from(this.before === this.between ? end : empty)
    this.output.reserve(last.length)
    this.output.append(last)
    return this.output.end()
  }
}

const nothing = Buffer.alloc(0)
const openBrace = 0x7b
const closeBrace = 0x7d

/** Rows up to here get the room of the worst case; of longer ones it would be megabytes, and they are looked through. */
const shortRow = 4096

/** The most bytes that the values of a row become, with what stands around them. */
const mostRowBytes = (bytes: Buffer, from: number, to: number): number => {
  // A control character is `\u0001`, `{t,t}` is `[true,true]`, and nothing else is more than twice as long.
  if (to - from <= shortRow) return 6 * (to - from)
  let controls = 0
  for (let at = from; at < to; at++) if ((bytes[at] ?? 0) < 0x20) controls++
  return 3 * (to - from) + 3 * controls
}
