/**
 * CSV that says the same as the database: RFC 4180, quoted such that PostgreSQL's own `COPY … FROM … (FORMAT csv, HEADER
 * true)` reads equal values back, and readers that know nothing of PostgreSQL see what it shows.
 *
 * - NULL is an empty field, and an empty text is `""`.
 * - A field is quoted if it has the delimiter, a quote or an end of line in it, is empty, is what stands for NULL, is
 *   `\.` (which ends the data for servers before 18 and for psql), or begins with a byte order mark (which readers drop
 *   at the start of a file). All else stands as the server renders it, quotes doubled.
 * - Lines end in `\n`, the last one too.
 *
 * Values are copied as bytes, from the socket's buffer to the file's. Rules: PostgreSQL's manual, "COPY", "CSV Format".
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import { TypeOid } from "../internal/TypeOid.ts"
import { int32, lengthBytes, nullLength, rowEnd, valuesOffset } from "./DataRows.ts"
import type { Column, Encoder, Format } from "./Encoder.ts"
import { Output } from "./Output.ts"

/**
 * How CSV is written; what is left out is as `COPY … (FORMAT csv, HEADER true)` has it.
 *
 * @since 0.1.0
 */
export interface CsvOptions {
  /** One ASCII character between fields, such as `";"` or `"\t"`. Default: `","`. */
  readonly delimiter?: string | undefined
  /** What stands for NULL, unquoted; a value that looks the same is quoted. Default: nothing. */
  readonly null?: string | undefined
  /** Whether the first line has the names of the columns. Default: true. */
  readonly header?: boolean | undefined
  /** What a line ends in. Default: `"\n"`. RFC 4180 has `"\r\n"`, which COPY reads as well. */
  readonly lineEnd?: "\n" | "\r\n" | undefined
  /**
   * Whether to put a `'` before text that a spreadsheet would take for a formula: what begins with `=`, `+`, `-` or `@`,
   * in their full width too, with a tab or an end of line (OWASP, "CSV Injection"). Those values are then not the
   * database's any more; numbers and dates stay as they are. Default: false.
   */
  readonly guardFormulas?: boolean | undefined
}

const quoteMark = 0x22
const apostrophe = 0x27
const endOfData = Buffer.from("\\.")
const byteOrderMark = Buffer.from("\ufeff")
const formulaBytes = Buffer.from("=+-@\t\r\n")
/** Of full width, which spreadsheets take for the others. All begin with the same byte, as other characters do. */
const wideByte = 0xef
const wideSigns = Array.from("＝＋－＠", (sign) => Buffer.from(sign))
/** What stands around a value: two quotes, an apostrophe, a delimiter; or the end of a line. */
const longestAround = 4

/** Their texts are of `plainCharacters` and never empty, so nothing in them is to be looked for. */
const plainTypes = new Set<number>([
  TypeOid.bool,
  TypeOid.int2,
  TypeOid.int4,
  TypeOid.int8,
  TypeOid.oid,
  TypeOid.float4,
  TypeOid.float8,
  TypeOid.numeric,
  TypeOid.date,
  TypeOid.time,
  TypeOid.timetz,
  TypeOid.timestamp,
  TypeOid.timestamptz,
  TypeOid.uuid
])
const plainCharacters = /[0-9A-Za-z.:+/ -]/

const isPlain = ({ typeOid }: Column): boolean => plainTypes.has(typeOid)

/** Below this a loop is faster than `set`, which takes some 50 ns to begin. */
const longBytes = 80

/**
 * Files of comma-separated values.
 *
 * @throws RangeError where an option is none
 * @since 0.1.0
 */
export const make = (options: CsvOptions = {}): Format => {
  const checked = check(options)
  return {
    name: "csv",
    extension: "csv",
    encoder: (columns) => Effect.sync(() => new CsvEncoder(columns, checked))
  }
}

type Checked = { readonly [Name in keyof CsvOptions]-?: Exclude<CsvOptions[Name], undefined> }

