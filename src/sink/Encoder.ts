/**
 * From rows as the server sends them to the bytes of a file: the contract of a format.
 *
 * - An encoder is fed whole DataRow messages, as they stand in what came from the socket, with their values in the text
 *   format. No string is made of a value on the way to it: that alone costs 60 to 100 ns, and five million rows of
 *   eight columns are forty million values.
 * - Several sessions, such as the parts of one query, may feed one encoder: each `add` is one synchronous step of whole
 *   rows.
 * - What `add` or `end` throws ends the copy: a `SinkError` is its failure, anything else a defect.
 *
 * @since 0.1.0
 */
import type { Effect } from "effect"
import type { Column } from "../query/RowReceiver.ts"
import type { SinkError } from "./SinkError.ts"

export type { Column } from "../query/RowReceiver.ts"

/**
 * Makes the bytes of one file.
 *
 * @since 0.1.0
 */
export interface Encoder {
  /**
   * Takes whole DataRow messages, one behind the other, `bytes[from, to)`, and gives how many rows these are. It must
   * not keep `bytes`, which are the socket's. See `DataRows.ts` for how they are read.
   */
  readonly add: (bytes: Buffer, from: number, to: number) => number
  /** What is ready to be written, if enough has come together (about 256 KiB); the caller's from then on. */
  readonly take: () => ReadonlyArray<Uint8Array>
  /** The rest, once no rows come any more. */
  readonly end: () => ReadonlyArray<Uint8Array>
}

/**
 * How rows are written.
 *
 * @since 0.1.0
 */
export interface Format {
  readonly name: "csv" | "ndjson" | "json" | "parquet"
  /** What a file's name ends in, without the dot. */
  readonly extension: string
  /** Begins a file. */
  readonly encoder: (columns: ReadonlyArray<Column>) => Effect.Effect<Encoder, SinkError>
}
