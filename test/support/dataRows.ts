/**
 * DataRow messages as the server sends them, for tests of what makes or reads them.
 */
import type { Column, Flow, RowReceiver } from "../../src/query/RowReceiver.ts"
import { dataRow } from "./serverMessages.ts"

type Row = ReadonlyArray<string | null>

/** The bytes of rows of text values, one behind the other; `null` is NULL. */
export const dataRows = (rows: ReadonlyArray<ReadonlyArray<string | Uint8Array | null>>): Buffer =>
  Buffer.concat(rows.map((row) => dataRow(row.map((value) => (value === null ? null : Buffer.from(value))))))

/** The values of rows, one behind the other. */
export const valuesOf = (bytes: Buffer): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
    const row: Array<string | null> = []
    let value = at + 7
    for (let column = bytes.readInt16BE(at + 5); column > 0; column--) {
      const length = bytes.readInt32BE(value)
      value += 4
      row.push(length < 0 ? null : bytes.toString("utf8", value, value + length))
      value += Math.max(length, 0)
    }
    rows.push(row)
  }
  return rows
}

/** Takes rows, as a copy of their bytes, and does with the flow what the test says. */
export class Collector implements RowReceiver {
  described: ReadonlyArray<Column> | undefined
  flow: Flow | undefined
  bytes = 0
  private readonly chunks: Array<Buffer> = []
  private readonly onRows: ((collector: Collector) => void) | undefined

  constructor(onRows?: (collector: Collector) => void) {
    this.onRows = onRows
  }

  columns(columns: ReadonlyArray<Column>, flow: Flow): void {
    this.described = columns
    this.flow = flow
  }

  rows(bytes: Buffer, from: number, to: number): void {
    this.bytes += to - from
    this.chunks.push(Buffer.from(bytes.subarray(from, to)))
    this.onRows?.(this)
  }

  get values(): ReadonlyArray<Row> {
    return valuesOf(Buffer.concat(this.chunks))
  }
}
