/**
 * The worker's side of `Background.offload`: what a worker's file runs.
 *
 * - One answer to each request, whatever becomes of its handler: a value, its error, its defect with the stack of this
 *   thread, or what is wrong with payload or result.
 * - It ends when the other side closes the worker, and what was provided to it is released then. A worker that is
 *   interrupted in a computation is terminated, and releases nothing.
 *
 * @internal
 */
import { Cause, Effect, Exit, Schema } from "effect"
import * as Transferable from "effect/workers/Transferable"
import type { WorkerError } from "effect/workers/WorkerError"
import { WorkerRunnerPlatform } from "effect/workers/WorkerRunner"
import type { Answer, Computation, Request } from "./BackgroundComputation.ts"
import type { Json } from "./TaskStore.ts"

/**
 * A computation with what does it.
 *
 * @since 0.1.0
 */
export interface Handler<out R> {
  readonly name: string
  /** @internal */
  readonly answer: (payload: Json) => Effect.Effect<Answer, never, R>
}

/**
 * Has a computation done by a handler, in a worker's file.
 *
 * @since 0.1.0
 */
export const handle = <P, A, E, R>(
  computation: Computation<P, A, E>,
  handler: (payload: P) => Effect.Effect<NoInfer<A>, NoInfer<E>, R>
): Handler<R> => {
  const decode = Schema.decodeEffect(computation.payload)
  const encode = Schema.encodeEffect(computation.success)
  const encodeCause = Schema.encodeEffect(computation.cause)
  const explain = (cause: Cause.Cause<E>): Effect.Effect<Answer> =>
    Effect.match(encodeCause(Cause.hasInterruptsOnly(cause) ? interrupted : cause), {
      onSuccess: (cause): Answer => ({ _tag: "Cause", cause }),
      onFailure: unfit("error")
    })
  const value = (result: A): Effect.Effect<Answer> =>
    Effect.match(encode(result), {
      onSuccess: (value): Answer => ({ _tag: "Value", value }),
      onFailure: unfit("success")
    })
  return {
    name: computation.name,
    answer: (encoded) =>
      Effect.matchEffect(decode(encoded), {
        onFailure: (error) => Effect.succeed(unfit("payload")(error)),
        onSuccess: (payload) =>
          Effect.flatMap(Effect.exit(Effect.suspend(() => handler(payload))), (exit) =>
            Exit.isSuccess(exit) ? value(exit.value) : explain(exit.cause)
          )
      })
  }
}

/** On the other side it would look as if somebody there had interrupted it. */
const interrupted = Cause.die(new Error("its handler was interrupted"))

const unfit =
  (what: "payload" | "success" | "error") =>
  ({ message }: Schema.SchemaError): Answer => ({ _tag: "Unfit", what, message })

/**
 * What a worker's file runs: answers computations until the worker is closed. Throws an `Error` for two handlers of one
 * computation.
 *
 * ```ts
 * Background.serve([Background.handle(hash, (text) => Effect.sync(() => sha256(text)))]).pipe(
 *   Effect.provide(NodeWorkerRunner.layer),
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @since 0.1.0
 */
export const serve = <R>(
  handlers: ReadonlyArray<Handler<R>>
): Effect.Effect<void, WorkerError, R | WorkerRunnerPlatform> => {
  const byName = new Map<string, Handler<R>>()
  for (const handler of handlers) {
    if (byName.has(handler.name)) throw new Error(`Computation "${handler.name}" has two handlers`)
    byName.set(handler.name, handler)
  }
  return Effect.gen(function* () {
    const { start } = yield* WorkerRunnerPlatform
    const runner = yield* start<Answer, Request>()
    yield* runner.run((port, { name, payload }) => {
      const collector = Transferable.makeCollectorUnsafe()
      const answer: Effect.Effect<Answer, never, R> =
        byName.get(name)?.answer(payload) ?? Effect.succeed({ _tag: "NoHandler", known: [...byName.keys()] })
      return Effect.provideService(answer, Transferable.Collector, collector).pipe(
        Effect.flatMap((answer) => runner.send(port, answer, collector.readUnsafe())),
        Effect.catchDefect((defect) => runner.send(port, { _tag: "Unsendable", message: String(defect) }))
      )
    })
  })
}
