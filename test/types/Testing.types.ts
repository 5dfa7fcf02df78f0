// @effect-diagnostics missingEffectError:off -- what is refused here is an effect, too
import { Effect, Layer, Schema, Stream } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Query, QueryError, QueryPool } from "querypool"
import { Task, TaskError } from "querypool/task"
import type { TaskRunner, TaskStore } from "querypool/task"
import { Faults, TestQueryPool, TestTasks } from "querypool/testing"
import type { Equals, Fits } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}
declare const sqlError: SqlError

// ---- a script is rows, failures, or what gives these -----------------------------------------------------------------

const scripted = TestQueryPool.layer({
  rows: [{ id: 1 }, { name: "Ann" }],
  none: [],
  fails: Faults.sqlState("40P01"),
  "is lost": new QueryError.ConnectionLost({ message: "cut" }),
  "fails as the client does": sqlError,
  late: Effect.delay(Effect.succeed([{ id: 1 }]), "1 second"),
  never: Effect.never,
  streamed: Stream.make({ id: 1 }),
  computed: ({ parameters, sql }) => (sql.startsWith("insert") ? [] : [{ id: parameters[0] }]),
  fallible: ({ nth }) => (nth === 1 ? Faults.sqlState("40001") : [{ id: 1 }]),
  "in order": TestQueryPool.inOrder(Faults.sqlState("40P01"), [{ id: 1 }], () => [], Effect.succeed([]))
})
expect<
  Equals<typeof scripted, Layer.Layer<QueryPool.QueryPool | SqlClient | TestQueryPool.TestQueryPool, never, never>>
>()
accept(TestQueryPool.layer(({ query }) => (query === "a" ? [] : Effect.never)))

// @ts-expect-error -- a row is an object
accept(TestQueryPool.layer({ rows: ["Ann"] }))
// @ts-expect-error -- one row is a list of one
accept(TestQueryPool.layer({ rows: { id: 1 } }))
// @ts-expect-error -- a query fails with a reason, not with any error
accept(TestQueryPool.layer({ fails: new Busy({ line: 1 }) }))
// @ts-expect-error -- nor does what takes its time
accept(TestQueryPool.layer({ fails: Effect.fail("no") }))

// ---- what runs on it needs nothing else ------------------------------------------------------------------------------

const user = Query.findOne({
  name: "user",
  schema: Schema.Struct({ id: Schema.Finite }),
  statement: (sql) => sql`select id from users`
})
const ran = QueryPool.all([user]).pipe(Effect.provide(scripted))
expect<Equals<typeof ran, Effect.Effect<[{ readonly id: number }], QueryError.QueryError>>>()

// ---- faults ----------------------------------------------------------------------------------------------------------

const faulty = Layer.provideMerge(
  Faults.queries([
    { query: /^mail/, chance: 0.1, fault: Faults.loseAnswer },
    { query: "a", nth: [1, 2], fault: Faults.failAfter(Faults.sqlState("40001")) },
    { fault: Faults.delay("1 second") }
  ]),
  scripted
)
expect<Fits<QueryPool.QueryPool | SqlClient, Layer.Success<typeof faulty>>>()
expect<Equals<Layer.Services<typeof faulty>, never>>()
accept(Faults.store([{ operation: "claim", fault: Faults.fail(new TaskError.StoreFailed({ message: "down" })) }]))
accept(Faults.store([{ operation: ["offer", "settle"], fault: Faults.hang }]))

// @ts-expect-error -- a query does not fail as a store does
accept(Faults.queries([{ fault: Faults.fail(new TaskError.StoreFailed({ message: "down" })) }]))
// @ts-expect-error -- nor a store as a query
accept(Faults.store([{ fault: Faults.fail(Faults.sqlState("40P01")) }]))
// @ts-expect-error -- what a store has done it does not take back
accept(Faults.store([{ fault: Faults.failAfter(new TaskError.StoreFailed({ message: "down" })) }]))
// @ts-expect-error -- there is no such operation
accept(Faults.store([{ operation: "take", fault: Faults.hang }]))

// ---- tasks -----------------------------------------------------------------------------------------------------------

const mail = Task.make("mail", {
  payload: Schema.Struct({ id: Schema.Finite, at: Schema.DateTimeUtc }),
  success: Schema.String,
  error: Busy,
  progress: Schema.Struct({ done: Schema.Finite }),
  session: "none"
})
declare const payload: typeof mail.payload.Type

const handler = Task.toLayer(mail, ({ id }) => Effect.succeed(`${id}`))
const tasks = Layer.provideMerge(handler, TestTasks.layerMemory())
expect<
  Equals<typeof tasks, Layer.Layer<TestTasks.TestTasks | TaskRunner.TaskRunner | TaskStore.TaskStore, never, never>>
>()
expect<Equals<Layer.Services<typeof TestTasks.layer>, TaskStore.TaskStore>>()

const ending = TestTasks.run(mail, payload, { attempt: 2 })
expect<Equals<typeof ending, Effect.Effect<TestTasks.Ending<string, Busy>, TaskError.TaskError, TestTasks.TestTasks>>>()
declare const ended: Effect.Success<typeof ending>
if (ended._tag === "succeeded") expect<Equals<typeof ended.value, string>>()
if (ended._tag === "failed") expect<Equals<typeof ended.error, Busy>>()
if (ended._tag === "retrying" || ended._tag === "snoozed") expect<Equals<typeof ended.delayMillis, number>>()
if (ended._tag === "dead" || ended._tag === "discarded") expect<Equals<typeof ended.why, string>>()

// @ts-expect-error -- its payload has an id
accept(TestTasks.run(mail, { at: payload.at }))
// @ts-expect-error -- that is a number
accept(TestTasks.run(mail, { id: "7", at: payload.at }))

const enqueued = TestTasks.enqueued(mail)
expect<
  Equals<
    typeof enqueued,
    Effect.Effect<ReadonlyArray<TestTasks.Enqueued<typeof payload>>, TaskError.TaskError, TaskStore.TaskStore>
  >
>()
const expected = TestTasks.expectEnqueued(mail, { payload: ({ id }) => id > 7, delay: "1 hour", priority: 3 })
declare const first: Effect.Success<typeof expected>[0]
expect<Equals<typeof first.payload.id, number>>()
accept(TestTasks.expectNoneEnqueued(mail, { payload }))

// @ts-expect-error -- no payload of this task is like that
accept(TestTasks.expectEnqueued(mail, { payload: { id: "7" } }))
// @ts-expect-error -- nor is a part of one
accept(TestTasks.expectEnqueued(mail, { payload: { id: 7 } }))
// @ts-expect-error -- a predicate says yes or no
accept(TestTasks.expectEnqueued(mail, { payload: ({ id }) => id }))
// @ts-expect-error -- it has no such option
accept(TestTasks.expectNoneEnqueued(mail, { times: 2 }))
