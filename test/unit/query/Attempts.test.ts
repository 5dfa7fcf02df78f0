/** When a query is tried again, what is told of it, and what it holds meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schedule, Stream } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import * as Query from "../../../src/query/Query.ts"
import { ConnectFailed, ConnectionLost, Deadlock, QueryError, Rejected } from "../../../src/query/QueryError.ts"
import type { QueryEvent } from "../../../src/query/QueryEvent.ts"
import * as QueryPool from "../../../src/query/QueryPool.ts"
import * as Report from "../../../src/query/Report.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"
import { below, fewTurns, forSeeds } from "../../support/Chaos.ts"
import * as TestQueryPool from "../../../src/testing/TestQueryPool.ts"
import { timePasses } from "./timePasses.ts"

type Outcome = QueryError["outcome"]

const outcomes: ReadonlyArray<Outcome> = ["notApplied", "partial", "unknown"]

/** Tries again whatever it is, so often, after a wait. */
const always = (times: number, millis: number) =>
  RetryPolicy.make({ on: () => true, schedule: Schedule.upTo(Schedule.spaced(millis), { times }) })

const deadlock = (query: string, outcome: Outcome = "notApplied") =>
  new QueryError({
    query,
    reason: new Deadlock({ sqlState: "40P01", message: "deadlock detected" }),
    connection: "usable",
    outcome
  })

/** A query that fails so often before it succeeds with its name. */
const failsFirst = (name: string, failures: number, options: Query.Options<QueryError>) => {
  let tries = 0
  return Query.make(
    name,
    () => Effect.suspend(() => (tries++ < failures ? Effect.fail(deadlock(name)) : Effect.succeed(name))),
    options
  )
}

const takes = (name: string, millis: number) => Query.make(name, () => Effect.as(Effect.sleep(millis), name))

type AnyEffect<A> = Effect.Effect<A, QueryError, QueryPool.QueryPool>

interface Way {
  readonly way: string
  readonly start: (members: ReadonlyArray<AnyEffect<string>>, options: QueryPool.RunOptions) => AnyEffect<unknown>
}

/** Every way to run members. */
const ways: ReadonlyArray<Way> = [
  { way: "an array", start: (members, options) => QueryPool.all(members, options) },
  { way: "a record", start: (members, options) => QueryPool.all(Object.fromEntries(members.entries()), options) },
  { way: "a generator", start: (members, options) => QueryPool.all(members.values(), options) },
  { way: "outcomes", start: (members, options) => QueryPool.all(members, { ...options, mode: "outcome" }) },
  { way: "a report", start: (members, options) => QueryPool.report(members, options) },
  {
    way: "mapped effects",
    start: (members, options) =>
      QueryPool.all(
        members.map((member) => Effect.map(member, (name) => `${name}!`)),
        options
      )
  },
  {
    way: "effects with two queries each",
    start: (members, options) =>
      QueryPool.all(
        members.map((member) => Effect.all([member, takes("beside", 0)], { concurrency: "unbounded" })),
        options
      )
  },
  { way: "a stream", start: (members, options) => Stream.runDrain(QueryPool.stream(members, options)) },
  {
    way: "a stream of mapped effects",
    start: (members, options) =>
      Stream.runDrain(
        QueryPool.stream(
          members.map((member) => Effect.map(member, (name) => `${name}!`)),
          options
        )
      )
  }
]

const answers = ({ sql }: TestQueryPool.Statement) =>
  sql === "is lost" ? new ConnectionLost({ message: "the socket was closed" }) : []

/** Does what has a session say so of its unit's work. */
const leave = (sql: SqlClient, outcome: Outcome) =>
  outcome === "notApplied" ? Effect.void : Effect.ignore(sql.unsafe(outcome === "partial" ? "is kept" : "is lost"))

