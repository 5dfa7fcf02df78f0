// Every so often, and at times of the calendar.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Queue, Schema } from "effect"
import { Task, TaskRunner, TaskSchedule, TaskStoreMemory } from "querypool/task"

const tick = Task.make("tick", { payload: Schema.Void, session: "none" })
const cleanUp = Task.make("clean-up", { payload: Schema.Void, session: "none" })

// In each process that likes: every occurrence is offered once.
const Schedules = Layer.mergeAll(
  TaskSchedule.every("tick", tick, undefined, { every: "100 millis" }),
  TaskSchedule.cron("clean-up", cleanUp, undefined, { cron: "30 2 * * *", timeZone: "Europe/Berlin" })
)

const program = Effect.gen(function* () {
  const ticks = yield* Queue.unbounded<void>()
  const Handlers = Layer.mergeAll(
    Task.toLayer(tick, () => Effect.asVoid(Queue.offer(ticks, undefined))),
    Task.toLayer(cleanUp, () => Effect.void)
  )
  const Tasks = Layer.mergeAll(Handlers, Schedules).pipe(
    Layer.provide(TaskRunner.layer()),
    Layer.provide(TaskStoreMemory.layerMemory())
  )
  yield* Effect.provide(Queue.takeN(ticks, 3), Tasks)
  yield* Console.log("three ticks")
})

program.pipe(NodeRuntime.runMain)
