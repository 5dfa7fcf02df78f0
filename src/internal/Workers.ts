/**
 * Loops that share some work, so many at once; while one of them parks, another takes its place.
 *
 *     running --park--> parked --its wait is over--> running
 *             another starts            one too many: the next that is between two members ends
 *
 * - So many loops run, beside those that park; so many may park.
 * - A member that does several things at once parks as soon as one of them waits, until none of them does.
 * - A run ends with the last of its loops. The first failure interrupts the others, and is the failure of the run once
 *   they have ended.
 *
 * @internal
 */
import { Context, Deferred, Effect, Exit, FiberSet } from "effect"

/** How many may park: each keeps a fiber and what it is to do again. Whoever comes after keeps its place. */
const mostParkedByDefault = 1_000

/** To be asked between two members, once: whether the loop that asks is one too many. If so it has to end. */
type Surplus = () => boolean

/** What a loop is working at. Waits of one member together free one place. */
interface Member {
  readonly workers: Workers
  waiting: number
}

const CurrentMember = Context.Reference<Member | undefined>("querypool/internal/CurrentMember", {
  defaultValue: () => undefined
})

/** @internal */
export class Workers {
  readonly size: number
  private readonly mostParked: number
  /** Loops that are not parked. */
  private active = 0
  private parked = 0
  private start: (() => void) | undefined

  constructor(size: number, mostParked = mostParkedByDefault) {
    this.size = size
    this.mostParked = mostParked
  }

  /** Marks what may park more than once at a time: without that, each of its waits would let another loop start. */
  member<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.provideService(effect, CurrentMember, { workers: this, waiting: 0 })
  }

  /** Runs a wait that holds nothing, and lets another loop do its work meanwhile. */
  park<A, E, R>(wait: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.withFiber((fiber) => {
      const found = Context.get(fiber.context, CurrentMember)
      const member = found?.workers === this ? found : undefined
      let left = false
      return Effect.onExitPrimitive(
        // Within: one that was interrupted just after it left would never come back.
        Effect.suspend(() => {
          left = this.leave(member)
          return wait
        }),
        () => {
          if (left) this.comeBack(member)
          return undefined
        }
      )
    })
  }

  private leave(member: Member | undefined): boolean {
    const another = member !== undefined && member.waiting > 0
    if (!another && this.parked >= this.mostParked) return false
    if (member !== undefined) member.waiting++
    if (another) return true
    this.parked++
    this.active--
    if (this.active < this.size) this.start?.()
    return true
  }

  private comeBack(member: Member | undefined): void {
    if (member !== undefined && --member.waiting > 0) return
    this.parked--
    this.active++
  }

  /** Runs the loops; and `beside` once its time has come, unless they have ended by then. */
  run<E, R>(
    loop: (surplus: Surplus) => Effect.Effect<void, E, R>,
    beside?: { readonly afterMillis: number; readonly work: Effect.Effect<void, E, R> } | undefined
  ): Effect.Effect<void, E, R> {
    return Effect.scoped(
      Effect.gen({ self: this }, function* () {
        if (this.size === 0) return
        const fork = yield* FiberSet.runtime(yield* FiberSet.make<void>())<R>()
        const ended = Deferred.makeUnsafe<void, E>()
        const over = () => Deferred.isDoneUnsafe(ended)
        let working = 0
        /** Ends the run with its last piece of work, or with the first that fails. */
        const counted = (work: Effect.Effect<void, E, R>): Effect.Effect<void, never, R> => {
          working++
          return Effect.ignoreCause(
            Effect.onExitPrimitive(work, (exit) => {
              working--
              if (working > 0 && Exit.isSuccess(exit)) return undefined
              this.start = undefined
              Deferred.doneUnsafe(ended, exit)
              return undefined
            })
          )
        }
        const start = (before: Effect.Effect<void>): void => {
          this.active++
          let left = false
          const surplus = (): boolean => {
            // Noted at once: until this loop has ended another one could ask, and the last two would both end.
            if (!left && this.active > this.size) {
              left = true
              this.active--
            }
            return left
          }
          const work = Effect.onExitPrimitive(
            Effect.andThen(
              before,
              Effect.suspend(() => loop(surplus))
            ),
            () => {
              if (!left) this.active--
              return undefined
            }
          )
          fork(counted(work))
        }
        // Not at once: queries that fail without ever waiting would start their loops one within the other.
        this.start = () => start(Effect.yieldNow)
        // The first may have failed, or done all there is to do, before there is a second.
        for (let started = 0; started < this.size && !over(); started++) start(Effect.void)
        if (beside !== undefined) {
          const work = Effect.suspend(() => (over() ? Effect.void : counted(beside.work)))
          fork(Effect.andThen(Effect.sleep(beside.afterMillis), work))
        }
        yield* Deferred.await(ended)
      })
    )
  }
}