describe("a failed attempt", () => {
  it.effect("is tried again only where nothing of the unit is kept, or twice is as good as once", () =>
    Effect.gen(function* () {
      const modes = [undefined, "autocommit", "transaction", "readOnly"] as const
      const errors = [
        // A query may fail with any error after it has written, and its error may know of more than its session.
        ...outcomes.map((outcome) => deadlock("query", outcome)),
        new Rejected({ sqlState: "23505", message: "duplicate key" }),
        "an error of its own",
        undefined
      ]
      for (const mode of modes) {
        for (const idempotent of [undefined, false, true]) {
          for (const outcome of outcomes) {
            for (const error of errors) {
              for (const within of [false, true]) {
                const { ledger, provide } = yield* TestQueryPool.make(answers)
                const query = Query.make("query", (sql) => Effect.andThen(leave(sql, outcome), Effect.fail(error)), {
                  mode,
                  idempotent,
                  retry: always(2, 0)
                })
                const run = within ? QueryPool.all([query]) : query
                const fiber = yield* Effect.forkChild(Effect.exit(run.pipe(provide)))
                yield* timePasses(1)
                assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
                const told = error instanceof QueryError ? error.outcome : "notApplied"
                const left = mode === "transaction" ? "notApplied" : outcome
                const isKept = left !== "notApplied" || told !== "notApplied"
                const may = !isKept || mode === "readOnly" || idempotent === true
                assert.lengthOf(ledger.opened, may ? 3 : 1, `${mode} ${idempotent} ${outcome} ${String(error)}`)
              }
            }
          }
        }
      }
    })
  )

  it.effect("is looked at each time: a second attempt that is kept is the last", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make(answers)
      const query = Query.make(
        "query",
        (sql) =>
          Effect.andThen(
            leave(sql, ledger.opened.length === 2 ? "partial" : "notApplied"),
            Effect.fail(deadlock("query"))
          ),
        { retry: always(5, 0) }
      )
      const error = yield* Effect.flip(query).pipe(provide)
      assert.lengthOf(ledger.opened, 2)
      assert.strictEqual(error.attempt, 2)
    })
  )

  it.effect("leaves what is kept of it in the error of a later one", () =>
    Effect.gen(function* () {
      const sessions: ReadonlyArray<Outcome> = ["partial", "unknown", "notApplied"]
      const { ledger, provide } = yield* TestQueryPool.make(answers)
      const query = Query.make(
        "query",
        (sql) =>
          Effect.andThen(
            leave(sql, sessions[ledger.opened.length - 1] ?? "notApplied"),
            Effect.fail(deadlock("query"))
          ),
        { idempotent: true, retry: always(2, 0) }
      )
      const error = yield* Effect.flip(query).pipe(provide)
      assert.deepInclude({ ...error }, { attempt: 3, outcome: "unknown" })
    })
  )

  it.effect("is not tried again when there was a defect or an interruption", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const retry = always(5, 0)
      const bodies = [
        Effect.ensuring(Effect.fail(deadlock("query")), Effect.die("a fault")),
        Effect.die("a fault"),
        Effect.interrupt
      ]
      for (const body of bodies) yield* Effect.exit(Query.make("query", () => body, { retry }).pipe(provide))
      assert.lengthOf(ledger.opened, 3)
    })
  )

  it.effect("is tried again when no session could be opened, on a session of its own", () =>
    Effect.gen(function* () {
      let opens = 0
      const { ledger, provide } = yield* TestQueryPool.make(
        {},
        {
          connect: () =>
            Effect.suspend(() => (opens++ < 2 ? Effect.fail(new ConnectFailed({ message: "refused" })) : Effect.void))
        }
      )
      const query = Query.make("query", () => Effect.succeed("done"), { retry: always(2, 0) })
      assert.strictEqual(yield* query.pipe(provide), "done")
      assert.strictEqual(opens, 3)
      assert.lengthOf(ledger.opened, 1)
    })
  )

  it.effect("says which one it was, in its error and in those that are passed over", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      const events: Array<QueryEvent> = []
      const run = QueryPool.all([failsFirst("query", 9, { retry: always(2, 10) })], {
        onEvent: (event) => events.push(event)
      })
      const fiber = yield* Effect.forkChild(Effect.flip(run.pipe(provide)))
      yield* timePasses(10)
      yield* timePasses(10)
      assert.strictEqual((yield* Fiber.join(fiber)).attempt, 3)
      const told = events.flatMap((event) => {
        if (event._tag === "Started") return [["Started", event.attempt, event.worker]]
        if (event._tag !== "Retrying") return [[event._tag]]
        const { attempt, delayMillis, error } = event
        return [["Retrying", attempt, error instanceof QueryError ? error.attempt : error, delayMillis]]
      })
      assert.deepStrictEqual(told, [
        ["RunStarted"],
        ["Submitted"],
        ["Started", 1, 0],
        ["Retrying", 1, 1, 10],
        ["Started", 2, 0],
        ["Retrying", 2, 2, 10],
        ["Started", 3, 0],
        ["Ended"],
        ["RunEnded"]
      ])
    })
  )

  it.effect("counts afresh each time the query is run", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const query = Query.make("query", () => Effect.fail(deadlock("query")), { retry: always(2, 0) })
      for (const _ of [1, 2]) yield* Effect.exit(query.pipe(provide))
      yield* Effect.exit(QueryPool.all([query, query], { mode: "outcome" }).pipe(provide))
      assert.lengthOf(ledger.opened, 4 * 3)
    })
  )

  it.effect("can be followed by 20,000 others without growing the stack", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const query = failsFirst("query", 20_000, { retry: always(30_000, 0) })
      assert.strictEqual(yield* query.pipe(provide), "query")
      assert.lengthOf(ledger.opened, 20_001)
    })
  )
})

