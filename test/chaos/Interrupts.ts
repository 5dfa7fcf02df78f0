/**
 * Queries that are interrupted at random moments of their lives, beside others that nobody means to stop.
 *
 * An interrupted query has stopped when its interruption returns: what it leaves behind on the server would be seen
 * when all is over, and a cancel that hit somebody else in the innocent's failure.
 */
import { Cause, Deferred, Effect, Exit, Fiber, Random, Ref, Schema, Stream } from "effect"
import { Query, RetryPolicy } from "querypool"
import type { QueryPool } from "querypool"
import { waitUntil } from "../support/waitUntil.ts"
import { describeEnd } from "./Bookkeeping.ts"
import { Dice } from "./Dice.ts"
import type { Stage } from "./Round.ts"
import { faultyPool, tally } from "./Round.ts"

export interface InterruptsResult {
  readonly interrupts: number
  /** In which moment of their lives queries were interrupted. */
  readonly moments: Readonly<Record<string, number>>
  readonly innocent: { readonly queries: number; readonly cancelled: number; readonly failed: number }
  /** Ends of interrupted queries that are no interruption. */
  readonly unexpected: ReadonlyArray<string>
  /** Writes of interrupted transactions that are there. */
  readonly kept: number
  readonly slotsInUse: number
  readonly busyBackends: number
  readonly connections: { readonly opened: number; readonly retired: Readonly<Record<string, number>> }
}

/** Where a query is in its life, as far as its body can tell. */
class Moment {
  now: "queued or connecting" | "running" | "streaming" | "in a transaction" | "waiting for a retry" =
    "queued or connecting"
  readonly begun = Deferred.makeUnsafe<void>()

  is(now: Moment["now"]): void {
    this.now = now
    Deferred.doneUnsafe(this.begun, Effect.void)
  }
}

class Again extends Schema.TaggedError<Again>()("Again", {}) {}

const victims: ReadonlyArray<(name: string, moment: Moment) => Effect.Effect<unknown, unknown, QueryPool.QueryPool>> = [
  (name, moment) =>
    Query.make(name, (sql) => {
      moment.is("running")
      return sql`select pg_sleep(5)`
    }),
  (name, moment) =>
    Query.make(
      name,
      (sql) =>
        Effect.gen(function* () {
          moment.is("in a transaction")
          yield* sql`insert into ledger (token) values (${name})`
          yield* sql`select pg_sleep(0.003)`
          yield* sql.withTransaction(sql`select pg_sleep(5)`)
        }),
      { mode: "transaction" }
    ),
  (name, moment) =>
    Query.make(name, (sql) => {
      const rows = sql`select id, repeat('x', 500) as text from generate_series(1, 100000) id`.stream
      // A slow reader, or this process would do nothing but read.
      return Stream.runForEachArray(rows, () => {
        moment.is("streaming")
        return Effect.sleep(2)
      })
    }),
  (name, moment) =>
    Query.make(
      name,
      (sql) =>
        Effect.andThen(
          sql`select pg_sleep(0.002)`,
          Effect.suspend(() => {
            moment.is("waiting for a retry")
            return Effect.fail(new Again())
          })
        ),
      {
        mode: "readOnly",
        retry: RetryPolicy.make({ on: ["Again"], schedule: RetryPolicy.backoff({ base: "10 seconds", times: 9 }) })
      }
    ),
  // Many short ones: the interrupt comes before, between and behind their messages.
  (name, moment) =>
    Query.make(name, (sql) => {
      moment.is("running")
      return Effect.forever(sql`select pg_sleep(0.001)`)
    })
]

export const run = Effect.fnUntraced(function* (
  stage: Stage,
  options: { readonly seed: number; readonly interrupts: number }
) {
  const { interrupts, seed } = options
  const { server } = stage
  const applicationName = `interrupts ${seed} ${process.pid}`
  const prefix = `i${seed}`
  const moments: Array<string> = []
  const innocentEnds: Array<string> = []
  const unexpected: Array<string> = []

  const afterwards = yield* Effect.gen(function* () {
    // Three for the innocent, and fewer than there are tormentors for the rest: some of their queries wait for a slot.
    const { services, statistics } = yield* faultyPool(stage, seed, applicationName, { maxConnections: 8 })
    const over = yield* Ref.make(false)
    const innocent = (index: number) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Query.make(`innocent ${index}`, (sql) => sql`select pg_sleep(0.25)`))
        const error = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
        innocentEnds.push(
          error === undefined
            ? "Succeeded"
            : describeEnd({ outcome: "Failed", error: error._tag === "Fail" ? error.error : error._tag })
        )
      }).pipe(Effect.repeat({ until: () => Ref.get(over) }))
    let begun = 0
    const tormentor = (index: number) => {
      const dice = new Dice(seed * 1_000 + index)
      return Effect.whileLoop({
        while: () => begun < interrupts,
        body: () => {
          const name = `${prefix}-${begun++}`
          const moment = new Moment()
          const victim = victims[dice.between(0, victims.length - 1)] ?? (() => Effect.void)
          return Effect.gen(function* () {
            const fiber = yield* Effect.forkChild(victim(name, moment))
            // Who is stopped while connecting leaves the next one to connect: if all were, no one would ever run.
            if (dice.chance(0.8)) yield* Deferred.await(moment.begun)
            const delay = dice.between(0, 15)
            // A few turns instead of a timer's millisecond: among the first messages.
            yield* delay < 5
              ? Effect.replicateEffect(Effect.yieldNow, delay, { discard: true })
              : Effect.sleep(delay - 4)
            moments.push(moment.now)
            yield* Fiber.interrupt(fiber)
            const exit = yield* Fiber.await(fiber)
            if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) unexpected.push(Cause.pretty(exit.cause))
          })
        },
        step: () => {}
      })
    }
    const bystanders = yield* Effect.forkChild(
      Effect.forEach([0, 1, 2], innocent, { concurrency: "unbounded" }).pipe(Effect.provide(services))
    )
    yield* Effect.forEach([0, 1, 2, 3, 4, 5, 6], tormentor, { concurrency: "unbounded" }).pipe(Effect.provide(services))
    yield* Ref.set(over, true)
    yield* Fiber.await(bystanders)
    const { inUse, opened, retired } = yield* statistics
    const busy = Effect.map(
      server.rows(
        `select 1 from pg_stat_activity
          where application_name = $1 and (state is distinct from 'idle' or xact_start is not null)`,
        [applicationName]
      ),
      (rows) => rows.length
    )
    // The control connection may be answering to itself still.
    yield* Effect.ignore(
      waitUntil(
        "no backend is busy",
        Effect.map(busy, (count) => count === 0),
        5
      )
    )
    return { slotsInUse: inUse, busyBackends: yield* busy, connections: { opened, retired } }
  }).pipe(Effect.scoped, Random.withSeed(seed))

  yield* server.until({ applicationName }, "gone")
  const kept = yield* server.rows("delete from ledger where token like $1 returning token", [`${prefix}-%`])
  return {
    interrupts: moments.length,
    moments: tally(moments.map((moment) => [moment, 1])),
    innocent: {
      queries: innocentEnds.length,
      cancelled: innocentEnds.filter((end) => end.includes("CancelledByServer") || end.includes("Interrupt")).length,
      failed: innocentEnds.filter((end) => end !== "Succeeded").length
    },
    unexpected,
    kept: kept.length,
    ...afterwards
  } satisfies InterruptsResult
})
