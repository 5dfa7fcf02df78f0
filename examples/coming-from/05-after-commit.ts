// The welcome is sent for users that were committed, and for no others.
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { PgQueryPool, Query } from "querypool"
import { Task, TaskRunner, TaskStoreMemory } from "querypool/task"

const welcome = Task.make("welcome", { payload: Schema.String, session: "none" })
const Welcome = Task.toLayer(welcome, (name) => Console.log(`welcome, ${name}`))

// Enqueued in the transaction, it is there after the COMMIT, or never.
const signUp = (name: string, changesMind: boolean) =>
  Query.make(
    "sign up",
    Effect.fnUntraced(function* (sql) {
      yield* sql`select 1`
      const sent = yield* Task.enqueue(welcome, name)
      return changesMind ? yield* Effect.fail("changed their mind") : sent
    }),
    { mode: "transaction" }
  )

const program = Effect.gen(function* () {
  const sent = yield* signUp("Ann", false)
  yield* Effect.ignore(signUp("Bob", true))
  yield* sent.await
})

const Tasks = Welcome.pipe(
  Layer.provide(TaskRunner.layer()),
  Layer.provideMerge(TaskStoreMemory.layerMemory()),
  Layer.provideMerge(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
)
program.pipe(Effect.provide(Tasks), NodeRuntime.runMain)