describe("a query in another's body", () => {
  it.effect("has no retries of its own, and is tried again with the one around it", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      let runs = 0
      const fails = Effect.suspend(() => Effect.fail(deadlock(`inner ${runs++}`)))
      const inner = Query.make("inner", () => fails, { retry: always(5, 0) })
      const outer = Query.make("outer", () => inner, { retry: always(1, 0) })
      for (const run of [outer, QueryPool.all([outer])]) {
        runs = 0
        assert.deepInclude({ ...(yield* Effect.flip(run.pipe(provide))) }, { query: "inner 1", attempt: 2 })
        assert.strictEqual(runs, 2)
      }
      assert.lengthOf(ledger.opened, 4)
    })
  )
})

describe("a retry that waits", () => {
  it.effect.each(ways)("does not hold up the other members of $way", ({ start }) =>
    Effect.gen(function* () {
      for (const concurrency of [1, 2, 5]) {
        const { ledger, provide } = yield* TestQueryPool.make()
        const events: Array<QueryEvent> = []
        const slow = Array.from({ length: 5 }, (_, id) => failsFirst(`waits ${id}`, 1, { retry: always(1, 60_000) }))
        const quick = Array.from({ length: 20 }, (_, id) => takes(`quick ${id}`, 10))
        const run = start([...slow, ...quick], { concurrency, onEvent: (event) => events.push(event) })
        const fiber = yield* Effect.forkChild(run.pipe(provide))
        for (let moment = 0; moment < 25; moment++) {
          yield* timePasses(10)
          assert.isAtMost(ledger.inUse, concurrency)
        }
        assert.strictEqual(ledger.inUse, 0)
        assert.lengthOf(
          ledger.closed.filter((name) => name.startsWith("quick")),
          20
        )
        assert.isUndefined(fiber.pollUnsafe())
        yield* timePasses(60_000)
        yield* Fiber.join(fiber)
        assert.strictEqual(ledger.mostInUse, concurrency)
        assert.isTrue(events.every((event) => event._tag !== "Started" || event.worker < concurrency))
      }
    })
  )

  it.effect("lets an ordered stream's other members run, of which so many wait for their turn", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const members = [
        failsFirst("waits", 1, { retry: always(1, 60_000) }),
        ...Array.from({ length: 9 }, (_, id) => takes(`quick ${id}`, 10))
      ]
      const results = QueryPool.stream(members, { concurrency: 2, preserveOrder: true })
      const fiber = yield* Effect.forkChild(Stream.runCollect(results).pipe(provide))
      yield* timePasses(50)
      assert.deepStrictEqual(ledger.closed, ["waits", "quick 0", "quick 1", "quick 2"])
      for (let moment = 0; moment < 10; moment++) yield* timePasses(moment === 0 ? 60_000 : 10)
      assert.deepStrictEqual(
        (yield* Fiber.join(fiber)).map(({ outcome }) => (outcome._tag === "Succeeded" ? outcome.value : outcome)),
        ["waits", ...Array.from({ length: 9 }, (_, id) => `quick ${id}`)]
      )
    })
  )

  it.effect.each([false, true])(
    "makes a stream pull no more than a bounded number ahead, in order: %s",
    (preserveOrder) =>
      Effect.gen(function* () {
        const { provide } = yield* TestQueryPool.make()
        let pulled = 0
        const endless = function* () {
          while (true) yield failsFirst(`${pulled++}`, 1, { retry: always(1, 60_000) })
        }
        const results = QueryPool.stream(endless(), { concurrency: 5, preserveOrder })
        const fiber = yield* Effect.forkChild(Stream.runDrain(results).pipe(provide))
        for (let moment = 0; moment < 30; moment++) yield* timePasses(1_000)
        // Five at work, a thousand that wait, and what the source gives ahead.
        assert.isAtLeast(pulled, 1_005)
        assert.isAtMost(pulled, 1_010)
        yield* Fiber.interrupt(fiber)
      })
  )

  it.effect("does not let effects that are no queries be more than the concurrency and those that wait", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      let inWork = 0
      let mostInWork = 0
      const work = Effect.gen(function* () {
        mostInWork = Math.max(mostInWork, ++inWork)
        yield* Effect.sleep(10)
        inWork--
      })
      const waits = Effect.all(
        Array.from({ length: 10 }, (_, id) => failsFirst(`${id}`, 1, { retry: always(1, 60_000) })),
        { concurrency: "unbounded" }
      )
      const run = QueryPool.all([waits, ...Array.from({ length: 20 }, () => work)], { concurrency: 2 })
      const fiber = yield* Effect.forkChild(run.pipe(provide))
      for (let moment = 0; moment < 20; moment++) yield* timePasses(10)
      assert.strictEqual(mostInWork, 2)
      yield* timePasses(60_000)
      yield* Fiber.join(fiber)
    })
  )

  it.effect.each(ways)("is interrupted with the run, and by a failure of another, in $way", ({ start }) =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const waiting = Array.from({ length: 5 }, (_, id) => failsFirst(`waits ${id}`, 1, { retry: always(1, 60_000) }))
      const events: Array<QueryEvent> = []
      const run = start(waiting, { concurrency: 2, onEvent: (event) => events.push(event) })
      const fiber = yield* Effect.forkChild(run.pipe(provide))
      yield* timePasses(10)
      yield* Fiber.interrupt(fiber)
      const opened = ledger.opened.length
      assert.isAtLeast(opened, 5)
      yield* timePasses(100_000)
      assert.lengthOf(ledger.opened, opened)
      assert.strictEqual(ledger.inUse, 0)
      const ended = events.flatMap((event) =>
        event._tag === "Ended" && event.name !== "beside" ? [event.outcome] : []
      )
      assert.deepStrictEqual(
        ended,
        Array.from({ length: 5 }, () => "Cancelled" as const)
      )
    })
  )

  it.effect("ends with the run when another query fails for good", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const fails = Query.make("fails", () => Effect.delay(Effect.fail(deadlock("fails")), 10))
      const waits = failsFirst("waits", 1, { retry: always(1, 60_000) })
      for (const members of [
        [waits, fails],
        [Effect.asVoid(waits), Effect.asVoid(fails)]
      ]) {
        const fiber = yield* Effect.forkChild(Effect.flip(QueryPool.all(members, { concurrency: 1 }).pipe(provide)))
        yield* timePasses(20)
        assert.strictEqual((yield* Fiber.join(fiber)).query, "fails")
        assert.strictEqual(ledger.inUse, 0)
      }
    })
  )

  it.effect("gives its place back when it alone is interrupted", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const waits = failsFirst("waits", 1, { retry: always(1, 60_000) })
      const members = [Effect.timeoutOption(waits, 10), takes("a", 100), takes("b", 100), takes("c", 100)]
      const fiber = yield* Effect.forkChild(QueryPool.all(members, { concurrency: 1 }).pipe(provide))
      for (let moment = 0; moment < 4; moment++) yield* timePasses(100)
      yield* Fiber.join(fiber)
      assert.strictEqual(ledger.mostInUse, 1)
      assert.deepStrictEqual(ledger.closed, ["waits", "a", "b", "c"])
    })
  )
})

