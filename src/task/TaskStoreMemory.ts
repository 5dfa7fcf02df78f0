/**
 * Remembers tasks in this process: all of them are gone with it. For work that may be lost, for tests, and for
 * programs whose tasks live no longer than they do. When its layer closes, the log names those that have not ended.
 *
 * What is offered inside a transaction becomes visible by effect/sql's `afterCommit`, once the server has answered the
 * COMMIT. Where that answer is lost, nothing is offered, whatever became of the transaction: a task that must not be lost
 * belongs into the database, in the same transaction.
 *
 * @since 0.1.0
 */
import type { Duration } from "effect"
import { Effect, Layer } from "effect"
import { TaskChanges } from "./TaskChanges.ts"
import { Duplicate, TaskError } from "./TaskError.ts"
import * as TaskLog from "./TaskLog.ts"
import type { Offer, Stored, TaskId } from "./TaskStore.ts"
import { TaskStore } from "./TaskStore.ts"
import { TaskTable } from "./TaskTable.ts"
import { checkedCount, checkedMillis } from "./TaskTime.ts"
import { transactionOf } from "./TaskTransaction.ts"

/**
 * How much the store keeps.
 *
 * @since 0.1.0
 */
export interface Options {
  /** How long a task that has ended is kept. Default one day. */
  readonly retention?: Duration.Input | undefined
  /**
   * How many tasks that succeeded are kept of each queue, and how many that did not: an integer from 0. Default 10,000,
   * about 5 MB of small ones.
   */
  readonly retained?: number | undefined
  /** How many leases of a task have to run out, one after the other, for it to be dead: an integer from 1. Default 3. */
  readonly lostLeases?: number | undefined
  /** How long a task waits for as much as one more of priority. Default one minute. */
  readonly aging?: Duration.Input | undefined
}

/**
 * A store in memory.
 *
 * @since 0.1.0
 */
export const layerMemory = (options: Options = {}): Layer.Layer<TaskStore> => {
  const { aging = "1 minute", lostLeases = 3, retained = 10_000, retention = "1 day" } = options
  const limits = {
    agingMillis: checkedMillis("aging", aging),
    retentionMillis: checkedMillis("retention", retention),
    retained: checkedCount("retained", retained, 0),
    lostLeases: checkedCount("lostLeases", lostLeases, 1)
  }
  const make = Effect.gen(function* () {
    const changes = new TaskChanges()
    const table = new TaskTable(limits, changes)
    yield* Effect.addFinalizer(() =>
      TaskLog.lost(table.list({ states: ["awaiting", "scheduled", "ready", "running", "retrying"], limit: Infinity }))
    )

    /** Watchers learn of a change when all of it is there. */
    const changing = <A>(change: () => A): Effect.Effect<A> =>
      Effect.sync(() => {
        const result = change()
        changes.flush()
        return result
      })

    const offer: TaskStore["Service"]["offer"] = (offers, now, { onDuplicate = "existing" } = {}) =>
      Effect.withFiber(({ context }) => {
        const duplicate = onDuplicate === "fail" ? table.duplicateOf(offers) : undefined
        if (duplicate !== undefined) {
          const { id, name, uniqueKey } = duplicate
          return Effect.fail(new TaskError({ task: name, reason: new Duplicate({ id, uniqueKey }) }))
        }
        const sql = transactionOf(context)
        if (sql === undefined) return changing(() => offerAll(table, offers, now))
        const known = new Map(offers.map((one) => [one.id, table.knownAs(one)]))
        const insert = changing(() => offerAll(table, offers, now, known))
        return Effect.as(
          sql.afterCommit(insert),
          offers.map(({ id }) => known.get(id) ?? id)
        )
      })

    return TaskStore.of({
      offer,
      advance: (advances, now) => changing(() => advances.map((advance) => table.advance(advance, now))),
      claim: (request) => changing(() => table.claim(request)),
      renew: (claims, leaseMillis, now) => Effect.sync(() => table.renew(claims, leaseMillis, now)),
      settle: (settlements, now) => changing(() => table.settle(settlements, now)),
      report: (reports) =>
        changing(() => {
          for (const { id, progress, token } of reports) table.report(id, token, progress)
        }),
      cancel: (ids, now) => changing(() => ids.filter((id) => table.cancel(id, now))),
      requeue: (ids, now) => changing(() => ids.filter((id) => table.requeue(id, now))),
      get: (ids) =>
        Effect.sync(() =>
          ids.flatMap((id): ReadonlyArray<Stored> => {
            const stored = table.get(id)
            return stored === undefined ? [] : [stored]
          })
        ),
      counts: (filter) => Effect.sync(() => table.counts(filter)),
      list: (filter) => Effect.sync(() => table.list(filter)),
      sweep: (now) => changing(() => table.sweep(now)),
      watch: (ids) => changes.watch(ids)
    })
  })
  return Layer.effect(TaskStore, make)
}

/** Those that are `known` stay with the task whose id was given for them. */
const offerAll = (
  table: TaskTable,
  offers: ReadonlyArray<Offer>,
  now: number,
  known?: ReadonlyMap<TaskId, TaskId | undefined>
): ReadonlyArray<TaskId> => {
  const ids = new Map<TaskId, TaskId>()
  return offers.map((offer) => {
    const awaits = offer.awaits?.map((id) => ids.get(id) ?? id)
    const id = known?.get(offer.id) ?? table.offer(awaits === undefined ? offer : { ...offer, awaits }, now)
    ids.set(offer.id, id)
    return id
  })
}
