/**
 * Which failures of a query are tried again, how often and when.
 *
 * A policy says what is *worth* trying again. What *may* be tried again is another question, `mayRetry`, which looks
 * at what became of the unit and not at its error:
 *
 * - Nothing is ever applied twice: a unit of which something was kept, or may have been, is left alone, unless it is
 *   read-only or declared idempotent.
 * - A policy is typed by the errors it names: a tag that the query cannot fail with does not compile.
 * - A policy is a value without state. Each unit counts its own tries, beginning with its first failure.
 * - Delays are spread over the whole of their range, so that queries that failed together do not come back together.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Pull, Random, Schedule } from "effect"
import type { QueryErrorReason } from "./QueryError.ts"
import { QueryError } from "./QueryError.ts"

/**
 * What a policy for a query with the errors `E` can name: the reasons of `QueryError`, which every query may fail for,
 * and the tags of the query's own errors. A policy of which no errors are known may name anything.
 *
 * @since 0.1.0
 */
export type TagOf<E> = [E] extends [never] ? string : QueryErrorReason["_tag"] | OwnTagOf<E>

type OwnTagOf<E> = E extends QueryError ? never : E extends { readonly _tag: infer Tag extends string } ? Tag : never

/**
 * The errors of a query as its policy is held against them: `retry?: RetryPolicy<Known<E>>`.
 *
 * The compiler looks at a policy twice where the query's body has a parameter without a type, as in
 * `Query.make(name, (sql) => …, { retry })`: before it knows the body's errors, when any policy will do, and after.
 * Without `Known`, the first look would refuse every policy that names an error of the query's own.
 *
 * @since 0.1.0
 */
export type Known<E> = unknown extends E ? never : E

/**
 * Which failures are tried again, how often and when.
 *
 * `E` is what the policy can be asked about, and `Tag` what it names. A `RetryPolicy<E>` is one that fits a query with
 * the errors `E`; `RetryPolicy<never>` is any policy at all.
 *
 * @since 0.1.0
 */
export interface RetryPolicy<in E, out Tag extends string = TagOf<E>> {
  /** The tags it was made from; none when it was made from a predicate. */
  readonly tags: ReadonlyArray<Tag>
  /** Whether an error is worth another try. */
  readonly matches: (error: E) => boolean
  /** How often and when. It stops when the schedule does. */
  readonly schedule: Schedule.Schedule<unknown, E>
}

/**
 * Makes a policy.
 *
 * `on` is a list of tags or a predicate. A tag is the reason of a `QueryError`, or the `_tag` of an error of the
 * query's own; where the two have a name in common, it stands for both. What a predicate throws is a defect.
 *
 * `schedule` is asked after each failure that matches, with the error as its input. It says how long to wait before the
 * next try, or that there is none. Without a schedule it is `backoff()`.
 *
 * Ten more tries, a minute apart, while a row is not there yet:
 *
 * ```ts
 * RetryPolicy.make({ on: ["NoRows"], schedule: Schedule.upTo(Schedule.spaced("1 minute"), { times: 10 }) })
 * ```
 *
 * A policy beside another one:
 *
 * ```ts
 * RetryPolicy.make({
 *   on: (error: NoSuchUser | QueryError.QueryError) =>
 *     error._tag === "NoSuchUser" || RetryPolicy.transient.matches(error)
 * })
 * ```
 *
 * Say the type of a predicate's error, as here, when the query has errors of its own: inside of
 * `Query.make(name, (sql) => …, { retry })` the predicate is looked at before the body, and `error` alone would be a
 * `QueryError`, which does not compile then.
 *
 * @since 0.1.0
 */
export function make<const Tag extends string, E = unknown>(options: {
  readonly on: ReadonlyArray<Tag>
  readonly schedule?: Schedule.Schedule<unknown, E> | undefined
  // Left to the context, E would be what is known of a query before its body has been looked at, which is too little.
}): RetryPolicy<NoInfer<E>, Tag>
export function make<E>(options: {
  readonly on: (error: E) => boolean
  readonly schedule?: Schedule.Schedule<unknown, E> | undefined
}): RetryPolicy<E, never>
export function make<Tag extends string, E>(options: {
  readonly on: ReadonlyArray<Tag> | ((error: E) => boolean)
  readonly schedule?: Schedule.Schedule<unknown, E> | undefined
}): RetryPolicy<E, Tag> {
  const { on, schedule = backoff() } = options
  if (typeof on === "function") return { tags: [], matches: on, schedule }
  const named = new Set<unknown>(on)
  return { tags: on, matches: (error) => named.has(tagOf(error)), schedule }
}

/** The reason of a QueryError, the tag of any other error. */
const tagOf = (error: unknown): unknown => {
  if (error instanceof QueryError) return error.reason._tag
  return typeof error === "object" && error !== null && "_tag" in error ? error._tag : undefined
}

/**
 * Exponential backoff with full jitter: the delay before retry n, counted from 0, is chosen at random, evenly between
 * 0 and min(`cap`, `base` × 2ⁿ).
 *
 * Of the ways to spread retries that Marc Brooker compares in "Exponential Backoff And Jitter" (AWS Architecture Blog,
 * 2015), this one makes clients that compete for the same thing call least. `Schedule.jittered` moves a delay by a
 * fifth only, which leaves those who failed together close together.
 *
 * @since 0.1.0
 */
