/** How long queries may wait and run, in a run and by themselves. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Schedule, Stream } from "effect"
import * as Outcome from "../../../src/query/Outcome.ts"
import * as Query from "../../../src/query/Query.ts"
import { Deadlock, QueryError } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import { below, forSeeds } from "../../support/Chaos.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

const takes = (name: string, millis: number, options: Query.Options<QueryError> = {}) =>
  Query.make(name, () => Effect.as(Effect.sleep(millis), name), options)

const always = (times: number, millis: number) =>
  RetryPolicy.make({ on: () => true, schedule: Schedule.upTo(Schedule.spaced(millis), { times }) })

const deadlock = (query: string) =>
  new QueryError({
    query,
    reason: new Deadlock({ sqlState: "40P01", message: "deadlock detected" }),
    connection: "usable",
    outcome: "notApplied"
  })

/** A query whose every attempt takes so long, and fails. */
const fails = (name: string, millis: number, options: Query.Options<QueryError>) =>
  Query.make(name, () => Effect.delay(Effect.fail(deadlock(name)), millis), options)

/** How something ended, in a word. */
const wordOf = (error: unknown): string => {
  if (!(error instanceof QueryError)) return String(error)
  const { reason } = error
  return reason._tag === "TimedOut" ? `TimedOut ${reason.limit}` : reason._tag
}

/** The ends of the queries, with the time since the start of the run. */
const endsOf = (events: ReadonlyArray<QueryEvent>) => {
  const start = events[0]?.at ?? 0
  return Object.fromEntries(
    events.flatMap((event) =>
      event._tag === "Ended"
        ? [[event.name, `${event.outcome === "Failed" ? wordOf(event.error) : event.outcome} at ${event.at - start}`]]
        : []
    )
  )
}

type AnyEffect = Effect.Effect<unknown, unknown, QueryPool.QueryPool>
type Provide = (effect: AnyEffect) => Effect.Effect<unknown, unknown>

/** Has the pool do something else, too, which begins first. */
const beside =
  (other: AnyEffect, provide: Provide): Provide =>
  (effect) =>
    Effect.scoped(Effect.andThen(Effect.forkScoped(provide(other)), Effect.andThen(Effect.yieldNow, provide(effect))))

/** Runs to the end, millisecond by millisecond, and gives how it ended and what happened. */
const watch = Effect.fnUntraced(function* (
  start: (onEvent: (event: QueryEvent) => void) => AnyEffect,
  provide: Provide,
  longest = 200
) {
  const events: Array<QueryEvent> = []
  const fiber = yield* Effect.forkChild(Effect.exit(start((event) => events.push(event)).pipe(provide)))
  for (let millis = 0; millis < longest && fiber.pollUnsafe() === undefined; millis++) yield* timePasses(1)
  assert.isDefined(fiber.pollUnsafe(), "it has ended by then")
  return { events, exit: yield* Fiber.join(fiber) }
})

