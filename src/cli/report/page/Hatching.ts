/**
 * Fillings that can be told apart without their colours: what is drawn on a ground, as paths in a square.
 *
 * @internal
 */

/** The side of the square. @internal */
export const hatchSize = 6

/** Lines rising, falling, across, upright or crossed, and dots. @internal */
export const hatches: Readonly<Record<string, string>> = {
  failed: "M-1 7L7 -1",
  retried: "M-1 -1L7 7",
  cancelled: "M0 3H6",
  cancelling: "M-1 7L7 -1M-1 -1L7 7",
  waiting: "M1 3h1.5",
  needing: "M3 0V6",
  retrying: "M0 3h4"
}
