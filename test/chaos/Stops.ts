/**
 * Runners that are stopped at any moment, under load, while others go on to enqueue.
 *
 * Each round has a store that outlives its runner, handlers of every kind of session on a pool of their own, and fibers that
 * enqueue before, during and after the stop, some in transactions. When the stop is over:
 *
 *     accepted        each is there once: done, or waiting in the store, and none is running
 *     transactions    of what succeeded there is one row, of everything else none
 *     settled         none has ended twice
 *     sessions        the server knows none of the pool any more: asked on another connection
 *     handlers        none runs, and no fiber is left when the round is over
 */
import type { Redacted } from "effect"
import { Context, Duration, Effect, Exit, Fiber, Layer, Ref, References, Schedule, Schema, Scope } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { createHook } from "node:async_hooks"
import { setImmediate } from "node:timers/promises"
import { PgQueryPool, RetryPolicy } from "querypool"
import { Task, TaskRunner, TaskState, TaskStore, TaskStoreMemory } from "querypool/task"
import type { Server } from "../support/Server.ts"
import { Dice } from "./Dice.ts"

interface Stage {
  readonly url: Redacted.Redacted
  readonly server: Pick<Server, "rows">
}

interface RoundResult {
  readonly accepted: number
  readonly done: number
  readonly handedBack: number
  /** Handlers that were under way when the stop began. */
  readonly caught: number
  readonly sessions: number
  readonly handlers: number
  readonly fibers: number
  readonly stopMillis: number
  readonly wrong: ReadonlyArray<string>
}

class Busy extends Schema.TaggedError<Busy>()("Busy", {}) {}

const retry = RetryPolicy.make({ on: ["Busy"], schedule: Schedule.upTo(Schedule.spaced("5 millis"), { times: 5 }) })
const payload = Schema.Struct({ millis: Schema.Finite, fails: Schema.Finite })

const write = Task.make("write", { payload, error: Busy, session: "transaction", retry, queue: "write" })
const look = Task.make("look", { payload, error: Busy, session: "connection", retry, queue: "look" })
const wait = Task.make("wait", { payload, error: Busy, session: "none", retry, queue: "wait" })

/** Says of each fiber whether it is alive: effect gives one that waits a resource of this type. */
const watchFibers = Effect.acquireRelease(
  Effect.sync(() => {
    const alive = new Set<number>()
    const hook = createHook({
      init: (id, type) => void (type === "effect/Fiber" && alive.add(id)),
      destroy: (id) => void alive.delete(id),
      trackPromises: false
    }).enable()
    return { alive, hook }
  }),
  ({ hook }) => Effect.sync(() => hook.disable())
)

const sleepOf = (sql: SqlClient, millis: number) => sql`select pg_sleep(${millis / 1000})`

/** Handlers that are counted while they run. */
const handlersOf = (running: Set<string>) => {
  const counted = <A, E, R>(id: string, effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      running.add(id)
      return Effect.ensuring(
        effect,
        Effect.sync(() => running.delete(id))
      )
    })
  return Layer.mergeAll(
    Task.toLayer(write, ({ fails, millis }, { attempt, id, sql }) =>
      counted(
        id,
        Effect.gen(function* () {
          yield* sql`insert into stopped (task) values (${id})`
          yield* sleepOf(sql, millis)
          if (attempt <= fails) return yield* new Busy()
        })
      )
    ),
    Task.toLayer(look, ({ fails, millis }, { attempt, id, sql }) =>
      counted(id, Effect.andThen(sleepOf(sql, millis), attempt <= fails ? Effect.fail(new Busy()) : Effect.void))
    ),
    Task.toLayer(wait, ({ fails, millis }, { attempt, id }) =>
      counted(id, Effect.andThen(Effect.sleep(millis), attempt <= fails ? Effect.fail(new Busy()) : Effect.void))
    )
  )
}

/** Enqueues until it is told to end. What is rolled back was not accepted. */
const enqueuing = (dice: Dice, over: Ref.Ref<boolean>, accepted: Set<string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient
    const payload = { millis: dice.between(0, 30), fails: dice.chance(0.3) ? dice.between(1, 2) : 0 }
    const options = { delay: dice.chance(0.3) ? dice.between(1, 40) : 0, priority: dice.between(-1, 1) }
    const offer = dice.pick([
      Task.enqueue(write, payload, options),
      Task.enqueue(look, payload, options),
      Task.enqueue(wait, payload, options)
    ])
    const isRolledBack = dice.chance(0.3)
    const whole = dice.chance(0.7)
      ? offer
      : sql.withTransaction(Effect.tap(offer, () => (isRolledBack ? new Busy() : Effect.void)))
    const exit = yield* Effect.exit(whole)
    if (Exit.isSuccess(exit)) accepted.add(exit.value.id)
    yield* Effect.sleep(dice.between(0, 4))
  }).pipe(Effect.repeat({ until: () => Ref.get(over) }))

