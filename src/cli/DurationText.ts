/**
 * Durations as people write them, in flags and in the headers of files: `300ms`, `1.5s`, `30s`, `5m`, `2h`, or as
 * Effect writes them, `5 minutes`.
 *
 * @internal
 */
import { Duration, Option } from "effect"
import { Flag } from "effect/cli"

const millisOf: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/**
 * What a text must be, for messages.
 *
 * @internal
 */
export const durationHint = "a duration such as 300ms, 30s, 5m or 2h"

/**
 * A duration that is longer than none.
 *
 * @internal
 */
export const parseDuration = (text: string): Option.Option<Duration.Duration> => {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? []
  const duration =
    number === undefined
      ? // Its type is that of texts which are durations, which this one need not be.
        Duration.fromInput(text as Duration.Input)
      : Option.some(Duration.millis(Number(number) * (millisOf[unit] ?? 1)))
  return Option.filter(duration, (found) => Duration.isFinite(found) && Duration.isGreaterThan(found, Duration.zero))
}

/**
 * A flag that takes a duration.
 *
 * @internal
 */
export const durationFlag = (name: string): Flag.Flag<Duration.Duration> =>
  Flag.String(name).pipe(
    Flag.withMetavar("duration"),
    Flag.filterMap(parseDuration, () => durationHint)
  )
