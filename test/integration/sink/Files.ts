/**
 * Files of a format, made of what the server sends.
 */
import { Effect } from "effect"
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Format } from "../../../src/sink/Encoder.ts"
import type { ServerRows } from "../../support/serverRows.ts"

/**
 * What the encoder makes of the rows, in steps of so many bytes or more: rows are whole in each.
 */
export const encode = (format: Format, { bytes, columns }: ServerRows, stepBytes = 1) =>
  Effect.gen(function* () {
    const encoder = yield* format.encoder(columns)
    const parts: Array<Uint8Array> = []
    let rows = 0
    for (let from = 0; from < bytes.length;) {
      let to = from
      while (to < bytes.length && to - from < stepBytes) to += 1 + bytes.readInt32BE(to + 1)
      // What stands around the rows in the socket's buffer, which is written over as soon as `add` is done.
      const buffer = Buffer.concat([Buffer.alloc(3, 0x44), bytes.subarray(from, to), Buffer.alloc(3, 0x44)])
      rows += encoder.add(buffer, 3, buffer.length - 3)
      buffer.fill(0xff)
      parts.push(...encoder.take())
      from = to
    }
    parts.push(...encoder.end())
    return { file: Buffer.concat(parts), rows, parts: parts.length }
  })

/** A file that the server can read, for as long as the scope is open. */
export const write = (name: string, contents: Uint8Array) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const folder = mkdtempSync(join(tmpdir(), "querypool-sink-"))
        chmodSync(folder, 0o755)
        const path = join(folder, name)
        writeFileSync(path, contents)
        return { folder, path }
      }),
      ({ folder }) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ),
    ({ path }) => path
  )
