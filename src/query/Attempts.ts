/**
 * A query's attempts: what it may take, when it is tried again, and what it holds meanwhile.
 *
 *     turn --> slot of the run --> slot of the pool, session --> body --> succeeded
 *      ^                                                          |
 *      |                                                        failed --> not to be retried, or not allowed
 *      +-- wait: holds neither slot nor session <-----------------+
 *
 * - The whole query is tried again, on a session of its own.
 * - It is tried again only when its policy names the failure and nothing of the attempt is kept (`notApplied`), unless
 *   it is `readOnly`, where the server sees to that, or declared idempotent. That is decided by what the session did,
 *   whatever the error: a query may fail with an error of its own after it has written.
 * - Time is shared by all attempts and waits. A wait that would take longer than what is left is not begun.
 * - A query that got no slot in time is not tried again, and neither is one with a defect.
 *
 * A query that asks for none of this, in a run that has no limits either, takes the short way.
 *
 * @internal
 */
import { Cause, Clock, Duration, Effect, Option } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import { withSlot } from "../internal/Slots.ts"
import { QueryError, QueueTimeout, Rejected, TimedOut } from "./QueryError.ts"
import type { Limit, QueryInfo, QueryPool, Unit } from "./QueryPool.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import type { Run } from "./Run.ts"
import { told } from "./Run.ts"
import type { RunSnapshot } from "./RunSnapshot.ts"
import type { AnyFiber } from "./Spans.ts"
import type { Life } from "./Trail.ts"
import { Hand, Trail } from "./Trail.ts"
import { Watch } from "./Watch.ts"

type Pool = QueryPool["Service"]
type Body = (sql: SqlClient, unit: Unit) => AnyEffect
type AnyEffect = Effect.Effect<unknown, unknown, unknown>

/**
 * Whether a query takes the short way, on which a run's worker may hold its slot for it.
 *
 * @internal
 */
export const isPlain = ({ options }: QueryInfo, run: Run | undefined): boolean =>
  options.retry === undefined &&
  options.timeout === undefined &&
  (run === undefined || (run.queueMillis === undefined && run.deadlineMillis === undefined))

/**
 * Runs a query as part of a run. With `holdsSlot` the caller has taken a slot of the run for it already. `by` is a worker
 * of the run, which tells of its end where nobody listens, or the fiber that it runs in.
 *
 * @internal
 */
export const inRun = (
  pool: Pool,
  run: Run,
  query: QueryInfo,
  body: Body,
  holdsSlot: boolean,
  submittedAt: number | undefined,
  by: Hand | AnyFiber | undefined
): AnyEffect => {
  const turn = (life: Life | undefined): AnyEffect => {
    if (run.snapshot !== undefined && isMadeToWrite(query)) return Effect.fail(refused(query))
    if (!isPlain(query, run)) return limited(pool, run, query, body, life, submittedAt)
    const attempt = once(pool, query, body, life, run.snapshot)
    return holdsSlot ? attempt : withSlot(run.slots, attempt)
  }
  if (!(by instanceof Hand)) return told(run, query, turn, by === undefined ? undefined : { fiber: by })
  if (run.listener !== undefined) return told(run, query, turn)
  return turn((by.trail = run.watch?.begin(query, undefined)))
}

/**
 * Said in so many words: a query of which nothing is said may only read, and the server sees to that.
 *
 * @internal
 */
export const isMadeToWrite = ({ options: { mode } }: QueryInfo): boolean =>
  mode === "transaction" || mode === "autocommit"

/**
 * As the server would answer, at the query's first write.
 *
 * @internal
 */
export const refused = (query: QueryInfo): QueryError =>
  unstarted(
    query,
    new Rejected({
      sqlState: "25006",
      condition: "read_only_sql_transaction",
      className: "Invalid Transaction State",
      message: `mode "${query.options.mode}" is for queries that write, and those of a run with a snapshot only read`,
      hint: 'leave `mode` out, or say "readOnly"'
    })
  )

/**
 * The end of a query of a run whose time is over before its turn.
 *
 * @internal
 */
export const late = (run: Run, query: QueryInfo): AnyEffect =>
  told(run, query, () => {
    const { deadlineMillis = Infinity, queueMillis = Infinity } = run
    return Effect.fail(unstarted(query, queueMillis <= deadlineMillis ? noSlot(queueMillis) : overdue(deadlineMillis)))
  })

const noSlot = (afterMillis: number) => new QueueTimeout({ afterMillis })
const tooLong = (afterMillis: number) => new TimedOut({ limit: "timeout", afterMillis })
const overdue = (afterMillis: number) => new TimedOut({ limit: "deadline", afterMillis })

/**
 * The failure of a query of which nothing was done.
 *
 * @internal
 */
export const unstarted = (query: Pick<QueryInfo, "name" | "origin">, reason: Limit["reason"] | Rejected): QueryError =>
  new QueryError({ query: query.name, origin: query.origin, reason, connection: "usable", outcome: "notApplied" })

/**
 * Milliseconds of a duration that the user gave, or `undefined` for none at all.
 *
 * @internal
 */
