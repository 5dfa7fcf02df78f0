/** What computes in the suite of background work: the same function for all, in whatever thread. */

/** An integer that follows from both; some 2.5 ns for each step. */
export const crunch = (seed: number, steps: number): number => {
  let value = seed
  for (let step = 0; step < steps; step++) value = (Math.imul(value ^ (value >>> 15), 2246822507) + step) | 0
  return value
}

/** Changes bytes, in place, a thousand of them at most, and gives them back. */
export const stamp = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
  for (let index = 0; index < bytes.length; index += 1024) bytes[index] = crunch(index, 1)
  return bytes
}
