// The tasks, without what runs them: who enqueues one loads neither mail nor SQL.
import { Schedule, Schema } from "effect"
import { RetryPolicy } from "querypool"
import { Task } from "querypool/task"

const line = Schema.String.check(Schema.isPattern(/^[^\r\n]{1,200}$/))

export const Contact = Schema.Struct({
  name: line,
  email: line.check(Schema.isPattern(/^[^@\s]+@[^@\s]+$/)),
  text: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(10_000))
})

/** The mail server is not there, or has no time now. */
export class MailDelayed extends Schema.TaggedError<MailDelayed>()("MailDelayed", { message: Schema.String }) {}

/** The mail server does not want this mail: an answer, and no reason to try again. */
export class MailRefused extends Schema.TaggedError<MailRefused>()("MailRefused", { message: Schema.String }) {}

// The message is nowhere yet, so that the task has it with it. Of what is in the database, a task gets the id.
export const sendMessage = Task.make("send-message", {
  payload: Contact,
  error: Schema.Union([MailDelayed, MailRefused]),
  queue: "mail",
  session: "none", // a mail server takes its time, for which no connection is held
  timeout: "30 seconds",
  retry: RetryPolicy.make({
    on: ["MailDelayed", "ConnectionLost", "ConnectFailed"],
    schedule: Schedule.upTo(Schedule.exponential("200 millis"), { times: 8 })
  })
})

export const Progress = Schema.Struct({ deleted: Schema.Int, of: Schema.Int })

export const cleanUp = Task.make("clean-up", {
  payload: Schema.Struct({ olderThanDays: Schema.Int }),
  success: Schema.Int,
  progress: Progress,
  uniqueKey: () => "clean-up" // one at a time is enough
})
