/**
 * Tasks that come again by themselves: at times of the calendar, or at an interval. A schedule is a layer, and offers its
 * task's occurrences to the store for as long as it lives; who runs them may be elsewhere.
 *
 *     wait for the next ─► what is due since the cursor ─► store.advance(cursor ─► last, offers) ─► wait …
 *
 * - **To the millisecond.** An occurrence is offered when it is due, never before, and as late as the process is.
 * - **Once.** Its id follows from the schedule's name and its moment, and the store notes with it how far the schedule has
 *   come: of all processes with the same schedule one offers it. A schedule is its name, so two with one name are one.
 * - **Nothing is missed unseen.** What was due while no process had the schedule, or while it was suspended, becomes what
 *   `missed` says. A schedule that the store does not know yet begins with its layer. The store in memory forgets it with
 *   the process.
 * - **One after the other.** What is due while the one before it has not ended becomes what `overlap` says.
 * - **It goes on.** A store that cannot be asked is asked again, and a payload that cannot be made is told of in the log: its
 *   occurrence is left out, and the next one is not.
 *
 * @since 0.1.0
 */
import type { Duration } from "effect"
import { Clock, Effect, Layer, Schedule } from "effect"
import type { Session, Task } from "./Task.ts"
import { Impossible, TaskError } from "./TaskError.ts"
import * as TaskOffer from "./TaskOffer.ts"
import type { Advance, Offer, Overlap } from "./TaskStore.ts"
import { TaskStore } from "./TaskStore.ts"
import type { Missed, Occurrence, Repeated, Timetable } from "./TaskTimetable.ts"
import * as Timetables from "./TaskTimetable.ts"

export type { Overlap } from "./TaskStore.ts"
export type { Missed, Repeated } from "./TaskTimetable.ts"

/**
 * What can be said of every schedule.
 *
 * @since 0.1.0
 */
export interface Options {
  /**
   * What becomes of an occurrence while the one before it has not ended: it is left out (`skip`, the default), it waits
   * (`queue`), or the one before is cancelled (`replace`).
   */
  readonly overlap?: Overlap | undefined
  /**
   * What becomes of occurrences that nobody looked at in time, because no process ran or it was suspended: nothing (`skip`),
   * one for all of them (`once`, the default), or each is offered (`all`), to run one after the other whatever `overlap`
   * says. In time is within a minute, and before the next one.
   */
  readonly missed?: Missed | undefined
  /**
   * Each occurrence is due up to so much later, so that not all begin at the full hour: how much follows from the
   * schedule's name and the moment. Shorter than the time between two occurrences. Default 0.
   */
  readonly jitter?: Duration.Input | undefined
}

/**
 * What can be said of a schedule by the calendar.
 *
 * @since 0.1.0
 */
export interface CronOptions extends Options {
  /** Minute, hour, day of the month, month, day of the week, such as `30 2 * * *`; with a sixth before them, the second. */
  readonly cron: string
  /** Whose clocks are meant: a name such as `Europe/Berlin`, or an offset such as `+02:00`. Default `UTC`. */
  readonly timeZone?: string | undefined
  /**
   * Which one is meant when clocks go back and an hour comes twice. Default `earlier`, and `both` for a schedule that comes
   * in every hour.
   */
  readonly repeatedHour?: Repeated | undefined
}

/**
 * What can be said of a schedule by an interval.
 *
 * @since 0.1.0
 */
export interface EveryOptions extends Options {
  /**
   * From one occurrence to the next: whole milliseconds from 1. They are its multiples since 1970, UTC, and not since the
   * start: a restart moves none of them.
   */
  readonly every: Duration.Input
}

/**
 * What each occurrence is given: always the same, or by its moment, in milliseconds since the epoch and without jitter.
 *
 * @since 0.1.0
 */
export type Payload<P> = P | ((moment: number) => P)

/**
 * Offers a task at times of the calendar.
 *
 * An occurrence whose time does not exist on that day (clocks go forward) comes as much later as the clocks go.
 *
 * Throws a `RangeError` for a `cron` that cannot be read or never comes, a time zone that there is not, and a jitter that
 * is too long. The layer fails with `TaskError` (`Unfit`) for a payload that does not agree with the task's schema.
 *
 * @since 0.1.0
 */
export const cron = <P, A, E, S extends Session>(
  name: string,
  task: Task<P, A, E, S>,
  payload: Payload<P>,
  options: CronOptions
): Layer.Layer<never, TaskError, TaskStore> =>
  layerOf(Timetables.cron(name, options.cron, options), task, payload, options)

/**
 * Offers a task at an interval.
 *
 * Throws a `RangeError` for an interval below a millisecond and a jitter that is too long. The layer fails with `TaskError`
 * (`Unfit`) for a payload that does not agree with the task's schema.
 *
 * @since 0.1.0
 */
export const every = <P, A, E, S extends Session>(
  name: string,
  task: Task<P, A, E, S>,
  payload: Payload<P>,
  options: EveryOptions
): Layer.Layer<never, TaskError, TaskStore> => layerOf(Timetables.every(name, options.every), task, payload, options)

/** A timer does not count the time for which the machine is suspended: so often the clock is looked at. */
const lookMillis = 60_000

