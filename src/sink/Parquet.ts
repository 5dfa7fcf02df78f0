/**
 * Parquet: columns of typed values, compressed, for programs that compute with them (DuckDB, pandas, Spark, ClickHouse).
 *
 * - A column's type is that of the database as far as Parquet has one, and text otherwise: docs/files.md has the table.
 *   It is fixed before the first row, since a column has one type in all of a file. What it cannot hold, such as
 *   `infinity` in a timestamp or `NaN` in a decimal, is an error that names the column; or NULL, if asked for.
 * - Every column may be NULL: the server does not say which of a result's are not.
 * - Memory is bounded by one row group, whose values are held until it is written: 20,480 rows, or 16 MiB of text where
 *   these come first.
 *
 * Written by `hyparquet-writer`, which is loaded with the first file (decision 11).
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import type * as Hyparquet from "hyparquet-writer"
import { constants, zstdCompressSync } from "node:zlib"
import { int32, lengthBytes, nullLength, rowEnd, valuesOffset } from "./DataRows.ts"
import type { Column, Encoder, Format } from "./Encoder.ts"
import type { ParquetType, Value } from "./ParquetType.ts"
import { longestText, typeOf } from "./ParquetType.ts"
import { NotEncodable, PackageMissing, SinkError } from "./SinkError.ts"

/**
 * How Parquet is written.
 *
 * @since 0.1.0
 */
export interface ParquetOptions {
  /**
   * How pages are compressed. Default: `"snappy"`, which every reader knows; `"zstd"` is smaller, for readers from 2019
   * on.
   */
  readonly compression?: "snappy" | "zstd" | "none" | undefined
  /**
   * The most rows of a row group, by which readers skip and share work. Default: 20,480. More are better for readers of
   * large files, take more memory, and stop the process for longer: 4 µs a row of eight columns, 80 ms by default.
   */
  readonly rowGroupRows?: number | undefined
  /** Whether a value that the column's type cannot hold is a failure, or is left out. Default: `"fail"`. */
  readonly unheld?: "fail" | "null" | undefined
}

/** A row group ends at so much text, whatever its rows. */
const rowGroupBytes = 16 * 1024 * 1024

const codecs = { snappy: "SNAPPY", zstd: "ZSTD", none: "UNCOMPRESSED" } as const

/** The fastest level: the next ones save a few percent. */
const zstd = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })

type Checked = { readonly [Name in keyof ParquetOptions]-?: Exclude<ParquetOptions[Name], undefined> }

const check = (options: ParquetOptions): Checked => {
  const { compression = "snappy", rowGroupRows = 20_480, unheld = "fail" } = options
  if (!Object.hasOwn(codecs, compression)) {
    throw new RangeError(
      `Expected \`compression\` to be "snappy", "zstd" or "none", got ${JSON.stringify(compression)}`
    )
  }
  if (!Number.isSafeInteger(rowGroupRows) || rowGroupRows < 1) {
    throw new RangeError(`Expected \`rowGroupRows\` to be an integer from 1, got ${String(rowGroupRows)}`)
  }
  if (unheld !== "fail" && unheld !== "null") {
    throw new RangeError(`Expected \`unheld\` to be "fail" or "null", got ${JSON.stringify(unheld)}`)
  }
  return { compression, rowGroupRows, unheld }
}

const load = Effect.tryPromise({
  try: () => import("hyparquet-writer"),
  catch: () => new SinkError({ reason: new PackageMissing({ format: "parquet", package: "hyparquet-writer" }) })
})

/**
 * Files of Parquet.
 *
 * @throws RangeError where an option is none
 * @since 0.1.0
 */
export const make = (options: ParquetOptions = {}): Format => {
  const checked = check(options)
  return {
    name: "parquet",
    extension: "parquet",
    encoder: (columns) =>
      columns.length === 0
        ? Effect.fail(notEncodable("Parquet has no rows without columns: select something"))
        : Effect.map(load, (hyparquet) => new ParquetEncoder(hyparquet, columns, checked))
  }
}

const notEncodable = (message: string): SinkError => new SinkError({ reason: new NotEncodable({ message }) })

interface ColumnValues {
  readonly name: string
  readonly type: ParquetType
  values: Array<Value | null>
}

