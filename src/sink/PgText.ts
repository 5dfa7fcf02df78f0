/**
 * Numbers, dates and times as the server renders them, read from bytes: no string is made of them where a number is all
 * that is wanted.
 *
 * Dates and times are ISO, as they are with `DateStyle` ISO: `0044-03-15 12:00:00.5+00:53:28 BC`. What is written
 * otherwise, and what is not a number at all, is `undefined`.
 *
 * Sources: PostgreSQL's manual, "Date/Time Types"; H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 *
 * @internal
 */

const code = {
  space: 0x20,
  plus: 0x2b,
  minus: 0x2d,
  dot: 0x2e,
  zero: 0x30,
  colon: 0x3a,
  c: 0x43,
  backslash: 0x5c,
  x: 0x78
} as const

/** Any integer of so many digits is a double. */
const safeDigits = 15

/** The digit's value; more than 9 for what is no digit. */
const digit = (bytes: Buffer, at: number): number => ((bytes[at] ?? 0) - code.zero) >>> 0

/**
 * The digits as one integer, whatever the point among them.
 *
 * @internal
 */
export const unscaled = (bytes: Buffer, from: number, to: number): number | bigint | undefined => {
  const isNegative = bytes[from] === code.minus
  let value = 0
  let count = 0
  for (let at = isNegative ? from + 1 : from; at < to; at++) {
    const each = digit(bytes, at)
    if (each > 9) {
      if (bytes[at] === code.dot) continue
      return undefined
    }
    value = value * 10 + each
    if (value > 0) count++
  }
  if (count > safeDigits) return BigInt(bytes.toString("latin1", from, to).replace(".", ""))
  return isNegative ? -value : value
}

/** How many digits stand behind the point. */
const scaleOf = (bytes: Buffer, from: number, to: number): number => {
  for (let at = to - 1; at >= from; at--) if (bytes[at] === code.dot) return to - 1 - at
  return 0
}

/**
 * A decimal without its point, of which so many digits stand behind it, as the server renders those of a type that says
 * so.
 *
 * @internal
 */
export const decimal = (bytes: Buffer, from: number, to: number, scale: number): number | bigint | undefined =>
  scaleOf(bytes, from, to) === scale ? unscaled(bytes, from, to) : undefined

/** Any product or quotient of a double without a fraction and a power of ten up to here is the nearest double. */
const exactPowers = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent)

/**
 * A double. `NaN` is one too.
 *
 * @internal
 */
export const float = (bytes: Buffer, from: number, to: number): number => {
  if (to - from <= safeDigits + 2) {
    const digits = unscaled(bytes, from, to)
    const power = exactPowers[scaleOf(bytes, from, to)]
    if (typeof digits === "number" && power !== undefined) return digits / power
  }
  return Number(bytes.toString("latin1", from, to))
}

