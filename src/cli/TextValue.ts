/**
 * Values as the server renders them: what they are in JSON, and how they stand in a table.
 *
 * @internal
 */
import { parse as parseArray } from "postgres-array"
import { elementOf, TypeOid as OID } from "../internal/TypeOid.ts"

declare global {
  interface JSON {
    /** ECMAScript, "JSON.parse source text access", which TypeScript's library does not have yet. */
    rawJSON(text: string): { readonly rawJSON: string }
  }
}

type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [key: string]: Json }

const integers = new Set<number>([OID.int2, OID.int4, OID.int8, OID.oid])
const decimals = new Set<number>([OID.numeric, OID.float4, OID.float8])

/**
 * Whether values of a type are numbers, which tables align to the right.
 *
 * @internal
 */
export const isNumeric = (typeOid: number): boolean => integers.has(typeOid) || decimals.has(typeOid)

/** Any decimal number of so many significant digits survives a double and back (IEEE 754; DBL_DIG). */
const doubleDigits = 15
/** A double has fewer digits below this (DBL_MIN). */
const smallestNormal = 2.2250738585072014e-308

const decimal = (text: string): Json => {
  const digits = text.replace(/[-+.]/g, "").replace(/^0+/, "")
  const value = Number(text)
  const isHeld = Math.abs(value) >= smallestNormal ? Number.isFinite(value) : digits === ""
  return isHeld && digits.length <= doubleDigits ? value : text
}

/** What the server holds as JSON is passed on digit by digit: its numbers know no bounds. */
const verbatim = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === "number" && context?.source !== undefined ? JSON.rawJSON(context.source) : value

const parseJson = (text: string): Json => {
  try {
    return JSON.parse(text, verbatim) as Json
  } catch {
    // Nested some two thousand levels deep it overflows the stack here, and not in the server.
    return text
  }
}

/**
 * A value in JSON. Numbers that a double cannot hold are strings, and so is every type that JSON does not have.
 *
 * @internal
 */
export const toJson = (text: string | null, typeOid: number): Json => {
  if (text === null) return null
  if (typeOid === OID.bool) return text === "t"
  if (integers.has(typeOid)) return Number.isSafeInteger(Number(text)) ? Number(text) : text
  if (typeOid === OID.numeric) return decimal(text)
  // The server renders the shortest text that gives the same double (extra_float_digits, from 12), so none is lost.
  if (typeOid === OID.float4 || typeOid === OID.float8) {
    if (text === "-0") return JSON.rawJSON(text)
    return Number.isFinite(Number(text)) ? Number(text) : text
  }
  if (typeOid === OID.json || typeOid === OID.jsonb) return parseJson(text)
  const element = elementOf.get(typeOid)
  // Bounds other than 1 (`[0:1]={1,2}`) have no place in JSON.
  return element === undefined || !text.startsWith("{") ? text : parseArray(text, (item) => toJson(item, element))
}

/**
 * A value in one line of a terminal: control characters, which would act on the terminal, become escapes.
 *
 * @internal
 */
export const toLine = (text: string): string =>
  text.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, (character) => {
    const known = escapes.get(character)
    return known ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  })

/**
 * Names in one line, of which so many at most are named and the others counted.
 *
 * @internal
 */
export const listed = (names: ReadonlyArray<string>, most = 10): string => {
  const others = names.length - most
  return names.slice(0, most).map(toLine).join(", ") + (others > 0 ? ` and ${others.toLocaleString("en")} more` : "")
}

const escapes = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"]
])
