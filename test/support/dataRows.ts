/**
 * DataRow messages as the server sends them, for tests of what reads them.
 */
import { dataRow } from "./serverMessages.ts"

/** The bytes of rows of text values, one behind the other; `null` is NULL. */
export const dataRows = (rows: ReadonlyArray<ReadonlyArray<string | Uint8Array | null>>): Buffer =>
  Buffer.concat(rows.map((row) => dataRow(row.map((value) => (value === null ? null : Buffer.from(value))))))
