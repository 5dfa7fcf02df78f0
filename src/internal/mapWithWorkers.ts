/**
 * `Stream.mapEffect` with an end that can be relied on, at a price that a million elements can pay.
 *
 * So many workers take the next element of the source as they become free. When the stream is left early or
 * interrupted, no further element is taken, and the end of the stream is the end of its last worker; `mapEffect` goes
 * on taking elements while one of its effects cannot be interrupted, and does not wait for all of them.
 *
 * No element is taken while as many results as there are workers are ready and not read. Beside these there are those
 * at work, one for each worker, and those of which the work is parked.
 *
 * @internal
 */
import { Cause, Effect, Exit, Semaphore, Stream } from "effect"
import { Outlet } from "./Outlet.ts"
import type { Workers } from "./Workers.ts"

/** One pair of hands: a worker's own. */
interface Hands<in A, out B, out R> {
  readonly work: (element: A) => Effect.Effect<B, never, R>
  /** Called after each, however it ended. */
  readonly done: () => void
}

/** @internal */
export const mapWithWorkers = <A, E, R, B, R2>(
  source: Stream.Stream<A, E, R>,
  makeHands: () => Hands<A, B, R2>,
  workers: Workers,
  options: {
    /** Results in the order of the source. */
    readonly ordered: boolean
  }
): Stream.Stream<B, E, R | R2> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(source)
      const outlet = new Outlet<B, E>({ room: workers.size, ordered: options.ordered })

      const pulling = Semaphore.makeUnsafe(1)
      let chunk: ReadonlyArray<A> = []
      let at = 0
      let begun = 0
      /** `Done`, or what the source failed with. */
      let end: Cause.Cause<E | Cause.Done> | undefined
      /** Gets the next elements, unless another worker has got some meanwhile. */
      const refill: Effect.Effect<void, never, R> = pulling.withPermit(
        Effect.suspend(() => {
          if (end !== undefined || at < chunk.length) return Effect.void
          return Effect.matchCause(pull, {
            onSuccess: (pulled) => {
              chunk = pulled
              at = 0
            },
            onFailure: (cause) => {
              end = cause
            }
          })
        })
      )

      const loop = (surplus: () => boolean): Effect.Effect<void, never, R | R2> => {
        const hands = makeHands()
        /** The number of the element at work; none while there is nothing to do. */
        let number = -1
        const lay = (): void => {
          if (number >= 0) hands.done()
          number = -1
        }
        return Effect.onExitPrimitive(
          Effect.whileLoop<B | void, never, R | R2>({
            while: () => !surplus() && (at < chunk.length || end === undefined),
            body: () => {
              if (!outlet.hasRoom) return outlet.roomMade
              if (at >= chunk.length) return refill
              number = begun++
              // An element may be undefined, so it is the index that says whether there is one.
              return hands.work(chunk[at++] as A)
            },
            step: (result) => {
              if (number < 0) return
              const ended = number
              lay()
              // What comes from a piece of work is its result.
              outlet.put(ended, result as B)
            }
          }),
          () => {
            lay()
            return undefined
          }
        )
      }
      yield* Effect.forkScoped(
        Effect.onExit(workers.run(loop), (exit) =>
          // What was taken before the source failed has ended by now, and its results stand before the failure.
          Effect.sync(() => outlet.close(Exit.isFailure(exit) ? exit.cause : (end ?? Cause.fail(Cause.Done()))))
        )
      )
      return Stream.fromPull(Effect.succeed(outlet.read))
    })
  )
