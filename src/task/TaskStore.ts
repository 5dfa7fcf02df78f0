/**
 * What remembers tasks: the contract between those who offer them and those who run them.
 *
 * - **At least once.** A task that was offered is claimed until it has ended. A runner that dies leaves it to the next
 *   one, when its lease has run out; so a handler may run again that had done its work already.
 * - **One owner at a time.** A claim gives a token, greater than any before it for the same task. What is said with an
 *   older one (`renew`, `settle`, `report`) changes nothing and is answered with its id.
 * - **With the transaction.** What is offered inside a transaction of the fiber's own SqlClient is seen by nobody before
 *   its COMMIT, and never after a ROLLBACK, of a savepoint too.
 * - **Order.** Of the tasks of a queue that are due, those with the greatest priority come first, and of one priority the
 *   one that has waited longest. Waiting raises a priority by one each `agingMillis`, so that none waits for ever: who
 *   is first is `at - priority * agingMillis`, the smallest, then the smallest id. (The dynamic priority of J. R.
 *   Jackson, "Some problems in queueing with dynamic priorities", 1960. Since all age alike, an order once made stays.)
 * - **None takes one runner with it after the other.** A task whose lease has run out is claimed again; when that has
 *   happened `lostLeases` times in a row, it is dead. A runner that stops hands back what it has, and loses none.
 * - **Bounded.** What has ended is kept for `retentionMillis`, and of each queue no more than `retained` that succeeded
 *   and as many that did not: what went well does not push out what a person may want to queue again.
 * - **A schedule's tasks one after the other**, in the order of their offers: one is claimed once those before it have ended.
 *   `advance` offers what is due of a schedule and notes how far the schedule has come, both or neither, and only for one
 *   who knew how far it was: of many processes with the same schedule one offers each occurrence.
 * - **Joins.** A task may await others (`awaits`). It is due once all of them have ended, however they did, and gets how
 *   they had at that moment. That is decided once: one that is queued again later does not bring it about anew. What is
 *   awaited is not forgotten before; being kept, and its time, count from then.
 * - **No lost wake-up.** `watch` gives a first, empty change once it watches: who looks then, and again at each change,
 *   misses nothing.
 *
 * Everything in it is plain data, and every operation takes many at once: stores in other processes keep to the same
 * contract. Moments are milliseconds since the epoch, and come from the caller.
 *
 * ```text
 *   offer ─► [awaiting] ─ the last of those that it awaits has ended ─► [scheduled|ready]
 *   offer ─► [scheduled|ready] ─claim(token)─► [running] ─settle(token)─► [ended|retrying|scheduled|ready]
 *                     ▲                            │
 *                     └────── sweep: due, expired ─┘
 * ```
 *
 * | when this is lost | this happens |
 * |---|---|
 * | the runner | its leases run out, others claim its tasks, each up to `lostLeases` times; what it still settles is stale |
 * | the answer to `settle` | said again, it is stale, and the task is as the first one left it |
 * | the answer to `offer` | offered again with its id, it is the same task |
 * | the answer to `advance` | said again, it changes nothing, and the schedule is where the first one left it |
 * | the answer to a COMMIT | the store in memory has no task then, also where the transaction was committed; one in the database has what the database has |
 * | the store in memory | all of it is gone with the process |
 *
 * @since 0.1.0
 */
import { Context, type Effect, type Stream } from "effect"
import type { TaskError } from "./TaskError.ts"
import type { Ended, TaskState } from "./TaskState.ts"

/**
 * Names a task in its store.
 *
 * @since 0.1.0
 */
export type TaskId = string

/**
 * What JSON can say: payloads, results and progress are kept in this form.
 *
 * @since 0.1.0
 */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

/**
 * A task that is handed to the store.
 *
 * @since 0.1.0
 */
export interface Offer {
  readonly id: TaskId
  /** The task's name, by which its handler is found. */
  readonly name: string
  readonly queue: string
  /** More is sooner. An integer. */
  readonly priority: number
  readonly payload: Json
  /** From when on it may run. */
  readonly at: number
  /**
   * Of tasks with the same name and key that have not ended there is one: another offer gives that one. In a
   * transaction, that is decided at its COMMIT; an id that was given before stands for the other task from then on.
   */
  readonly uniqueKey?: string | undefined
  /** Of tasks with the same key only so many run at once as the runner allows. */
  readonly limitKey?: string | undefined
  /**
   * It is not due before all of these have ended: tasks that the store knows, or that stand before it in the same
   * `offer`. One that the store does not know counts as ended.
   */
  readonly awaits?: ReadonlyArray<TaskId> | undefined
  /** The schedule that it is an occurrence of: its tasks run one after the other, in the order of their offers. */
  readonly schedule?: string | undefined
}

