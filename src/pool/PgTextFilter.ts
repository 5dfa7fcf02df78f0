/**
 * Makes the server render every value, and shows what the driver drops on the way.
 *
 * The driver asks for binary values and decodes them: a timestamp loses its microseconds, a type it does not know
 * comes out as bytes, of two columns with one name only one is left, and NOTICEs are dropped. This filter asks for text
 * instead (the result formats of each Bind), tells the driver that the text is what it expects (each RowDescription
 * says `text`), keeps columns of one name apart (`a`, `a_2`), and reports columns, command tags and notices.
 *
 * Messages are those of PostgreSQL's manual, "Message Formats". Rows pass through untouched.
 *
 * @internal
 */
import { PgProtocol, PgTypes } from "@effect/sql-pg"
import type { Column } from "../query/RowReceiver.ts"
import type { Filter } from "./PgWire.ts"

/**
 * A connection, by the session it serves at the moment: what the server says is told to that session.
 *
 * @internal
 */
export interface Observed {
  session:
    | {
        onColumns(columns: ReadonlyArray<Column>): void
        onCommand(tag: string): void
        readonly onNotice?: ((severity: string, message: string) => void) | undefined
      }
    | undefined
}

const message = { bind: 0x42, rowDescription: 0x54, commandComplete: 0x43, notice: 0x4e } as const
const headerBytes = 5
const nothing: Buffer = Buffer.alloc(0)

/** @internal */
export const make = (observed: Observed): Filter => {
  const parser = PgProtocol.makeParser()
  /** The start of a message that is not complete yet. */
  let held: Buffer = nothing
  /** Bytes of the current message that pass through. */
  let passing = 0

  const incoming = (chunk: Buffer): Buffer => {
    if (held.length === 0 && passing >= chunk.length) {
      passing -= chunk.length
      return chunk
    }
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    held = nothing
    const parts: Array<Buffer> = []
    /** Where what has not been passed on yet begins. */
    let from = 0
    let at = passing
    while (at + headerBytes <= bytes.length) {
      const type = bytes[at]
      const end = at + 1 + bytes.readInt32BE(at + 1)
      if (type !== message.rowDescription && type !== message.commandComplete && type !== message.notice) {
        at = end
        continue
      }
      if (end > bytes.length) break
      const rewritten = observe(bytes.subarray(at, end))
      if (rewritten !== undefined) {
        parts.push(bytes.subarray(from, at), rewritten)
        from = end
      }
      at = end
    }
    passing = Math.max(0, at - bytes.length)
    if (at < bytes.length) held = bytes.subarray(at)
    const rest = bytes.subarray(from, Math.min(at, bytes.length))
    return parts.length === 0 ? rest : Buffer.concat([...parts, rest])
  }

  /** Reports a whole message; gives what to put in its place, if anything. */
  const observe = (frame: Buffer): Buffer | undefined => {
    let replacement: Buffer | undefined
    for (const parsed of parser.push(frame)) {
      if (parsed._tag === "NoticeResponse") {
        observed.session?.onNotice?.(parsed.fields.severityUnlocalized ?? "NOTICE", parsed.fields.message ?? "")
      } else if (parsed._tag === "CommandComplete") {
        observed.session?.onCommand(parsed.commandTag)
      } else if (parsed._tag === "RowDescription") {
        const columns = uniquelyNamed(parsed.fields)
        observed.session?.onColumns(columns)
        replacement = encodeTextDescription(columns)
      }
    }
    return replacement
  }

  /** The startup message has no type; it comes first, and in a write of its own. */
  let started = false
  const outgoing = (chunk: Buffer): Buffer => {
    if (!started) {
      started = true
      return chunk
    }
    askForText(chunk)
    return chunk
  }

  return { incoming, outgoing }
}

/**
 * Changes the result formats of each Bind in what is sent, whole messages, to text.
 *
 * @internal
 */
export const askForText = (chunk: Buffer): void => {
  for (let at = 0; at + headerBytes <= chunk.length; at += 1 + chunk.readInt32BE(at + 1)) {
    if (chunk[at] === message.bind) asText(chunk, at + headerBytes)
  }
}

/** Changes the result formats at the end of a Bind message to text. */
const asText = (bytes: Buffer, body: number): void => {
  let at = bytes.indexOf(0, body) + 1
  at = bytes.indexOf(0, at) + 1
  at += 2 + 2 * bytes.readInt16BE(at)
  const parameters = bytes.readInt16BE(at)
  at += 2
  for (let index = 0; index < parameters; index++) at += 4 + Math.max(0, bytes.readInt32BE(at))
  const formats = bytes.readInt16BE(at)
  bytes.fill(0, at + 2, at + 2 + 2 * formats)
}

/**
 * Columns with names of their own.
 *
 * @internal
 */
export const uniquelyNamed = (fields: ReadonlyArray<PgProtocol.FieldDescription>): ReadonlyArray<Column> => {
  const taken = new Set(fields.map((field) => field.name))
  const used = new Set<string>()
  return fields.map((field) => {
    let name = field.name
    for (let count = 2; used.has(name); count++) {
      const candidate = `${field.name}_${count}`
      // A later column may be called `a_2` by itself, and keeps its name.
      if (!taken.has(candidate)) name = candidate
    }
    used.add(name)
    return { name, typeOid: field.dataTypeOid, typeModifier: field.typeModifier }
  })
}

/**
 * A RowDescription whose columns all claim to be text in the binary format, which is the text itself. Of any other the
 * driver takes no text.
 *
 * @internal
 */
export const encodeTextDescription = (columns: ReadonlyArray<Column>): Buffer => {
  const names = columns.map((column) => Buffer.from(`${column.name}\0`))
  const fieldBytes = 18
  const size = 2 + names.reduce((total, name) => total + name.length + fieldBytes, 0)
  const frame = Buffer.alloc(1 + 4 + size)
  frame[0] = message.rowDescription
  frame.writeInt32BE(4 + size, 1)
  frame.writeInt16BE(columns.length, headerBytes)
  let at = headerBytes + 2
  for (const name of names) {
    at += name.copy(frame, at)
    // Table's OID and column's number are not looked at.
    at += 6
    at = frame.writeInt32BE(PgTypes.OID.text, at)
    at = frame.writeInt16BE(-1, at)
    at = frame.writeInt32BE(-1, at)
    at = frame.writeInt16BE(1, at)
  }
  return frame
}
