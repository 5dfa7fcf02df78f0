// Tasks in five minutes: a task, its handler, enqueue in a transaction, retries, progress, cancel, and the dead queued again.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Exit, Layer, References, Schedule, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { PgQueryPool, Query, RetryPolicy } from "querypool"
import { Task, TaskRunner, TaskStoreMemory } from "querypool/task"

class NoRoom extends Schema.TaggedError<NoRoom>()("NoRoom", { userId: Schema.Finite }) {}

// A typed value without a handler: whoever enqueues it loads nothing of the code that runs it.
const welcome = Task.make("welcome", {
  payload: Schema.Struct({ userId: Schema.Finite }),
  success: Schema.String,
  session: "transaction",
  timeout: "10 seconds"
})
const copy = Task.make("copy", {
  payload: Schema.Struct({ userId: Schema.Finite }),
  error: NoRoom,
  progress: Schema.Struct({ done: Schema.Finite }),
  session: "none",
  queue: "copies",
  retry: RetryPolicy.make({ on: ["NoRoom"], schedule: Schedule.upTo(Schedule.spaced("10 millis"), { times: 1 }) })
})

// Handlers. `sql` is a session of the handler's own, here in a transaction that is committed when it succeeds.
const Welcome = Task.toLayer(welcome, ({ userId }, { sql }) =>
  Effect.gen(function* () {
    const [user] = yield* sql<{ name: string }>`update member set welcomed = true where id = ${userId} returning name`
    return user === undefined ? yield* Task.discard("no such member") : `hello ${user.name}`
  })
)
let room = 0
const Copy = Task.toLayer(copy, ({ userId }, { report }) =>
  Effect.gen(function* () {
    if (userId === 0) return yield* Effect.never
    if (room < userId) return yield* new NoRoom({ userId })
    yield* report({ done: 1 })
  })
)

const Tasks = Layer.mergeAll(Welcome, Copy).pipe(
  Layer.provide(TaskRunner.layer({ concurrency: 10, queues: { copies: { concurrency: 2 } } })),
  Layer.provideMerge(TaskStoreMemory.layerMemory()),
  Layer.provideMerge(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
)

const program = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* Query.make("prepare", (sql) => sql`create table member (id int primary key, name text, welcomed bool)`)

  // It runs after the COMMIT, or never.
  const handle = yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`insert into member values (1, 'ada', false)`
      return yield* Task.enqueue(welcome, { userId: 1 })
    })
  )
  yield* Console.log(yield* yield* handle.await)
  const unknown = yield* Task.enqueue(welcome, { userId: 2 })
  const discarded = yield* unknown.await
  yield* Console.log(Exit.isFailure(discarded) ? "the second one was given up by its handler" : "welcomed")

  // Two attempts are not enough: it is dead, kept with its reason, and queued again when there is room.
  const copying = yield* Task.enqueue(copy, { userId: 3 })
  yield* copying.await
  const dead = yield* Task.list({ task: copy, states: ["dead"] })
  for (const { state } of dead) yield* Console.log(`dead after ${state.attempt} attempts`)
  room = 3
  yield* Task.requeue(dead.map(({ id }) => id))
  yield* Stream.runForEach(copying.progress, ({ done }) => Console.log(`copied ${done}`))
  yield* Console.log(`it has ${(yield* copying.status)._tag}`)

  // One that would not end is cancelled.
  const endless = yield* Task.enqueue(copy, { userId: 0 })
  yield* endless.cancel
  yield* Console.log(`the last one is ${(yield* endless.status)._tag}`)
})

program.pipe(
  Effect.provide(Tasks),
  // Each task that is dead has a line in the log.
  Effect.provideService(References.MinimumLogLevel, "None"),
  NodeRuntime.runMain
)
