/**
 * What can become of a task: a pure machine. The next state follows from state, input and moment; nobody reads a clock.
 *
 *     from        input      to
 *     ----------  ---------  ----------
 *     awaiting    join       scheduled
 *     awaiting    cancel     cancelled
 *     scheduled   due        ready
 *     scheduled   cancel     cancelled
 *     ready       claim      running
 *     ready       cancel     cancelled
 *     running     renew      running
 *     running     succeed    succeeded
 *     running     fail       failed
 *     running     discard    failed
 *     running     retry      retrying
 *     running     snooze     scheduled
 *     running     giveUp     dead
 *     running     cancel     cancelled
 *     running     handBack   ready
 *     running     expire     ready
 *     running     expire     dead
 *     retrying    due        ready
 *     retrying    cancel     cancelled
 *     failed      requeue    ready
 *     cancelled   requeue    ready
 *     dead        requeue    ready
 *
 *     offer ──► awaiting
 *      │            │ join
 *      │            ▼
 *      ├──────► scheduled ──due──► ready ──claim──► running ──┬─ succeed ────────► succeeded
 *      │             ▲               ▲                 │      ├─ fail, discard ──► failed ─┐
 *      └─────────────┼───────────────┤                 │      ├─ cancel ─────────► cancelled ─┤ requeue
 *                    └────snooze─────┼─────────────────┤      └─ giveUp, expire ─► dead ─────┘   │
 *                    retrying ◄──────┼──────retry──────┤                                         │
 *                        └────due────┤                 │                                         │
 *                                    └─handBack, expire┘ ◄───────────────────────────────────────┘
 *
 * - Whoever runs a task holds the token that its claim was given, and says it with whatever becomes of it. A token that
 *   is not the present one changes nothing: the task has been taken over by then. (A fencing token: M. Kleppmann, "How
 *   to do distributed locking", 2016.)
 * - `attempt` counts what was begun and is over or under way. A task that asked to be left for later (`snooze`) or was
 *   handed back has not used one.
 * - A lease that has run out (`expire`) has used its attempt: whoever held it may have died of the task. So many in a row
 *   (`lost`) as are allowed make the task dead, or it would take one runner with it after the other. An attempt that came
 *   to any other end was survived, and the next one counts from 0.
 * - What awaits other tasks is told once that all of them have ended (`join`), and never waits for them again.
 * - Each task ends once. What has ended is ended for good, unless a person has it queued again (`requeue`), which counts
 *   its attempts from 0 and makes it a task that has not ended.
 *
 * @since 0.1.0
 */
import { Result } from "effect"

/**
 * Waits for other tasks to end.
 *
 * @since 0.1.0
 */
export interface Awaiting {
  readonly _tag: "awaiting"
  /** 0. */
  readonly attempt: number
  /** From when on it may run, once they have: milliseconds since the epoch, as all moments here. */
  readonly at: number
}

/**
 * Waits for its time.
 *
 * @since 0.1.0
 */
export interface Scheduled {
  readonly _tag: "scheduled"
  /** How many attempts there were. */
  readonly attempt: number
  /** From when on it may run. */
  readonly at: number
}

/**
 * Waits for a runner.
 *
 * @since 0.1.0
 */
export interface Ready {
  readonly _tag: "ready"
  readonly attempt: number
  /** Since when it may run. */
  readonly at: number
  /** How many leases in a row have run out. */
  readonly lost: number
}

/**
 * A runner has it, until its lease runs out.
 *
 * @since 0.1.0
 */
export interface Running {
  readonly _tag: "running"
  /** Which attempt, from 1. */
  readonly attempt: number
  readonly at: number
  readonly lost: number
  /** Of this claim, and of no other. */
  readonly token: number
  /** The runner's name. */
  readonly runner: string
  readonly leaseUntil: number
}

/**
 * Failed, and waits for its next attempt.
 *
 * @since 0.1.0
 */
export interface Retrying {
  readonly _tag: "retrying"
  readonly attempt: number
  /** From when on it may run again. */
  readonly at: number
}

/**
 * Has ended: well, with an error of its own that is an answer, by being cancelled, or for want of hope (`dead`).
 *
 * @since 0.1.0
 */
export interface Ended {
  readonly _tag: "succeeded" | "failed" | "cancelled" | "dead"
  readonly attempt: number
  /** When it ended. */
  readonly at: number
}

/** @since 0.1.0 */
export type TaskState = Awaiting | Scheduled | Ready | Running | Retrying | Ended

/**
 * What can happen to a task.
 *
 * - `join`: the tasks that it awaits have ended
 * - `due`: its time has come
 * - `claim`: a runner takes it
 * - `renew`: its runner goes on with it
 * - `succeed`, `fail`: it has its result, a value or an error that is not worth another attempt
 * - `discard`: its handler says that there is nothing to do any more
 * - `retry`: it failed, and is tried again from a moment on
 * - `snooze`: its handler wants it later, and has not begun
 * - `giveUp`: there is no use in trying again: a defect, a payload that nobody can read, the last attempt
 * - `cancel`: somebody does not want it any more
 * - `handBack`: its runner stops, and it has not ended
 * - `expire`: its lease has run out, of which so many in a row (`limit`) are its end
 * - `requeue`: a person wants it once more
 *
 * @since 0.1.0
 */
