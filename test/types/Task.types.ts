import type { Exit, Layer, Option, Result, Stream } from "effect"
import { Context, Effect, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { QueryError, QueryPool } from "querypool"
import { Query, RetryPolicy } from "querypool"
import { Task, type TaskError, type TaskHandle, type TaskList, TaskRunner, type TaskStore } from "querypool/task"
import type { Equals, Fits } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

// Which errors are too many is what these tests are about.
// @effect-diagnostics missingEffectError:off

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}
class Torn extends Schema.TaggedError<Torn>()("Torn", {}) {}
class Mailer extends Context.Service<Mailer, { readonly send: (to: string) => Effect.Effect<void, Busy> }>()(
  "querypool/test/types/Mailer"
) {}

type Json = TaskStore.Json
type Failure = TaskError.TaskError
type Store = TaskStore.TaskStore
type Runner = TaskRunner.TaskRunner

// ---- make -------------------------------------------------------------------------------------------------------------

const mail = Task.make("mail", {
  payload: Schema.Struct({ userId: Schema.Finite, on: Schema.DateFromString }),
  success: Schema.String,
  error: Busy,
  progress: Schema.Struct({ sent: Schema.Finite }),
  session: "none",
  uniqueKey: ({ userId }) => String(userId)
})
interface Mail {
  readonly userId: number
  readonly on: Date
}
expect<Equals<typeof mail, Task.Task<Mail, string, Busy, "none", { readonly sent: number }>>>()

// Without more: no value, no error, a session, and any JSON as progress.
const plain = Task.make("plain", { payload: Schema.String })
expect<Equals<typeof plain, Task.Task<string, void, never, "connection", Json>>>()
const whole = Task.make("whole", { payload: Schema.String, error: Busy, session: "transaction" })
expect<Equals<typeof whole, Task.Task<string, void, Busy, "transaction", Json>>>()

// @ts-expect-error -- no such session
accept(Task.make("a", { payload: Schema.String, session: "both" }))
// @ts-expect-error -- a key of something else
accept(Task.make("a", { payload: Schema.String, uniqueKey: (payload: number) => String(payload) }))
declare const needing: Schema.Codec<string, string, Mailer>
// @ts-expect-error -- a schema whose values only a service can read
accept(Task.make("a", { payload: needing }))

// ---- retry ------------------------------------------------------------------------------------------------------------

const schedule = Schedule.recurs(3)
const retried = Task.make("retried", {
  payload: Schema.String,
  error: Busy,
  retry: RetryPolicy.make({ on: ["Busy", "Deadlock", "TimedOut", "TaskError"], schedule })
})
expect<Equals<typeof retried, Task.Task<string, void, Busy, "connection", Json>>>()
accept(Task.make("a", { payload: Schema.String, retry: RetryPolicy.transient }))
accept(
  Task.make("a", {
    payload: Schema.String,
    error: Busy,
    retry: RetryPolicy.make({
      on: (error: Busy | QueryError.QueryError | TaskError.TimedOut | Failure) => error._tag === "Busy"
    })
  })
)
// @ts-expect-error -- the task cannot fail with Torn
accept(Task.make("a", { payload: Schema.String, error: Busy, retry: RetryPolicy.make({ on: ["Torn"] }) }))
// @ts-expect-error -- no such reason
accept(Task.make("a", { payload: Schema.String, error: Busy, retry: RetryPolicy.make({ on: ["Deadlok"] }) }))
accept(
  Task.make("a", {
    payload: Schema.String,
    error: Busy,
    // @ts-expect-error -- the predicate was not told of all that a task may fail with
    retry: RetryPolicy.make({ on: (error: Busy) => error.line > 1 })
  })
)

// ---- toLayer ----------------------------------------------------------------------------------------------------------

const handled = Task.toLayer(mail, (payload, running) =>
  Effect.gen(function* () {
    expect<Equals<typeof payload, Mail>>()
    expect<Equals<typeof running.sql, undefined>>()
    expect<Equals<typeof running.attempt, number>>()
    const { send } = yield* Mailer
    yield* running.report({ sent: 1 })
    yield* send("ada")
    return "sent"
  })
)
// Without a session no pool is needed.
expect<Equals<typeof handled, Layer.Layer<never, never, Runner | Mailer>>>()

const withSession = Task.toLayer(plain, (text, { sql }) =>
  Effect.gen(function* () {
    expect<Equals<typeof sql, SqlClient>>()
    yield* sql`insert into notes ${sql.insert({ text })}`
    // The session's, as the one that is given.
    const same = yield* SqlClient
    yield* same`select 1`
    yield* Query.make("part", () => Effect.void)
  })
)
expect<Equals<typeof withSession, Layer.Layer<never, never, Runner | QueryPool.QueryPool>>>()
const without = Task.toLayer(plain, () => Effect.void)
expect<Equals<typeof without, Layer.Layer<never, never, Runner | QueryPool.QueryPool>>>()

