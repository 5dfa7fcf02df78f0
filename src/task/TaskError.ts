/**
 * What can go wrong with a task, beside the errors that its own schema names: one error, `TaskError`, with closed,
 * tagged reasons.
 *
 * @since 0.1.0
 */
import { Schema } from "effect"

/**
 * The store knows no such task: it never did, or it has ended long ago.
 *
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>("querypool/task/TaskError/NotFound")("NotFound", {
  id: Schema.String
}) {}

/**
 * Somebody cancelled the task.
 *
 * @since 0.1.0
 */
export class Cancelled extends Schema.TaggedError<Cancelled>("querypool/task/TaskError/Cancelled")("Cancelled", {}) {}

/**
 * Its handler said that there is nothing to do any more.
 *
 * @since 0.1.0
 */
export class Discarded extends Schema.TaggedError<Discarded>("querypool/task/TaskError/Discarded")("Discarded", {
  why: Schema.String
}) {}

/**
 * There is no use in trying again: a defect of its handler, or its last attempt has failed. A person may queue it again.
 *
 * @since 0.1.0
 */
export class Dead extends Schema.TaggedError<Dead>("querypool/task/TaskError/Dead")("Dead", {
  /** How many attempts there were. */
  attempts: Schema.Int,
  why: Schema.String
}) {}

/**
 * The attempt took longer than the task allows.
 *
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedError<TimedOut>("querypool/task/TaskError/TimedOut")("TimedOut", {
  afterMillis: Schema.Finite
}) {
  override get message(): string {
    return `took longer than ${this.afterMillis} ms`
  }
}

/**
 * A payload, result or report that does not agree with its schema.
 *
 * @since 0.1.0
 */
export class Unfit extends Schema.TaggedError<Unfit>("querypool/task/TaskError/Unfit")("Unfit", {
  what: Schema.Literals(["payload", "success", "error", "progress"]),
  message: Schema.String
}) {}

/**
 * The store could not be asked.
 *
 * @since 0.1.0
 */
export class StoreFailed extends Schema.TaggedError<StoreFailed>("querypool/task/TaskError/StoreFailed")(
  "StoreFailed",
  { message: Schema.String }
) {}

/**
 * What was asked for cannot be, such as a delay below zero.
 *
 * @since 0.1.0
 */
export class Impossible extends Schema.TaggedError<Impossible>("querypool/task/TaskError/Impossible")("Impossible", {
  message: Schema.String
}) {}

/**
 * There is a task with the same unique key that has not ended.
 *
 * @since 0.1.0
 */
export class Duplicate extends Schema.TaggedError<Duplicate>("querypool/task/TaskError/Duplicate")("Duplicate", {
  /** Of the task that there is. */
  id: Schema.String,
  uniqueKey: Schema.String
}) {}

/** @since 0.1.0 */
export const Reason = Schema.Union([
  NotFound,
  Cancelled,
  Discarded,
  Dead,
  TimedOut,
  Unfit,
  StoreFailed,
  Impossible,
  Duplicate
])

/**
 * What can go wrong with a task.
 *
 * @since 0.1.0
 */
export class TaskError extends Schema.TaggedError<TaskError>("querypool/task/TaskError")("TaskError", {
  /** The task's name, where it is known. */
  task: Schema.optional(Schema.String),
  reason: Reason
}) {
  override get message(): string {
    const name = this.task === undefined ? "A task" : `Task "${this.task}"`
    const { reason } = this
    switch (reason._tag) {
      case "NotFound":
        return `${name}: the store knows no task with the id ${reason.id}. It may have ended long ago`
      case "Cancelled":
        return `${name} was cancelled`
      case "Discarded":
        return `${name} was given up by its handler: ${reason.why}`
      case "Dead":
        return `${name} is dead after ${reason.attempts} attempts: ${reason.why}. Queue it again with \`requeue\``
      case "TimedOut":
        return `${name} took longer than ${reason.afterMillis} ms`
      case "Unfit":
        return `${name}: its ${reason.what} does not agree with its schema: ${reason.message}`
      case "Impossible":
        return `${name} cannot be as asked for: ${reason.message}`
      case "Duplicate":
        return `${name} with the key "${reason.uniqueKey}" is there already, and has not ended: ${reason.id}`
      case "StoreFailed":
        return `${name}: the store could not be asked: ${reason.message}`
    }
  }
}