export const millisOf = (option: string, duration: Duration.Input | undefined): number | undefined => {
  if (duration === undefined) return undefined
  // Duration makes zero of NaN, and every query would be late.
  const millis = Number.isNaN(duration)
    ? NaN
    : Option.match(Duration.fromInput(duration), {
        onNone: () => NaN,
        onSome: Duration.toMillis
      })
  if (!(millis >= 0)) {
    throw new RangeError(`Expected \`${option}\` to be a duration from 0, such as "5 seconds", got ${String(duration)}`)
  }
  return millis === Infinity ? undefined : millis
}

/**
 * As `millisOf`, for how often something is done.
 *
 * @internal
 */
export const periodOf = (option: string, duration: Duration.Input | undefined): number | undefined => {
  if (millisOf(option, duration) === 0) {
    throw new RangeError(`Expected \`${option}\` to be a duration above 0, such as "1 second", got ${String(duration)}`)
  }
  return millisOf(option, duration)
}

/**
 * Runs a query that belongs to no run.
 *
 * @internal
 */
export const alone = (pool: Pool, query: QueryInfo, body: Body, fiber: AnyFiber): AnyEffect => {
  const watch = Watch.of(fiber, pool.telemetry)
  return told(
    { listener: undefined, watch },
    query,
    (life) =>
      isPlain(query, undefined)
        ? once(pool, query, body, life, undefined)
        : limited(pool, undefined, query, body, life, undefined),
    { fiber }
  )
}

/**
 * Runs a query on the session of the query around it, whose part it is: only that one can be tried again.
 *
 * @internal
 */
export const joined = (pool: Pool, query: QueryInfo, body: Body, fiber: AnyFiber): AnyEffect => {
  // One of the same name is how that query is made, and would be told of twice.
  const watch = pool.within(fiber.context) === query.name ? undefined : Watch.of(fiber, pool.telemetry)
  return told(
    { listener: undefined, watch },
    query,
    (life) => {
      const using = within(pool, query, life === undefined ? body : begun(body, life))
      return life === undefined ? using : life.within(1, using)
    },
    { fiber, joins: true }
  )
}

const within = (pool: Pool, query: QueryInfo, body: Body): AnyEffect => {
  if (query.options.timeout === undefined) return pool.use(query, body)
  return Effect.suspend(() => {
    const millis = millisOf("timeout", query.options.timeout)
    if (millis === undefined) return pool.use(query, body)
    const limit: Limit = { millis, reason: tooLong(millis) }
    return pool.use(query, body, { running: () => limit })
  })
}

/** For a listener the end of an attempt comes before its slot is given back: its worker's number is free before the slot. */
const once = (
  pool: Pool,
  query: QueryInfo,
  body: Body,
  life: Life | undefined,
  snapshot: RunSnapshot | undefined
): AnyEffect => {
  const terms = snapshot === undefined ? undefined : { snapshot: snapshot.get }
  if (life === undefined || (life instanceof Trail && !life.seesSession)) return pool.use(query, body, terms)
  const using = life.within(1, pool.use(query, begun(body, life), terms))
  if (life instanceof Trail) return using
  return Effect.onExitPrimitive(using, (exit) => {
    life.ended(exit)
    return undefined
  })
}

const begun =
  (body: Body, life: Life): Body =>
  (sql, unit) => {
    life.started(unit, 1)
    return body(sql, unit)
  }

/** The result of an attempt after which there is to be another. */
class Again {
  readonly millis: number

  constructor(millis: number) {
    this.millis = millis
  }
}

/** A query that may not wait at all may start all the same, at once; one that may not run need not. */
const isOver = ({ millis, reason }: Limit): boolean =>
  millis < 0 || (millis === 0 && !(reason._tag === "QueueTimeout" && reason.afterMillis === 0))

const hasNoSlot = (error: unknown): boolean => error instanceof QueryError && error.reason._tag === "QueueTimeout"

const outcomes: ReadonlyArray<Unit["outcome"]> = ["notApplied", "partial", "unknown"]

const worse = (one: Unit["outcome"], other: Unit["outcome"]): Unit["outcome"] =>
  outcomes.indexOf(one) > outcomes.indexOf(other) ? one : other