/**
 * What becomes of an occurrence while tasks of the same schedule have not ended.
 *
 * - `skip`: it is left out
 * - `queue`: it waits for them
 * - `replace`: they are cancelled
 *
 * @since 0.1.0
 */
export type Overlap = "skip" | "queue" | "replace"

/**
 * How a schedule goes on.
 *
 * @since 0.1.0
 */
export interface Advance {
  readonly schedule: string
  /** How far it has come, as the caller knows: a moment, or `undefined` where it has not begun. */
  readonly from: number | undefined
  /** How far it has come then. */
  readonly to: number
  /** What is due, each with this schedule as its own. */
  readonly offers: ReadonlyArray<Offer>
  /** What was offered before decides. Those of one call do not overlap with each other: they run one after the other. */
  readonly overlap: Overlap
}

/**
 * How a task had ended when nothing was left to wait for. It is JSON as it stands, and a payload: what there is not is
 * absent, and not undefined.
 *
 * @since 0.1.0
 */
export interface End {
  readonly id: TaskId
  /** Its task's name, where the store knew it. */
  readonly name?: string
  /** `unknown` where the store knew no such task. */
  readonly state: Ended["_tag"] | "unknown"
  /** How many attempts there were. */
  readonly attempts: number
  /** As those of `Stored`. */
  readonly result?: Json
  readonly why?: string
}

/**
 * A task as the store knows it.
 *
 * @since 0.1.0
 */
export interface Stored extends Offer {
  readonly state: TaskState
  readonly offeredAt: number
  /** What it ended with, encoded: of one that succeeded its value, of one that failed its error. */
  readonly result?: Json | undefined
  /** For people: why it is dead or was discarded, or why its last attempt failed. */
  readonly why?: string | undefined
  /** The latest that its handler has reported. */
  readonly progress?: Json | undefined
  /** How those that it `awaits` had ended, in that order: from then on, until it has succeeded itself. */
  readonly awaited?: ReadonlyArray<End> | undefined
}

/**
 * Whose claim is spoken of.
 *
 * @since 0.1.0
 */
export interface Claim {
  readonly id: TaskId
  readonly token: number
}

/**
 * What became of a claimed task.
 *
 * @since 0.1.0
 */
export interface Settlement extends Claim {
  readonly input:
    | { readonly _tag: "succeed" | "fail" | "discard" | "giveUp" | "handBack" }
    | { readonly _tag: "retry" | "snooze"; readonly at: number }
  readonly result?: Json | undefined
  readonly why?: string | undefined
}

/**
 * What a runner asks for.
 *
 * @since 0.1.0
 */
export interface ClaimRequest {
  /** The runner's name. */
  readonly runner: string
  /** Of each queue, how many at most; those that are named first come first. */
  readonly queues: ReadonlyArray<{ readonly queue: string; readonly limit: number }>
  /** Of all of them together, how many at most. */
  readonly limit?: number | undefined
  /** Tasks whose handler it has; others stay where they are. */
  readonly names: ReadonlyArray<string>
  /** Keys of which no more are wanted now, each with how many more are (0 is none); others have no limit of their own. */
  readonly keys?: ReadonlyMap<string, number> | undefined
  /** How many of a key that is not in `keys`. */
  readonly perKey?: number | undefined
  readonly leaseMillis: number
  readonly now: number
}

/**
 * Which tasks are listed: those that agree with all that is given, by their ids.
 *
 * @since 0.1.0
 */
export interface Filter {
  readonly states?: ReadonlyArray<TaskState["_tag"]> | undefined
  readonly queue?: string | undefined
  readonly name?: string | undefined
  /** Only those behind this id. */
  readonly after?: TaskId | undefined
  /** Default 100. */
  readonly limit?: number | undefined
}

/**
 * How many tasks there are of a queue and a name in a state: one or more.
 *
 * @since 0.1.0
 */
export interface Count {
  readonly queue: string
  readonly name: string
  readonly state: TaskState["_tag"]
  readonly count: number
}

