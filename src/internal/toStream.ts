/**
 * A stream of whatever gives values one after the other: each is taken when it is wanted, and not before.
 *
 * @internal
 */
import { Effect, identity, Stream } from "effect"

/** @internal */
export const toStream = <Q, E, R>(
  queries: Iterable<Q> | AsyncIterable<Q> | Stream.Stream<Q, E, R>
): Stream.Stream<Q, E, R> => {
  if (Stream.isStream(queries)) return queries
  if (Symbol.asyncIterator in queries) return Stream.orDie(Stream.fromAsyncIterable(queries, identity))
  return Stream.unwrap(
    Effect.map(
      // A generator that is left early has a `finally` to run.
      Effect.acquireRelease(
        Effect.sync(() => queries[Symbol.iterator]()),
        (iterator) => Effect.sync(() => iterator.return?.())
      ),
      (iterator) => Stream.fromIterable({ [Symbol.iterator]: () => iterator }, { chunkSize: 1 })
    )
  )
}
