/** What an attempt means for its task, by the diagram in the header of TaskWork.ts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as Query from "../../../src/query/Query.ts"
import type { QueryPool } from "../../../src/query/QueryPool.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import * as Task from "../../../src/task/Task.ts"
import type { TaskRunner } from "../../../src/task/TaskRunner.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import * as Faults from "../../../src/testing/Faults.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import * as TestTasks from "../../../src/testing/TestTasks.ts"
import * as TestTime from "../../../src/testing/TestTime.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", { line: Schema.Finite }) {}

const Even = Schema.Finite.check(Schema.makeFilter((n) => n % 2 === 0, { message: "an even number" }))

const twice = <const Tag extends string>(tag: Tag) =>
  RetryPolicy.make({ on: [tag], schedule: Schedule.upTo(Schedule.spaced("1 second"), { times: 2 }) })

/** What becomes of a task by its handler. */
const endOf = <P, A, E, S extends Task.Session>(
  task: Task.Task<P, A, E, S>,
  payload: P,
  handler: Layer.Layer<never, never, TaskRunner>,
  attempt = 1
) =>
  TestTasks.run(task, payload, { attempt }).pipe(Effect.provide(Layer.provideMerge(handler, TestTasks.layerMemory())))

describe("an attempt without a session", () => {
  const task = Task.make("work", { payload: Even, success: Even, error: Busy, session: "none", retry: twice("Busy") })
  const ends = (value: Effect.Effect<number, Busy>, attempt?: number) =>
    endOf(
      task,
      2,
      Task.toLayer(task, () => value),
      attempt
    )
  const whyDead = (value: Effect.Effect<number, Busy>, attempt?: number) =>
    Effect.map(ends(value, attempt), (ending) => (ending._tag === "dead" ? ending.why : ending._tag))

  it.effect("succeeds with a value that agrees with its schema, and gives up otherwise", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ends(Effect.succeed(4)), { _tag: "succeeded", value: 4 })
      assert.match(yield* whyDead(Effect.succeed(3)), /^its success does not agree with its schema: .*an even number/)
    })
  )

  it.effect("retries what its policy names until it has no more, and gives up then", () =>
    Effect.gen(function* () {
      const busy = new Busy({ line: 1 })
      for (const attempt of [1, 2]) {
        assert.deepInclude(yield* ends(busy, attempt), { _tag: "retrying", delayMillis: 1000 })
      }
      assert.match(yield* whyDead(busy, 3), /^the last of 3 attempts failed: /)
    })
  )

  it.effect(
    "fails with an error that the task declares and its policy does not name, and gives up with any other",
    () =>
      Effect.gen(function* () {
        const declares = Task.make("declares", { payload: Even, error: Busy, session: "none" })
        const busy = new Busy({ line: 1 })
        const failed = yield* endOf(
          declares,
          2,
          Task.toLayer(declares, () => busy)
        )
        assert.deepStrictEqual(failed, { _tag: "failed", error: busy })
        const other = yield* endOf(
          declares,
          2,
          Task.toLayer(declares, () => Effect.asVoid(Effect.provide(Task.enqueue(declares, 3), layerMemory())))
        )
        assert.deepInclude(other, { _tag: "dead" })
        assert.include(other._tag === "dead" ? other.why : "", "its payload does not agree with its schema")
      })
  )

  it.effect("gives up with a defect, and when its handler interrupts itself", () =>
    Effect.gen(function* () {
      assert.include(yield* whyDead(Effect.die(new Error("a fault"))), "a fault")
      assert.strictEqual(yield* whyDead(Effect.interrupt), "its handler was interrupted")
    })
  )

  it.effect("gives up with a handler that throws where it should fail", () =>
    Effect.gen(function* () {
      const throws = Task.toLayer(task, (): Effect.Effect<number> => {
        throw new Error("thrown")
      })
      const ending = yield* endOf(task, 2, throws)
      assert.include(ending._tag === "dead" ? ending.why : "", "thrown")
    })
  )
})

const answers = ({ sql }: TestQueryPool.Statement) => (sql === "fails" ? Faults.sqlState("40P01") : [{ n: 1 }])