const limited = (
  pool: Pool,
  run: Run | undefined,
  query: QueryInfo,
  body: Body,
  life: Life | undefined,
  submittedAt: number | undefined
): AnyEffect =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const allowance = new Allowance(query, run, clock, submittedAt)
    const next = query.options.retry === undefined ? undefined : RetryPolicy.start(query.options.retry)
    const snapshot = run?.snapshot?.get
    /** What the server keeps from writing. */
    const options = snapshot === undefined ? query.options : ({ mode: "readOnly" } as const)

    /** What is kept of the attempts so far: an idempotent query is tried again whatever became of the one before. */
    let kept: Unit["outcome"] = "notApplied"
    const ofAttempt = (error: unknown, attempt: number): unknown => {
      if (attempt === 1 || !(error instanceof QueryError)) return error
      return error.with({ attempt, outcome: worse(kept, error.outcome) })
    }

    const attempt = (number: number): AnyEffect => {
      let unit: Unit | undefined
      const using = Effect.suspend(() => {
        const queue = allowance.queue()
        // The slot may have come at the very end of its time.
        if (queue !== undefined && isOver(queue)) return Effect.fail(unstarted(query, queue.reason))
        return pool.use(
          query,
          (sql, session) => {
            unit = session
            life?.started(session, number)
            return body(sql, session)
          },
          { queue, running: allowance.running, snapshot }
        )
      })
      const decided = Effect.catchCause(life === undefined ? using : life.within(number, using), (failure) => {
        const cause = Cause.map(failure, (error) => ofAttempt(error, number))
        const reason = cause.reasons.find(Cause.isFailReason)
        // The worse of what the session knows and what the error says: a query of another pool in the body may have
        // written there, and the server may answer that it does not know.
        const outcome = worse(
          unit?.outcome ?? "notApplied",
          reason?.error instanceof QueryError ? reason.error.outcome : "notApplied"
        )
        if (
          next === undefined ||
          reason === undefined ||
          cause.reasons.some(Cause.isDieReason) ||
          (unit === undefined && hasNoSlot(reason.error)) ||
          !RetryPolicy.mayRetry(outcome, options)
        ) {
          return Effect.failCause(cause)
        }
        return Effect.flatMap(next(reason.error, clock.currentTimeMillisUnsafe()), (delay) => {
          const millis = delay === undefined ? Infinity : Duration.toMillis(delay)
          if (millis >= allowance.left()) return Effect.failCause(cause)
          if (options.mode !== "readOnly") kept = worse(kept, outcome)
          life?.retrying(number, reason.error, millis)
          return Effect.succeed(new Again(millis))
        })
      })
      const ended = Effect.onExitPrimitive(decided, (exit) => {
        if (exit._tag === "Success" && exit.value instanceof Again) life?.stopped()
        else life?.ended(exit)
        return undefined
      })
      const turn = Effect.suspend(() => {
        const queue = allowance.queue()
        if (queue === undefined) return run === undefined ? ended : withSlot(run.slots, ended)
        const timedOut = Effect.suspend(() => Effect.fail(ofAttempt(unstarted(query, queue.reason), number)))
        if (isOver(queue)) return timedOut
        return run === undefined ? ended : withSlot(run.slots, ended, { millis: queue.millis, orElse: timedOut })
      })
      return Effect.flatMap(turn, (result) => {
        if (!(result instanceof Again)) return Effect.succeed(result)
        const wait = Effect.sleep(result.millis)
        return Effect.andThen(
          run === undefined ? wait : run.workers.park(wait),
          Effect.suspend(() => {
            allowance.queueAgain()
            return attempt(number + 1)
          })
        )
      })
    }
    return attempt(1)
  })

/** What time a query has left. All times are milliseconds of the clock. */
class Allowance {
  private readonly clock: Clock.Clock
  private readonly queueMillis: number | undefined
  private readonly timeoutMillis: number | undefined
  private readonly deadlineMillis: number | undefined
  private readonly deadlineAt: number
  private queuedAt: number
  /** When it first had a slot. */
  private startedAt: number | undefined

  constructor(query: QueryInfo, run: Run | undefined, clock: Clock.Clock, submittedAt: number | undefined) {
    this.clock = clock
    this.queuedAt = submittedAt ?? clock.currentTimeMillisUnsafe()
    this.queueMillis = run?.queueMillis
    this.timeoutMillis = millisOf("timeout", query.options.timeout)
    this.deadlineMillis = run?.deadlineMillis
    this.deadlineAt = run?.deadlineMillis === undefined ? Infinity : run.startedAt + run.deadlineMillis
  }

  queueAgain(): void {
    this.queuedAt = this.clock.currentTimeMillisUnsafe()
  }

  /** For all attempts and waits to come. */
  left(): number {
    return this.ending()?.millis ?? Infinity
  }

  queue(): Limit | undefined {
    const ending = this.ending()
    if (this.queueMillis === undefined) return ending
    const millis = this.queuedAt + this.queueMillis - this.clock.currentTimeMillisUnsafe()
    if (ending !== undefined && ending.millis < millis) return ending
    return { millis, reason: noSlot(this.queueMillis) }
  }

  readonly running = (): Limit | undefined => {
    this.startedAt ??= this.clock.currentTimeMillisUnsafe()
    return this.ending()
  }

  /** The nearer of its timeout, which counts from its first slot, and the run's deadline. */
  private ending(): Limit | undefined {
    const { deadlineAt, deadlineMillis, startedAt, timeoutMillis } = this
    const now = this.clock.currentTimeMillisUnsafe()
    if (timeoutMillis !== undefined && startedAt !== undefined && startedAt + timeoutMillis <= deadlineAt) {
      return { millis: startedAt + timeoutMillis - now, reason: tooLong(timeoutMillis) }
    }
    return deadlineMillis === undefined ? undefined : { millis: deadlineAt - now, reason: overdue(deadlineMillis) }
  }
}
