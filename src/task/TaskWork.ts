/**
 * An attempt at a task: payload, session, handler, timeout, and what the end of it means for the task.
 *
 *     decode ─► (session) ─► handler ─┬─ value ──────────────────────────► succeed
 *        │                            ├─ snooze, retryIn, discard ───────► as it says
 *        │                            ├─ error ─┬─ policy has a delay ───► retry
 *        │                            │         ├─ policy has no more ───► giveUp
 *        │                            │         ├─ declared by the task ─► fail
 *        └─ unfit ─► giveUp           │         └─ any other ────────────► giveUp
 *                                     ├─ defect ─────────────────────────► giveUp
 *                                     └─ interrupted by its runner ──────► handBack
 *
 * @internal
 */
import { Cause, Clock, Context, Effect, Exit, Layer, Option, Schema, Scope } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Query from "../query/Query.ts"
import type { QueryError } from "../query/QueryError.ts"
import type { QueryPool } from "../query/QueryPool.ts"
import type { Session, Task } from "./Task.ts"
import * as TaskEnd from "./TaskEnd.ts"
import type { TaskError } from "./TaskError.ts"
import { TimedOut } from "./TaskError.ts"
import type { Attempt, Ending } from "./TaskRegistry.ts"
import { TaskRunner } from "./TaskRegistry.ts"
import * as TaskRetry from "./TaskRetry.ts"
import { Signal } from "./TaskSignal.ts"
import type { TaskId } from "./TaskStore.ts"

/**
 * What a handler knows of its attempt.
 *
 * @since 0.1.0
 */
export interface Running<S extends Session, in G> {
  readonly id: TaskId
  /** From 1. */
  readonly attempt: number
  /** Says how far it is, for whoever watches. It does not wait, and of what comes quickly only the latest is kept. */
  readonly report: (progress: G) => Effect.Effect<void>
  /** The client, whose statements run on the handler's own session. */
  readonly sql: S extends "none" ? undefined : SqlClient
}

/** The services that a handler of a session gets. */
type Needs<R, S extends Session> = S extends "none" ? R : Exclude<R, SqlClient> | QueryPool

/**
 * Has a task run by a handler for as long as the layer lives. When the layer closes, no more of its tasks are claimed,
 * and those that run have the runner's drain limit to end: what the handler needs has to outlive this layer, as what is
 * provided to it does.
 *
 * @since 0.1.0
 */
export const toLayer = <P, A, E, S extends Session, G, R>(
  task: Task<P, A, E, S, G>,
  // What the task says is what holds: inferred from here as well, an error that it does not name would become one of its.
  handler: (
    payload: NoInfer<P>,
    running: NoInfer<Running<S, G>>
  ) => Effect.Effect<
    NoInfer<A>,
    NoInfer<E> | QueryError | TaskError | Signal | (NoInfer<S> extends "none" ? never : SqlError),
    R
  >
): Layer.Layer<never, never, TaskRunner | Needs<R, S>> => {
  const limited = (payload: P, attempt: Attempt, work: Work<A>, sql: SqlClient | undefined) => {
    const { number, task: stored } = attempt
    const report = (progress: G) =>
      Effect.matchEffect(Schema.encodeEffect(task.progress)(progress), {
        onSuccess: (json) => Effect.sync(() => attempt.report(json)),
        onFailure: ({ message }) =>
          Effect.logWarning(
            `Task "${task.name}" (${stored.id}) reports what does not agree with its schema: ${message}`
          )
      })
    // Whether there is a client is what the session says, which its type repeats.
    const running = { id: stored.id, attempt: number, report, sql } as Running<S, G>
    const { timeoutMillis: afterMillis } = task
    const begun = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      attempt.begins(now)
      return handler(payload, running)
    })
    const inTime = Effect.timeoutOrElse(begun, {
      duration: afterMillis,
      orElse: () => Effect.fail(new TimedOut({ afterMillis }))
    })
    const isKept = Effect.sync(() => {
      work.isKept = true
    })
    const ends = Effect.tap(inTime, (value) => {
      work.value = Option.some(value)
      return sql !== undefined && task.session === "transaction" ? sql.afterCommit(isKept) : isKept
    })
    // In its context, too: what it enqueues waits for its transaction.
    return sql === undefined ? ends : Effect.provideService(ends, SqlClient, sql)
  }
  const once = (payload: P, attempt: Attempt, work: Work<A>): Effect.Effect<A, unknown, R | QueryPool> =>
    task.session === "none"
      ? limited(payload, attempt, work, undefined)
      : Query.make(task.name, (sql) => limited(payload, attempt, work, sql), {
          mode: task.session === "transaction" ? "transaction" : "autocommit"
        })
  const { name, queue, timeoutMillis } = task
  const registered = Effect.gen(function* () {
    const { register } = yield* TaskRunner
    const context = yield* Effect.context<R | QueryPool>()
    const attempt = (attempt: Attempt) => {
      // Whatever it logs says of which task; and whoever blocks the event loop is known by it.
      const named = Effect.annotateLogs(attempted(task, attempt, once), { task: name, taskId: attempt.task.id })
      return Effect.provideContext(named, context)
    }
    yield* register({ name, queue, timeoutMillis, attempt })
    return Context.empty()
  })
  // As `Layer.effectDiscard`, which does not tell of the scope that it is built in.
  const layer: Layer.Layer<never, never, TaskRunner | R | QueryPool> = Layer.fromBuild((memoMap, scope) =>
    Effect.tap(
      memoMap.getOrElseMemoize(layer, scope, (_, own) => Scope.provide(registered, own)),
      () => Effect.flatMap(TaskRunner, ({ builtIn }) => builtIn(name, scope))
    )
  )
  // Without a session no pool is asked for, and with one the handler's client is the session's.
  return layer as Layer.Layer<never, never, TaskRunner | Needs<R, S>>
}

