/** Who is next in a run: longest first, and after those that a query needs. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Result, Schedule } from "effect"
import { DurationHistory } from "../../../src/query/Learning.ts"
import { orderOf } from "../../../src/query/Makespan.ts"
import { planned } from "../../../src/query/Members.ts"
import * as Outcome from "../../../src/query/Outcome.ts"
import * as Plan from "../../../src/query/Plan.ts"
import * as Query from "../../../src/query/Query.ts"
import { Deadlock, QueryError } from "../../../src/query/QueryError.ts"
import type { Ended, QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import { below, forSeeds } from "../../support/Chaos.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

type AnyQuery = Query.Query<unknown, string | QueryError>

const takes = (name: string, millis: number): AnyQuery => Query.make(name, () => Effect.as(Effect.sleep(millis), name))

/** A query that ends so after 10 milliseconds. */
const later = (name: string, end: Effect.Effect<unknown, string>): AnyQuery =>
  Query.make(name, () => Effect.andThen(Effect.sleep(10), end))

/** A query that fails after 10 milliseconds, is tried again 20 milliseconds later, and then takes so long. */
const retried = (name: string, millis: number): AnyQuery => {
  const reason = new Deadlock({ sqlState: "40P01", message: "deadlock detected" })
  const deadlock = new QueryError({ query: name, reason, connection: "usable", outcome: "notApplied" })
  let attempts = 0
  return Query.make(
    name,
    () => Effect.suspend(() => (attempts++ === 0 ? Effect.delay(Effect.fail(deadlock), 10) : Effect.sleep(millis))),
    { retry: RetryPolicy.make({ on: () => true, schedule: Schedule.spaced(20) }) }
  )
}

/** A query, and the names of those that it needs. */
type Step = readonly [query: AnyQuery, ...needs: ReadonlyArray<string>]

const planOf = (steps: ReadonlyArray<Step>): Plan.Plan =>
  Result.getOrThrow(Plan.make(steps.map(([{ name }, ...needs]) => ({ name, needs }))))

const inPlan = (steps: ReadonlyArray<Step>): Iterable<AnyQuery> => {
  const plan = planOf(steps)
  return planned(
    steps.map(([query]) => query),
    { needs: plan.needs, order: orderOf(plan, "given") }
  )
}

/** How each ended, with the time since the start of the run. */
const endsOf = (events: ReadonlyArray<QueryEvent>): Readonly<Record<string, string>> => {
  const start = events[0]?.at ?? 0
  return Object.fromEntries(
    events.flatMap((event) => (event._tag === "Ended" ? [[event.name, `${wordOf(event)} at ${event.at - start}`]] : []))
  )
}

const wordOf = ({ because, error, outcome }: Ended): string => {
  if (outcome === "Failed" && error instanceof QueryError) return error.reason._tag
  return because === undefined ? outcome : `${outcome} because ${because}`
}

/** Each query is announced once, at the beginning, and ends once. */
const assertOnce = (events: ReadonlyArray<QueryEvent>, count: number): void => {
  const ids = Array.from({ length: count }, (_, id) => id)
  const submitted = events.slice(1, count + 1)
  assert.deepStrictEqual(
    submitted.map((event) => (event._tag === "Submitted" ? event.id : event._tag)),
    ids
  )
  const ended = events.flatMap((event) => (event._tag === "Ended" ? [event.id] : []))
  assert.deepStrictEqual(
    ended.toSorted((a, b) => a - b),
    ids
  )
}

/** Runs to the end, millisecond by millisecond. */
const watch = Effect.fnUntraced(function* (
  members: Iterable<AnyQuery>,
  options: QueryPool.RunOptions & { readonly mode?: "default" | "outcome" }
) {
  const { ledger, provide } = yield* TestQueryPool.make()
  const events: Array<QueryEvent> = []
  const run = QueryPool.all(members, { ...options, onEvent: (event) => events.push(event) })
  const fiber = yield* Effect.forkChild(Effect.exit(run.pipe(provide)))
  for (let millis = 0; millis < 300 && fiber.pollUnsafe() === undefined; millis++) yield* timePasses(1)
  assert.isDefined(fiber.pollUnsafe(), "it has ended by then")
  return { ledger, events, exit: yield* Fiber.join(fiber) }
})

