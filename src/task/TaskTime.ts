/**
 * Times that people say, as milliseconds from 0 that come to an end, and numbers of things.
 *
 * `Duration` makes zero of NaN and takes what is below zero and without an end: a delay like that would be a task that
 * runs at once, or never, and nobody would learn of the mistake.
 *
 * @internal
 */
import { Duration, Option } from "effect"

/**
 * Milliseconds, rounded up so that nothing is early; `undefined` where that is no such time.
 *
 * @internal
 */
export const millisOf = (duration: Duration.Input): number | undefined => {
  const isNaN = typeof duration === "object" ? Object.values(duration).some(Number.isNaN) : Number.isNaN(duration)
  const millis = isNaN
    ? NaN
    : Option.match(Duration.fromInput(duration), { onNone: () => NaN, onSome: Duration.toMillis })
  return millis >= 0 && millis <= lastMoment ? Math.ceil(millis) : undefined
}

/**
 * As far as dates go: the year 275760. What is shown of a moment beyond it is an error.
 *
 * @internal
 */
export const lastMoment = 8.64e15

/**
 * A timer does not count the time for which the machine is suspended, and clocks are set: so often whoever waits for a
 * moment looks at the clock.
 *
 * @internal
 */
export const lookMillis = 60_000

/**
 * As `millisOf`, of an option whose value cannot be known before its program is written. Throws a RangeError.
 *
 * @internal
 */
export const checkedMillis = (option: string, duration: Duration.Input, least: 0 | 1 = 0): number => {
  const millis = millisOf(duration)
  if (millis !== undefined && millis >= least) return millis
  const bound = least === 0 ? "from 0" : "above 0"
  throw new RangeError(`Expected \`${option}\` to be a duration ${bound}, such as "5 seconds", got ${saidAs(duration)}`)
}

/**
 * A number of things, from 0 or from 1. Throws a RangeError.
 *
 * @internal
 */
export const checkedCount = (option: string, count: number, least: 0 | 1): number => {
  if (Number.isSafeInteger(count) && count >= least) return count
  throw new RangeError(`Expected \`${option}\` to be an integer from ${least}, got ${String(count)}`)
}

/**
 * A time as it was said, for messages.
 *
 * @internal
 */
export const saidAs = (duration: Duration.Input): string =>
  typeof duration === "object" && !Duration.isDuration(duration) ? JSON.stringify(duration) : String(duration)
