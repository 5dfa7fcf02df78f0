/**
 * Counts and times as people read them, and times as programs do.
 *
 * @internal
 */

/** @internal */
export const plural = (count: number, thing: string): string =>
  `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`

/** @internal */
export const queryCount = (count: number): string =>
  `${count.toLocaleString("en")} ${count === 1 ? "query" : "queries"}`

/**
 * As precise as a person needs it: 0.4 ms, 12 ms, 1.23 s, 75.0 s, 12 min 5 s.
 *
 * @internal
 */
export const duration = (millis: number): string => {
  // Each bound is where the text would be rounded up to the next unit: 1000 ms, 10.00 s.
  if (millis < 9.95) return `${millis.toFixed(1)} ms`
  if (millis < 999.5) return `${millis.toFixed(0)} ms`
  if (millis < 9_995) return `${(millis / 1000).toFixed(2)} s`
  if (millis < 119_950) return `${(millis / 1000).toFixed(1)} s`
  const seconds = Math.round(millis / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/**
 * Microseconds are as fine as the clock is.
 *
 * @internal
 */
export const seconds = (millis: number): number => Math.round(millis * 1000) / 1_000_000
