/**
 * The members of a run: workers that take one after the other from an agenda, and what is made of each.
 *
 * - Known members (an array, a record, or what stands in another order than its own) are announced before the first
 *   starts, and their time to wait counts from then. An iterable is pulled as workers become free.
 * - Where members need others, a worker for whom nothing is ready waits, without spinning, until a member has ended. A
 *   member that is skipped ends at once, never started, with the name of the one that did not succeed.
 * - A member whose time is over before its turn ends then, and not when all before it are done.
 *
 * @internal
 */
import { Cause, Effect, Exit, Predicate, Tracer } from "effect"
import * as Agenda from "./Agenda.ts"
import * as Attempts from "./Attempts.ts"
import { estimates } from "./Learning.ts"
import * as Outcome from "./Outcome.ts"
import type { QueryInfo, QueryPool, RunOptions } from "./QueryPool.ts"
import type { Run } from "./Run.ts"
import { CurrentRun } from "./Run.ts"
import type { AnyFiber } from "./Spans.ts"
import { Hand } from "./Trail.ts"

type Pool = QueryPool["Service"]
type Turn = Agenda.Turn<AnyEffect>

/** @internal */
export type AnyEffect = Effect.Effect<unknown, unknown, unknown>

/**
 * Marks a query among other effects.
 *
 * @since 0.1.0
 */
export const QueryTypeId = "~querypool/query/Query"

/** A query as its run sees it. */
interface Runnable extends QueryInfo {
  /**
   * Runs it in a slot of the run, which the caller may hold for it already. `submittedAt` is when it was handed over,
   * if that was before its turn. `by` is who runs it: a worker, who also tells of the end of what it finds in its hand,
   * or a fiber that is not one of the run's own.
   */
  readonly [QueryTypeId]: (
    pool: Pool,
    run: Run,
    holdsSlot: boolean,
    submittedAt?: number | undefined,
    by?: Hand | AnyFiber | undefined
  ) => AnyEffect
}

/** @internal */
export const isQuery = (effect: object): effect is Runnable => Predicate.hasProperty(effect, QueryTypeId)

/** An effect that is no query, as a part of the run: the queries in it belong to the run. */
const inside = <A, E, R>(run: Run, member: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const span = run.watch?.run?.own
  const ofRun = Effect.provideService(member, CurrentRun, run)
  // Also where nothing is told of the run's queries, of what else it does everything is.
  return run.workers.member(span === undefined ? ofRun : Effect.provideService(ofRun, Tracer.ParentSpan, span))
}

/**
 * What a listener threw is a defect of the run.
 *
 * @internal
 */
export const faultOf = (run: Run): Effect.Effect<void> => {
  const fault = run.listener?.fault
  return fault === undefined ? Effect.void : Effect.die(fault.defect)
}

/** What the members of a plan need, and in which order they start. */
interface Needs {
  /** The places of what each member needs. No member may need itself, by however many steps. */
  readonly needs: ReadonlyArray<ReadonlyArray<number>>
  /** All places: of the members that are ready, the first of these is next. */
  readonly order: ReadonlyArray<number>
}

class Planned<A> implements Iterable<A> {
  readonly members: ReadonlyArray<A>
  readonly plan: Needs

  constructor(members: ReadonlyArray<A>, plan: Needs) {
    this.members = members
    this.plan = plan
  }

  [Symbol.iterator](): Iterator<A> {
    return this.members[Symbol.iterator]()
  }
}

/**
 * Queries of which `QueryPool.all` is to run each when those that it needs have succeeded. All are queries: when time
 * is over, what has not begun ends together, and nothing is left that would have to be skipped.
 *
 * @internal
 */
export const planned = <A extends AnyEffect & QueryInfo>(queries: ReadonlyArray<A>, plan: Needs): Iterable<A> =>
  new Planned(queries, plan)

/**
 * What is to be run, and who is next.
 *
 * @internal
 */
