import { type Layer, Schema } from "effect"
import type { TaskError, TaskStore } from "querypool/task"
import { Task, TaskSchedule } from "querypool/task"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

const purge = Task.make("purge", { payload: Schema.Struct({ olderThan: Schema.DateFromMillis }) })
const tidy = Task.make("tidy", { payload: Schema.Void, session: "none" })

// ---- a schedule needs a store, and no handler -------------------------------------------------------------------------

const nightly = TaskSchedule.cron(
  "nightly",
  purge,
  (moment) => {
    expect<Equals<typeof moment, number>>()
    return { olderThan: new Date(moment) }
  },
  { cron: "30 2 * * *", timeZone: "Europe/Berlin", repeatedHour: "later" }
)
expect<Equals<typeof nightly, Layer.Layer<never, TaskError.TaskError, TaskStore.TaskStore>>>()
const often = TaskSchedule.every("often", tidy, undefined, { every: "10 minutes", overlap: "queue", missed: "all" })
expect<Equals<typeof often, typeof nightly>>()

// ---- the payload is the task's, as it is decoded ----------------------------------------------------------------------

accept(TaskSchedule.every("purge", purge, { olderThan: new Date(0) }, { every: "1 day" }))
// @ts-expect-error -- a date, and not how it is kept
accept(TaskSchedule.every("purge", purge, { olderThan: 0 }, { every: "1 day" }))
// @ts-expect-error -- nor is it where it is made for each occurrence
accept(TaskSchedule.every("purge", purge, (moment) => ({ olderThan: moment }), { every: "1 day" }))
// @ts-expect-error -- it is given the moment as a number
accept(TaskSchedule.every("purge", purge, (moment: Date) => ({ olderThan: moment }), { every: "1 day" }))

// ---- options ----------------------------------------------------------------------------------------------------------

// @ts-expect-error -- an interval has no zone
accept(TaskSchedule.every("often", tidy, undefined, { every: "1 hour", timeZone: "Europe/Berlin" }))
// @ts-expect-error -- one has to say when
accept(TaskSchedule.cron("often", tidy, undefined, {}))
// @ts-expect-error -- there is no such policy
accept(TaskSchedule.cron("often", tidy, undefined, { cron: "* * * * *", overlap: "all" }))
// @ts-expect-error -- there is no such policy
accept(TaskSchedule.cron("often", tidy, undefined, { cron: "* * * * *", missed: "queue" }))