describe("a report of retries", () => {
  it.effect("counts as run what had a session, and as waited the rest", () =>
    Effect.gen(function* () {
      const { provide } = yield* TestQueryPool.make()
      let tries = 0
      const query = Query.make(
        "query",
        () =>
          Effect.delay(
            Effect.suspend(() => (tries++ < 2 ? Effect.fail(deadlock("query")) : Effect.void)),
            7
          ),
        { retry: always(2, 1_000) }
      )
      const members = [takes("before", 5), query, query, query]
      const fiber = yield* Effect.forkChild(QueryPool.report(members, { concurrency: 1 }).pipe(provide))
      for (let moment = 0; moment < 3_000; moment += 1) yield* Effect.yieldNow
      for (const millis of [5, 7, 7, 7, 2_000, 7, 7]) yield* timePasses(millis)
      const report = yield* Fiber.join(fiber)
      for (const { attempts, ranMillis, startedMillis } of report.queries.slice(1)) {
        assert.strictEqual(ranMillis, attempts * 7)
        assert.isDefined(startedMillis)
      }
      // Queries that wait beside each other would otherwise add up to more than there was time.
      assert.isAtMost(report.efficiency, 1)
    })
  )

  it("folds attempts, waits and ends of each kind", () => {
    const query = { id: 0, name: "a" }
    const start: ReadonlyArray<QueryEvent> = [
      { _tag: "RunStarted", at: 1_000, concurrency: 1 },
      { _tag: "Submitted", at: 1_000, ...query },
      { _tag: "Started", at: 1_010, ...query, worker: 0, attempt: 1 },
      { _tag: "Retrying", at: 1_015, ...query, attempt: 1, error: "no", delayMillis: 100 }
    ]
    const again: QueryEvent = { _tag: "Started", at: 1_120, ...query, worker: 0, attempt: 2 }
    const end = (at: number, outcome: "Cancelled" | "Succeeded"): QueryEvent => ({
      _tag: "Ended",
      at,
      ...query,
      outcome,
      rows: 0
    })
    const common = { id: 0, startedMillis: 10 }
    const cases: ReadonlyArray<readonly [ReadonlyArray<QueryEvent>, object]> = [
      [[again, end(1_150, "Succeeded")], { attempts: 2, ranMillis: 5 + 30, waitedMillis: 10 + 105 }],
      // While it waited.
      [[end(1_060, "Cancelled")], { attempts: 1, ranMillis: 5, waitedMillis: 10 + 45 }],
      // A second failure before it had a session again.
      [
        [
          { _tag: "Retrying", at: 1_115, ...query, attempt: 2, error: "no", delayMillis: 10 },
          { ...again, at: 1_130, attempt: 3 },
          end(1_150, "Succeeded")
        ],
        { attempts: 3, ranMillis: 5 + 20, waitedMillis: 10 + 115 }
      ]
    ]
    for (const [events, expected] of cases) {
      assert.deepInclude(Report.fromEvents([...start, ...events]).queries[0], { ...common, ...expected })
    }
  })
})

