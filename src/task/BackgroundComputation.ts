/**
 * A named, typed computation: a value that both sides share, as a task is, so that who asks for it does not load the code
 * that does it. And what the two sides say to each other.
 *
 *     asks                                        worker
 *     { name, payload } ──────────────────────►   decodes, computes
 *     decodes            ◄──────────────────────  { value } | { cause } | { fault }
 *
 * What goes across is encoded by the schemas, as JSON values, and then copied. What is `Transferable` (effect/workers), such
 * as the bytes of `Transferable.Uint8Array`, is handed over instead: it is gone where it came from, and costs nothing
 * however much it is.
 *
 * @since 0.1.0
 */
import type { Cause } from "effect"
import { Schema } from "effect"
import { Unfit } from "./TaskError.ts"
import type { Json } from "./TaskStore.ts"

/**
 * A computation.
 *
 * @since 0.1.0
 */
export interface Computation<P, A, E = never> {
  readonly name: string
  readonly payload: Schema.ConstraintCodec<P, Json>
  readonly success: Schema.ConstraintCodec<A, Json>
  /** Of all that can be the end of it, but its success. */
  readonly cause: Schema.ConstraintCodec<Cause.Cause<E>, Json>
}

/**
 * What can be said of a computation.
 *
 * @since 0.1.0
 */
export interface ComputationOptions<P, A, E> {
  readonly payload: Schema.ConstraintCodec<P, unknown>
  /** Nothing by default. */
  readonly success?: Schema.ConstraintCodec<A, unknown> | undefined
  /** The errors that its handler may fail with. None by default. */
  readonly error?: Schema.ConstraintCodec<E, unknown> | undefined
}

/**
 * Makes a computation.
 *
 * @since 0.1.0
 */
export const computation = <P, A = void, E = never>(
  name: string,
  options: ComputationOptions<P, A, E>
): Computation<P, A, E> => {
  // What is not said is what the types' defaults are.
  const success = (options.success ?? Schema.Void) as Schema.ConstraintCodec<A, unknown>
  const error = (options.error ?? Schema.Never) as Schema.ConstraintCodec<E, unknown>
  return {
    name,
    payload: Schema.toCodecJson(options.payload),
    success: Schema.toCodecJson(success),
    cause: Schema.toCodecJson(Schema.Cause(error, Schema.Defect({ includeStack: true })))
  }
}

/**
 * The worker ended before it had an answer: it was killed, had no memory left, or could not be started at all.
 *
 * @since 0.1.0
 */
export class WorkerLost extends Schema.TaggedError<WorkerLost>("querypool/task/OffloadError/WorkerLost")("WorkerLost", {
  message: Schema.String
}) {}

/**
 * The worker has no handler for a computation of this name.
 *
 * @since 0.1.0
 */
export class NoHandler extends Schema.TaggedError<NoHandler>("querypool/task/OffloadError/NoHandler")("NoHandler", {
  /** Those that it has handlers for. */
  known: Schema.Array(Schema.String)
}) {}

/**
 * A payload or a result that cannot leave its thread, such as bytes that have been handed over before.
 *
 * @since 0.1.0
 */
export class Unsendable extends Schema.TaggedError<Unsendable>("querypool/task/OffloadError/Unsendable")("Unsendable", {
  message: Schema.String
}) {}

const Reason = Schema.Union([WorkerLost, NoHandler, Unfit, Unsendable])

/**
 * What can go wrong with a computation in a worker, beside its own errors.
 *
 * @since 0.1.0
 */
export class OffloadError extends Schema.TaggedError<OffloadError>("querypool/task/OffloadError")("OffloadError", {
  computation: Schema.String,
  reason: Reason
}) {
  override get message(): string {
    const name = `Computation "${this.computation}"`
    const { reason } = this
    switch (reason._tag) {
      case "WorkerLost":
        return `${name}: its worker ended: ${reason.message}`
      case "NoHandler":
        return `${name}: its worker has handlers for ${reason.known.join(", ") || "nothing"}`
      case "Unfit":
        return `${name}: its ${reason.what} does not agree with its schema: ${reason.message}`
      case "Unsendable":
        return `${name}: its payload or result cannot be sent: ${reason.message}`
    }
  }
}

/** @internal */
export interface Request {
  readonly name: string
  readonly payload: Json
}

/** @internal */
export type Answer =
  | { readonly _tag: "Value"; readonly value: Json }
  | { readonly _tag: "Cause"; readonly cause: Json }
  | { readonly _tag: "NoHandler"; readonly known: ReadonlyArray<string> }
  | { readonly _tag: "Unfit"; readonly what: Unfit["what"]; readonly message: string }
  | { readonly _tag: "Unsendable"; readonly message: string }
