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
import { Effect, Scope, Semaphore } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { SnapshotEnded, SnapshotTaken } from "./QueryEvent.ts"

/**
 * A moment of the database that a pool holds for others to see.
 *
 * @since 0.1.0
 */
export interface Snapshot {
  /** The server's name for it. */
  readonly id: string
}

interface Options {
  /** Takes one of the pool, and holds it until the scope closes. */
  readonly take: (options: {
    readonly allowStandby: boolean
    readonly onLost: () => void
  }) => Effect.Effect<Snapshot, SqlError, Scope.Scope>
  readonly allowStandby: boolean
  /** Of the run. */
  readonly scope: Scope.Scope
  readonly emit: (event: Omit<SnapshotTaken, "at"> | Omit<SnapshotEnded, "at">) => void
}

/** @internal */
export class RunSnapshot {
  private readonly take: Effect.Effect<Snapshot, SqlError>
  private readonly turn = Semaphore.makeUnsafe(1)
  private taken: Snapshot | undefined

  /** One that is held from its taking until the end of the run, of which the run's listener is told. */
  static held({ allowStandby, emit, scope, take }: Options): RunSnapshot {
    const first = Effect.suspend(() => {
      let isOver = false
      const end = (lost: boolean): void => {
        if (!isOver) emit({ _tag: "SnapshotEnded", lost })
        isOver = true
      }
      return take({ allowStandby, onLost: () => end(true) }).pipe(
        Effect.tap(() =>
          Effect.acquireRelease(
            Effect.sync(() => emit({ _tag: "SnapshotTaken" })),
            () => Effect.sync(() => end(false))
          )
        ),
        Scope.provide(scope)
      )
    })
    return new RunSnapshot(first)
  }

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