export const backoff = (
  options: {
    /** The longest first delay. Default 100 ms. */
    readonly base?: Duration.Input | undefined
    /** The longest delay of all. Default 10 seconds. */
    readonly cap?: Duration.Input | undefined
    /** How many retries, which is one less than tries: an integer from 0. Default 5. */
    readonly times?: number | undefined
  } = {}
): Schedule.Schedule<Duration.Duration> => {
  const { base = "100 millis", times = 5 } = options
  if (!Number.isSafeInteger(times) || times < 0) {
    throw new RangeError(`Expected \`times\` to be an integer from 0, got ${String(times)}`)
  }
  const capMillis = Duration.toMillis(Duration.fromInputUnsafe(options.cap ?? "10 seconds"))
  return Schedule.exponential(base).pipe(
    Schedule.modifyDelay(({ duration }) =>
      Effect.map(Random.next, (random) => Duration.millis(random * Math.min(capMillis, Duration.toMillis(duration))))
    ),
    Schedule.upTo({ times })
  )
}

/**
 * Retries nothing.
 *
 * @since 0.1.0
 */
export const none: RetryPolicy<unknown, never> = make({ on: [] })

const namedBy =
  (...reasons: ReadonlyArray<QueryErrorReason["_tag"]>) =>
  (error: unknown): boolean =>
    error instanceof QueryError && reasons.includes(error.reason._tag)

const isUnconnected = (error: unknown): boolean => {
  if (!(error instanceof QueryError)) return false
  const { connection, outcome, reason } = error
  // A login that the server refused, for a wrong password or a database that is not there, it refuses again.
  if (reason._tag === "ConnectFailed") return reason.sqlState === undefined
  // Without memory or disk for a statement, the server keeps the connection: only a login leaves none.
  return reason._tag === "TooBusy" && connection === "gone" && outcome === "notApplied"
}

/**
 * Retries what happened before anything was sent: the server could not be reached (`ConnectFailed` without a
 * SQLSTATE) or had no place left (`TooBusy`). The schedule is `backoff()`.
 *
 * @since 0.1.0
 */
export const connect: RetryPolicy<unknown, never> = make({ on: isUnconnected })

const isTransient = namedBy("ConnectionLost", "TooBusy", "Deadlock", "SerializationFailure", "LockTimeout")

/**
 * Retries what is likely to pass by itself: what `connect` does, and `ConnectionLost`, `TooBusy`, `Deadlock`,
 * `SerializationFailure` and `LockTimeout`. Not `CancelledByServer`: somebody, or a timeout, wanted that. The schedule is
 * `backoff()`.
 *
 * @since 0.1.0
 */
export const transient: RetryPolicy<unknown, never> = make({
  on: (error) => isUnconnected(error) || isTransient(error)
})

/**
 * Retries `SerializationFailure` and `Deadlock`, which transactions that meet each other bring about: ten times, at
 * most 10 ms apart at first and a second at last.
 *
 * @since 0.1.0
 */
export const serializable: RetryPolicy<unknown, never> = make({
  on: namedBy("SerializationFailure", "Deadlock"),
  schedule: backoff({ base: "10 millis", cap: "1 second", times: 10 })
})

/**
 * Whether a unit that failed may be tried again without applying anything twice: nothing of it was kept, or it only
 * reads, or running it twice does no more than running it once.
 *
 * `outcome` is what became of the whole unit: that of its `QueryError`, or what the unit says of itself when an error
 * of the query's own ended it.
 *
 * @since 0.1.0
 */
export const mayRetry = (
  outcome: "notApplied" | "partial" | "unknown",
  options: {
    readonly mode?: "autocommit" | "transaction" | "readOnly" | undefined
    readonly idempotent?: boolean | undefined
  }
): boolean => outcome === "notApplied" || options.mode === "readOnly" || options.idempotent === true

/**
 * Asks a policy about the failures of one unit, in their order: how long to wait before the next try, or `undefined`
 * when there is none. `now` is milliseconds since the epoch. Whether the unit may be tried again is not asked.
 *
 * @internal
 */
export const start = (
  policy: RetryPolicy<never>
): ((error: unknown, now: number) => Effect.Effect<Duration.Duration | undefined>) => {
  // That it fits the query's errors was checked where the query was made, and is forgotten where queries are run.
  const { matches, schedule } = policy as RetryPolicy<unknown>
  let step: Step | undefined
  const next = (step: Step, error: unknown, now: number) =>
    Pull.matchEffect(step(now, error), {
      onSuccess: ([, delay]) => Effect.succeed<Duration.Duration | undefined>(delay),
      onFailure: (cause) => Effect.failCause(cause),
      onDone: () => Effect.undefined
    })
  return (error, now) =>
    Effect.suspend(() => {
      if (!matches(error)) return Effect.undefined
      if (step !== undefined) return next(step, error, now)
      return Effect.flatMap(Schedule.toStep(schedule), (made) => {
        step = made
        return next(made, error, now)
      })
    })
}

type Step = (now: number, error: unknown) => Pull.Pull<[unknown, Duration.Duration], never, unknown>
