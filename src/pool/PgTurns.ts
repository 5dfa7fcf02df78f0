/**
 * Whose turn it is on a session that several fibers of a unit share.
 *
 * Transactions of effect/sql nest: level 0 is a transaction, level 1 a savepoint in it, and so on; level -1 is outside
 * of all. A statement belongs to the level it was written in, and runs while that level is the innermost one. So a
 * fiber's statement never ends up in the transaction or savepoint of another fiber, whose rollback would undo it.
 *
 *     level n: statements of level n run; those of lower levels wait
 *     enter(n + 1): lower levels wait from now on; goes on when the statements under way have ended
 *     leave(n + 1): level n runs again; a statement of level n + 1 from now on is a defect
 *
 * A transaction whose body waits for a statement of another fiber outside of it waits for ever, as that statement waits
 * for the transaction to end.
 *
 * @internal
 */
import { Effect } from "effect"

/** @internal */
export const outside = -1

/**
 * By this text effect/sql asks for the end of a transaction that failed. A ROLLBACK of the user's own is a statement like
 * any other.
 *
 * @internal
 */
export const clientRollback = "ROLLBACK of the client"

/** @internal */
export class PgTurns {
  private level = outside
  private ending = false
  private underWay = 0
  private broken = false
  private waiting: Set<() => void> | undefined

  get idle(): boolean {
    return this.underWay === 0
  }

  /** Whether a statement of this level may be sent now. */
  isAt(level: number): boolean {
    return (level === this.level && !this.ending) || this.broken
  }

  /** To be asked for where `isAt` was false; when it is done, `isAt` is to be asked again. */
  wait(level: number): Effect.Effect<void> {
    return level > this.level
      ? Effect.die(new Error("A statement ran in a transaction that had ended. Does a fiber forked in it outlive it?"))
      : this.change
  }

  /** A statement was sent. */
  started(): void {
    this.underWay++
  }

  ended(): void {
    if (--this.underWay === 0) this.wake()
  }

  /** Opens a level: for what is inside of it, and against what is outside. */
  enter(level: number): { readonly entered: Effect.Effect<void>; readonly leave: () => void } {
    let mine = false
    const entered: Effect.Effect<void> = Effect.suspend(() => {
      if (!this.isAt(level - 1)) return Effect.andThen(this.wait(level - 1), entered)
      this.level = level
      mine = true
      return this.untilQuiet()
    })
    // Due from the first step of `entered` on: that may be interrupted with the level open.
    const leave = (): void => {
      if (mine) this.leave(level)
      mine = false
    }
    return { entered, leave }
  }

  /** Lets no further statement begin: the level is being committed or rolled back. */
  end(): void {
    this.ending = true
  }

  /** Closes a level that is open. */
  leave(level: number): void {
    this.level = level - 1
    this.ending = false
    this.wake()
  }

  /** Lets everybody go on, to meet the error that a broken connection has for them. */
  giveUp(): void {
    this.broken = true
    this.wake()
  }

  private get change(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const go = (): void => resume(Effect.void)
      this.waiting ??= new Set()
      this.waiting.add(go)
      return Effect.sync(() => this.waiting?.delete(go))
    })
  }

  private untilQuiet(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.underWay === 0 || this.broken ? Effect.void : Effect.andThen(this.change, this.untilQuiet())
    )
  }

  private wake(): void {
    const { waiting } = this
    this.waiting = undefined
    for (const go of waiting ?? []) queueMicrotask(go)
  }
}