export type Input =
  | { readonly _tag: "join" | "due" }
  | { readonly _tag: "claim"; readonly token: number; readonly runner: string; readonly leaseUntil: number }
  | { readonly _tag: "renew"; readonly token: number; readonly leaseUntil: number }
  | { readonly _tag: "succeed" | "fail" | "discard" | "giveUp" | "handBack"; readonly token: number }
  | { readonly _tag: "retry" | "snooze"; readonly token: number; readonly at: number }
  | { readonly _tag: "expire"; readonly limit: number }
  | { readonly _tag: "cancel" | "requeue" }

/**
 * The input changes nothing.
 *
 * - `illegal`: no task in this state can be told this
 * - `early`: its time has not come, or its lease has not run out
 * - `stale`: the token is that of an earlier claim
 *
 * @since 0.1.0
 */
export interface Refusal {
  readonly _tag: "illegal" | "early" | "stale"
}

const illegal: Refusal = { _tag: "illegal" }
const early: Refusal = { _tag: "early" }
const stale: Refusal = { _tag: "stale" }

/**
 * Whether nothing more happens to a task in this state by itself.
 *
 * @since 0.1.0
 */
export const isEnded = (state: TaskState): state is Ended =>
  state._tag === "succeeded" || state._tag === "failed" || state._tag === "cancelled" || state._tag === "dead"

/**
 * The state of a task that is offered: it waits for its time, or for a runner.
 *
 * @since 0.1.0
 */
export const offered = (now: number, at: number = now): Scheduled | Ready =>
  at > now ? { _tag: "scheduled", attempt: 0, at } : ready(0, now)

/**
 * The state of a task that is offered with others to await.
 *
 * @since 0.1.0
 */
export const awaiting = (now: number, at: number = now): Awaiting => ({ _tag: "awaiting", attempt: 0, at })

/**
 * The state after an input at a moment, or why it changes nothing.
 *
 * @since 0.1.0
 */
export const move = (state: TaskState, input: Input, now: number): Result.Result<TaskState, Refusal> => {
  switch (state._tag) {
    case "awaiting":
      return moveAwaiting(state, input, now)
    case "scheduled":
    case "retrying":
      return moveWaiting(state, input, now)
    case "ready":
      return moveReady(state, input, now)
    case "running":
      return moveRunning(state, input, now)
    default:
      return input._tag === "requeue" && state._tag !== "succeeded"
        ? Result.succeed(ready(0, now))
        : Result.fail(illegal)
  }
}

const moveAwaiting = (state: Awaiting, input: Input, now: number): Result.Result<TaskState, Refusal> => {
  if (input._tag === "cancel") return Result.succeed(ended("cancelled", state, now))
  if (input._tag !== "join") return Result.fail(illegal)
  // It has waited for a runner since now, and not since it was offered: others would have to let it pass.
  return Result.succeed({ _tag: "scheduled", attempt: state.attempt, at: Math.max(state.at, now) })
}

const moveWaiting = (state: Scheduled | Retrying, input: Input, now: number): Result.Result<TaskState, Refusal> => {
  if (input._tag === "cancel") return Result.succeed(ended("cancelled", state, now))
  if (input._tag !== "due") return Result.fail(illegal)
  // It waits since it was due: of tasks that were all looked at too late, the one that was due first is first.
  return now < state.at ? Result.fail(early) : Result.succeed(ready(state.attempt, state.at))
}

const moveReady = (state: Ready, input: Input, now: number): Result.Result<TaskState, Refusal> => {
  if (input._tag === "cancel") return Result.succeed(ended("cancelled", state, now))
  if (input._tag !== "claim") return Result.fail(illegal)
  const { leaseUntil, runner, token } = input
  const { attempt, lost } = state
  return Result.succeed({ _tag: "running", attempt: attempt + 1, at: now, lost, token, runner, leaseUntil })
}

const moveRunning = (state: Running, input: Input, now: number): Result.Result<TaskState, Refusal> => {
  if (input._tag === "claim") return Result.fail(illegal)
  if ("token" in input && input.token !== state.token) return Result.fail(stale)
  switch (input._tag) {
    case "renew":
      return Result.succeed({ ...state, leaseUntil: input.leaseUntil })
    case "succeed":
      return Result.succeed(ended("succeeded", state, now))
    case "fail":
    case "discard":
      return Result.succeed(ended("failed", state, now))
    case "giveUp":
      return Result.succeed(ended("dead", state, now))
    case "cancel":
      return Result.succeed(ended("cancelled", state, now))
    case "retry":
      return Result.succeed({ _tag: "retrying", attempt: state.attempt, at: input.at })
    case "snooze":
      return Result.succeed({ _tag: "scheduled", attempt: state.attempt - 1, at: input.at })
    case "handBack":
      return Result.succeed(ready(state.attempt - 1, now))
    case "expire":
      return expired(state, input.limit, now)
    default:
      return Result.fail(illegal)
  }
}

/**
 * For people: why a task has lost its runner.
 *
 * @since 0.1.0
 */
export const whyExpired = ({ lost, runner }: Running): string => {
  const times = lost === 0 ? "its lease ran out" : `its lease ran out ${lost + 1} times in a row`
  return `${times}, at last that of "${runner}", which may have died of it`
}

const expired = (state: Running, limit: number, now: number): Result.Result<TaskState, Refusal> => {
  if (now < state.leaseUntil) return Result.fail(early)
  const lost = state.lost + 1
  return Result.succeed(lost < limit ? ready(state.attempt, now, lost) : ended("dead", state, now))
}

const ready = (attempt: number, at: number, lost = 0): Ready => ({ _tag: "ready", attempt, at, lost })

const ended = (_tag: Ended["_tag"], { attempt }: TaskState, at: number): Ended => ({ _tag, attempt, at })