const tasks = (
  handler: Layer.Layer<never, never, TaskRunner | QueryPool>,
  options?: Parameters<typeof TestQueryPool.layer>[1]
) => Layer.provideMerge(handler, Layer.merge(TestTasks.layerMemory(), TestQueryPool.layer(answers, options)))

describe("an attempt on a session", () => {
  const payload = Schema.String
  const inTransaction = Task.make("work", { payload, session: "transaction", retry: twice("Deadlock") })
  const onConnection = Task.make("work", { payload, session: "connection", timeout: "1 second" })

  it.effect("commits what it did when it succeeds, and rolls it back however else it ends", () => {
    const handler = Task.toLayer(inTransaction, (how, { sql }) =>
      Effect.gen(function* () {
        yield* sql`insert`
        if (how === "fails") yield* sql.unsafe("fails")
        if (how === "dies") return yield* Effect.die("a fault")
        if (how === "snoozes") return yield* Task.snooze("1 minute")
        if (how === "retries") return yield* Task.retryIn("1 minute")
        if (how === "discards") return yield* Task.discard("gone")
      })
    )
    return Effect.gen(function* () {
      const { ledger } = yield* TestQueryPool.TestQueryPool
      const ends: Array<ReadonlyArray<string | undefined>> = []
      for (const how of ["succeeds", "fails", "dies", "snoozes", "retries", "discards"]) {
        const ending = yield* TestTasks.run(inTransaction, how)
        ends.push([how, ending._tag, ledger.transactions.at(-1)?.end])
        ledger.clear()
      }
      assert.deepStrictEqual(ends, [
        ["succeeds", "succeeded", "committed"],
        ["fails", "retrying", "rolledBack"],
        ["dies", "dead", "rolledBack"],
        ["snoozes", "snoozed", "rolledBack"],
        ["retries", "retrying", "rolledBack"],
        ["discards", "discarded", "rolledBack"]
      ])
      assert.strictEqual(ledger.inUse, 0)
    }).pipe(Effect.provide(tasks(handler)))
  })

  it.effect("has no transaction with a connection: what it did stays", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* TestTasks.run(onConnection, "a"))._tag, "dead")
      const { ledger } = yield* TestQueryPool.TestQueryPool
      assert.deepStrictEqual(ledger.transactions, [])
      assert.deepStrictEqual(
        ledger.statements.map(({ sql }) => sql),
        ["insert", "fails"]
      )
    }).pipe(
      Effect.provide(
        tasks(
          Task.toLayer(onConnection, (_, { sql }) => Effect.asVoid(Effect.andThen(sql`insert`, sql.unsafe("fails"))))
        )
      )
    )
  )

  it.effect("has the session's client in its context, and the queries that it runs join the session", () => {
    const counts = Query.make("counts", (sql) => sql`select count(*)`)
    const handler = Task.toLayer(inTransaction, (_, { sql }) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* SqlClient, sql)
        yield* counts
      })
    )
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* TestTasks.run(inTransaction, "a"), { _tag: "succeeded", value: undefined })
      const { ledger } = yield* TestQueryPool.TestQueryPool
      assert.deepStrictEqual([ledger.opened, ledger.statements.map(({ query }) => query)], [["work"], ["counts"]])
    }).pipe(Effect.provide(tasks(handler)))
  })

  it.effect("has its time from having its session on", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.TestQueryPool
      const before = yield* Effect.forkChild(provide(Query.make("before", () => Effect.sleep("1 minute"))))
      yield* TestTime.advance(1)
      const waits = yield* Effect.forkChild(TestTasks.run(onConnection, "900"))
      yield* TestTime.advance("1 minute")
      yield* Fiber.join(before)
      yield* TestTime.advance(900)
      assert.deepStrictEqual(yield* Fiber.join(waits), { _tag: "succeeded", value: undefined })
      const late = yield* Effect.forkChild(TestTasks.run(onConnection, "1001"))
      yield* TestTime.advance(1000)
      assert.deepStrictEqual(yield* Fiber.join(late), { _tag: "dead", why: "took longer than 1000 ms" })
    }).pipe(
      Effect.provide(
        tasks(
          Task.toLayer(onConnection, (millis) => Effect.sleep(Number(millis))),
          { maxConnections: 1 }
        )
      )
    )
  )
})
