/**
 * Lets the event loop turn within loops of computations.
 *
 *     elements ─► as many as fit into a slice ─► a turn of the loop ─► as many as fit …
 *
 * - **Of the loop, not only of fibers.** Between two slices the loop's timers, sockets and other fibers have their turn,
 *   and an interruption is seen.
 * - **By time or by count.** By time, the clock is looked at after as many elements as took an eighth of a slice before,
 *   and after 128 at most: what an element costs is found out, and may change. By count, after every `n` elements.
 * - **The same elements** in the same order; a stream has them in smaller chunks.
 *
 * It cannot cut in two what takes long with one element, nor what is done before it: it stands before the work.
 *
 * @internal
 */
import { Array, Duration, Effect, Function, Stream } from "effect"
import { EventLoop, nextTurn, sliceMillis } from "./BackgroundLoop.ts"

/**
 * How often the loop turns: after so many elements, or after so much time.
 *
 * @since 0.1.0
 */
export type Every = number | Exclude<Duration.Input, number | bigint>

/**
 * Keeps the event loop responsive while a loop computes: it has a turn after every millisecond, or after the time
 * that is given, or after so many elements. A time holds whatever an element costs, and is the better choice.
 *
 * Of a stream it makes a stream, to stand before the work: `stream.pipe(Background.yieldEvery(), Stream.map(work))`. Of
 * anything else that can be iterated it makes an iterable of effects, each of which gives its element when it is time:
 *
 * ```ts
 * for (const next of Background.yieldEvery(items)) work(yield* next)
 * ```
 *
 * Throws a `RangeError` for less than one element, and for a time that is not above 0 and finite.
 *
 * @since 0.1.0
 */
export const yieldEvery: {
  (every?: Every): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
  <A>(self: Iterable<A>, every?: Every): Iterable<Effect.Effect<A>>
  <A, E, R>(self: Stream.Stream<A, E, R>, every?: Every): Stream.Stream<A, E, R>
} = Function.dual(
  (given) => isSource(given[0]),
  <A, E, R>(self: Iterable<A> | Stream.Stream<A, E, R>, every: Every = sliceOf) => {
    const pacing = pacingOf(every)
    return Stream.isStream(self) ? ofStream(self, pacing) : ofIterable(self, pacing)
  }
)

const sliceOf = Duration.millis(sliceMillis)

/** A string is a time, and not its characters. */
const isSource = (value: unknown): boolean =>
  typeof value === "object" && value !== null && (Stream.isStream(value) || Symbol.iterator in value)

const ofIterable = <A>(self: Iterable<A>, pacing: Pacing): Iterable<Effect.Effect<A>> => ({
  *[Symbol.iterator]() {
    let pace: Pace | undefined
    for (const element of self) {
      yield Effect.withFiber((fiber) => {
        pace ??= pacing(fiber.getRef(EventLoop))
        if (pace.take(1) === 1) return Effect.succeed(element)
        const { take, turn } = pace
        return Effect.map(turn, () => {
          take(1)
          return element
        })
      })
    }
  }
})

const ofStream = <A, E, R>(self: Stream.Stream<A, E, R>, pacing: Pacing): Stream.Stream<A, E, R> =>
  Stream.transformPull(self, (pull) =>
    Effect.withFiber((fiber) => {
      const pace = pacing(fiber.getRef(EventLoop))
      let chunk: ReadonlyArray<A> = []
      let at = 0
      const next = (): Effect.Effect<Array.NonEmptyReadonlyArray<A>, Effect.Error<typeof pull>> => {
        if (at >= chunk.length) {
          return Effect.flatMap(pull, (pulled) => {
            chunk = pulled
            at = 0
            return next()
          })
        }
        const taken = pace.take(chunk.length - at)
        if (taken === 0) return Effect.flatMap(pace.turn, next)
        const piece = chunk.slice(at, at + taken)
        at += taken
        return Array.isReadonlyArrayNonEmpty(piece) ? Effect.succeed(piece) : next()
      }
      return Effect.succeed(Effect.suspend(next))
    })
  )

type Pacing = (loop: EventLoop) => Pace

interface Pace {
  /** How many of so many elements may be taken now; none, if a turn of the loop comes first. */
  readonly take: (wanted: number) => number
  readonly turn: Effect.Effect<void>
}

const pacingOf = (every: Every): Pacing => {
  if (typeof every === "number") {
    if (!(Number.isSafeInteger(every) && every >= 1)) {
      throw new RangeError(`Expected \`every\` to be a number of elements from 1, or a time, got ${every}`)
    }
    return byCount(every)
  }
  const millis = Duration.toMillis(Duration.fromInputUnsafe(every))
  if (!(millis > 0 && Number.isFinite(millis))) {
    throw new RangeError(`Expected \`every\` to be a time above 0, or a number of elements, got ${String(every)}`)
  }
  return byTime(millis)
}

const byCount =
  (count: number): Pacing =>
  (loop) => {
    let left = count
    const turn = Effect.map(nextTurn(loop), () => {
      left = count
    })
    const take = (wanted: number): number => {
      const taken = Math.min(left, wanted)
      left -= taken
      return taken
    }
    return { take, turn }
  }

/** Of a slice: what follows may cost more than what was measured, and should end within it all the same. */
const lookedAfter = 1 / 8

/**
 * Elements without a look at the clock. A piece of a stream costs 1 µs, which is little for 128; and when what cost
 * nothing suddenly costs a millisecond, it is noticed after 128 of them.
 */
const mostUnlooked = 128

const byTime =
  (millis: number): Pacing =>
  (loop) => {
    let begunAt = loop.now()
    let lookedAt = begunAt
    let size = 1
    let left = size
    const turn = Effect.map(nextTurn(loop), () => {
      begunAt = lookedAt = loop.now()
      left = size
    })
    /** How many may follow, by what so many before them took. */
    const look = (): number => {
      const now = loop.now()
      const fitting = (size * millis * lookedAfter) / Math.max(now - lookedAt, Number.EPSILON)
      size = Math.max(1, Math.min(Math.floor(fitting), size * 2, mostUnlooked))
      lookedAt = now
      return now - begunAt < millis ? size : 0
    }
    const take = (wanted: number): number => {
      if (left === 0) left = look()
      const taken = Math.min(left, wanted)
      left -= taken
      return taken
    }
    return { take, turn }
  }
