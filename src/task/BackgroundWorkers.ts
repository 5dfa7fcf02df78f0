/**
 * Worker threads for computations: as many as there are processors to spare, one computation at a time in each.
 *
 *     asks ─► in line ─► an idle worker, or a new one ─► answer ─────────► the worker is idle again
 *                                  │
 *                                  ├─ interrupted ─► terminated, and replaced
 *                                  └─ it ends ─────► `WorkerLost`; the next who asks gets a new one
 *
 * - **Interrupted means stopped.** A loop that computes hears no message, so its thread is terminated. Only then is the
 *   interruption over: there are never more threads than the size says.
 * - **Started when needed**, and kept until the layer's scope closes. Then no thread is left: those that compute are
 *   terminated and whoever waits for them fails; the others end by themselves, and release what they hold.
 * - **In their order** computations are begun, without a limit to those that wait.
 *
 * @internal
 */
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Predicate, Result, Schema, Semaphore } from "effect"
import * as Transferable from "effect/workers/Transferable"
import * as Worker from "effect/workers/Worker"
import type { WorkerError } from "effect/workers/WorkerError"
import type { Answer, Computation, Request } from "./BackgroundComputation.ts"
import { NoHandler, OffloadError, Unsendable, WorkerLost } from "./BackgroundComputation.ts"
import { Unfit } from "./TaskError.ts"

/**
 * Does computations elsewhere. `layerWorkers` makes one.
 *
 * @since 0.1.0
 */
export class Workers extends Context.Service<
  Workers,
  {
    /** Sends a request to a worker and waits for its answer. */
    readonly ask: (
      request: Request,
      transfers: ReadonlyArray<unknown>
    ) => Effect.Effect<Answer, WorkerLost | Unsendable>
  }
>()("querypool/task/Background/Workers") {}

/**
 * Does a computation in a worker, one of `layerWorkers`, and waits for its result: the handler's, its error, or its
 * defect. An interruption terminates the worker, and is over when it has ended. Fails with `OffloadError` when there is no
 * answer.
 *
 * @since 0.1.0
 */
export const offload = Effect.fnUntraced(function* <P, A, E>(
  computation: Computation<P, A, E>,
  payload: P
): Effect.fn.Return<A, E | OffloadError, Workers> {
  const { name } = computation
  const { ask } = yield* Workers
  const fault = (reason: OffloadError["reason"]) => new OffloadError({ computation: name, reason })
  const unfit =
    (what: Unfit["what"]) =>
    ({ message }: { readonly message: string }) =>
      fault(new Unfit({ what, message }))
  const collector = Transferable.makeCollectorUnsafe()
  const encoded = yield* Schema.encodeEffect(computation.payload)(payload).pipe(
    Effect.provideService(Transferable.Collector, collector),
    Effect.mapError(unfit("payload"))
  )
  const answer = yield* Effect.mapError(ask({ name, payload: encoded }, collector.readUnsafe()), fault)
  switch (answer._tag) {
    case "Value":
      return yield* Effect.mapError(Schema.decodeEffect(computation.success)(answer.value), unfit("success"))
    case "Cause":
      return yield* Effect.flatMap(
        Effect.mapError(Schema.decodeEffect(computation.cause)(answer.cause), unfit("error")),
        Effect.failCause
      )
    case "NoHandler":
      return yield* fault(new NoHandler({ known: answer.known }))
    case "Unfit":
      return yield* unfit(answer.what)(answer)
    case "Unsendable":
      return yield* fault(new Unsendable({ message: answer.message }))
  }
})

/**
 * What can be said of workers.
 *
 * @since 0.1.0
 */
export interface WorkersOptions {
  /** How many there are at most. Default: one for each processor but one, which is the event loop's, and one at least. */
  readonly size?: number | undefined
}

/**
 * Workers for `Background.offload`, on a platform that says how one is made: for Node,
 *
 * ```ts
 * Layer.provide(
 *   Background.layerWorkers(),
 *   NodeWorker.layer(() => new Worker(new URL("./hash.worker.ts", import.meta.url)))
 * )
 * ```
 *
 * Throws a `RangeError` for a size below one.
 *
 * @since 0.1.0
 */
export const layerWorkers = (
  options: WorkersOptions = {}
): Layer.Layer<Workers, never, Worker.WorkerPlatform | Worker.Spawner> => {
  const { size = Math.max(1, navigator.hardwareConcurrency - 1) } = options
  if (!(Number.isSafeInteger(size) && size >= 1)) {
    throw new RangeError(`Expected \`size\` to be an integer from 1, got ${size}`)
  }
  return Layer.effect(
    Workers,
    Effect.gen(function* () {
      const spawner = yield* Worker.Spawner
      const platform = yield* Worker.WorkerPlatform
      const context = yield* Effect.context<never>()
      const pool = yield* Effect.acquireRelease(
        Effect.sync(() => new WorkerPool({ size, platform, spawner, context })),
        (pool) => pool.close
      )
      return Workers.of({ ask: (request, transfers) => pool.ask(request, transfers) })
    })
  )
}

type Loss = WorkerLost | Unsendable

/** A worker, from its start to its end. */
interface Hand {
  readonly worker: Worker.Worker<Answer, Request>
  /** What the spawner made. */
  raw: unknown
  isReady: boolean
  /** Of what it is at. */
  answered: Deferred.Deferred<Answer, Loss> | undefined
  /** How it ended. */
  loss: Loss | undefined
  fiber: Fiber.Fiber<void> | undefined
}