describe("a query that needs others", () => {
  it.effect("starts when all of them have succeeded, and the others of the run meanwhile", () =>
    Effect.gen(function* () {
      const steps: ReadonlyArray<Step> = [
        [takes("report", 5), "users", "orders"],
        [takes("users", 10), "load"],
        [takes("orders", 30), "load"],
        [takes("load", 20)],
        [takes("vacuum", 25)],
        [takes("other", 40)]
      ]
      const { events, exit, ledger } = yield* watch(inPlan(steps), { concurrency: 2, mode: "outcome" })
      assert.deepStrictEqual(ledger.opened, ["load", "vacuum", "users", "orders", "other", "report"])
      assert.deepStrictEqual(endsOf(events), {
        load: "Succeeded at 20",
        vacuum: "Succeeded at 25",
        users: "Succeeded at 30",
        orders: "Succeeded at 55",
        report: "Succeeded at 60",
        other: "Succeeded at 70"
      })
      assertOnce(events, 6)
      assert.strictEqual(ledger.mostInUse, 2)
      assert.deepStrictEqual(exit, Exit.succeed(steps.map(([{ name }]) => Outcome.succeeded(name))))
    })
  )

  it.effect("is skipped, never started, with the name of the one that did not succeed, by however many steps", () =>
    Effect.gen(function* () {
      const steps: ReadonlyArray<Step> = [
        [takes("report", 5), "users", "orders"],
        [takes("users", 10), "load"],
        [takes("orders", 10), "extract"],
        [later("load", Effect.fail("no"))],
        [takes("extract", 30)],
        [takes("after", 1), "extract"]
      ]
      const { events, exit, ledger } = yield* watch(inPlan(steps), { concurrency: 5, mode: "outcome" })
      assert.deepStrictEqual(endsOf(events), {
        load: "Failed at 10",
        report: "Skipped because load at 10",
        users: "Skipped because load at 10",
        extract: "Succeeded at 30",
        orders: "Succeeded at 40",
        after: "Succeeded at 31"
      })
      assertOnce(events, 6)
      assert.deepStrictEqual(ledger.opened, ["load", "extract", "orders", "after"])
      assert.deepStrictEqual(
        exit,
        Exit.succeed([
          Outcome.skippedBecause("load"),
          Outcome.skippedBecause("load"),
          Outcome.succeeded("orders"),
          Outcome.failed("no"),
          Outcome.succeeded("extract"),
          Outcome.succeeded("after")
        ])
      )
    })
  )

  it.effect("is skipped also when what it needs was interrupted from within", () =>
    Effect.gen(function* () {
      const steps: ReadonlyArray<Step> = [[later("gone", Effect.interrupt)], [takes("next", 1), "gone"]]
      const { events } = yield* watch(inPlan(steps), { mode: "outcome" })
      assert.deepStrictEqual(endsOf(events), { gone: "Cancelled at 10", next: "Skipped because gone at 10" })
    })
  )

  it.effect("is told from those that are skipped because the run is over, where the first failure ends it", () =>
    Effect.gen(function* () {
      const faults: ReadonlyArray<Effect.Effect<unknown, string>> = [Effect.fail("no"), Effect.die("a fault")]
      for (const fault of faults) {
        const steps: ReadonlyArray<Step> = [
          [later("fails", fault)],
          [takes("runs", 50)],
          [takes("next", 1), "fails"],
          [takes("last", 1), "next"],
          [takes("waits", 1)],
          [takes("after runs", 1), "runs"]
        ]
        const { events, exit } = yield* watch(inPlan(steps), { concurrency: 2 })
        assert.deepStrictEqual(endsOf(events), {
          fails: "Failed at 10",
          next: "Skipped because fails at 10",
          last: "Skipped because fails at 10",
          runs: "Cancelled at 10",
          waits: "Skipped at 10",
          "after runs": "Skipped at 10"
        })
        assertOnce(events, 6)
        assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), fault === faults[0] ? "no" : "a fault")
      }
    })
  )

  it.effect("is skipped once, with a reason of its own, when the run is interrupted", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const events: Array<QueryEvent> = []
      const onEvent = (event: QueryEvent) => events.push(event)
      const members = inPlan([[takes("a", 50)], [takes("b", 1), "a"], [takes("c", 1), "b"]])
      const fiber = yield* Effect.forkChild(QueryPool.all(members, { onEvent, mode: "outcome" }).pipe(provide))
      yield* timePasses(10)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(endsOf(events), { a: "Cancelled at 10", b: "Skipped at 10", c: "Skipped at 10" })
      assertOnce(events, 3)
    })
  )

  it.effect("waits for the retries of what it needs, while others have the worker", () =>
    Effect.gen(function* () {
      const steps: ReadonlyArray<Step> = [[retried("a", 10)], [takes("next", 5), "a"], [takes("other", 15)]]
      const { events, ledger } = yield* watch(inPlan(steps), { concurrency: 1, mode: "outcome" })
      assert.deepStrictEqual(endsOf(events), {
        other: "Succeeded at 25",
        a: "Succeeded at 40",
        next: "Succeeded at 45"
      })
      assert.strictEqual(ledger.mostInUse, 1)
    })
  )

  it.effect("has a worker as soon as it is ready, also where the one that was woken for it was one too many", () =>
    Effect.gen(function* () {
      // While both wait for their retries two more workers start, and wait; then there are four for two places.
      const steps: ReadonlyArray<Step> = [[retried("a", 10)], [retried("b", 100)], [takes("next", 5), "a"]]
      const { events, ledger } = yield* watch(inPlan(steps), { concurrency: 2, mode: "outcome" })
      assert.deepStrictEqual(endsOf(events), {
        a: "Succeeded at 40",
        next: "Succeeded at 45",
        b: "Succeeded at 130"
      })
      assert.strictEqual(ledger.mostInUse, 2)
    })
  )

  it.effect("ends when its time is over, also while it waits for what it needs", () =>
    Effect.gen(function* () {
      const steps: ReadonlyArray<Step> = [[takes("a", 30)], [takes("b", 1), "a"], [takes("c", 1), "b"], [takes("d", 5)]]
      const queued = yield* watch(inPlan(steps), { concurrency: 2, mode: "outcome", queueTimeout: 20 })
      assert.deepStrictEqual(endsOf(queued.events), {
        d: "Succeeded at 5",
        b: "QueueTimeout at 20",
        c: "QueueTimeout at 20",
        a: "Succeeded at 30"
      })
      assertOnce(queued.events, 4)
      const overdue = yield* watch(inPlan(steps), { concurrency: 2, mode: "outcome", deadline: 20 })
      const { a, b, c, d } = endsOf(overdue.events)
      assert.deepStrictEqual([a, d], ["TimedOut at 20", "Succeeded at 5"])
      // At one moment they are late and what they need has failed: either comes first.
      for (const end of [b, c]) assert.include(["TimedOut at 20", "Skipped because a at 20"], end)
      assertOnce(overdue.events, 4)
    })
  )

  it.effect("stands in a report with the one because of which it was skipped", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const members = inPlan([[takes("after", 0), "fails"], [Query.make("fails", () => Effect.fail("no"))]])
      const { queries } = yield* QueryPool.report(members).pipe(provide)
      assert.deepInclude(queries[0], { name: "after", outcome: "Skipped", because: "fails", attempts: 0 })
      assert.notProperty(queries[1], "because")
    })
  )

  it.effect("starts when the plan said, with any needs, durations and number of workers", () =>
    forSeeds(40, () =>
      Effect.gen(function* () {
        const { provide } = yield* TestQueryPool.make()
        const count = 1 + (yield* below(12))
        const workers = 1 + (yield* below(4))
        const order = (yield* below(2)) === 0 ? "given" : "longest-first"
        const queries: Array<Plan.PlanQuery & { readonly expected: number }> = []
        for (let id = 0; id < count; id++) {
          const needs: Array<string> = []
          for (let other = 0; other < id; other++) if ((yield* below(4)) === 0) needs.push(`${other}`)
          // No two ends at one moment: which comes first then, a plan cannot know.
          queries.push({ name: `${id}`, needs, expected: (1 + (yield* below(50))) * 4_096 + 2 ** id })
        }
        const plan = Result.getOrThrow(Plan.make(queries))
        const expected = Plan.schedule(plan, { workers, order })
        const events: Array<QueryEvent> = []
        const onEvent = (event: QueryEvent) => events.push(event)
        const members = planned(
          queries.map((query) => takes(query.name, query.expected)),
          { needs: plan.needs, order: orderOf(plan, order) }
        )
        const fiber = yield* Effect.forkChild(
          QueryPool.all(members, { concurrency: workers, onEvent, mode: "outcome" }).pipe(provide)
        )
        const moments = new Set(
          expected.starts.flatMap(({ at, name }) => [at, at + (queries[Number(name)]?.expected ?? 0)])
        )
        let now = 0
        for (const moment of [...moments].toSorted((a, b) => a - b)) {
          yield* timePasses(moment - now)
          now = moment
        }
        yield* Fiber.join(fiber)
        const start = events[0]?.at ?? 0
        const started = events.flatMap((event) => (event._tag === "Started" ? [[event.name, event.at - start]] : []))
        assert.deepStrictEqual(
          Object.fromEntries(started),
          Object.fromEntries(expected.starts.map(({ at, name }) => [name, at]))
        )
        assert.strictEqual((events.at(-1)?.at ?? 0) - start, expected.makespan)
      })
    )
  )

  it.effect("ends exactly once, in any interleaving with failures, time limits and interruptions", () => {
    const words = new Map<string, number>()
    return forSeeds(150, () =>
      Effect.gen(function* () {
        const { ledger, provide } = yield* TestQueryPool.make(
          {},
          {
            connect: () => Effect.flatMap(below(3), (millis) => Effect.sleep(millis)),
            release: () => Effect.yieldNow
          }
        )
        const concurrency = 1 + (yield* below(4))
        const mode = (yield* below(3)) === 0 ? ("default" as const) : ("outcome" as const)
        const deadline = (yield* below(3)) === 0 ? 10 + (yield* below(40)) : Infinity
        const interruptAt = (yield* below(4)) === 0 ? 1 + (yield* below(30)) : Infinity
        const steps: Array<Step> = []
        for (let id = 0; id < 12; id++) {
          const needs: Array<string> = []
          for (let other = 0; other < id; other++) if ((yield* below(5)) === 0) needs.push(`${other}`)
          const query: AnyQuery = Query.make(`${id}`, () =>
            Effect.gen(function* () {
              yield* Effect.sleep(yield* below(10))
              if ((yield* below(6)) === 0) return yield* Effect.fail("no")
              return id
            })
          )
          steps.push([query, ...needs])
        }
        const events: Array<QueryEvent> = []
        const onEvent = (event: QueryEvent) => events.push(event)
        const run = QueryPool.all(inPlan(steps), { concurrency, deadline, mode, onEvent })
        const fiber = yield* Effect.forkChild(Effect.exit(run.pipe(provide)))
        for (let millis = 0; millis < 300 && fiber.pollUnsafe() === undefined; millis++) {
          if (millis === interruptAt) yield* Effect.forkChild(Fiber.interrupt(fiber))
          yield* timePasses(1)
          assert.isAtMost(ledger.inUse, concurrency)
        }
        assert.isDefined(fiber.pollUnsafe(), "it has ended by then")
        assertOnce(events, 12)
        const ends = new Map<string, Ended>()
        for (const event of events) {
          const needs = event._tag === "Started" ? (steps[event.id]?.slice(1) ?? []) : []
          for (const need of needs) assert.strictEqual(ends.get(String(need))?.outcome, "Succeeded")
          if (event._tag === "Ended") ends.set(event.name, event)
        }
        for (const { because, name, outcome } of ends.values()) {
          const word = because === undefined ? outcome : "Skipped because"
          words.set(word, (words.get(word) ?? 0) + 1)
          if (because === undefined) continue
          assert.strictEqual(outcome, "Skipped")
          assert.isTrue(needsOf(steps, name).has(because))
          assert.notStrictEqual(ends.get(because)?.outcome, "Succeeded")
        }
      })
    ).pipe(
      Effect.tap(
        Effect.sync(() => {
          for (const word of ["Succeeded", "Failed", "Cancelled", "Skipped", "Skipped because"]) {
            assert.isAbove(words.get(word) ?? 0, 20, word)
          }
        })
      )
    )
  })
})