export interface Members {
  /** All of them, where they are known before the run. */
  readonly known: ReadonlyArray<AnyEffect> | undefined
  /** For one run. */
  readonly agenda: () => Agenda.Agenda<AnyEffect>
}

/** @internal */
export const of = (members: Iterable<AnyEffect>, order: RunOptions["order"]): Effect.Effect<Members> =>
  Effect.suspend((): Effect.Effect<Members> => {
    if (order !== undefined && order !== "given" && order !== "longest-first") {
      return Effect.die(new RangeError(`Expected \`order\` to be "given" or "longest-first", got ${String(order)}`))
    }
    if (members instanceof Planned) return Effect.succeed(inPlan(members))
    const known = Array.isArray(members) ? members : undefined
    if (order !== "longest-first") return Effect.succeed({ known, agenda: () => Agenda.given(members) })
    return longestFirst(known ?? [...members])
  })

const inPlan = ({ members, plan }: Planned<AnyEffect>): Members => ({
  known: members,
  agenda: () => new Agenda.Frontier(members, plan.needs, plan.order)
})

const longestFirst = (known: ReadonlyArray<AnyEffect>): Effect.Effect<Members> =>
  Effect.map(estimates(known), (estimates) => {
    const turns = Agenda.longestFirst(known, estimates)
    return { known, agenda: () => (turns === undefined ? Agenda.given(known) : Agenda.ordered(turns)) }
  })

/**
 * What is made of each member, and whether what it gave is a success. Where the failure of one is the failure of the
 * run, there is nothing else.
 *
 * @internal
 */
export interface Mode {
  /** Whether a failure ends the run, and with it the worker that has it in hand. */
  readonly failsFast: boolean
  readonly step: (member: AnyEffect) => AnyEffect
  readonly hasSucceeded: (value: unknown) => boolean
}

/**
 * Workers that take the next member as they become free, until there is none or one of them fails. `keep` is told what
 * each gave.
 *
 * @internal
 */
export const run = (
  pool: Pool,
  run: Run,
  { agenda: makeAgenda, known }: Members,
  { failsFast, hasSucceeded, step }: Mode,
  keep: (value: unknown, turn: Turn) => void
): Effect.Effect<void, unknown, unknown> => {
  const { listener } = run
  const submittedAt = known === undefined ? undefined : run.startedAt
  if (listener !== undefined) {
    for (const member of known ?? []) if (isQuery(member)) listener.announce(member, member.name)
  }
  const agenda = makeAgenda()
  const frontier = agenda instanceof Agenda.Frontier ? agenda : undefined

  const ended = (turn: Turn, success: boolean): void => {
    for (const skipped of frontier?.ended(turn, success) ?? []) {
      const because = isQuery(turn.member) ? turn.member.name : `${turn.index}`
      if (isQuery(skipped.member)) listener?.skip(skipped.member, because)
      keep(Outcome.skippedBecause(because), skipped)
    }
  }

  const worker = (surplus: () => boolean) => {
    let turn: Turn | undefined
    let holdsSlot = false
    const hand = failsFast ? new Hand() : undefined
    const loop = Effect.whileLoop({
      while: () => {
        if (surplus()) {
          // It may have been woken for a turn, which is another's then.
          frontier?.wake()
          return false
        }
        turn = agenda.take()
        return turn !== undefined || frontier?.waits === true
      },
      body: () => {
        if (turn === undefined) return frontier?.change ?? Effect.void
        const { member } = turn
        // The worker takes the slot of a member that is a query for it: the query would take it at a higher price.
        if (!isQuery(member)) return step(inside(run, member))
        holdsSlot = Attempts.isPlain(member, run) && run.slots.tryTake()
        return step(member[QueryTypeId](pool, run, holdsSlot, submittedAt, hand))
      },
      step: (value) => {
        hand?.ended(Exit.void)
        if (holdsSlot) run.slots.give()
        holdsSlot = false
        if (turn === undefined) return
        keep(value, turn)
        if (frontier !== undefined) ended(turn, hasSucceeded(value))
      }
    })
    return Effect.onExitPrimitive(loop, (exit) => {
      hand?.ended(exit)
      if (holdsSlot) run.slots.give()
      // Those that need it are skipped because of it, and not because the run is over.
      if (turn !== undefined && Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) ended(turn, false)
      return undefined
    })
  }

  /** Lets the queries whose turn has not come fail when their time is over, and not when all before them are done. */
  const overdue = Effect.suspend(() =>
    Effect.forEach(agenda.takeAll(isQuery), (turn) => {
      const { member } = turn
      if (!isQuery(member)) return Effect.void
      return Effect.map(step(Attempts.late(run, member)), (value) => keep(value, turn))
    })
  )
  const patienceMillis = Math.min(run.queueMillis ?? Infinity, run.deadlineMillis ?? Infinity)
  const beside =
    known === undefined || patienceMillis === Infinity
      ? undefined
      : { afterMillis: patienceMillis, work: Effect.asVoid(overdue) }
  return run.workers.run(worker, beside).pipe(
    Effect.ensuring(Effect.sync(() => agenda.close())),
    // A query's body stands outside of the run: a query of another pool in it must not wait for a second slot.
    Effect.provideService(CurrentRun, undefined),
    Effect.andThen(Effect.suspend(() => faultOf(run)))
  )
}

