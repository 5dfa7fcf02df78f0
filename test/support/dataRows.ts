/**
 * DataRow messages as the server sends them, for tests of what reads them.
 */

/** The bytes of rows of text values, one behind the other; `null` is NULL. */
export const dataRows = (rows: ReadonlyArray<ReadonlyArray<string | Uint8Array | null>>): Buffer =>
  Buffer.concat(
    rows.flatMap((row) => {
      const values = row.map((value) => (value === null ? null : Buffer.from(value)))
      const head = Buffer.alloc(7)
      head[0] = 0x44
      head.writeInt32BE(6 + values.reduce((size, value) => size + 4 + (value?.length ?? 0), 0), 1)
      head.writeInt16BE(values.length, 5)
      return [
        head,
        ...values.flatMap((value) => {
          const length = Buffer.alloc(4)
          length.writeInt32BE(value === null ? -1 : value.length)
          return value === null ? [length] : [length, value]
        })
      ]
    })
  )