/** What is wrong with the events of a run in which all members are queries that were handed over at the start. */
const faultsOf = (events: ReadonlyArray<QueryEvent>, concurrency: number): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const busy = new Map<number, number>()
  const seen = new Map<number, { attempt: number; running: boolean; ended: boolean }>()
  for (const event of events) {
    if (!("id" in event)) continue
    const known = seen.get(event.id)
    if (event._tag === "Submitted") {
      if (known !== undefined) faults.push(`${event.id} was submitted twice`)
      seen.set(event.id, { attempt: 0, running: false, ended: false })
      continue
    }
    if (known === undefined || known.ended) {
      faults.push(`${event.id} has ${event._tag} outside of its life`)
      continue
    }
    if (event._tag === "Started") {
      if (known.running || event.attempt <= known.attempt) faults.push(`${event.id} started ${event.attempt} amiss`)
      if (event.worker >= concurrency || [...busy.values()].includes(event.worker)) {
        faults.push(`${event.id} has worker ${event.worker} amiss`)
      }
      busy.set(event.id, event.worker)
      known.attempt = event.attempt
      known.running = true
    } else {
      if (event._tag === "Retrying" && event.attempt < known.attempt) faults.push(`${event.id} retries amiss`)
      if (event._tag === "Retrying") known.attempt = event.attempt
      busy.delete(event.id)
      known.running = false
      known.ended = event._tag === "Ended"
    }
  }
  for (const [id, { ended }] of seen) if (!ended) faults.push(`${id} has no end`)
  return faults
}

