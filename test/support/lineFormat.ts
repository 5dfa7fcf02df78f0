/**
 * A format for tests: a row is a line, an array in JSON; it is ready in pieces of some bytes.
 */
import { Effect } from "effect"
import type { Encoder, Format } from "../../src/sink/Encoder.ts"
import { valuesOf } from "./dataRows.ts"

class LineEncoder implements Encoder {
  private text: string
  private readonly pieceBytes: number
  private readonly onAdd: ((rows: number) => void) | undefined

  constructor(head: string, pieceBytes: number, onAdd: ((rows: number) => void) | undefined) {
    this.text = head
    this.pieceBytes = pieceBytes
    this.onAdd = onAdd
  }

  add(bytes: Buffer, from: number, to: number): number {
    const rows = valuesOf(bytes.subarray(from, to))
    this.text += rows.map((row) => `${JSON.stringify(row)}\n`).join("")
    this.onAdd?.(rows.length)
    return rows.length
  }

  take(): ReadonlyArray<Uint8Array> {
    return this.text.length < this.pieceBytes ? [] : this.end()
  }

  end(): ReadonlyArray<Uint8Array> {
    const { text } = this
    this.text = ""
    return text === "" ? [] : [Buffer.from(text)]
  }
}

/** `onAdd` sees each number of rows and may throw. */
export const lineFormat = (
  options: { readonly pieceBytes?: number; readonly onAdd?: (rows: number) => void } = {}
): Format => ({
  name: "ndjson",
  extension: "ndjson",
  encoder: (columns) =>
    Effect.sync(
      () =>
        new LineEncoder(
          `${JSON.stringify(columns.map(({ name }) => name))}\n`,
          options.pieceBytes ?? 65_536,
          options.onAdd
        )
    )
})
