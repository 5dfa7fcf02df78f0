/**
 * Which executions something happens to: those that are named, or some by chance.
 *
 * Chance follows from the seed, the name of what is executed, and which execution of that name it is, and from nothing
 * else: in whatever order fibers come, the same seed has the same faults.
 *
 * @internal
 */
import { Duration, Effect, Option, Random } from "effect"

/**
 * What happens to an execution. `R` is what it can be made to fail with.
 *
 * @since 0.1.0
 */
export type Fault<R> =
  | { readonly _tag: "Fail"; readonly reason: R }
  | { readonly _tag: "Delay"; readonly millis: number }
  | { readonly _tag: "Hang" | "LoseAnswer" }

/**
 * It fails when all was done, and takes that back.
 *
 * @since 0.1.0
 */
export interface FailAfter<out R> {
  readonly _tag: "FailAfter"
  readonly reason: R
}

/**
 * To which executions `F` happens. A rule of which no more is said is for all.
 *
 * @since 0.1.0
 */
export interface Rule<out F> {
  /** Which executions of what has one name, from 1. Every attempt is one. */
  readonly nth?: ReadonlyArray<number> | undefined
  /** How likely it is for each of these: from 0 to 1. Default 1. */
  readonly chance?: number | undefined
  /** Asked at each of these whether it may happen now: for an outage that the test begins and ends. */
  readonly when?: ((execution: Execution) => boolean) | undefined
  readonly fault: F
}

/**
 * What is executed.
 *
 * @since 0.1.0
 */
export interface Execution {
  /** Of the query, or of the operation. */
  readonly name: string
  /** Which execution of that name, from 1. */
  readonly nth: number
}

/**
 * A fault that has happened.
 *
 * @since 0.1.0
 */
export interface Injected extends Execution {
  readonly fault: (Fault<unknown> | FailAfter<unknown>)["_tag"]
}

/**
 * What can be said of all rules.
 *
 * @since 0.1.0
 */
export interface Options {
  /** What chance follows from. Default 1. */
  readonly seed?: number | string | undefined
  /** Called with each fault as it happens. It must not throw. */
  readonly onFault?: ((injected: Injected) => void) | undefined
}

/**
 * It fails before anything was done.
 *
 * @since 0.1.0
 */
export const fail = <R>(reason: R): Fault<R> => ({ _tag: "Fail", reason })

/**
 * A query fails when its body has done everything, before that is kept: a transaction is rolled back. Outside of one, what
 * its statements did stays.
 *
 * @since 0.1.0
 */
export const failAfter = <R>(reason: R): FailAfter<R> => ({ _tag: "FailAfter", reason })

/**
 * It takes so much longer, from 0, while it holds what it holds. It happens all the same.
 *
 * @since 0.1.0
 */
export const delay = (duration: Duration.Input): Fault<never> => {
  const millis = Option.match(Duration.fromInput(duration), { onNone: () => NaN, onSome: Duration.toMillis })
  if (!(millis >= 0 && Number.isFinite(millis))) {
    throw new RangeError(`Expected \`delay\` to be a duration from 0, such as "2 seconds", got ${String(duration)}`)
  }
  return { _tag: "Delay", millis }
}

/**
 * It does not begin and does not end, until it is interrupted.
 *
 * @since 0.1.0
 */
export const hang: Fault<never> = { _tag: "Hang" }

/**
 * It is done, and kept, and nobody learns of it: the connection is lost before the answer.
 *
 * @since 0.1.0
 */
export const loseAnswer: Fault<never> = { _tag: "LoseAnswer" }

/** @internal */
export class Judge<F extends { readonly _tag: Injected["fault"] }, A extends Rule<F>> {
  private readonly rules: ReadonlyArray<A>
  private readonly options: Options
  private readonly counts = new Map<string, number>()

  constructor(rules: ReadonlyArray<A>, options: Options) {
    for (const { chance = 1, nth = [] } of rules) {
      if (!(chance >= 0 && chance <= 1)) {
        throw new RangeError(`Expected \`chance\` to be a number from 0 to 1, got ${String(chance)}`)
      }
      const wrong = nth.find((one) => !Number.isSafeInteger(one) || one < 1)
      if (wrong !== undefined) throw new RangeError(`Expected \`nth\` to be integers from 1, got ${String(wrong)}`)
    }
    this.rules = rules
    this.options = options
  }

  /** What happens to this execution: by the first rule that is for it. */
  verdict(name: string, isFor: (rule: A) => boolean): Effect.Effect<F | undefined> {
    return Effect.gen({ self: this }, function* () {
      const { onFault, seed = 1 } = this.options
      const nth = (this.counts.get(name) ?? 0) + 1
      this.counts.set(name, nth)
      for (const [place, rule] of this.rules.entries()) {
        const { chance = 1, fault } = rule
        if (!isFor(rule) || rule.nth?.includes(nth) === false || rule.when?.({ name, nth }) === false) continue
        const drawn = yield* Random.withSeed(Random.next, JSON.stringify([seed, place, name, nth]))
        if (drawn >= chance) continue
        onFault?.({ name, nth, fault: fault._tag })
        return fault
      }
      return undefined
    })
  }
}