/**
 * What a worker of a stream does with each effect.
 *
 * @internal
 */
export const handsOf = <Q extends AnyEffect>(pool: Pool, run: Run) => {
  type Result = { readonly query: Q; readonly outcome: Outcome.Outcome<Effect.Success<Q>, Effect.Error<Q>> }
  let holdsSlot = false
  const hand = new Hand()
  return {
    work: (query: Q): Effect.Effect<Result, never, Effect.Services<Q>> => {
      holdsSlot = isQuery(query) && Attempts.isPlain(query, run) && run.slots.tryTake()
      return Effect.matchCauseEffect(memberOf(pool, run, query, holdsSlot, hand), {
        onSuccess: (value) => {
          hand.ended(Exit.void)
          return Effect.succeed({ query, outcome: Outcome.succeeded(value) })
        },
        onFailure: (cause) => {
          hand.ended(Exit.failCause(cause))
          return Effect.map(outcomeOf(cause), (outcome) => ({ query, outcome }))
        }
      })
    },
    done: (): void => {
      // What was not told has been interrupted.
      hand.ended(Exit.interrupt())
      if (holdsSlot) run.slots.give()
      holdsSlot = false
    }
  }
}

/** A member as a part of the run. */
const memberOf = <Q extends AnyEffect>(pool: Pool, run: Run, member: Q, holdsSlot: boolean, hand: Hand) =>
  // The types of an effect whose own type is a parameter have to be named.
  (isQuery(member) ? member[QueryTypeId](pool, run, holdsSlot, undefined, hand) : inside(run, member)) as Effect.Effect<
    Effect.Success<Q>,
    Effect.Error<Q>,
    Effect.Services<Q>
  >

/**
 * How an effect ended. A defect is no outcome: it goes on.
 *
 * @internal
 */
export const toOutcome = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Outcome.Outcome<A, E>, never, R> =>
  Effect.matchCauseEffect(effect, {
    onSuccess: (value) => Effect.succeed(Outcome.succeeded(value)),
    onFailure: outcomeOf
  })

const outcomeOf = <E>(cause: Cause.Cause<E>): Effect.Effect<Outcome.Outcome<never, E>> => {
  const outcome = Outcome.fromCause(cause)
  return outcome === undefined
    ? Effect.failCause(Cause.fromReasons(cause.reasons.filter(Cause.isDieReason)))
    : Effect.succeed(outcome)
}