class WorkerPool {
  private readonly spawn: (id: number, spawner: Worker.SpawnerFn) => Effect.Effect<Hand["worker"], WorkerError>
  private readonly spawner: Worker.SpawnerFn
  private readonly context: Context.Context<never>
  private readonly places: Semaphore.Semaphore
  private readonly hands = new Set<Hand>()
  private readonly idle: Array<Hand> = []
  private started = 0
  private isClosed = false

  constructor(options: {
    readonly size: number
    readonly platform: Worker.WorkerPlatform["Service"]
    readonly spawner: Worker.SpawnerFn
    readonly context: Context.Context<never>
  }) {
    this.places = Semaphore.makeUnsafe(options.size)
    this.spawn = (id, spawner) => Effect.provideService(options.platform.spawn(id), Worker.Spawner, spawner)
    this.spawner = options.spawner
    this.context = options.context
  }

  ask(request: Request, transfers: ReadonlyArray<unknown>): Effect.Effect<Answer, Loss> {
    const once = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(this.take, (hand) => {
        // Before anything is sent: nobody would take an answer that comes at once.
        const answered = Deferred.makeUnsafe<Answer, Loss>()
        hand.answered = answered
        if (hand.loss !== undefined) Deferred.doneUnsafe(answered, Exit.fail(hand.loss))
        const sent = Effect.mapError(hand.worker.send(request, transfers), lossBy)
        return Effect.onExit(restore(Effect.andThen(sent, Deferred.await(answered))), (exit) => {
          hand.answered = undefined
          const isInterrupted = Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
          return isInterrupted ? this.replace(hand) : Effect.sync(() => this.giveBack(hand))
        })
      })
    )
    return this.places.withPermit(once)
  }

  private readonly take: Effect.Effect<Hand, Loss> = Effect.suspend(() => {
    const hand = this.idle.pop()
    return hand === undefined ? this.start : Effect.succeed(hand)
  })

  private giveBack(hand: Hand): void {
    if (hand.loss === undefined && !this.isClosed) this.idle.push(hand)
  }

  /** Whoever comes next finds one that has been starting meanwhile. */
  private replace(hand: Hand): Effect.Effect<void> {
    const start = Effect.ignore(Effect.map(this.start, (made) => this.giveBack(made)))
    return Effect.andThen(this.stop(hand, true), start)
  }

  private readonly start: Effect.Effect<Hand, Loss> = Effect.suspend(() => {
    let hand: Hand | undefined
    const spawner = (id: number) => {
      const raw = this.spawner(id)
      if (hand !== undefined) hand.raw = raw
      return raw
    }
    return Effect.flatMap(Effect.mapError(this.spawn(this.started++, spawner), lossBy), (worker) => {
      if (this.isClosed) return Effect.fail(closed)
      const made: Hand = {
        worker,
        raw: undefined,
        isReady: false,
        answered: undefined,
        loss: undefined,
        fiber: undefined
      }
      hand = made
      this.hands.add(made)
      const onSpawn = Effect.sync(() => {
        made.isReady = true
      })
      const answer = (answer: Answer) =>
        Effect.sync(() => {
          if (made.answered !== undefined) Deferred.doneUnsafe(made.answered, Exit.succeed(answer))
        })
      const run = Effect.onExit(worker.run(answer, { onSpawn }), (exit) => Effect.sync(() => this.ended(made, exit)))
      // With the context of the layer: that of who happens to ask, and what is in it, would live as long as the worker.
      made.fiber = Effect.runForkWith(this.context)(Effect.ignoreCause(run))
      return Effect.succeed(made)
    })
  })

  private ended(hand: Hand, exit: Exit.Exit<never, WorkerError>): void {
    hand.loss = this.isClosed || Exit.isSuccess(exit) ? closed : lossOf(exit.cause)
    this.hands.delete(hand)
    const place = this.idle.indexOf(hand)
    if (place >= 0) this.idle.splice(place, 1)
    if (hand.answered !== undefined) Deferred.doneUnsafe(hand.answered, Exit.fail(hand.loss))
  }

  private stop({ fiber, isReady, raw }: Hand, isBusy: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      // It would be asked to close, which it cannot hear, and be given five seconds for that.
      if (isBusy || !isReady) terminate(raw)
      return fiber === undefined ? Effect.void : Fiber.interrupt(fiber)
    })
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.isClosed = true
    return Effect.forEach(this.hands, (hand) => this.stop(hand, hand.answered !== undefined), {
      concurrency: "unbounded",
      discard: true
    })
  })
}

const closed = new WorkerLost({ message: "the workers are being closed" })

const lossOf = (cause: Cause.Cause<WorkerError>): Loss =>
  Result.match(Cause.findError(cause), {
    onSuccess: lossBy,
    onFailure: () => new WorkerLost({ message: messageOf(Cause.squash(cause)) })
  })

const lossBy = ({ reason }: WorkerError): Loss => {
  const { _tag, cause, message } = reason
  if (_tag === "WorkerSendError") return new Unsendable({ message: messageOf(cause) })
  return new WorkerLost({ message: cause === undefined ? message : messageOf(cause) })
}

const messageOf = (defect: unknown): string => (defect instanceof Error ? defect.message : String(defect))

/** A thread, or a process, as the platforms of `effect/workers` have them. */
const terminate = (raw: unknown): void => {
  if (has(raw, "terminate")) raw.terminate()
  else if (has(raw, "kill")) raw.kill("SIGKILL")
}

const has = <K extends string>(raw: unknown, key: K): raw is Record<K, (signal?: string) => unknown> =>
  Predicate.hasProperty(raw, key) && Predicate.isFunction(raw[key])
