/**
 * Which type of Parquet a column of PostgreSQL has, fixed for the whole file before its first value is seen, and how its
 * values are read from the server's text.
 *
 * Sources: parquet-format, LogicalTypes.md; PostgreSQL's manual, "Data Types". The table for users is in docs/files.md.
 *
 * @internal
 */
import type { SchemaElement } from "hyparquet-writer"
import { TypeOid } from "../internal/TypeOid.ts"
import type { Column } from "./Encoder.ts"
import * as PgText from "./PgText.ts"

/**
 * A value as the writer takes it.
 *
 * @internal
 */
export type Value = boolean | number | bigint | string | Uint8Array

/** @internal */
export interface ParquetType {
  readonly element: Omit<SchemaElement, "name">
  /**
   * What the file says beside it. While values are written the writer must not know that they are JSON: it would make
   * JSON of the text once more.
   */
  readonly footer?: Partial<SchemaElement>
  /** What it is called where a value does not fit. */
  readonly name: string
  /** Reads `bytes[from, to)`; `undefined` where the type does not hold what is there. */
  readonly read: (bytes: Buffer, from: number, to: number) => Value | undefined
}

const bigint = (value: number | bigint | undefined): bigint | undefined =>
  value === undefined ? undefined : BigInt(value)

/**
 * Bytes of the longest text: the writer takes strings, and V8 has none longer than half a gigabyte
 * (`buffer.constants.MAX_STRING_LENGTH`).
 *
 * @internal
 */
export const longestText = 2 ** 29 - 24

const readString: ParquetType["read"] = (bytes, from, to) =>
  to - from > longestText ? undefined : bytes.toString("utf8", from, to)

const text: ParquetType = {
  element: { type: "BYTE_ARRAY", converted_type: "UTF8", logical_type: { type: "STRING" } },
  name: "text",
  read: readString
}
const json: ParquetType = {
  element: { type: "BYTE_ARRAY", logical_type: { type: "JSON" } },
  footer: { converted_type: "JSON" },
  name: "json",
  read: readString
}
/** Without a `logical_type`: of integers the writer puts it down in a way that DuckDB refuses. */
const int8: ParquetType = {
  element: { type: "INT64", converted_type: "INT_64" },
  name: "integer",
  read: (bytes, from, to) => bigint(PgText.unscaled(bytes, from, to))
}
const int = (bitWidth: 16 | 32): ParquetType => ({
  element: { type: "INT32", converted_type: `INT_${bitWidth}` },
  name: "integer",
  read: PgText.unscaled
})
/** An int64 holds the microseconds of years up to 294246. */
const timestamp = (isAdjustedToUTC: boolean): ParquetType => ({
  element: {
    type: "INT64",
    converted_type: "TIMESTAMP_MICROS",
    logical_type: { type: "TIMESTAMP", isAdjustedToUTC, unit: "MICROS" }
  },
  name: "timestamp",
  read: (bytes, from, to) => {
    const micros = bigint(PgText.timestamp(bytes, from, to))
    return micros === undefined || BigInt.asIntN(64, micros) !== micros ? undefined : micros
  }
})

const types = new Map<number, ParquetType>([
  [TypeOid.bool, { element: { type: "BOOLEAN" }, name: "boolean", read: (bytes, from) => bytes[from] === 0x74 }],
  [TypeOid.int2, int(16)],
  [TypeOid.int4, int(32)],
  [TypeOid.int8, int8],
  // Unsigned: the signed type that holds them all, which every reader knows.
  [TypeOid.oid, int8],
  [TypeOid.float4, { element: { type: "FLOAT" }, name: "float", read: PgText.float }],
  [TypeOid.float8, { element: { type: "DOUBLE" }, name: "double", read: PgText.float }],
  [
    TypeOid.date,
    {
      element: { type: "INT32", converted_type: "DATE", logical_type: { type: "DATE" } },
      name: "date",
      read: PgText.date
    }
  ],
  [
    TypeOid.time,
    {
      element: {
        type: "INT64",
        converted_type: "TIME_MICROS",
        logical_type: { type: "TIME", isAdjustedToUTC: false, unit: "MICROS" }
      },
      name: "time",
      read: (bytes, from, to) => bigint(PgText.time(bytes, from, to))
    }
  ],
  [TypeOid.timestamp, timestamp(false)],
  [TypeOid.timestamptz, timestamp(true)],
  [
    TypeOid.uuid,
    {
      element: { type: "FIXED_LEN_BYTE_ARRAY", type_length: 16, logical_type: { type: "UUID" } },
      name: "uuid",
      read: readString
    }
  ],
  [TypeOid.bytea, { element: { type: "BYTE_ARRAY" }, name: "bytea", read: PgText.hex }],
  [TypeOid.json, json],
  [TypeOid.jsonb, json]
])

/** @internal */
export const typeOf = ({ typeModifier, typeOid }: Column): ParquetType =>
  typeOid === TypeOid.numeric ? numeric(typeModifier) : (types.get(typeOid) ?? text)

/** More digits than these an int32, an int64 and 16 bytes do not hold; other systems stop at 38 as well. */
const digits = { int32: 9, int64: 18, fixed: 38 } as const

/**
 * By what `numeric(precision, scale)` says. Without it, and with more than 38 digits, any number of digits may stand
 * before and behind the point, which only text holds.
 */
const numeric = (typeModifier: number): ParquetType => {
  if (typeModifier < 4) return text
  // As numeric.c packs it: 16 bits of precision, and 11 of scale with its sign, 4 added to both.
  const packed = typeModifier - 4
  const declared = ((packed & 0x7ff) ^ 1024) - 1024
  // numeric(3, -2) is 12300, and numeric(2, 4) is 0.0012.
  const scale = Math.max(0, declared)
  const precision = Math.max(((packed >> 16) & 0xffff) + scale - declared, scale)
  if (precision > digits.fixed) return text
  return {
    element: {
      ...(precision <= digits.int32
        ? { type: "INT32" }
        : precision <= digits.int64
          ? { type: "INT64" }
          : { type: "FIXED_LEN_BYTE_ARRAY", type_length: 16 }),
      converted_type: "DECIMAL",
      logical_type: { type: "DECIMAL", precision, scale },
      precision,
      scale
    },
    name: "decimal",
    read: (bytes, from, to) => bigint(PgText.decimal(bytes, from, to, scale))
  }
}
