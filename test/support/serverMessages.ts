/**
 * Messages as the server sends them (PostgreSQL's manual, "Message Formats"), for tests of what reads them.
 */

export const frame = (type: string, ...parts: ReadonlyArray<Buffer>): Buffer => {
  const body = Buffer.concat(parts)
  const head = Buffer.from(`${type}....`)
  head.writeInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

const int16 = (value: number): Buffer => Buffer.from([value >> 8, value])

export const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

export const cString = (text: string): Buffer => Buffer.from(`${text}\0`)

/** Columns by name, OID of the type and, unless it is -1, its modifier. */
export const rowDescription = (
  columns: ReadonlyArray<readonly [name: string, oid: number, modifier?: number]>
): Buffer =>
  frame(
    "T",
    int16(columns.length),
    ...columns.flatMap(([name, oid, modifier = -1]) => [
      cString(name),
      int32(16_384),
      int16(1),
      int32(oid),
      int16(4),
      int32(modifier),
      int16(0)
    ])
  )

export const dataRow = (values: ReadonlyArray<Buffer | null>): Buffer =>
  frame(
    "D",
    int16(values.length),
    ...values.flatMap((value) => (value === null ? [int32(-1)] : [int32(value.length), value]))
  )

export const notice = (severity: string, text: string): Buffer =>
  frame("N", cString(`S${severity}`), cString(`V${severity}`), cString("C00000"), cString(`M${text}`), Buffer.from([0]))

export const complete = (tag: string): Buffer => frame("C", cString(tag))

export const ready: Buffer = frame("Z", Buffer.from("I"))
