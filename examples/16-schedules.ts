// Tasks that come again by themselves. Time is that of effect's TestClock here, so that days pass at once; the schedules are
// as they would be in a server, and the tasks run as they would, to the millisecond.
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Layer, References, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Task, TaskRunner, TaskSchedule, TaskStoreMemory } from "querypool/task"
import { TestTime } from "querypool/testing"

const moment = (at: number) => at
const name = (at: number) => `${new Date(at).toISOString().slice(5, 16)} UTC`

// A task is given what a schedule says: here the moment for which it is run, which is not when it runs.
const purge = Task.make("purge", { payload: Schema.Finite, session: "none" })
const report = Task.make("report", { payload: Schema.Finite, session: "none", timeout: "2 hours" })
const handlers = Layer.merge(
  Task.toLayer(purge, (at) => Console.log(`purge for ${name(at)}`)),
  Task.toLayer(report, (at) =>
    Effect.gen(function* () {
      yield* Console.log(`report for ${name(at)}, which begins at ${name(yield* Clock.currentTimeMillis)}`)
      yield* Effect.sleep("90 minutes")
    })
  )
)
const tasks = handlers.pipe(
  Layer.provide(TaskRunner.layer({ drain: 0, lease: "3 hours" })),
  Layer.provideMerge(TaskStoreMemory.layerMemory()),
  // What the log says, such as what was missed and what did not end, has numbers in it that are others each time.
  Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "None"))
)

// In Berlin, where there is no 02:30 on 29 March 2026, and two of them on 25 October.
const nightly = TaskSchedule.cron("nightly", purge, moment, { cron: "30 2 * * *", timeZone: "Europe/Berlin" })

// Takes longer than its hour: what is due meanwhile waits, and is left out or cancels what runs with "skip" and "replace".
const hourly = TaskSchedule.every("hourly", report, moment, { every: "1 hour", overlap: "queue" })

// Nobody has it for a while. What it missed is made up for: all of it, one of it ("once"), or none ("skip").
const daily = TaskSchedule.cron("daily", purge, moment, { cron: "0 9 * * *", missed: "all" })

const hours = (count: number) => Effect.replicateEffect(TestTime.advance("1 hour"), count, { discard: true })
const during = (schedule: typeof nightly, count: number) =>
  Effect.scoped(Effect.andThen(Layer.build(schedule), hours(count)))

const program = Effect.gen(function* () {
  for (const day of ["2026-03-28", "2026-10-24"]) {
    yield* TestClock.setTime(Date.parse(day))
    yield* Effect.provide(during(nightly, 72), tasks)
  }
  yield* Effect.provide(during(hourly, 5), tasks)
  yield* Effect.gen(function* () {
    yield* during(daily, 1)
    yield* Console.log("for three days nobody has the schedule")
    yield* hours(72)
    yield* during(daily, 1)
  }).pipe(Effect.provide(tasks))
})

program.pipe(Effect.provide(TestClock.layer()), NodeRuntime.runMain)
