/**
 * `Stream.mapEffect` with an end that can be relied on.
 *
 * So many workers take the next element of the source as they become free. When the stream is left early or
 * interrupted, no further element is taken, and the end of the stream is the end of its last worker; `mapEffect` goes
 * on taking elements while one of its effects cannot be interrupted, and does not wait for all of them.
 *
 * @internal
 */
import { Cause, Effect, Exit, Option, Queue, Semaphore, Stream } from "effect"
import type { Workers } from "./Workers.ts"

/** @internal */
export const mapWithWorkers = <A, E, R, B, R2>(
  source: Stream.Stream<A, E, R>,
  work: (element: A) => Effect.Effect<B, never, R2>,
  workers: Workers,
  options: {
    /** Results in the order of the source: a worker that is done early waits with its one result. */
    readonly ordered: boolean
  }
): Stream.Stream<B, E, R | R2> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(source)
      // One result waits here, the others with their workers: the source is never further ahead than that.
      const results = yield* Queue.bounded<B, E | Cause.Done>(1)
      const order = options.ordered ? new Order() : undefined

      const pulling = Semaphore.makeUnsafe(1)
      let chunk: ReadonlyArray<A> = []
      let at = 0
      let taken = 0
      /** `Done`, or what the source failed with. */
      let end: Cause.Cause<E | Cause.Done> | undefined
      const take = (): Option.Option<readonly [A, number]> => {
        const element = chunk[at++]
        // An element may be undefined, so it is the index that says whether there is one.
        return Option.some([element as A, taken++])
      }
      const next: Effect.Effect<Option.Option<readonly [A, number]>, never, R> = pulling.withPermit(
        Effect.suspend(() => {
          if (end !== undefined) return Effect.succeedNone
          if (at < chunk.length) return Effect.succeed(take())
          return Effect.matchCause(pull, {
            onSuccess: (pulled) => {
              chunk = pulled
              at = 0
              return take()
            },
            onFailure: (cause) => {
              end = cause
              return Option.none()
            }
          })
        })
      )

      const loop = (surplus: () => boolean): Effect.Effect<void, never, R | R2> => {
        const nextUnlessSurplus = Effect.suspend(() => (surplus() ? Effect.succeedNone : next))
        const again: Effect.Effect<void, never, R | R2> = Effect.flatMap(nextUnlessSurplus, (found) => {
          if (Option.isNone(found)) return Effect.void
          const [element, index] = found.value
          return Effect.flatMap(work(element), (result) => {
            const offered = Queue.offer(results, result)
            const given =
              order === undefined ? offered : Effect.andThen(order.turn(index), Effect.tap(offered, order.pass))
            return Effect.andThen(given, again)
          })
        })
        return again
      }
      yield* Effect.forkScoped(
        Effect.onExit(workers.run(loop), (exit) =>
          // What was taken before the source failed has ended by now, and its results stand before the failure.
          Queue.failCause(results, Exit.isFailure(exit) ? exit.cause : (end ?? Cause.fail(Cause.Done())))
        )
      )
      return Stream.fromQueue(results)
    })
  )

/** Lets numbers pass one after the other, from 0. */
class Order {
  private passed = 0
  private readonly waiting = new Map<number, () => void>()

  turn(index: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      // Looked at in the same step as it waits: its turn could come in between, and nobody would wake it.
      if (index === this.passed) return resume(Effect.void)
      this.waiting.set(index, () => resume(Effect.void))
      return Effect.sync(() => this.waiting.delete(index))
    })
  }

  readonly pass = Effect.sync(() => {
    const next = this.waiting.get(++this.passed)
    this.waiting.delete(this.passed)
    if (next !== undefined) queueMicrotask(next)
  })
}
