/**
 * A value as the server renders it, written as JSON: bytes to bytes.
 *
 * - Numbers keep their digits. Those that a reader's doubles would change (an int8 beyond 2^53, a numeric of more than 15
 *   digits, `NaN`, `Infinity`) are strings.
 * - What the server holds as JSON is passed on as it is, but for its line ends, which are spaces: they stand only between
 *   tokens (RFC 8259, section 7), and a document is one line.
 * - Arrays of built-in types are arrays. Those with bounds other than 1 (`[0:1]={1,2}`) have no place in JSON, and those
 *   of other types may be anything: they are strings, as all else is.
 *
 * The same rules as those of the command line's document (`TextValue.toJson`).
 *
 * @internal
 */
import { elementOf, TypeOid } from "../internal/TypeOid.ts"

/**
 * How the values of a column are written. A number, so that the loop over values branches instead of calling.
 *
 * @internal
 */
export const Kind = { text: 0, number: 1, boolean: 2, int8: 3, numeric: 4, float: 5, json: 6, array: 7 } as const

/** @internal */
export type Kind = (typeof Kind)[keyof typeof Kind]

const kinds = new Map<number, Kind>([
  [TypeOid.bool, Kind.boolean],
  [TypeOid.int2, Kind.number],
  [TypeOid.int4, Kind.number],
  [TypeOid.oid, Kind.number],
  [TypeOid.int8, Kind.int8],
  [TypeOid.numeric, Kind.numeric],
  [TypeOid.float4, Kind.float],
  [TypeOid.float8, Kind.float],
  [TypeOid.json, Kind.json],
  [TypeOid.jsonb, Kind.json]
])

/** @internal */
export const kindOf = (typeOid: number): Kind =>
  elementOf.has(typeOid) ? Kind.array : (kinds.get(typeOid) ?? Kind.text)

/**
 * How the elements of an array type are written.
 *
 * @internal
 */
export const elementKindOf = (typeOid: number): Kind => kinds.get(elementOf.get(typeOid) ?? 0) ?? Kind.text

/** Any decimal number of so many significant digits survives a double and back (IEEE 754; DBL_DIG). */
const doubleDigits = 15
/** A double has fewer digits below this (DBL_MIN). */
const smallestNormal = 2.2250738585072014e-308
/** A numeric with no more characters than this is zero or larger than that. */
const surelyNormal = 300
/** Number.MAX_SAFE_INTEGER */
const largestSafe = Buffer.from("9007199254740991")

const byte = {
  quote: 0x22,
  comma: 0x2c,
  minus: 0x2d,
  dot: 0x2e,
  zero: 0x30,
  nine: 0x39,
  backslash: 0x5c,
  space: 0x20,
  newline: 0x0a,
  carriageReturn: 0x0d,
  openBrace: 0x7b,
  closeBrace: 0x7d,
  openBracket: 0x5b,
  closeBracket: 0x5d,
  t: 0x74
} as const

const nullText = Buffer.from("null")
const trueText = Buffer.from("true")
const falseText = Buffer.from("false")
const arrayNull = Buffer.from("NULL")

/** By byte: what stands for it in a string. */
const escapes = Array.from({ length: 0x80 }, (_, code) =>
  Buffer.from(JSON.stringify(String.fromCharCode(code)).slice(1, -1))
)
/** By byte: 1 if it may not stand for itself in a string (RFC 8259, section 7). */
const isEscaped = new Uint8Array(256)
for (let code = 0; code < 0x20; code++) isEscaped[code] = 1
isEscaped[byte.quote] = 1
isEscaped[byte.backslash] = 1

/**
 * Writes the value `bytes[from, to)` at `out[at]`, and gives where it ends. There is room for `mostBytes`.
 *
 * @internal
 */
export const write = (
  kind: number,
  elementKind: number,
  bytes: Buffer,
  from: number,
  to: number,
  out: Buffer,
  at: number
): number => {
  switch (kind) {
    case Kind.number:
      return copy(bytes, from, to, out, at)
    case Kind.boolean:
      return append(bytes[from] === byte.t ? trueText : falseText, out, at)
    case Kind.int8:
      return isSafe(bytes, from, to) ? copy(bytes, from, to, out, at) : writeText(bytes, from, to, out, at)
    case Kind.numeric:
      return isHeld(bytes, from, to) ? copy(bytes, from, to, out, at) : writeText(bytes, from, to, out, at)
    case Kind.float:
      return isFinite(bytes, from) ? copy(bytes, from, to, out, at) : writeText(bytes, from, to, out, at)
    case Kind.json:
      return copyLine(bytes, from, to, out, at)
    case Kind.array:
      return bytes[from] === byte.openBrace
        ? writeArray(elementKind, bytes, from, to, out, at)
        : writeText(bytes, from, to, out, at)
    default:
      return writeText(bytes, from, to, out, at)
  }
}

