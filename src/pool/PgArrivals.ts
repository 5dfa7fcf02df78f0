/**
 * Counts rows as they come off the wire. The driver gives the rows of a statement all together at its end, and until
 * then nothing tells one that receives a million rows from one that receives none.
 *
 * It looks at the head of each message (type and length: PostgreSQL's manual, "Message Formats") and at nothing else,
 * after decryption and before the driver. It looks only while statements are under way, so that it begins between two
 * messages.
 *
 * @internal
 */
import type { ServerConnection } from "./ServerConnection.ts"

const dataRow = 0x44
/** A message's type, and its length, which counts itself and not the type. */
const headBytes = 5
const leastLength = 4

/** @internal */
export class PgArrivals {
  /** Rows that have arrived and that the driver has not given. */
  rows = 0
  private readonly connection: Pick<ServerConnection, "onBytes">
  private end: (() => void) | undefined
  /** Bytes that the current message still has. */
  private rest = 0
  /** The start of a head that is not complete yet. */
  private held: Buffer | undefined

  constructor(connection: Pick<ServerConnection, "onBytes">) {
    this.connection = connection
  }

  /** A statement is sent. */
  begin(): void {
    this.end ??= this.connection.onBytes(this.look)
  }

  /** A statement has ended, and was the last under way or not; the driver has given its rows, all or none. */
  given(rows: number, last: boolean): void {
    this.rows -= rows
    if (!last) return
    this.end?.()
    this.end = undefined
    this.rows = 0
    this.rest = 0
    this.held = undefined
  }

  private readonly look = (chunk: Buffer): void => {
    const bytes = this.held === undefined ? chunk : Buffer.concat([this.held, chunk])
    this.held = undefined
    let at = this.rest
    while (at + headBytes <= bytes.length) {
      const length = bytes.readInt32BE(at + 1)
      // No message is that short. What is not understood is not counted, rather than looked at for ever.
      if (length < leastLength) at = Infinity
      else {
        if (bytes[at] === dataRow) this.rows++
        at += 1 + length
      }
    }
    if (at < bytes.length) this.held = bytes.subarray(at)
    this.rest = Math.max(0, at - bytes.length)
  }
}
