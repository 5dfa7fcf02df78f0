/**
 * When the occurrences of a schedule are, and which of them are due: pure functions of moments.
 *
 *     cursor ──►│ moment        moment        moment │◄── now
 *               │   └─jitter─►at  └─jitter─►at  └──────┼─►at: wake then
 *               └──────── due ───────────────┘
 *
 * - A **moment** is what the calendar or the interval says, and names the occurrence. It is due at `at`: with jitter, up to
 *   that much later, always before the next moment, and the same in every process.
 * - The **cursor** is the moment of the last occurrence that was dealt with. What is due lies behind it; what was missed is
 *   what is due beside the last one, and the last one too when it is late by more than `lateMillis`.
 * - Cron is Effect's. An occurrence in an hour that does not exist (clocks go forward) is as much later as the clocks go; of
 *   those that are all in that hour, the first of a schedule that names its hours. In an hour that exists twice (clocks go
 *   back), one that names its hours has its occurrences the first time, and one for every hour has them both times; else
 *   there would be an hour without any. (As cronie has it: its manual page `cron(8)`.)
 *
 * @internal
 */
import { Cron, DateTime, Duration, Option, Result } from "effect"

/** @internal */
export interface Timetable {
  /** The schedule's. */
  readonly name: string
  /** The first moment after this one. */
  readonly next: (after: number) => number
  readonly jitterMillis: number
}

/** @internal */
export interface Occurrence {
  readonly moment: number
  /** When it is due. */
  readonly at: number
}

/**
 * What becomes of occurrences that nobody looked at in time.
 *
 * - `skip`: they are left out
 * - `once`: one is offered for all of them: the last
 * - `all`: each is offered
 *
 * @since 0.1.0
 */
export type Missed = "skip" | "once" | "all"

/** @internal */
export interface Due {
  /** What is to be offered. */
  readonly occurrences: ReadonlyArray<Occurrence>
  /** The moment of the first that is due, whether it is to be offered or not. */
  readonly first: number
  /** The cursor, once they are. */
  readonly to: number
}

/**
 * So much later an occurrence is still in time: a minute. A deploy or a full garbage collection takes less, and whoever has
 * 02:30 skipped does not mean 02:30 and some seconds. (As the `misfireThreshold` of Quartz.)
 *
 * @internal
 */
export const lateMillis = 60_000

/**
 * The timetable of a cron expression. Throws a RangeError for one that cannot be.
 *
 * @internal
 */
export const cron = (
  name: string,
  expression: string,
  {
    repeatedHour,
    timeZone = "UTC"
  }: { readonly repeatedHour?: Repeated | undefined; readonly timeZone?: string | undefined }
): Omit<Timetable, "jitterMillis"> => {
  const zone = Option.getOrUndefined(DateTime.zoneFromString(timeZone))
  if (zone === undefined) {
    throw new RangeError(
      `Expected \`timeZone\` of schedule "${name}" to be a name such as "Europe/Berlin", got "${timeZone}"`
    )
  }
  const parsed = Cron.parse(expression, zone)
  if (Result.isFailure(parsed)) {
    const { input, message } = parsed.failure
    throw new RangeError(
      `Expected \`cron\` of schedule "${name}" to be minute, hour, day of the month, month and day of the week, such as ` +
        `"30 2 * * *", got "${expression}"${input === expression ? "" : `: ${message}, and not "${input}"`}`
    )
  }
  const isHourly = parsed.success.hours.size % 24 === 0
  const onDstOverlap = repeatedHour ?? (isHourly ? "both" : "earlier")
  const table = Cron.parseUnsafe(expression, zone, { onDstOverlap })
  const next = (after: number): number => Cron.next(table, after).getTime()
  try {
    next(aDay)
  } catch {
    throw new RangeError(
      `Expected \`cron\` of schedule "${name}" to name a day that there is, got "${expression}", which never comes`
    )
  }
  return { name, next }
}

/**
 * Which of an hour that exists twice.
 *
 * @since 0.1.0
 */
export type Repeated = Cron.DstOverlapPolicy

/** Any day: the first of January 2024. */
const aDay = 1_704_067_200_000