const check = (options: CsvOptions): Checked => {
  const { delimiter = ",", guardFormulas = false, header = true, lineEnd = "\n", null: marker = "" } = options
  if (!/^[\t\x20-\x7e]$/.test(delimiter) || delimiter === '"') {
    throw new RangeError(
      `Expected \`delimiter\` to be one ASCII character that is no quote, got ${JSON.stringify(delimiter)}`
    )
  }
  if (/["\r\n\0]/.test(marker) || marker.includes(delimiter)) {
    throw new RangeError(
      `Expected \`null\` to have no delimiter, quote or end of line in it, got ${JSON.stringify(marker)}`
    )
  }
  if (lineEnd !== "\n" && lineEnd !== "\r\n") {
    throw new RangeError(`Expected \`lineEnd\` to be "\\n" or "\\r\\n", got ${JSON.stringify(lineEnd)}`)
  }
  return { delimiter, guardFormulas, header, lineEnd, null: marker }
}

class CsvEncoder implements Encoder {
  private readonly output = new Output()
  private readonly delimiter: number
  private readonly lineEnd: Buffer
  private readonly marker: Buffer
  /** By column: 1 if its values are copied as they are. */
  private readonly plain: Uint8Array
  /** By column: 1 if a formula could stand there. */
  private readonly guarded: Uint8Array
  /** By byte: 1 if a field that has it is quoted. */
  private readonly special = new Uint8Array(256)
  /** By byte: 1 if a field that begins with it has to be looked at as a whole. */
  private readonly suspect = new Uint8Array(256)
  /** By byte: 1 if a formula may begin with it. */
  private readonly formula = new Uint8Array(256)

  constructor(columns: ReadonlyArray<Column>, options: Checked) {
    this.delimiter = options.delimiter.charCodeAt(0)
    this.lineEnd = Buffer.from(options.lineEnd)
    this.marker = Buffer.from(options.null)
    for (const each of [this.delimiter, ...Buffer.from('"\n\r')]) this.special[each] = 1
    for (const each of [...endOfData, ...byteOrderMark, ...this.marker]) this.suspect[each] = 1
    if (options.guardFormulas)
      for (const each of [...formulaBytes, wideByte]) this.formula[each] = this.suspect[each] = 1
    const arePlain = options.null === "" && !plainCharacters.test(options.delimiter)
    this.plain = Uint8Array.from(columns, (column) => Number(arePlain && isPlain(column)))
    this.guarded = Uint8Array.from(columns, (column) => Number(!isPlain(column)))
    if (options.header) this.writeHeader(columns)
  }

  add(bytes: Buffer, from: number, to: number): number {
    const { delimiter, guarded, lineEnd, marker, output, plain } = this
    const columns = plain.length
    let rows = 0
    for (let at = from; at < to; at = rowEnd(bytes, at)) {
      // Each byte may be a quote; what else comes to a value is less than twice the four bytes of its length.
      output.reserve(2 * (rowEnd(bytes, at) - at) + columns * marker.length)
      const out = output.bytes
      let end = output.at
      let value = at + valuesOffset
      for (let column = 0; column < columns; column++) {
        if (column > 0) out[end++] = delimiter
        const length = int32(bytes, value)
        value += lengthBytes
        if (length === nullLength) {
          for (let each = 0; each < marker.length; each++) out[end++] = marker[each] ?? 0
        } else if (plain[column] === 1) {
          for (const stop = value + length; value < stop; value++) out[end++] = bytes[value] ?? 0
        } else {
          end = this.field(bytes, value, value + length, guarded[column], out, end)
          value += length
        }
      }
      for (let each = 0; each < lineEnd.length; each++) out[end++] = lineEnd[each] ?? 0
      output.at = end
      rows++
    }
    return rows
  }

  take(): ReadonlyArray<Uint8Array> {
    return this.output.take()
  }

  end(): ReadonlyArray<Uint8Array> {
    return this.output.end()
  }

  /** Copies a value while it looks whether that is enough; gives where it ends. */
  private field(
    bytes: Buffer,
    from: number,
    to: number,
    guarded: number | undefined,
    out: Buffer,
    start: number
  ): number {
    const { special } = this
    if (from === to || this.suspect[bytes[from] ?? 0] === 1) return this.oddField(bytes, from, to, guarded, out, start)
    let found = 0
    let end = start
    if (to - from > longBytes) {
      for (let at = from; found === 0 && at < to; at++) found = special[bytes[at] ?? 0] ?? 0
      if (found === 0) {
        out.set(bytes.subarray(from, to), end)
        return end + to - from
      }
    } else {
      for (let at = from; at < to; at++) {
        const each = bytes[at] ?? 0
        found |= special[each] ?? 0
        out[end++] = each
      }
    }
    return found === 0 ? end : quote(bytes, from, to, out, start)
  }

  private oddField(
    bytes: Buffer,
    from: number,
    to: number,
    guarded: number | undefined,
    out: Buffer,
    start: number
  ): number {
    const value = bytes.subarray(from, to)
    if (guarded === 1 && this.beginsFormula(value)) return quote(bytes, from, to, out, start, apostrophe)
    const isQuoted =
      value.length === 0 ||
      value.equals(this.marker) ||
      value.equals(endOfData) ||
      value.subarray(0, byteOrderMark.length).equals(byteOrderMark) ||
      value.some((each) => this.special[each] === 1)
    if (isQuoted) return quote(bytes, from, to, out, start)
    out.set(value, start)
    return start + value.length
  }

  private beginsFormula(value: Buffer): boolean {
    const [first] = value
    if (first === undefined || this.formula[first] === 0) return false
    return first !== wideByte || wideSigns.some((sign) => sign.equals(value.subarray(0, sign.length)))
  }

  /** Names are text, whatever stands below them. */
  private writeHeader(columns: ReadonlyArray<Column>): void {
    const { output } = this
    for (const [index, { name }] of columns.entries()) {
      const bytes = Buffer.from(name)
      output.reserve(2 * bytes.length + longestAround)
      if (index > 0) output.bytes[output.at++] = this.delimiter
      output.at = this.field(bytes, 0, bytes.length, 1, output.bytes, output.at)
    }
    output.reserve(longestAround)
    output.append(this.lineEnd)
  }
}

/** A value between quotes, its own quotes doubled, with `first` before it. */
const quote = (bytes: Buffer, from: number, to: number, out: Buffer, start: number, first?: number): number => {
  let end = start
  out[end++] = quoteMark
  if (first !== undefined) out[end++] = first
  for (let at = from; at < to; at++) {
    const each = bytes[at] ?? 0
    if (each === quoteMark) out[end++] = quoteMark
    out[end++] = each
  }
  out[end++] = quoteMark
  return end
}