/** @internal */
export const writeNull = (out: Buffer, at: number): number => append(nullText, out, at)

/** @internal */
export const append = (text: Buffer, out: Buffer, at: number): number => copy(text, 0, text.length, out, at)

const copy = (bytes: Buffer, from: number, to: number, out: Buffer, at: number): number => {
  let end = at
  for (let each = from; each < to; each++) out[end++] = bytes[each] ?? 0
  return end
}

const copyLine = (bytes: Buffer, from: number, to: number, out: Buffer, at: number): number => {
  let end = at
  for (let each = from; each < to; each++) {
    const code = bytes[each] ?? 0
    out[end++] = code === byte.newline || code === byte.carriageReturn ? byte.space : code
  }
  return end
}

const writeText = (bytes: Buffer, from: number, to: number, out: Buffer, at: number): number => {
  let end = at
  out[end++] = byte.quote
  for (let each = from; each < to; each++) {
    const code = bytes[each] ?? 0
    if (isEscaped[code] === 0) out[end++] = code
    else end = append(escapes[code] ?? nullText, out, end)
  }
  out[end++] = byte.quote
  return end
}

const isSafe = (bytes: Buffer, from: number, to: number): boolean => {
  const first = bytes[from] === byte.minus ? from + 1 : from
  const more = to - first - largestSafe.length
  return more < 0 || (more === 0 && bytes.compare(largestSafe, 0, largestSafe.length, first, to) <= 0)
}

const isHeld = (bytes: Buffer, from: number, to: number): boolean => {
  let digits = 0
  for (let each = from; each < to && digits <= doubleDigits; each++) {
    const code = bytes[each] ?? 0
    if (code > byte.nine) return false
    if (code >= byte.zero && (digits > 0 || code > byte.zero)) digits++
  }
  if (digits > doubleDigits) return false
  return (
    to - from <= surelyNormal || digits === 0 || Math.abs(Number(bytes.toString("latin1", from, to))) >= smallestNormal
  )
}

/** Neither `NaN`, `Infinity` nor `-Infinity`. */
const isFinite = (bytes: Buffer, from: number): boolean =>
  (bytes[from] ?? 0) <= byte.nine && !(bytes[from] === byte.minus && (bytes[from + 1] ?? 0) > byte.nine)

/** An array's text (PostgreSQL's manual, "Array Input and Output Syntax"), of any depth. */
const writeArray = (kind: number, bytes: Buffer, from: number, to: number, out: Buffer, at: number): number => {
  let end = at
  let each = from
  while (each < to) {
    const code = bytes[each]
    if (code === byte.openBrace || code === byte.closeBrace || code === byte.comma) {
      out[end++] = code === byte.comma ? code : code === byte.openBrace ? byte.openBracket : byte.closeBracket
      each++
    } else if (code === byte.quote) {
      const close = closingQuote(bytes, each + 1)
      const element = unescaped(bytes.subarray(each + 1, close))
      end = write(kind, Kind.text, element, 0, element.length, out, end)
      each = close + 1
    } else {
      let stop = each + 1
      while (bytes[stop] !== byte.comma && bytes[stop] !== byte.closeBrace && stop < to) stop++
      const isNull = stop - each === arrayNull.length && bytes.compare(arrayNull, 0, arrayNull.length, each, stop) === 0
      end = isNull ? writeNull(out, end) : write(kind, Kind.text, bytes, each, stop, out, end)
      each = stop
    }
  }
  return end
}

const closingQuote = (bytes: Buffer, from: number): number => {
  let at = from
  while (at < bytes.length && bytes[at] !== byte.quote) at += bytes[at] === byte.backslash ? 2 : 1
  return at
}

/** Without the backslashes before quotes and backslashes. */
const unescaped = (bytes: Buffer): Buffer => {
  let backslash = bytes.indexOf(byte.backslash)
  if (backslash < 0) return bytes
  const parts: Array<Buffer> = []
  let from = 0
  for (; backslash >= 0; backslash = bytes.indexOf(byte.backslash, from + 1)) {
    parts.push(bytes.subarray(from, backslash))
    from = backslash + 1
  }
  return Buffer.concat([...parts, bytes.subarray(from)])
}
