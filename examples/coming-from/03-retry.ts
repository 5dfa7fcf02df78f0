// Try again, at most ten times, while the row is not there yet; fail at once for anything else.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { PgQueryPool, RetryPolicy } from "querypool"
import { Task, TaskRunner, TaskStoreMemory } from "querypool/task"

class NoSuchUser extends Schema.TaggedError<NoSuchUser>()("NoSuchUser", {}) {}

const greet = Task.make("greet", {
  payload: Schema.Int,
  success: Schema.String,
  error: NoSuchUser,
  // A tag that the task cannot fail with does not compile.
  retry: RetryPolicy.make({ on: ["NoSuchUser"], schedule: Schedule.upTo(Schedule.spaced("100 millis"), { times: 10 }) })
})
const Greet = Task.toLayer(greet, (userId, { attempt, sql }) =>
  Effect.gen(function* () {
    const [user] = yield* sql<{ name: string }>`select name from celery_user where id = ${userId}`
    if (user === undefined && attempt === 1) yield* Console.log("no such user yet")
    return user === undefined ? yield* new NoSuchUser() : `Hello, ${user.name}`
  })
)

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`drop table if exists celery_user`
  yield* sql`create table celery_user (id int primary key, name text)`
  const greeting = yield* Task.enqueue(greet, 7)
  yield* greeting.status.pipe(
    Effect.repeat({ until: ({ _tag }) => _tag === "retrying", schedule: Schedule.spaced("10 millis") })
  )
  yield* sql`insert into celery_user values (7, 'Ann')`
  yield* Console.log(yield* yield* greeting.await)
})

const Tasks = Greet.pipe(
  Layer.provide(TaskRunner.layer()),
  Layer.provideMerge(TaskStoreMemory.layerMemory()),
  Layer.provideMerge(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
)
program.pipe(Effect.provide(Tasks), NodeRuntime.runMain)
