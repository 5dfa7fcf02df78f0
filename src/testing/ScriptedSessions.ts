/**
 * The sessions of a made-up pool: so many at once, lent in the order of asking.
 *
 * - A session is opened for each query, in its slot, and taken back in it, however the query ends.
 * - Who waits longer than it may is told so, and so is at once who finds the queue full.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { Slots } from "../internal/Slots.ts"
import { refusal } from "../pool/PgRefusal.ts"
import { QueueFull } from "../query/QueryError.ts"
import type { Limit, Terms } from "../query/QueryPool.ts"
import type { Failure } from "./Failure.ts"
import { isOfOpening, toSqlError } from "./Failure.ts"
import type { Book } from "./Ledger.ts"
import type { Prompter } from "./Script.ts"
import { ScriptedSession } from "./ScriptedSession.ts"

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** @internal */
export interface ScriptedSessions {
  /** Lends a session to one effect, in the name of a query. */
  readonly lend: <A, E, R>(
    query: string,
    f: (session: ScriptedSession) => Effect.Effect<A, E, R>,
    terms?: Terms | undefined
  ) => Effect.Effect<A, E | SqlError, R>
  /** Lends one until the scope closes. */
  readonly lease: (query: string) => Effect.Effect<ScriptedSession, SqlError, Scope.Scope>
}

/** @internal */
export const make = ({
  book,
  bounds: { maxConnections, queueLimit },
  nameOf,
  options,
  prompter
}: {
  readonly bounds: { readonly maxConnections: number; readonly queueLimit: number }
  readonly options: {
    readonly connect?: ((query: string) => Effect.Effect<void, Failure>) | undefined
    readonly release?: ((query: string) => Effect.Effect<void>) | undefined
  }
  readonly prompter: Prompter
  readonly book: Book
  readonly nameOf: ConstructorParameters<typeof ScriptedSession>[4]
}): ScriptedSessions => {
  const slots = new Slots(maxConnections)

  const connect = (query: string): Effect.Effect<void, SqlError> =>
    Effect.suspend(() => {
      const failure = prompter.opening(query, isOfOpening)
      if (failure !== undefined) return Effect.fail(toSqlError(failure))
      return Effect.mapError(options.connect?.(query) ?? Effect.void, toSqlError)
    })

  const begin = (query: string): ScriptedSession =>
    new ScriptedSession(query, book.begin(query), prompter, book, nameOf)

  const finish = (session: ScriptedSession): Effect.Effect<void> =>
    Effect.suspend(() => {
      session.finish()
      return Effect.andThen(
        options.release?.(session.query) ?? Effect.void,
        Effect.sync(() => book.end(session.query))
      )
    })

  const slot = (restore: Restore, queue: Terms["queue"]): Effect.Effect<void, SqlError> => {
    if (slots.used >= slots.size && slots.queue >= queueLimit) {
      return Effect.fail(refusal(new QueueFull({ limit: queueLimit })))
    }
    return slots.take(
      restore,
      queue === undefined ? undefined : { millis: queue.millis, orElse: Effect.fail(refusal(queue.reason)) }
    )
  }

  const lend = <A, E, R>(
    query: string,
    f: (session: ScriptedSession) => Effect.Effect<A, E, R>,
    terms?: Terms | undefined
  ): Effect.Effect<A, E | SqlError, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(slot(restore, terms?.queue), () => {
        const work = Effect.uninterruptibleMask((restoreWork) =>
          Effect.flatMap(restoreWork(connect(query)), () => {
            const session = begin(query)
            return Effect.onExitPrimitive(restoreWork(Effect.suspend(() => f(session))), () => finish(session))
          })
        )
        const limit = terms?.running?.()
        const limited: Effect.Effect<A, E | SqlError, R> = limit === undefined ? work : within(limit, work)
        return Effect.onExitPrimitive(restore(limited), () => {
          slots.give()
          return undefined
        })
      })
    )

  const lease = (query: string): Effect.Effect<ScriptedSession, SqlError, Scope.Scope> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.acquireRelease(
        Effect.andThen(
          Effect.suspend(() => slot(restore, undefined)),
          Effect.onError(
            Effect.map(restore(connect(query)), () => begin(query)),
            () => Effect.sync(() => slots.give())
          )
        ),
        (session) =>
          Effect.andThen(
            finish(session),
            Effect.sync(() => slots.give())
          )
      )
    )

  return { lend, lease }
}

/**
 * For so long and no longer.
 *
 * @internal
 */
export const within = <A, E, R>(limit: Limit, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.timeoutOrElse(effect, {
    duration: Math.max(limit.millis, 0),
    orElse: () => Effect.fail(refusal(limit.reason))
  })