describe("queueTimeout", () => {
  it.effect("counts from the start of the run for a list, and ends those whose turn has not come when it is over", () =>
    Effect.gen(function* () {
      const members = [takes("a", 30), takes("b", 15), takes("c", 10), takes("d", 10), takes("e", 10)]
      for (const list of [members, Object.fromEntries(members.entries())]) {
        const { ledger, provide } = yield* TestQueryPool.make()
        const { events } = yield* watch(
          (onEvent) => QueryPool.all(list, { concurrency: 2, queueTimeout: 20, mode: "outcome", onEvent }),
          provide
        )
        assert.deepStrictEqual(endsOf(events), {
          a: "Succeeded at 30",
          b: "Succeeded at 15",
          c: "Succeeded at 25",
          d: "QueueTimeout at 20",
          e: "QueueTimeout at 20"
        })
        assert.deepStrictEqual(ledger.opened, ["a", "b", "c"])
      }
    })
  )

  it.effect("ends a run with its first failure when it is over, and not later", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const members = [takes("a", 100), takes("b", 100)]
      const { events, exit } = yield* watch(
        (onEvent) => QueryPool.all(members, { concurrency: 1, queueTimeout: 20, onEvent }),
        provide
      )
      assert.deepStrictEqual(endsOf(events), { a: "Cancelled at 20", b: "QueueTimeout at 20" })
      assert.isTrue(Exit.isFailure(exit))
    })
  )

  it.effect("counts from its turn for a query of a generator, a stream or another effect", () =>
    Effect.gen(function* () {
      const members = Array.from({ length: 6 }, (_, id) => takes(`${id}`, 15))
      const mapped = members.map((member) => Effect.map(member, (name) => name))
      const starts: ReadonlyArray<(options: QueryPool.RunOptions) => AnyEffect> = [
        (options) => QueryPool.all(members.values(), options),
        (options) => QueryPool.all(mapped, options),
        (options) => Stream.runDrain(QueryPool.stream(members, options))
      ]
      for (const start of starts) {
        const { ledger, provide } = yield* TestQueryPool.make()
        yield* watch((onEvent) => start({ concurrency: 1, queueTimeout: 10, onEvent }), provide)
        assert.lengthOf(ledger.closed, 6)
      }
    })
  )

  it.effect("counts for the session too, and what is left of it is what the pool is given", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make({}, { maxConnections: 1 })
      const { events } = yield* watch(
        (onEvent) =>
          QueryPool.all([takes("a", 15), takes("waits", 1)], {
            concurrency: 1,
            queueTimeout: 20,
            mode: "outcome",
            onEvent
          }),
        // It asks while the first runs, and has the session from 15 on.
        beside(Effect.delay(takes("outside of the run", 50), 1), provide)
      )
      assert.deepStrictEqual(endsOf(events), { a: "Succeeded at 15", waits: "QueueTimeout at 20" })
    })
  )

  it.effect("is not tried again, whether it was for a slot or a session", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make({}, { maxConnections: 1 })
      const retry = always(5, 1)
      const { events } = yield* watch(
        (onEvent) =>
          QueryPool.all([takes("a", 1, { retry }), takes("b", 1, { retry })], {
            concurrency: 1,
            queueTimeout: 20,
            mode: "outcome",
            onEvent
          }),
        beside(takes("outside of the run", 50), provide)
      )
      assert.deepStrictEqual(endsOf(events), { a: "QueueTimeout at 20", b: "QueueTimeout at 20" })
      assert.deepStrictEqual(ledger.opened, ["outside of the run"])
    })
  )

  it.effect("counts anew for each attempt", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const { events } = yield* watch(
        (onEvent) =>
          QueryPool.all([fails("again", 5, { retry: always(1, 50) }), takes("long", 100)], {
            concurrency: 1,
            queueTimeout: 20,
            mode: "outcome",
            onEvent
          }),
        provide
      )
      // Its wait of 50 ms is not a wait for a slot: it asks at 55, and another has the slot until 105.
      assert.deepStrictEqual(endsOf(events), { again: "QueueTimeout at 75", long: "Succeeded at 105" })
    })
  )

  it.effect("of nothing lets those run that find a slot free", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const members = [takes("a", 5), takes("b", 5), takes("c", 5)]
      const { events } = yield* watch(
        (onEvent) => QueryPool.all(members, { concurrency: 2, queueTimeout: 0, mode: "outcome", onEvent }),
        provide
      )
      assert.deepStrictEqual(endsOf(events), { a: "Succeeded at 5", b: "Succeeded at 5", c: "QueueTimeout at 0" })
    })
  )
})