/** All that a query needs, by however many steps. */
const needsOf = (steps: ReadonlyArray<Step>, name: string): ReadonlySet<string> => {
  const found = new Set([name])
  for (const one of found) {
    const [, ...needs] = steps.find(([query]) => query.name === one) ?? []
    for (const need of needs) found.add(String(need))
  }
  found.delete(name)
  return found
}

/** A history that knows this of these names. */
const knows = (durations: Readonly<Record<string, number>>) =>
  Effect.provideService(
    DurationHistory,
    DurationHistory.of({ recall: Effect.succeed((name) => durations[name]), learn: () => Effect.void })
  )

describe("a run with the longest first", () => {
  const members = ["a", "b", "c", "d"].map((name) => takes(name, 10))

  it.effect("starts the longest first, and gives and reports in the order given", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const events: Array<QueryEvent> = []
      const onEvent = (event: QueryEvent) => events.push(event)
      const options = { concurrency: 2, order: "longest-first", onEvent } as const
      const runs: ReadonlyArray<Effect.Effect<object, string | QueryError, QueryPool.QueryPool>> = [
        QueryPool.all(members, options),
        QueryPool.all(Object.fromEntries(members.entries()), options),
        QueryPool.all(new Set(members), options)
      ]
      for (const run of runs) {
        ledger.clear()
        events.length = 0
        const fiber = yield* Effect.forkChild(run.pipe(knows({ a: 1, b: 5, d: 9 }), provide))
        yield* timePasses(20)
        const given = yield* Fiber.join(fiber)
        assert.deepStrictEqual(Object.values(given), ["a", "b", "c", "d"])
        assert.deepStrictEqual(ledger.opened, ["d", "b", "c", "a"])
        assertOnce(events, 4)
      }
      const fiber = yield* Effect.forkChild(
        QueryPool.report(members, options).pipe(knows({ a: 1, b: 5, d: 9 }), provide)
      )
      yield* timePasses(20)
      assert.deepStrictEqual(
        (yield* Fiber.join(fiber)).queries.map(({ name, startedMillis }) => [name, startedMillis]),
        [
          ["a", 10],
          ["b", 0],
          ["c", 10],
          ["d", 0]
        ]
      )
    })
  )

  it.effect("is the order given where nothing is known", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const run = QueryPool.all(members, { concurrency: 1, order: "longest-first" })
      for (const known of [run, run.pipe(knows({})), run.pipe(knows({ a: 3, b: 3 }))]) {
        ledger.clear()
        const fiber = yield* Effect.forkChild(known.pipe(provide))
        yield* timePasses(40)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(ledger.opened, ["a", "b", "c", "d"])
      }
    })
  )

  it.effect("ends those whose turn has not come when their time is over", () =>
    Effect.gen(function* () {
      const { events, ledger } = yield* watch(members, {
        concurrency: 1,
        mode: "outcome",
        order: "longest-first",
        queueTimeout: 15
      }).pipe(knows({ a: 1, b: 2, c: 4, d: 3 }))
      assert.deepStrictEqual(ledger.opened, ["c", "d"])
      assert.deepStrictEqual(endsOf(events), {
        c: "Succeeded at 10",
        b: "QueueTimeout at 15",
        a: "QueueTimeout at 15",
        d: "Succeeded at 20"
      })
      assertOnce(events, 4)
    })
  )

  it.effect("is refused by another name", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      // @ts-expect-error -- there is no such order
      const run = QueryPool.all(members, { order: "shortest-first" })
      const defect = yield* Effect.flip(Effect.catchDefect(Effect.asVoid(run), Effect.fail)).pipe(provide)
      assert.propertyVal(defect, "message", 'Expected `order` to be "given" or "longest-first", got shortest-first')
      assert.deepStrictEqual(ledger.opened, [])
    })
  )
})