class ParquetEncoder implements Encoder {
  private readonly columns: ReadonlyArray<ColumnValues>
  private readonly options: Checked
  private readonly bytes: Hyparquet.ByteWriter
  private readonly writer: Hyparquet.ParquetWriter
  /** Of the row group under way. */
  private rows = 0
  private size = 0
  private ready: Array<Uint8Array> = []

  constructor(hyparquet: typeof Hyparquet, columns: ReadonlyArray<Column>, options: Checked) {
    this.columns = columns.map((column) => ({ name: column.name, type: typeOf(column), values: [] }))
    this.options = options
    this.bytes = new hyparquet.ByteWriter()
    this.writer = new hyparquet.ParquetWriter({
      writer: this.bytes,
      schema: this.schema(({ element }) => element),
      codec: codecs[options.compression],
      compressors: { ZSTD: zstd }
    })
  }

  add(bytes: Buffer, from: number, to: number): number {
    const { columns, options } = this
    let rows = 0
    for (let at = from; at < to; at = rowEnd(bytes, at)) {
      let value = at + valuesOffset
      for (const column of columns) {
        const length = int32(bytes, value)
        value += lengthBytes
        if (length === nullLength) {
          column.values.push(null)
        } else {
          const read = column.type.read(bytes, value, value + length)
          column.values.push(read === undefined ? this.unheld(column, bytes, value, value + length) : read)
          value += length
        }
      }
      rows++
      this.rows++
      this.size += value - at
      if (this.rows >= options.rowGroupRows || this.size >= rowGroupBytes) this.endRowGroup()
    }
    return rows
  }

  take(): ReadonlyArray<Uint8Array> {
    const { ready } = this
    this.ready = []
    return ready
  }

  end(): ReadonlyArray<Uint8Array> {
    if (this.rows > 0) this.endRowGroup()
    this.writer.schema = this.schema(({ element, footer }) => ({ ...element, ...footer }))
    this.writer.finish()
    this.flush()
    return this.take()
  }

  private schema(
    elementOf: (type: ParquetType) => Omit<Hyparquet.SchemaElement, "name">
  ): Array<Hyparquet.SchemaElement> {
    return [
      { name: "schema", num_children: this.columns.length },
      ...this.columns.map(({ name, type }) => ({ ...elementOf(type), name, repetition_type: "OPTIONAL" as const }))
    ]
  }

  private endRowGroup(): void {
    this.writer.write({
      columnData: this.columns.map(({ name, type, values }) => ({
        name,
        data: values,
        // Bounds of a document are of no use to a reader, and as long as the document.
        statistics: type.footer === undefined
      })),
      rowGroupSize: this.rows
    })
    for (const column of this.columns) column.values = []
    this.rows = 0
    this.size = 0
    this.flush()
  }

  private flush(): void {
    this.ready.push(this.bytes.getBytes().slice())
    this.bytes.index = 0
  }

  /** What stands for a value that the column's type does not hold. */
  private unheld({ name, type }: ColumnValues, bytes: Buffer, from: number, to: number): null {
    const column = JSON.stringify(name)
    const what = oddityOf(bytes, from, to)
    if (what === undefined) {
      // Other texts of dates and bytes come from a session's own settings, and would all be left out.
      throw notEncodable(
        `a ${type.name} in column ${column} is not as with DateStyle ISO and bytea_output hex: leave these settings alone`
      )
    }
    if (this.options.unheld === "null") return null
    throw notEncodable(`column ${column} has ${what.has}, which a Parquet ${type.name} cannot hold: ${what.advice}`)
  }
}

const castOrDrop = "cast it to text in the query, or make it NULL there"

/** What there is about a value that only some are, and what can be done about it. */
const oddityOf = (
  bytes: Buffer,
  from: number,
  to: number
): { readonly has: string; readonly advice: string } | undefined => {
  if (to - from > longestText) {
    const has = `a text of ${to - from} bytes`
    return { has, advice: `${longestText} are the most, so cut it in the query, or write CSV or JSON` }
  }
  const text = bytes.toString("latin1", from, Math.min(to, from + longestOdd))
  if (/^-?(?:infinity|nan)$/i.test(text)) return { has: text, advice: castOrDrop }
  return /^\d{6}-/.test(text) ? { has: "a year after 294246", advice: castOrDrop } : undefined
}

/** None of the words is longer. */
const longestOdd = 16