/**
 * The timetable of an interval: its multiples, counted from 1970. Throws a RangeError for one that cannot be.
 *
 * @internal
 */
export const every = (name: string, interval: Duration.Input): Omit<Timetable, "jitterMillis"> => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(interval))
  if (!Number.isSafeInteger(millis) || millis < 1) {
    throw new RangeError(
      `Expected \`every\` of schedule "${name}" to be whole milliseconds from 1, got ${String(interval)}`
    )
  }
  return { name, next: (after) => (Math.floor(after / millis) + 1) * millis }
}

/**
 * A timetable whose occurrences are up to this much later. Throws a RangeError where they could overtake each other, as
 * far as a hundred of them show.
 *
 * @internal
 */
export const withJitter = (table: Omit<Timetable, "jitterMillis">, jitter: Duration.Input): Timetable => {
  const jitterMillis = Duration.toMillis(Duration.fromInputUnsafe(jitter))
  const refuse = (expected: string): never => {
    throw new RangeError(`Expected \`jitter\` of schedule "${table.name}" to be ${expected}, got ${String(jitter)}`)
  }
  if (!Number.isSafeInteger(jitterMillis) || (typeof jitter === "number" && jitter < 0)) {
    return refuse("whole milliseconds from 0")
  }
  if (jitterMillis === 0) return { ...table, jitterMillis }
  let shortest = Infinity
  for (let moment = table.next(aDay), count = 0; count < 100; count++) {
    const following = table.next(moment)
    shortest = Math.min(shortest, following - moment)
    moment = following
  }
  return jitterMillis < shortest
    ? { ...table, jitterMillis }
    : refuse(`shorter than the ${Duration.format(Duration.millis(shortest))} between two of its occurrences`)
}

/** When the occurrence of a moment is due. */
const atOf = ({ jitterMillis, name, next }: Timetable, moment: number): number => {
  if (jitterMillis === 0) return moment
  // Clocks that go forward or back bring two occurrences closer together than any other day does.
  const most = Math.min(jitterMillis, next(moment) - moment - 1)
  return moment + Math.floor(partOf(`${name}@${moment}`) * (most + 1))
}

/**
 * When the first occurrence behind the cursor is due.
 *
 * @internal
 */
export const wakeAt = (timetable: Timetable, cursor: number): number => atOf(timetable, timetable.next(cursor))

/**
 * What is due, if anything is; of what was all missed, no more than `most`: the rest is due still then.
 *
 * @internal
 */
export const due = (
  timetable: Timetable,
  {
    cursor,
    missed,
    most,
    now
  }: { readonly cursor: number; readonly missed: Missed; readonly most: number; readonly now: number }
): Due | undefined => {
  const first = timetable.next(cursor)
  if (atOf(timetable, first) > now) return undefined
  if (missed === "all") {
    const occurrences: Array<Occurrence> = []
    for (let moment = first; occurrences.length < most; moment = timetable.next(moment)) {
      const at = atOf(timetable, moment)
      if (at > now) break
      occurrences.push({ moment, at })
    }
    return { occurrences, first, to: occurrences.at(-1)?.moment ?? first }
  }
  const begun = lastUpTo(timetable, first, now)
  const to = atOf(timetable, begun) > now ? lastUpTo(timetable, first, begun - 1) : begun
  const at = atOf(timetable, to)
  return { occurrences: missed === "skip" && now - at > lateMillis ? [] : [{ moment: to, at }], first, to }
}

/**
 * The last moment up to `until`, not before `first`, which is one. A second each of a year that nobody looked: 31 million
 * moments, and some 35 steps.
 */
const lastUpTo = ({ next }: Timetable, first: number, until: number): number => {
  let last = first
  let bound = until
  while (last < bound) {
    const middle = last + Math.floor((bound - last) / 2)
    const moment = next(middle)
    if (moment > until) bound = middle
    else last = moment
  }
  return last
}

/**
 * A part of 1 that follows from a text: FNV-1a (Fowler, Noll, Vo), whose high bits hardly differ for texts that differ at
 * their end, and so mixed by the end of MurmurHash3 (A. Appleby).
 */
const partOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}