describe("timeout", () => {
  it.effect("counts from the first session, and not while a query waits", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const members = [takes("a", 30), takes("b", 10, { timeout: 15 }), takes("c", 20, { timeout: 15 })]
      const { events } = yield* watch(
        (onEvent) => QueryPool.all(members, { concurrency: 1, mode: "outcome", onEvent }),
        provide
      )
      assert.deepStrictEqual(endsOf(events), {
        a: "Succeeded at 30",
        b: "Succeeded at 40",
        c: "TimedOut timeout at 55"
      })
    })
  )

  it.effect("is one for all attempts and waits", () =>
    Effect.gen(function* () {
      // Attempts from 0, 20, 40 and 60; the last is stopped.
      for (const within of [false, true]) {
        const { ledger, provide } = yield* TestQueryPool.make()
        const query = fails("query", 10, { timeout: 65, retry: always(9, 10) })
        const { exit } = yield* watch((onEvent) => (within ? QueryPool.all([query], { onEvent }) : query), provide)
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.strictEqual(wordOf(error), "TimedOut timeout")
        assert.strictEqual(error instanceof QueryError ? error.attempt : undefined, 4)
        assert.lengthOf(ledger.opened, 4)
        assert.strictEqual(ledger.inUse, 0)
      }
    })
  )

  it.effect("does not let a wait begin that is longer than what is left, and gives the last error", () =>
    Effect.gen(function* () {
      for (const [timeout, attempts] of [
        [29, 2],
        [30, 2],
        [31, 3]
      ] as const) {
        const { ledger, provide } = yield* TestQueryPool.make()
        const query = fails("query", 5, { timeout, retry: always(2, 10) })
        const { events } = yield* watch((onEvent) => QueryPool.all([query], { mode: "outcome", onEvent }), provide)
        const last = attempts === 2 ? "Deadlock at 20" : "TimedOut timeout at 31"
        assert.deepStrictEqual(endsOf(events), { query: last })
        assert.lengthOf(ledger.opened, attempts)
      }
    })
  )

  it.effect("bounds what a retry waits for a slot", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const again = fails("again", 5, { timeout: 50, retry: always(1, 10) })
      const { events } = yield* watch(
        (onEvent) => QueryPool.all([again, takes("long", 100)], { concurrency: 1, mode: "outcome", onEvent }),
        provide
      )
      assert.deepStrictEqual(endsOf(events), { again: "TimedOut timeout at 50", long: "Succeeded at 105" })
    })
  )

  it.effect("counts for a query in another's body, of which it ends no more than that", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const inner = takes("inner", 50, { timeout: 10, retry: always(3, 1) })
      const outer = Query.make("outer", () => Effect.flip(inner))
      for (const run of [outer, QueryPool.all([outer])]) {
        const { exit } = yield* watch(() => run, provide)
        const value = Exit.isSuccess(exit) ? exit.value : undefined
        const error = Array.isArray(value) ? value[0] : value
        assert.strictEqual(wordOf(error), "TimedOut timeout")
        assert.deepInclude({ ...error }, { query: "inner", attempt: 1 })
      }
      assert.deepStrictEqual(ledger.opened, ["outer", "outer"])
    })
  )
})

describe("deadline", () => {
  it.effect("ends those that run, those that wait and those whose turn has not come, all when it is over", () =>
    Effect.gen(function* () {
      const members = [
        takes("done", 10),
        takes("runs", 100),
        fails("again", 5, { retry: always(9, 20) }),
        takes("last", 50),
        takes("never", 1)
      ]
      const { ledger, provide } = yield* TestQueryPool.make()
      const { events } = yield* watch(
        (onEvent) => QueryPool.all(members, { concurrency: 2, deadline: 40, mode: "outcome", onEvent }),
        provide
      )
      assert.deepStrictEqual(endsOf(events), {
        done: "Succeeded at 10",
        runs: "TimedOut deadline at 40",
        again: "TimedOut deadline at 40",
        last: "TimedOut deadline at 40",
        never: "TimedOut deadline at 40"
      })
      assert.deepStrictEqual(ledger.opened, ["done", "runs", "again", "last"])
      assert.strictEqual(ledger.inUse, 0)
    })
  )

  it.effect("and timeout end a query, and each says which it was", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const members = [takes("a", 100, { timeout: 20 }), takes("b", 100, { timeout: 50 }), takes("c", 100)]
      const { events } = yield* watch(
        (onEvent) => QueryPool.all(members, { deadline: 40, mode: "outcome", onEvent }),
        provide
      )
      assert.deepStrictEqual(endsOf(events), {
        a: "TimedOut timeout at 20",
        b: "TimedOut deadline at 40",
        c: "TimedOut deadline at 40"
      })
    })
  )

  it.effect("and queueTimeout end a query that waits, whichever is first", () =>
    Effect.gen(function* () {
      for (const [queueTimeout, deadline, word] of [
        [20, 30, "QueueTimeout at 20"],
        [30, 20, "TimedOut deadline at 20"],
        [20, 20, "QueueTimeout at 20"]
      ] as const) {
        const { provide } = yield* TestQueryPool.make()
        const { events } = yield* watch(
          (onEvent) =>
            QueryPool.all([takes("a", 100), takes("b", 1)], {
              concurrency: 1,
              queueTimeout,
              deadline,
              mode: "outcome",
              onEvent
            }),
          provide
        )
        assert.strictEqual(endsOf(events)["b"], word)
      }
    })
  )

  it.effect("ends an endless run once its queries fail, and then closes the generator", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      let closed = 0
      const endless = function* () {
        try {
          for (let id = 0; ; id++) yield takes(`${id}`, 10)
        } finally {
          closed++
        }
      }
      const { exit } = yield* watch(() => QueryPool.all(endless(), { concurrency: 2, deadline: 35 }), provide)
      assert.strictEqual(wordOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined), "TimedOut deadline")
      assert.strictEqual(closed, 1)
      assert.lengthOf(ledger.opened, 8)
    })
  )

  it.effect("of nothing lets no query run", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const members = [takes("a", 0), Effect.map(takes("b", 0), (name) => name)]
      const { events } = yield* watch(
        (onEvent) => QueryPool.all(members, { deadline: 0, mode: "outcome", onEvent }),
        provide
      )
      assert.deepStrictEqual(endsOf(events), { a: "TimedOut deadline at 0", b: "TimedOut deadline at 0" })
      assert.deepStrictEqual(ledger.opened, [])
    })
  )

  it.effect("does not touch effects that are no queries, and holds for the queries in them", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const late = Effect.andThen(Effect.sleep(50), Effect.map(Effect.exit(takes("late", 1)), Outcome.fromExit))
      const members = [Effect.as(Effect.sleep(60), "slept"), late, Effect.succeed("last")]
      const { exit } = yield* watch(() => QueryPool.all(members, { concurrency: 1, deadline: 40 }), provide)
      const [slept, outcome, last] = Exit.isSuccess(exit) && Array.isArray(exit.value) ? exit.value : []
      assert.deepStrictEqual([slept, last], ["slept", "last"])
      assert.strictEqual(wordOf(outcome?.error), "TimedOut deadline")
    })
  )
})

