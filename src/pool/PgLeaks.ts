/**
 * Finds sessions that are held for too long, and says so once for each.
 *
 * A session that its query does not give back is a query that waits for something else: an answer of another service,
 * a lock, a promise that nobody keeps. It takes a connection from everybody else meanwhile.
 *
 * Looks at all of them now and then while any is lent, so that a query pays nothing for it.
 *
 * @internal
 */
import type { Scope } from "effect"
import { Clock, Duration, Effect, FiberSet } from "effect"
import type { PgSession } from "./PgSession.ts"

/** @internal */
export interface Watch {
  readonly running: boolean
  readonly start: () => void
}

/** @internal */
export const make = Effect.fnUntraced(function* (
  lent: ReadonlySet<PgSession>,
  threshold: Duration.Duration
): Effect.fn.Return<Watch, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const fork = yield* FiberSet.runtime(yield* FiberSet.make<void>())()
  const thresholdMillis = Duration.toMillis(threshold)
  const told = new WeakSet<PgSession>()
  let running = thresholdMillis === Infinity

  const tell = (session: PgSession): Effect.Effect<void> => {
    const { name, origin } = session.query
    const seconds = Math.round((clock.currentTimeMillisUnsafe() - session.since) / 1000)
    told.add(session)
    return Effect.logWarning(
      `Query "${name}"${origin === undefined ? "" : ` (${origin})`} has held its session for ${seconds} s. ` +
        `Does it wait for something other than the database?`
    )
  }
  const look = Effect.suspend(() => {
    const now = clock.currentTimeMillisUnsafe()
    const late = [...lent].filter((session) => now - session.since >= thresholdMillis && !told.has(session))
    return Effect.forEach(late, tell, { discard: true })
  })
  const watching = Effect.gen(function* () {
    while (lent.size > 0) {
      yield* Effect.sleep(thresholdMillis / 2)
      yield* look
    }
    // In one step with the look that found nothing: who borrows from now on starts this again.
    running = false
  })

  return {
    get running() {
      return running
    },
    start: () => {
      running = true
      fork(watching)
    }
  }
})