describe("a run with retries, in any interleaving", () => {
  it.effect.each(ways.filter(({ way }) => !way.startsWith("effects")))(
    "ends each query of $way once, and holds no more than it may",
    ({ start }) => {
      let retries = 0
      return forSeeds(60, (seed) =>
        Effect.gen(function* () {
          const concurrency = 1 + (seed % 4)
          const { ledger, provide } = yield* TestQueryPool.make(
            {},
            {
              connect: () =>
                Effect.flatMap(below(8), (n) =>
                  n === 0 ? Effect.fail(new ConnectFailed({ message: "refused" })) : fewTurns
                ),
              release: () => fewTurns
            }
          )
          const events: Array<QueryEvent> = []
          const successes = new Map<string, number>()
          const members = Array.from({ length: 20 }, (_, id) =>
            Query.make(
              `${id}`,
              () =>
                Effect.gen(function* () {
                  yield* fewTurns
                  if ((yield* below(2)) === 0) return yield* deadlock(`${id}`)
                  yield* fewTurns
                  successes.set(`${id}`, (successes.get(`${id}`) ?? 0) + 1)
                  return `${id}`
                }),
              id % 3 === 0 ? {} : { retry: always(id % 7, 0) }
            )
          )
          const run = start(members, { concurrency, onEvent: (event) => events.push(event) })
          const fiber = yield* Effect.forkChild(Effect.exit(run.pipe(provide)))
          if (seed % 3 === 0) {
            for (let turns = seed % 17; turns > 0; turns--) yield* fewTurns
            yield* Fiber.interrupt(fiber)
          }
          yield* Fiber.await(fiber)
          assert.strictEqual(ledger.inUse, 0)
          assert.isAtMost(ledger.mostInUse, concurrency)
          assert.deepStrictEqual(faultsOf(events, concurrency), [])
          for (const [name, times] of successes) assert.strictEqual(times, 1, name)
          retries += events.filter((event) => event._tag === "Retrying").length
          const { length } = events
          yield* timePasses(1)
          assert.lengthOf(events, length)
        })
      ).pipe(Effect.tap(Effect.sync(() => assert.isAbove(retries, 20))))
    }
  )

  it.effect("goes on to work with as many as before", () =>
    Effect.gen(function* () {
      const { ledger, provide } = yield* TestQueryPool.make()
      const opened = yield* Deferred.make<void>()
      const waits = Array.from({ length: 30 }, (_, id) => failsFirst(`${id}`, 1, { retry: always(1, 10) }))
      const holds = Query.make("holds", () => Effect.as(Deferred.await(opened), "held"))
      const run = QueryPool.all([...waits, holds, holds, holds, holds], { concurrency: 3 })
      const fiber = yield* Effect.forkChild(run.pipe(provide))
      for (let moment = 0; moment < 5; moment++) yield* timePasses(10)
      assert.strictEqual(ledger.inUse, 3)
      yield* Deferred.succeed(opened, undefined)
      yield* Fiber.join(fiber)
    })
  )
})
