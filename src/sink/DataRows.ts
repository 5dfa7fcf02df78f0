/**
 * Reading DataRow messages (PostgreSQL's manual, "Message Formats") where they stand, without a copy:
 *
 *     'D'  int32 length   int16 columns   per value: int32 length, bytes   (length -1: NULL, no bytes)
 *     at   at + 1         at + 5          at + 7
 *
 * A length counts itself and what follows, but not the type. The loop over rows and values is each format's own: a
 * function called for each value would cost as much as what it does.
 *
 *     for (let at = from; at < to; at = rowEnd(bytes, at)) {
 *       let value = at + valuesOffset
 *       for (let column = 0; column < columns.length; column++) {
 *         const length = int32(bytes, value)
 *         value += lengthBytes
 *         if (length !== nullLength) {
 *           // bytes[value, value + length)
 *           value += length
 *         }
 *       }
 *     }
 *
 * @internal
 */

import { int32 } from "../internal/int32.ts"

export { int32 } from "../internal/int32.ts"

/** Where the first value's length stands, from the message's beginning. @internal */
export const valuesOffset = 7

/** The bytes of a value's length. @internal */
export const lengthBytes = 4

/** The length that says NULL. @internal */
export const nullLength = -1

/**
 * Where the row that begins at `at` ends.
 *
 * @internal
 */
export const rowEnd = (bytes: Uint8Array, at: number): number => at + 1 + int32(bytes, at + 1)