const round = Effect.fnUntraced(function* ({ server, url }: Stage, seed: number, alive: ReadonlySet<number>) {
  const dice = new Dice(seed)
  const wrong: Array<string> = []
  const fault = (text: string): void => void wrong.push(`seed ${seed}: ${text}`)
  const applicationName = `stops ${seed} ${process.pid}`
  const accepted = new Set<string>()
  const running = new Set<string>()
  const ended = new Map<string, number>()
  yield* Effect.promise(() => setImmediate())
  const fibersBefore = alive.size

  const result = yield* Effect.gen(function* () {
    const outer = yield* Layer.build(
      Layer.merge(
        TaskStoreMemory.layerMemory({ retained: 1_000_000 }),
        PgQueryPool.layer({ url, applicationName: `${applicationName} web`, maxConnections: 3 })
      )
    )
    const whole = Context.get(outer, TaskStore.TaskStore)
    const store = TaskStore.TaskStore.of({
      ...whole,
      settle: (settlements, now) =>
        Effect.tap(whole.settle(settlements, now), (stale) =>
          Effect.sync(() => {
            for (const { id, input, token } of settlements) {
              const isStale = stale.some((one) => one.id === id && one.token === token)
              if (isStale || !["succeed", "fail", "discard", "giveUp"].includes(input._tag)) continue
              ended.set(id, (ended.get(id) ?? 0) + 1)
            }
          })
        )
    })
    const services = Context.add(outer, TaskStore.TaskStore, store)
    const over = yield* Ref.make(false)
    const enqueuers = yield* Effect.forEach([1, 2, 3], (index) =>
      Effect.forkChild(Effect.provide(enqueuing(new Dice(seed * 10 + index), over, accepted), services))
    )
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const runner = TaskRunner.layer({ concurrency: 12, drain: dice.between(0, 60), lease: "10 seconds" })
    const pool = PgQueryPool.layer({ url, applicationName, maxConnections: 6 })
    const handlers = handlersOf(running).pipe(Layer.provide(runner), Layer.provide(pool))
    yield* Layer.buildWithScope(Layer.provide(handlers, Layer.succeed(TaskStore.TaskStore, store)), scope)
    yield* Effect.sleep(dice.between(0, 250))
    const caught = running.size
    const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
    const handlersLeft = running.size
    const sessions = (yield* server.rows("select 1 from pg_stat_activity where application_name like $1", [
      applicationName
    ])).length
    yield* Effect.sleep(dice.between(0, 20))
    yield* Ref.set(over, true)
    yield* Fiber.awaitAll(enqueuers)
    const tasks = yield* whole.get([...accepted])
    const all = (yield* whole.counts({})).reduce((sum, { count }) => sum + count, 0)
    return { tasks, all, caught, sessions, handlersLeft, stopMillis: Math.round(Duration.toMillis(took)) }
  }).pipe(Effect.scoped)

  const { all, caught, handlersLeft, sessions, stopMillis, tasks } = result
  if (tasks.length !== accepted.size) fault(`${accepted.size} were accepted, and ${tasks.length} are there`)
  if (all !== accepted.size) fault(`${accepted.size} were accepted, and the store has ${all}`)
  const rows = new Map(
    (yield* server.rows("select task, count(*)::int as count from stopped group by task")).map(({ count, task }) => [
      String(task),
      Number(count)
    ])
  )
  yield* server.rows("truncate stopped")
  let done = 0
  for (const { id, name, state } of tasks) {
    if (TaskState.isEnded(state)) done++
    else if (state._tag === "running") fault(`${name} ${id} is running`)
    const expected = name === "write" && state._tag === "succeeded" ? 1 : 0
    if ((rows.get(id) ?? 0) !== expected) fault(`${name} ${id} is ${state._tag}, and has ${rows.get(id) ?? 0} rows`)
  }
  for (const [id, times] of ended) if (times > 1) fault(`${id} ended ${times} times`)
  if (sessions > 0) fault(`${sessions} sessions were left`)
  if (handlersLeft > 0) fault(`${handlersLeft} handlers run on`)
  // Ends are told at the next turn of the event loop.
  yield* Effect.promise(() => setImmediate())
  const fibers = Math.max(0, alive.size - fibersBefore)
  if (fibers > 0) fault(`${fibers} fibers were left`)
  return {
    accepted: accepted.size,
    done,
    handedBack: tasks.length - done,
    caught,
    sessions,
    handlers: handlersLeft,
    fibers,
    stopMillis,
    wrong
  } satisfies RoundResult
})

interface StopsResult {
  readonly rounds: number
  readonly accepted: number
  readonly done: number
  readonly handedBack: number
  readonly caught: number
  readonly sessions: number
  readonly handlers: number
  readonly fibers: number
  readonly longestStopMillis: number
  readonly wrong: ReadonlyArray<string>
}

/** Round n has the seed `seed + n - 1`. */
export const run = Effect.fnUntraced(
  function* (stage: Stage, { rounds, seed }: { readonly rounds: number; readonly seed: number }) {
    yield* stage.server.rows("create table if not exists stopped (task text)")
    yield* stage.server.rows("truncate stopped")
    const { alive } = yield* watchFibers
    const results: Array<RoundResult> = []
    for (let index = 0; index < rounds; index++) results.push(yield* round(stage, seed + index, alive))
    const sum = (of: (result: RoundResult) => number) => results.reduce((total, result) => total + of(result), 0)
    return {
      rounds,
      accepted: sum(({ accepted }) => accepted),
      done: sum(({ done }) => done),
      handedBack: sum(({ handedBack }) => handedBack),
      caught: sum(({ caught }) => caught),
      sessions: sum(({ sessions }) => sessions),
      handlers: sum(({ handlers }) => handlers),
      fibers: sum(({ fibers }) => fibers),
      longestStopMillis: Math.max(0, ...results.map(({ stopMillis }) => stopMillis)),
      wrong: results.flatMap(({ wrong }) => wrong)
    } satisfies StopsResult
  },
  // Each task that is handed back, or gone with its store, has its line.
  Effect.provideService(References.MinimumLogLevel, "None"),
  Effect.scoped
)