/** So many occurrences are made at once. One of a named zone takes 0.2 ms, and others want the processor, too. */
const batch = 50

const layerOf = <P, A, E, S extends Session>(
  table: Omit<Timetable, "jitterMillis">,
  task: Task<P, A, E, S>,
  payload: Payload<P>,
  { jitter = 0, missed = "once", overlap = "skip" }: Options
): Layer.Layer<never, TaskError, TaskStore> => {
  const timetable = Timetables.withJitter(table, jitter)
  const { name } = timetable
  const offerOf = offering(name, task, payload)

  /** Gives where the schedule is then. It is elsewhere where another process was faster. */
  const advance = Effect.fnUntraced(function* (step: Omit<Advance, "schedule">) {
    const store = yield* TaskStore
    const asked = Effect.flatMap(Clock.currentTimeMillis, (now) => store.advance([{ ...step, schedule: name }], now))
    const [cursor] = yield* asked.pipe(
      Effect.tapError((error) => Effect.logWarning(`Schedule "${name}" could not ask the store`, error)),
      Effect.retry(Schedule.spaced("1 second")),
      Effect.orDie
    )
    return cursor
  })

  const beginning = { from: undefined, offers: [], overlap }

  const run = Effect.fnUntraced(function* (startedAt: number) {
    let cursor = yield* advance({ ...beginning, to: startedAt })
    let isLate = false
    while (true) {
      const now = yield* Clock.currentTimeMillis
      if (cursor === undefined) {
        // The store has lost it: the schedule begins anew.
        cursor = yield* advance({ ...beginning, to: now })
        continue
      }
      const due = Timetables.due(timetable, { cursor, missed, most: batch, now })
      if (due === undefined) {
        isLate = false
        yield* until(Timetables.wakeAt(timetable, cursor))
        continue
      }
      const isMissed = now - due.first > Timetables.lateMillis
      const offers = yield* Effect.forEach(due.occurrences, (one) => leavingOut(name, one, offerOf(one)))
      // Those that are made up for are all wanted: they neither replace nor leave out one another.
      const isMadeUpFor = missed === "all" && (isMissed || due.occurrences.length > 1)
      cursor = yield* advance({
        from: cursor,
        to: due.to,
        offers: offers.flat(),
        overlap: isMadeUpFor ? "queue" : overlap
      })
      // Once, however many parts it takes, and by the process that makes up for it.
      if (isMissed && !isLate && cursor === due.to) {
        isLate = true
        yield* Effect.logWarning(
          `Schedule "${name}" missed what was due since ${textOf(due.first)}: ${consequence[missed]}`
        )
      }
      // A store in memory answers at once, and all that was missed in a year would be one long turn.
      yield* Effect.yieldNow
    }
  })

  return Layer.effectDiscard(
    Effect.gen(function* () {
      const startedAt = yield* Clock.currentTimeMillis
      // What is always the same is found to be wrong at once.
      if (!isMade(payload)) yield* offerOf({ moment: startedAt, at: startedAt })
      yield* Effect.forkScoped(
        Effect.tapDefect(run(startedAt), (defect) => Effect.logError(`Schedule "${name}" has stopped`, defect))
      )
    })
  )
}

const consequence: Readonly<Record<Missed, string>> = {
  skip: "it is left out",
  once: "one occurrence is offered for all of it",
  all: "all of it is offered"
}

const textOf = (moment: number): string => new Date(moment).toISOString()

const isMade = <P>(payload: Payload<P>): payload is (moment: number) => P => typeof payload === "function"

/** What is offered for an occurrence. */
const offering =
  <P, A, E, S extends Session>(schedule: string, task: Task<P, A, E, S>, payload: Payload<P>) =>
  ({ at, moment }: Occurrence): Effect.Effect<Offer, TaskError> => {
    const made = Effect.try({
      try: () => (isMade(payload) ? payload(moment) : payload),
      catch: (error) => {
        const message = `its payload cannot be made: ${String(error)}`
        return new TaskError({ task: task.name, reason: new Impossible({ message }) })
      }
    })
    return Effect.map(
      Effect.flatMap(TaskOffer.maker(task, { at }, moment), (toOffer) => Effect.flatMap(made, toOffer)),
      (offer): Offer => ({
        ...offer,
        id: `${schedule}@${textOf(moment)}`,
        // A task that is replaced has still to stop, and its runner counts it by this key until then.
        limitKey: offer.limitKey ?? `schedule ${schedule}`,
        schedule
      })
    )
  }

/** None where there is none to be had. */
const leavingOut = (
  name: string,
  { moment }: Occurrence,
  offer: Effect.Effect<Offer, TaskError>
): Effect.Effect<ReadonlyArray<Offer>> =>
  Effect.matchEffect(offer, {
    onFailure: (error) => Effect.as(Effect.logError(`Schedule "${name}" leaves out ${textOf(moment)}`, error), []),
    onSuccess: (one) => Effect.succeed([one])
  })

/** Waits until a moment has come. */
const until = Effect.fnUntraced(function* (moment: number) {
  while (true) {
    const left = moment - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    yield* Effect.sleep(Math.min(left, lookMillis))
  }
})