/**
 * What a handler has come to. Its transaction is committed before its query ends: one that is interrupted in between would
 * be handed back, and what it did be done again.
 */
interface Work<A> {
  value: Option.Option<A>
  isKept: boolean
}

/** What becomes of an attempt does not depend on what it reported. */
type Judged<P, A, E> = Omit<Task<P, A, E>, "progress">

const attempted = <P, A, E, R>(
  task: Judged<P, A, E>,
  attempt: Attempt,
  once: (payload: P, attempt: Attempt, work: Work<A>) => Effect.Effect<A, unknown, R>
): Effect.Effect<Ending, never, R> =>
  Effect.matchEffect(Schema.decodeUnknownEffect(task.payload)(TaskEnd.payloadOf(attempt.task)), {
    onFailure: ({ message }) => Effect.succeed(gaveUp(`its payload does not agree with its schema: ${message}`)),
    onSuccess: (payload) => {
      const work: Work<A> = { value: Option.none(), isKept: false }
      // Its runner's fiber cannot be interrupted elsewhere: whatever happens, it comes to say what became of the task.
      return Effect.flatMap(Effect.exit(Effect.interruptible(once(payload, attempt, work))), (exit) => {
        if (Exit.isSuccess(exit)) return succeeded(task, exit.value)
        return work.isKept && Option.isSome(work.value)
          ? succeeded(task, work.value.value)
          : endingOf(task, attempt, exit.cause)
      })
    }
  })

const gaveUp = (why: string): Ending => ({ input: { _tag: "giveUp" }, why })

const succeeded = <P, A, E>(task: Judged<P, A, E>, value: A): Effect.Effect<Ending> =>
  Effect.match(Schema.encodeEffect(task.success)(value), {
    onSuccess: (result): Ending => ({ input: { _tag: "succeed" }, result }),
    onFailure: ({ message }) => gaveUp(`its success does not agree with its schema: ${message}`)
  })

const endingOf = <P, A, E>(
  task: Judged<P, A, E>,
  attempt: Attempt,
  cause: Cause.Cause<unknown>
): Effect.Effect<Ending> => {
  // Whatever else went wrong while it was being stopped.
  if (attempt.isStopped() && Cause.hasInterrupts(cause)) return Effect.succeed({ input: { _tag: "handBack" } })
  if (Cause.hasDies(cause)) return Effect.succeed(gaveUp(Cause.pretty(cause)))
  const fail = cause.reasons.find(Cause.isFailReason)
  // One that interrupts itself would do so for ever, if it were handed back.
  if (fail === undefined) return Effect.succeed(gaveUp("its handler was interrupted"))
  const { error } = fail
  return Effect.flatMap(Clock.currentTimeMillis, (now) =>
    error instanceof Signal ? Effect.succeed(signalled(error, now)) : failed(task, attempt, error, now)
  )
}

const signalled = ({ kind, millis, why }: Signal, now: number): Ending =>
  kind === "discard" ? { input: { _tag: "discard" }, why } : { input: { _tag: kind, at: now + millis } }

const failed = Effect.fnUntraced(function* <P, A, E>(
  task: Judged<P, A, E>,
  { number, task: { id } }: Attempt,
  error: unknown,
  now: number
): Effect.fn.Return<Ending> {
  const why = error instanceof Error ? error.message : String(error)
  const delay = yield* TaskRetry.delayMillis(task.retry, { id, attempt: number }, error)
  if (delay !== undefined) return { input: { _tag: "retry", at: now + delay }, why }
  // It is worth another attempt, and there is none left: that is no answer.
  const isExhausted = (yield* TaskRetry.delayMillis(task.retry, { id, attempt: 1 }, error)) !== undefined
  if (!isExhausted && Schema.is(task.error)(error)) {
    const encoded = yield* Effect.option(Schema.encodeEffect(task.error)(error))
    if (Option.isSome(encoded)) return { input: { _tag: "fail" }, result: encoded.value, why }
  }
  return gaveUp(number > 1 ? `the last of ${number} attempts failed: ${why}` : why)
})
