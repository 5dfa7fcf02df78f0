// Not now: in a while.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schema } from "effect"
import { Task, TaskRunner, TaskStoreMemory } from "querypool/task"

const remind = Task.make("remind", { payload: Schema.String, session: "none" })
const Remind = Task.toLayer(remind, (what) => Console.log(`remember ${what}`))

const program = Effect.gen(function* () {
  const reminder = yield* Task.enqueue(remind, "the milk", { delay: "200 millis" })
  yield* Console.log("asked for")
  yield* reminder.await
})

const Tasks = Remind.pipe(Layer.provide(TaskRunner.layer()), Layer.provideMerge(TaskStoreMemory.layerMemory()))
program.pipe(Effect.provide(Tasks), NodeRuntime.runMain)