/** Days from 1970-01-01 to a date of the Gregorian calendar, which PostgreSQL uses for all times. */
const daysOf = (year: number, month: number, day: number): number => {
  // Years begin in March, so that a leap day is the last of its year.
  const shifted = month <= 2 ? year - 1 : year
  const era = Math.floor(shifted / 400)
  const yearOfEra = shifted - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

const microsPerSecond = 1_000_000
const microsPerDay = 86_400 * microsPerSecond
const secondsPer = [3600, 60, 1] as const

/** `HH:MM:SS` and what there is of it, in seconds; undefined where there is something else. */
const secondsAt = (bytes: Buffer, from: number, to: number): number | undefined => {
  let seconds = 0
  for (let part = 0, at = from; at < to; part++, at += 3) {
    const tens = digit(bytes, at)
    const ones = digit(bytes, at + 1)
    if (tens > 9 || ones > 9 || (at + 2 < to && bytes[at + 2] !== code.colon)) return undefined
    seconds += (tens * 10 + ones) * (secondsPer[part] ?? 0)
  }
  return seconds
}

const clockBytes = 8

/** `HH:MM:SS[.ffffff][±HH[:MM[:SS]]]` in microseconds since midnight in UTC. */
const microsAt = (bytes: Buffer, from: number, to: number): number | undefined => {
  const seconds = secondsAt(bytes, from, from + clockBytes)
  if (seconds === undefined) return undefined
  let at = from + clockBytes
  let micros = 0
  if (bytes[at] === code.dot) {
    at++
    for (let unit = microsPerSecond / 10; digit(bytes, at) <= 9 && at < to; unit /= 10)
      micros += digit(bytes, at++) * unit
  }
  let offset: number | undefined = 0
  if (at < to) {
    const sign = bytes[at] === code.plus ? 1 : bytes[at] === code.minus ? -1 : undefined
    offset = secondsAt(bytes, at + 1, to)
    if (sign === undefined || offset === undefined) return undefined
    offset *= sign
  }
  return (seconds - offset) * microsPerSecond + micros
}

/** ` BC` */
const eraBytes = 3

const isBeforeChrist = (bytes: Buffer, to: number): boolean => bytes[to - 1] === code.c

/** Where the year ends: a year has four digits or more. */
const yearEnd = (bytes: Buffer, from: number): number => {
  let at = from
  while (digit(bytes, at) <= 9) at++
  return at
}

/** `YYYY-MM-DD`, of which the year ends at `dash`, in days since 1970-01-01. */
const daysAt = (bytes: Buffer, from: number, dash: number, isBC: boolean): number | undefined => {
  if (dash - from < 4 || bytes[dash] !== code.minus || bytes[dash + 3] !== code.minus) return undefined
  let year = 0
  for (let at = from; at < dash; at++) year = year * 10 + digit(bytes, at)
  const month = digit(bytes, dash + 1) * 10 + digit(bytes, dash + 2)
  const day = digit(bytes, dash + 4) * 10 + digit(bytes, dash + 5)
  // The year before 1 is 1 BC.
  return month > 12 || day > 31 ? undefined : daysOf(isBC ? 1 - year : year, month, day)
}

const monthAndDayBytes = 6

/**
 * A date in days since 1970-01-01.
 *
 * @internal
 */
export const date = (bytes: Buffer, from: number, to: number): number | undefined => {
  const isBC = isBeforeChrist(bytes, to)
  const dash = yearEnd(bytes, from)
  if (dash + monthAndDayBytes !== (isBC ? to - eraBytes : to)) return undefined
  return daysAt(bytes, from, dash, isBC)
}

/**
 * A time of day in microseconds since midnight; `24:00:00` is a whole day.
 *
 * @internal
 */
export const time = (bytes: Buffer, from: number, to: number): number | undefined => microsAt(bytes, from, to)

/**
 * A timestamp with or without time zone, in microseconds since 1970-01-01 00:00:00, in UTC where it has a time zone.
 *
 * @internal
 */
export const timestamp = (bytes: Buffer, from: number, to: number): number | bigint | undefined => {
  const isBC = isBeforeChrist(bytes, to)
  const dash = yearEnd(bytes, from)
  const clock = dash + monthAndDayBytes
  if (bytes[clock] !== code.space) return undefined
  const days = daysAt(bytes, from, dash, isBC)
  const micros = microsAt(bytes, clock + 1, isBC ? to - eraBytes : to)
  if (days === undefined || micros === undefined) return undefined
  const total = days * microsPerDay + micros
  return Number.isSafeInteger(total) ? total : BigInt(days) * BigInt(microsPerDay) + BigInt(micros)
}

/** Long enough to cost nothing beside the decoding, and of even length. V8 has no strings of more than half a gigabyte. */
const hexPiece = 16 * 1024 * 1024

/**
 * The bytes of a bytea: `\\x` and two digits for each (PostgreSQL's manual, "bytea Hex Format").
 *
 * @internal
 */
export const hex = (bytes: Buffer, from: number, to: number): Buffer | undefined => {
  if (bytes[from] !== code.backslash || bytes[from + 1] !== code.x) return undefined
  const digits = from + 2
  if (to - digits <= hexPiece) return Buffer.from(bytes.toString("latin1", digits, to), "hex")
  const decoded = Buffer.allocUnsafeSlow((to - digits) / 2)
  for (let at = digits; at < to; at += hexPiece) {
    decoded.write(bytes.toString("latin1", at, Math.min(to, at + hexPiece)), (at - digits) / 2, "hex")
  }
  return decoded
}
