/**
 * What the server sends for a query, byte by byte: its DataRow messages with values as text, and its columns.
 *
 * Read by another client (`pg`) from another socket, so that nothing of this package stands between the server and what
 * is tested.
 */
import { Effect, Redacted } from "effect"
import { Socket } from "node:net"
import { Client } from "pg"
import type { Column } from "../../src/sink/Encoder.ts"

export interface ServerRows {
  readonly columns: ReadonlyArray<Column>
  /** One behind the other. */
  readonly bytes: Buffer
  readonly rows: number
}

const message = { rowDescription: 0x54, dataRow: 0x44 } as const
const headerBytes = 5

/** A client that runs statements and keeps what came for the last one. */
export interface ServerReader {
  readonly read: (sql: string) => Promise<ServerRows>
}

export const reader = (url: Redacted.Redacted) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = new Socket()
      const client = new Client({
        connectionString: Redacted.value(url),
        stream: () => socket,
        application_name: "reader"
      })
      let received: Array<Buffer> = []
      await client.connect()
      // A copy, because the client joins messages in the chunk that they begin in.
      socket.on("data", (chunk: Buffer) => received.push(Buffer.from(chunk)))
      return {
        client,
        reader: {
          read: async (sql: string) => {
            received = []
            await client.query({ text: sql, rowMode: "array" })
            return partsOf(Buffer.concat(received))
          }
        } satisfies ServerReader
      }
    }),
    ({ client }) => Effect.promise(() => client.end())
  ).pipe(Effect.map(({ reader }) => reader))

const partsOf = (bytes: Buffer): ServerRows => {
  let columns: ReadonlyArray<Column> = []
  const rows: Array<Buffer> = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + bytes.readInt32BE(at + 1)
    if (bytes[at] === message.rowDescription) columns = columnsOf(bytes.subarray(at + headerBytes, end))
    if (bytes[at] === message.dataRow) rows.push(bytes.subarray(at, end))
    at = end
  }
  return { columns, bytes: Buffer.concat(rows), rows: rows.length }
}

/** PostgreSQL's manual, "Message Formats", RowDescription. */
const columnsOf = (body: Buffer): ReadonlyArray<Column> => {
  let at = 2
  return Array.from({ length: body.readInt16BE(0) }, () => {
    const nameEnd = body.indexOf(0, at)
    const name = body.toString("utf8", at, nameEnd)
    at = nameEnd + 1 + 18
    return { name, typeOid: body.readUInt32BE(nameEnd + 7), typeModifier: body.readInt32BE(nameEnd + 13) }
  })
}

/** The values of rows as text. */
export const valuesOf = ({ bytes, columns }: ServerRows): ReadonlyArray<ReadonlyArray<string | null>> => {
  const rows: Array<ReadonlyArray<string | null>> = []
  for (let at = 0; at < bytes.length;) {
    let value = at + headerBytes + 2
    rows.push(
      columns.map(() => {
        const length = bytes.readInt32BE(value)
        const from = value + 4
        value = from + Math.max(0, length)
        return length < 0 ? null : bytes.toString("utf8", from, value)
      })
    )
    at += 1 + bytes.readInt32BE(at + 1)
  }
  return rows
}