// Ends other than a result, and the tasks that a handler enqueues.
accept(Task.toLayer(plain, () => Task.snooze("1 minute")))
accept(Task.toLayer(plain, () => Task.retryIn("1 minute")))
accept(Task.toLayer(plain, () => Task.discard("gone")))
const enqueues = Task.toLayer(plain, () => Effect.asVoid(Task.enqueue(mail, { userId: 1, on: new Date() })))
expect<Equals<typeof enqueues, Layer.Layer<never, never, Runner | QueryPool.QueryPool | Store>>>()

// @ts-expect-error -- an error that the task does not declare
accept(Task.toLayer(plain, () => Effect.fail(new Torn())))
// @ts-expect-error -- nor with others that it does
accept(Task.toLayer(whole, (text) => (text === "" ? Effect.fail(new Busy({ line: 1 })) : Effect.fail(new Torn()))))
// @ts-expect-error -- a value of another type
accept(Task.toLayer(mail, () => Effect.succeed(7)))
// @ts-expect-error -- a report of another shape
accept(Task.toLayer(mail, (_, { report }) => Effect.as(report({ done: 1 }), "sent")))
// @ts-expect-error -- there is no session
accept(Task.toLayer(mail, (_, { sql }) => Effect.as(sql`select 1`, "sent")))
const select = Effect.as(
  Effect.flatMap(SqlClient, (sql) => sql`select 1`),
  "sent"
)
// @ts-expect-error -- and so no SqlError is turned into a QueryError
accept(Task.toLayer(mail, () => select))
// @ts-expect-error -- a handler of another payload
accept(Task.toLayer(plain, (payload: number) => Effect.log(payload)))

// ---- enqueue ----------------------------------------------------------------------------------------------------------

const enqueued = Task.enqueue(mail, { userId: 1, on: new Date() })
expect<
  Equals<typeof enqueued, Effect.Effect<TaskHandle.Enqueued<string, Busy, { readonly sent: number }>, Failure, Store>>
>()
const many = Task.enqueueAll(plain, new Set(["a", "b"]), { delay: "1 hour", at: new Date(), onDuplicate: "fail" })
expect<Equals<typeof many, Effect.Effect<ReadonlyArray<TaskHandle.Enqueued<void, never, Json>>, Failure, Store>>>()

// @ts-expect-error -- a payload of the wrong shape
accept(Task.enqueue(mail, { userId: "1", on: new Date() }))
// @ts-expect-error -- a part of it is missing
accept(Task.enqueue(mail, { userId: 1 }))
// @ts-expect-error -- one of several
accept(Task.enqueueAll(plain, ["a", 1]))
// @ts-expect-error -- no such way
accept(Task.enqueue(plain, "a", { onDuplicate: "replace" }))
// @ts-expect-error -- a moment is no duration
accept(Task.enqueue(plain, "a", { at: "1 hour" }))

// ---- handles ----------------------------------------------------------------------------------------------------------

declare const handle: TaskHandle.Enqueued<string, Busy, { readonly sent: number }>
expect<Equals<typeof handle.await, Effect.Effect<Exit.Exit<string, Busy | Failure>>>>()
expect<Equals<typeof handle.progress, Stream.Stream<{ readonly sent: number }, Failure>>>()
expect<Fits<typeof handle, TaskHandle.TaskHandle<unknown, unknown, unknown>>>()
const again = Task.handle(mail, handle.id)
expect<
  Equals<typeof again, Effect.Effect<TaskHandle.TaskHandle<string, Busy, { readonly sent: number }>, never, Store>>
>()
// @ts-expect-error -- one that is found by its id was not enqueued
accept(Effect.map(again, ({ isNew }) => isNew))

// ---- list -------------------------------------------------------------------------------------------------------------

const typed = Task.list({ task: mail, states: ["dead"] })
expect<
  Equals<
    typeof typed,
    Effect.Effect<ReadonlyArray<TaskList.Listed<Mail, string, Busy, { readonly sent: number }>>, Failure, Store>
  >
>()
declare const listed: TaskList.Listed<Mail, string, Busy, { readonly sent: number }>
expect<Equals<typeof listed.payload, Result.Result<Mail, Failure>>>()
expect<Equals<typeof listed.exit, Option.Option<Exit.Exit<string, Busy | Failure>>>>()
const all = Task.list({ queue: "mail", name: "mail" })
expect<Equals<typeof all, Effect.Effect<ReadonlyArray<TaskList.Listed>, Failure, Store>>>()
// @ts-expect-error -- the task has its name
accept(Task.list({ task: mail, name: "mail" }))
// @ts-expect-error -- no such state
accept(Task.list({ states: ["broken"] }))

// ---- the runner -------------------------------------------------------------------------------------------------------

const runner = TaskRunner.layer({
  concurrency: 20,
  queues: { mail: { concurrency: 5, rateLimit: { limit: 10, window: "1 second", algorithm: "token-bucket" } } }
})
expect<Equals<typeof runner, Layer.Layer<Runner, never, Store>>>()
// @ts-expect-error -- a limit needs its window
accept(TaskRunner.layer({ queues: { mail: { rateLimit: { limit: 10 } } } }))
// @ts-expect-error -- no such algorithm
accept(TaskRunner.layer({ queues: { mail: { rateLimit: { limit: 1, window: 1, algorithm: "leaky" } } } }))