/**
 * Something has changed. A reader that is slow gets the changes of the meantime as one.
 *
 * @since 0.1.0
 */
export interface Change {
  /** Tasks that have moved, or have reported progress. */
  readonly ids: ReadonlyArray<TaskId>
  /** Those of them that were cancelled while they ran: whoever runs them stops. */
  readonly cancelled: ReadonlyArray<TaskId>
  /** Queues in which something may be claimed now. */
  readonly ready: ReadonlyArray<string>
}

/**
 * What `sweep` found.
 *
 * @since 0.1.0
 */
export interface Swept {
  /** The moment at which there is something to do again, if one is known. */
  readonly next: number | undefined
  /** Those whose lease had run out: they are ready again, or dead. */
  readonly expired: ReadonlyArray<Stored>
}

/**
 * What remembers tasks.
 *
 * @since 0.1.0
 */
export class TaskStore extends Context.Service<
  TaskStore,
  {
    /**
     * Hands tasks over. Gives for each the id under which it is known: its own, or that of the task with its `uniqueKey`
     * that has not ended. A task whose id is known already is left as it is. One that awaits a task of the same call
     * which is known by another id awaits that one.
     *
     * With `onDuplicate: "fail"` none is handed over, and it fails with `Duplicate`, when one of them would be that other
     * task. In a transaction, that is what is known when it is offered.
     */
    readonly offer: (
      offers: ReadonlyArray<Offer>,
      now: number,
      options?: { readonly onDuplicate?: "existing" | "fail" | undefined }
    ) => Effect.Effect<ReadonlyArray<TaskId>, TaskError>
    /**
     * Moves schedules on. Gives for each how far it has come now: `to`, if it was at `from`, and its tasks are offered then
     * as `overlap` says; otherwise nothing has changed. It is in no transaction of the caller's.
     */
    readonly advance: (
      advances: ReadonlyArray<Advance>,
      now: number
    ) => Effect.Effect<ReadonlyArray<number | undefined>, TaskError>
    /** Takes tasks that are due, in order within each queue, never more than asked for. */
    readonly claim: (
      request: ClaimRequest
    ) => Effect.Effect<ReadonlyArray<Stored & { readonly token: number }>, TaskError>
    /** Moves the end of leases. Gives the claims that are no more, and those whose task somebody has cancelled. */
    readonly renew: (
      claims: ReadonlyArray<Claim>,
      leaseMillis: number,
      now: number
    ) => Effect.Effect<ReadonlyArray<Claim>, TaskError>
    /** Says what became of claimed tasks. Gives the claims that were no more: nothing was changed for them. */
    readonly settle: (
      settlements: ReadonlyArray<Settlement>,
      now: number
    ) => Effect.Effect<ReadonlyArray<Claim>, TaskError>
    /** Keeps the latest progress of each. */
    readonly report: (reports: ReadonlyArray<Claim & { readonly progress: Json }>) => Effect.Effect<void, TaskError>
    /** Cancels what has not ended; gives the ids for which that was so. Whoever runs one learns of it by `watch`. */
    readonly cancel: (ids: ReadonlyArray<TaskId>, now: number) => Effect.Effect<ReadonlyArray<TaskId>, TaskError>
    /**
     * Queues once more what was cancelled, failed or is dead; gives the ids for which that was so. One with a
     * `uniqueKey` is left as it is while another with that key has not ended, and one that was cancelled before those
     * that it awaits had ended for good.
     */
    readonly requeue: (ids: ReadonlyArray<TaskId>, now: number) => Effect.Effect<ReadonlyArray<TaskId>, TaskError>
    /** What is known of these; nothing of those that are unknown. */
    readonly get: (ids: ReadonlyArray<TaskId>) => Effect.Effect<ReadonlyArray<Stored>, TaskError>
    readonly list: (filter: Filter) => Effect.Effect<ReadonlyArray<Stored>, TaskError>
    readonly counts: (filter: Pick<Filter, "queue" | "name">) => Effect.Effect<ReadonlyArray<Count>, TaskError>
    /** Makes ready what is due, ends leases that have run out, and forgets what ended long ago. */
    readonly sweep: (now: number) => Effect.Effect<Swept, TaskError>
    /** What changes, of these tasks or of all: an empty change as soon as it watches, and then each that comes. */
    readonly watch: (ids?: ReadonlyArray<TaskId>) => Stream.Stream<Change, TaskError>
  }
>()("querypool/task/TaskStore") {}
