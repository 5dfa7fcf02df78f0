/**
 * The one snapshot of a run: taken by the first of its queries that runs, and seen by all of them.
 *
 *     not taken --first query--> held --run's end--> released
 *        ^  |  failed             |
 *        +--+                     +--its session is gone--> lost
 *
 * - Whoever comes while it is being taken waits for it. When that fails, the query that tried fails with why, and the
 *   next one tries again: nothing was seen yet.
 * - Once it was taken it is never taken anew: a query that comes when it is lost fails, rather than see another moment.
 *
 * @internal
 */
import { Effect, Semaphore } from "effect"
import type { SqlError } from "effect/sql/SqlError"

/**
 * A moment of the database that a pool holds for others to see.
 *
 * @since 0.1.0
 */
export interface Snapshot {
  /** The server's name for it. */
  readonly id: string
}

/** @internal */
export class RunSnapshot {
  private readonly take: Effect.Effect<Snapshot, SqlError>
  private readonly turn = Semaphore.makeUnsafe(1)
  private taken: Snapshot | undefined

  constructor(take: Effect.Effect<Snapshot, SqlError>) {
    this.take = take
  }

  readonly get: Effect.Effect<Snapshot, SqlError> = Effect.suspend(() =>
    this.taken === undefined ? this.turn.withPermit(this.first) : Effect.succeed(this.taken)
  )

  private readonly first: Effect.Effect<Snapshot, SqlError> = Effect.suspend(() => {
    if (this.taken !== undefined) return Effect.succeed(this.taken)
    return Effect.tap(this.take, (snapshot) =>
      Effect.sync(() => {
        this.taken = snapshot
      })
    )
  })
}