describe("a run with limits", () => {
  it.effect("of no members ends at once, and its limits leave nothing behind", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const options = { queueTimeout: 10, deadline: 20 }
      assert.deepStrictEqual(yield* QueryPool.all([], options).pipe(provide), [])
      assert.deepStrictEqual(yield* QueryPool.all({}, options).pipe(provide), {})
      assert.deepStrictEqual(yield* QueryPool.all(new Set<AnyEffect>(), options).pipe(provide), [])
    })
  )

  it.effect("may have more places than members, and endless limits", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      for (const limit of [Infinity, Duration.infinity, "Infinity", "1000 days"] as const) {
        const members = [
          takes("a", 5, { timeout: limit }),
          Query.make("b", () => Effect.as(takes("inner", 5, { timeout: limit }), "b"))
        ]
        const run = QueryPool.all(members, { concurrency: 50, queueTimeout: limit, deadline: limit })
        const { exit } = yield* watch(() => run, provide)
        assert.deepStrictEqual(exit, Exit.succeed(["a", "b"]))
      }
    })
  )

  it.effect.each([-1, Number.NaN, "-5 seconds", -Infinity, Duration.millis(-1)] as const)(
    "dies, and says why, when a limit is %s",
    (limit) =>
      Effect.gen(function* () {
        const { ledger, provide } = yield* TestQueryPool.make()
        const ok = takes("a", 1)
        const wrong = takes("a", 1, { timeout: limit, retry: always(1, 1) })
        const runs: ReadonlyArray<readonly [string, AnyEffect]> = [
          ["queueTimeout", QueryPool.all([ok], { queueTimeout: limit })],
          ["deadline", QueryPool.all([ok], { deadline: limit })],
          ["deadline", Stream.runDrain(QueryPool.stream([ok], { deadline: limit }))],
          ["timeout", wrong],
          ["timeout", QueryPool.all([wrong])]
        ]
        for (const [option, run] of runs) {
          const exit = yield* Effect.exit(run.pipe(provide))
          const defect = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isDieReason)?.defect : undefined
          assert.instanceOf(defect, RangeError)
          assert.match(String(defect), new RegExp(`Expected \`${option}\` to be a duration from 0`))
        }
        assert.deepStrictEqual(ledger.opened, [])
        const around = Query.make("around", () => wrong)
        assert.isTrue(Exit.hasDies(yield* Effect.exit(around.pipe(provide))))
      })
  )

  it.effect("gives an outcome to each of 20,000 queries that are late together, while the last that run end", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const members = Array.from({ length: 20_000 }, (_, id) => takes(`${id}`, 10))
      const { exit } = yield* watch(
        () => QueryPool.all(members, { concurrency: 3, queueTimeout: 10, mode: "outcome" }),
        provide
      )
      const values: ReadonlyArray<Outcome.Outcome<unknown, unknown>> =
        Exit.isSuccess(exit) && Array.isArray(exit.value) ? exit.value : []
      assert.lengthOf(
        values.filter((outcome) => outcome !== undefined),
        20_000
      )
      assert.isAtMost(ledger.opened.length, 6)
    })
  )

  it.effect("ends each query once and in time, in any interleaving with retries, failures and interruptions", () => {
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
        const queueTimeout = (yield* below(2)) === 0 ? Infinity : 1 + (yield* below(30))
        const deadline = (yield* below(2)) === 0 ? Infinity : 1 + (yield* below(40))
        const mode = (yield* below(2)) === 0 ? ("default" as const) : ("outcome" as const)
        const interruptAt = (yield* below(3)) === 0 ? yield* below(30) : Infinity
        const known = (yield* below(3)) > 0
        const timeouts: Array<number> = []
        const runs: Array<number> = []
        const members: Array<Query.Query<string, QueryError>> = []
        for (let id = 0; id < 15; id++) {
          const timeout = (yield* below(3)) === 0 ? 1 + (yield* below(20)) : Infinity
          const retry = (yield* below(2)) === 0 ? always(yield* below(4), yield* below(12)) : RetryPolicy.none
          timeouts.push(timeout)
          runs.push(0)
          members.push(
            Query.make(
              `${id}`,
              () =>
                Effect.gen(function* () {
                  yield* Effect.sleep(yield* below(10))
                  if ((yield* below(4)) === 0) return yield* deadlock(`${id}`)
                  runs[id] = (runs[id] ?? 0) + 1
                  return `${id}`
                }),
              { timeout, retry }
            )
          )
        }
        const events: Array<QueryEvent> = []
        const onEvent = (event: QueryEvent) => events.push(event)
        const run = QueryPool.all(known ? members : members.values(), {
          concurrency,
          queueTimeout,
          deadline,
          mode,
          onEvent
        })
        const fiber = yield* Effect.forkChild(Effect.exit(run.pipe(provide)))
        for (let millis = 0; millis < 400 && fiber.pollUnsafe() === undefined; millis++) {
          if (millis === interruptAt) yield* Effect.forkChild(Fiber.interrupt(fiber))
          yield* timePasses(1)
          assert.isAtMost(ledger.inUse, concurrency)
        }
        const exit = yield* Fiber.await(fiber)
        assert.strictEqual(ledger.inUse, 0)

        const start = events[0]?.at ?? 0
        let firstFailureAt = Infinity
        const startedAt = new Map<number, number>()
        const ended = new Set<number>()
        for (const event of events) {
          if (event._tag === "Started" && !startedAt.has(event.id)) startedAt.set(event.id, event.at - start)
          if (event._tag === "Started") {
            // Opening a session takes up to 2 ms, in which its time for the queue goes on.
            if (known && event.attempt === 1) assert.isAtMost(event.at - start, Math.min(queueTimeout, deadline) + 2)
            assert.isFalse(ended.has(event.id))
          }
          if (event._tag !== "Ended") continue
          assert.isFalse(ended.has(event.id), `${event.id} ended twice`)
          ended.add(event.id)
          const at = event.at - start
          const word = event.outcome === "Failed" ? wordOf(event.error) : event.outcome
          words.set(word, (words.get(word) ?? 0) + 1)
          // A session that is being opened or closed is not left in the middle.
          assert.isAtMost(at, deadline + 2, `query ${event.id} ends by the deadline`)
          if (word === "TimedOut deadline") assert.isAtLeast(at, deadline)
          if (word === "QueueTimeout") assert.isAtLeast(at, queueTimeout)
          const own = timeouts[Number(event.name)] ?? Infinity
          const since = startedAt.get(event.id) ?? at
          assert.isAtMost(at - since, own + 2, `query ${event.id} ends in time`)
          if (word === "TimedOut timeout") assert.isAtLeast(at - since + 2, own)
          if (event.outcome === "Failed") firstFailureAt = Math.min(firstFailureAt, at)
          else if (mode === "default" && event.outcome === "Succeeded") assert.isAtMost(at, firstFailureAt)
        }
        if (known || (Exit.isSuccess(exit) && mode === "outcome")) assert.strictEqual(ended.size, 15)
        for (const [id, times] of runs.entries()) assert.isAtMost(times, 1, `${id} was run once`)
        if (mode === "outcome" && interruptAt === Infinity) {
          const outcomes = Exit.isSuccess(exit) && Exit.isSuccess(exit.value) ? exit.value.value : []
          assert.lengthOf(
            outcomes.filter((outcome) => outcome !== undefined),
            15
          )
        }
      })
    ).pipe(
      Effect.tap(
        Effect.sync(() => {
          for (const word of [
            "Succeeded",
            "Cancelled",
            "Skipped",
            "Deadlock",
            "QueueTimeout",
            "TimedOut timeout",
            "TimedOut deadline"
          ]) {
            assert.isAbove(words.get(word) ?? 0, 20, word)
          }
        })
      )
    )
  })
})
