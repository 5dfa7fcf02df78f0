/**
 * A big-endian int32 in bytes that are known to be there. `readInt32BE` checks its argument each time, which is as much
 * work as the rest of a loop over short values.
 *
 * @internal
 */
export const int32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
