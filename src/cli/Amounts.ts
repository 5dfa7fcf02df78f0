/**
 * Counts and times as people read them, and times as programs do.
 *
 * @internal
 */

/** @internal */
export const number = (count: number): string => count.toLocaleString("en")

/** @internal */
export const plural = (count: number, thing: string): string => `${number(count)} ${thing}${count === 1 ? "" : "s"}`

/** @internal */
export const queryCount = (count: number): string => `${number(count)} ${count === 1 ? "query" : "queries"}`

/**
 * As precise as a person needs it: 0.4 ms, 12 ms, 1.23 s, 75.0 s, 12 min 5 s, 5 h 57 min, 14 d 21 h.
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
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  const minutes = Math.round(millis / 60_000)
  if (minutes < 2_880) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
  const hours = Math.round(millis / 3_600_000)
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/**
 * A time that goes on, as precise as an eye can follow it: 0.3 s, 12.3 s, 3 min 12 s, 2 h 3 min.
 *
 * @internal
 */
export const elapsed = (millis: number): string => {
  const tenths = Math.floor(millis / 100)
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`
  const seconds = Math.floor(millis / 1000)
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/**
 * A time that is guessed: 3 s, 40 s, 3 min, 2 h 10 min. Rounded up: nobody is sorry to be done before.
 *
 * @internal
 */
export const roughly = (millis: number): string => {
  const seconds = Math.max(1, Math.ceil(millis / 1000))
  if (seconds <= 10) return `${seconds} s`
  if (seconds <= 55) return `${Math.ceil(seconds / 5) * 5} s`
  const minutes = Math.ceil(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const tens = Math.ceil(minutes / 10) * 10
  return tens % 60 === 0 ? `${tens / 60} h` : `${Math.floor(tens / 60)} h ${tens % 60} min`
}

/**
 * Microseconds are as fine as the clock is.
 *
 * @internal
 */
export const seconds = (millis: number): number => Math.round(millis * 1000) / 1_000_000
