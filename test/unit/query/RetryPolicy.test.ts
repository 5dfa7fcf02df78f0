import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Random, Schedule, Schema } from "effect"
import * as Reason from "../../../src/query/QueryError.ts"
import { QueryError } from "../../../src/query/QueryError.ts"
import type { QueryErrorReason } from "../../../src/query/QueryError.ts"
import * as RetryPolicy from "../../../src/query/RetryPolicy.ts"

class NoSuchUser extends Schema.TaggedError<NoSuchUser>()("NoSuchUser", { id: Schema.Finite }) {}
class Deadlock extends Schema.TaggedError<Deadlock>()("Deadlock", {}) {}

const said = (sqlState: string) => ({ sqlState, message: "no" })

type Reasons = { readonly [Tag in QueryErrorReason["_tag"]]: Extract<QueryErrorReason, { readonly _tag: Tag }> }
const reasons: Reasons = {
  Rejected: new Reason.Rejected(said("23505")),
  ConnectFailed: new Reason.ConnectFailed({ message: "ECONNREFUSED" }),
  ConnectionLost: new Reason.ConnectionLost({ message: "ECONNRESET" }),
  TooBusy: new Reason.TooBusy(said("53300")),
  Deadlock: new Reason.Deadlock(said("40P01")),
  SerializationFailure: new Reason.SerializationFailure(said("40001")),
  LockTimeout: new Reason.LockTimeout(said("55P03")),
  QueueFull: new Reason.QueueFull({ limit: 1 }),
  QueueTimeout: new Reason.QueueTimeout({ afterMillis: 1 }),
  TimedOut: new Reason.TimedOut({ limit: "timeout", afterMillis: 1 }),
  CancelledByServer: new Reason.CancelledByServer(said("57014")),
  SessionBusy: new Reason.SessionBusy(),
  NoRows: new Reason.NoRows(),
  TooManyRows: new Reason.TooManyRows({ count: 2 }),
  DecodeFailed: new Reason.DecodeFailed({ message: "no" }),
  MessageTooLarge: new Reason.MessageTooLarge({ message: "no" }),
  SnapshotLost: new Reason.SnapshotLost({ message: "no" })
}

const failed = (reason: QueryErrorReason, facts?: Partial<Pick<QueryError, "connection" | "outcome">>) =>
  new QueryError({ query: "q", reason, connection: "gone", outcome: "notApplied", ...facts })

const deadlock = failed(reasons.Deadlock)

/** What a policy says to one error again and again, in milliseconds, until it says that there is no other try. */
const delaysOf = Effect.fnUntraced(function* (policy: RetryPolicy.RetryPolicy<never>, error: unknown = deadlock) {
  const next = RetryPolicy.start(policy)
  const delays: Array<number> = []
  for (;;) {
    const delay = yield* next(error, 0)
    if (delay === undefined) return delays
    delays.push(Duration.toMillis(delay))
  }
})

/** Every random number is this one. */
const always = (random: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => random, nextIntUnsafe: () => 0 })

const on = (schedule: Schedule.Schedule<unknown>) => RetryPolicy.make({ on: ["Deadlock"], schedule })

const presets = {
  none: RetryPolicy.none,
  connect: RetryPolicy.connect,
  transient: RetryPolicy.transient,
  serializable: RetryPolicy.serializable
}

describe("RetryPolicy", () => {
  describe("make", () => {
    it("names reasons, and no other error matches", () => {
      const policy = RetryPolicy.make({ on: ["NoRows", "Deadlock"] })
      assert.deepStrictEqual(policy.tags, ["NoRows", "Deadlock"])
      for (const reason of Object.values(reasons)) {
        assert.strictEqual(policy.matches(failed(reason)), reason._tag === "NoRows" || reason._tag === "Deadlock")
      }
    })

    it("names the query's own errors, and by a common name both", () => {
      const own = RetryPolicy.make({ on: ["NoSuchUser"] })
      assert.isTrue(own.matches(new NoSuchUser({ id: 1 })))
      assert.isFalse(own.matches(new Deadlock()))
      assert.isFalse(own.matches(deadlock))
      const common = RetryPolicy.make({ on: ["Deadlock"] })
      assert.isTrue(common.matches(new Deadlock()))
      assert.isTrue(common.matches(deadlock))
    })

    it("knows a QueryError by its reason alone", () => {
      assert.isFalse(RetryPolicy.make({ on: ["QueryError"] }).matches(deadlock))
    })

    it("matches nothing that has no tag, and nothing at all when no tag is named", () => {
      const policy = RetryPolicy.make({ on: ["Deadlock"] })
      for (const error of [undefined, null, "Deadlock", 1, {}, new Error("Deadlock"), { tag: "Deadlock" }]) {
        assert.isFalse(policy.matches(error))
      }
      assert.isFalse(RetryPolicy.make({ on: [] }).matches(deadlock))
      assert.isFalse(RetryPolicy.make({ on: [] }).matches({}))
    })

    it.effect("asks a predicate for each error, and one that it refuses has no other try", () =>
      Effect.gen(function* () {
        const asked: Array<number> = []
        const policy = RetryPolicy.make({
          on: ({ id }: NoSuchUser) => {
            asked.push(id)
            return id === 1
          },
          schedule: Schedule.forever
        })
        assert.deepStrictEqual(policy.tags, [])
        const next = RetryPolicy.start(policy)
        assert.isDefined(yield* next(new NoSuchUser({ id: 1 }), 0))
        assert.isUndefined(yield* next(new NoSuchUser({ id: 2 }), 0))
        assert.deepStrictEqual(asked, [1, 2])
      })
    )

    it.effect("is built upon another policy by a predicate", () =>
      Effect.gen(function* () {
        const policy = RetryPolicy.make({
          on: (error: NoSuchUser | QueryError) => error._tag === "NoSuchUser" || RetryPolicy.transient.matches(error)
        })
        assert.lengthOf(yield* delaysOf(policy, new NoSuchUser({ id: 1 })), 5)
        assert.lengthOf(yield* delaysOf(policy, deadlock), 5)
        assert.lengthOf(yield* delaysOf(policy, failed(reasons.NoRows)), 0)
      })
    )

    it.effect("backs off five times when no schedule is given", () =>
      Effect.gen(function* () {
        const byTag = yield* delaysOf(RetryPolicy.make({ on: ["Deadlock"] }))
        const byPredicate = yield* delaysOf(RetryPolicy.make({ on: () => true }))
        assert.deepStrictEqual(byTag, [50, 100, 200, 400, 800])
        assert.deepStrictEqual(byPredicate, byTag)
      }).pipe(always(0.5))
    )
  })

  describe("start", () => {
    it.effect("says ten times a minute, and then no more, to a row that is not there", () =>
      Effect.gen(function* () {
        const schedule = Schedule.upTo(Schedule.spaced("1 minute"), { times: 10 })
        const policy = RetryPolicy.make({ on: ["NoRows"], schedule })
        assert.deepStrictEqual(
          yield* delaysOf(policy, failed(reasons.NoRows)),
          Array.from({ length: 10 }, () => 60_000)
        )
        assert.deepStrictEqual(yield* delaysOf(policy, deadlock), [])
      })
    )

    it.effect("counts for each unit by itself", () =>
      Effect.gen(function* () {
        const policy = on(Schedule.upTo(Schedule.exponential("1 second"), { times: 2 }))
        const one = RetryPolicy.start(policy)
        const other = RetryPolicy.start(policy)
        assert.deepStrictEqual(yield* one(deadlock, 0), Duration.seconds(1))
        assert.deepStrictEqual(yield* one(deadlock, 0), Duration.seconds(2))
        assert.deepStrictEqual(yield* other(deadlock, 0), Duration.seconds(1))
        assert.isUndefined(yield* one(deadlock, 0))
        assert.deepStrictEqual(yield* other(deadlock, 0), Duration.seconds(2))
      })
    )

    it.effect("does not count an error that the policy does not name", () =>
      Effect.gen(function* () {
        const next = RetryPolicy.start(on(Schedule.upTo(Schedule.exponential("1 second"), { times: 2 })))
        assert.isUndefined(yield* next(failed(reasons.NoRows), 0))
        assert.deepStrictEqual(yield* next(deadlock, 0), Duration.seconds(1))
        assert.isUndefined(yield* next(failed(reasons.NoRows), 0))
        assert.deepStrictEqual(yield* next(deadlock, 0), Duration.seconds(2))
        assert.isUndefined(yield* next(deadlock, 0))
      })
    )

    it.effect("tells the schedule the time and the error, and no clock of its own", () =>
      Effect.gen(function* () {
        const next = RetryPolicy.start(on(Schedule.during("10 seconds")))
        assert.isDefined(yield* next(deadlock, 5_000))
        assert.isDefined(yield* next(deadlock, 15_000))
        assert.isUndefined(yield* next(deadlock, 15_001))

        const asking = Schedule.forever.pipe(
          Schedule.setInputType<NoSuchUser>(),
          Schedule.addDelay(({ input }) => Effect.succeed(Duration.seconds(input.id)))
        )
        const ask = RetryPolicy.start(RetryPolicy.make({ on: ["NoSuchUser"], schedule: asking }))
        assert.deepStrictEqual(yield* ask(new NoSuchUser({ id: 7 }), 0), Duration.seconds(7))
        assert.deepStrictEqual(yield* ask(new NoSuchUser({ id: 3 }), 0), Duration.seconds(3))
      })
    )

    it.effect("does nothing with the schedule before an error matches, and begins it once", () =>
      Effect.gen(function* () {
        let begun = 0
        const schedule = Schedule.fromStep(
          Effect.sync(() => {
            begun++
            return () => Effect.succeed<[number, Duration.Duration]>([0, Duration.zero])
          })
        )
        const next = RetryPolicy.start(on(schedule))
        yield* next(failed(reasons.NoRows), 0)
        assert.strictEqual(begun, 0)
        yield* next(deadlock, 0)
        yield* next(deadlock, 0)
        assert.strictEqual(begun, 1)
      })
    )

    it.effect("dies of what a predicate or a schedule throws", () =>
      Effect.gen(function* () {
        const fault = new Error("fault")
        const thrower = () => {
          throw fault
        }
        const schedule = Schedule.addDelay(Schedule.forever, thrower)
        for (const policy of [RetryPolicy.make({ on: thrower }), RetryPolicy.make({ on: ["Deadlock"], schedule })]) {
          const exit = yield* Effect.exit(RetryPolicy.start(policy)(deadlock, 0))
          assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
          assert.strictEqual(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, fault)
        }
      })
    )
  })

  describe("backoff", () => {
    it.effect("doubles its range from 100 ms up to ten seconds, and gives up after five", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* delaysOf(on(RetryPolicy.backoff())), [100, 200, 400, 800, 1_600])
        assert.deepStrictEqual(
          yield* delaysOf(on(RetryPolicy.backoff({ times: 9 }))),
          [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        )
        assert.deepStrictEqual(
          yield* delaysOf(on(RetryPolicy.backoff({ base: "1 second", cap: "3 seconds", times: 4 }))),
          [1_000, 2_000, 3_000, 3_000]
        )
        assert.deepStrictEqual(yield* delaysOf(on(RetryPolicy.backoff({ base: "1 minute", times: 1 }))), [10_000])
        assert.deepStrictEqual(yield* delaysOf(on(RetryPolicy.backoff({ times: 0 }))), [])
      }).pipe(always(1))
    )

    it.effect("keeps to its cap when doubling has left the numbers behind", () =>
      Effect.gen(function* () {
        const delays = yield* delaysOf(on(RetryPolicy.backoff({ times: 1_100 })))
        assert.lengthOf(delays, 1_100)
        assert.deepStrictEqual(new Set(delays.slice(7)), new Set([10_000]))
      }).pipe(always(1))
    )

    it.effect("begins each range at nothing", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* delaysOf(on(RetryPolicy.backoff())), [0, 0, 0, 0, 0])
      }).pipe(always(0))
    )

    it.effect("spreads each delay evenly over the whole of its range", () =>
      Effect.gen(function* () {
        const samples = 4_000
        const policy = on(RetryPolicy.backoff({ base: "1 second", cap: "5 seconds", times: 4 }))
        const series: Array<ReadonlyArray<number>> = []
        for (let n = 0; n < samples; n++) series.push(yield* delaysOf(policy))
        for (const [attempt, limit] of [1_000, 2_000, 4_000, 5_000].entries()) {
          const delays = series.map((delays) => delays[attempt] ?? Number.NaN)
          assert.isTrue(delays.every((delay) => delay >= 0 && delay <= limit))
          assert.approximately(delays.reduce((sum, delay) => sum + delay, 0) / samples, limit / 2, limit * 0.02)
          // A tenth of the samples is 400 with a standard deviation of 19: 80 off would be four of them.
          for (let tenth = 0; tenth < 10; tenth++) {
            const within = delays.filter((delay) => Math.floor((delay / limit) * 10) === tenth).length
            assert.approximately(within, samples / 10, 80)
          }
        }
        // Two delays of one unit have nothing to do with each other.
        const below = series.filter(([first = 0, second = 0]) => first / 1_000 < second / 2_000).length
        assert.approximately(below, samples / 2, 130)
      }).pipe(Random.withSeed("full jitter"))
    )

    it.effect("is the same again with the same seed, and another with another", () =>
      Effect.gen(function* () {
        const delays = delaysOf(on(RetryPolicy.backoff()))
        const first = yield* Random.withSeed(delays, "a")
        assert.deepStrictEqual(yield* Random.withSeed(delays, "a"), first)
        assert.notDeepEqual(yield* Random.withSeed(delays, "b"), first)
      })
    )

    it.each([-1, 1.5, Number.NaN, Infinity])("refuses %s retries", (times) => {
      assert.throws(() => RetryPolicy.backoff({ times }), `Expected \`times\` to be an integer from 0, got ${times}`)
    })
  })

  describe("presets", () => {
    it.each<[keyof typeof presets, ReadonlyArray<QueryErrorReason["_tag"]>]>([
      ["none", []],
      ["connect", ["ConnectFailed", "TooBusy"]],
      ["transient", ["ConnectFailed", "ConnectionLost", "TooBusy", "Deadlock", "SerializationFailure", "LockTimeout"]],
      ["serializable", ["Deadlock", "SerializationFailure"]]
    ])("%s retries %j", (name, expected) => {
      const retried = Object.values(reasons).filter((reason) => presets[name].matches(failed(reason)))
      assert.deepStrictEqual(
        retried.map((reason) => reason._tag),
        expected
      )
    })

    it.each(Object.entries(presets))("%s retries no error of the query's own", (_, policy) => {
      for (const error of [new NoSuchUser({ id: 1 }), new Deadlock(), new Error("no"), "no", undefined, null]) {
        assert.isFalse(policy.matches(error))
      }
    })

    it("does not try again a login that the server refused", () => {
      for (const sqlState of ["28P01", "28000", "3D000"]) {
        const refused = failed(new Reason.ConnectFailed(said(sqlState)))
        for (const policy of Object.values(presets)) assert.isFalse(policy.matches(refused))
      }
    })

    it("connects again to a server that had no place left, and to none that was busy with a statement", () => {
      const { TooBusy } = reasons
      assert.isTrue(RetryPolicy.connect.matches(failed(TooBusy)))
      assert.isFalse(RetryPolicy.connect.matches(failed(TooBusy, { connection: "usable" })))
      for (const outcome of ["partial", "unknown"] as const) {
        assert.isFalse(RetryPolicy.connect.matches(failed(TooBusy, { outcome })))
      }
      assert.isTrue(RetryPolicy.transient.matches(failed(TooBusy, { connection: "usable" })))
    })

    it("leaves what became of the unit to mayRetry", () => {
      for (const outcome of ["notApplied", "partial", "unknown"] as const) {
        assert.isTrue(RetryPolicy.transient.matches(failed(reasons.ConnectionLost, { outcome })))
      }
    })

    it.effect("connect and transient back off, serializable sooner and more often", () =>
      Effect.gen(function* () {
        const lost = failed(reasons.ConnectFailed)
        assert.deepStrictEqual(yield* delaysOf(RetryPolicy.none), [])
        assert.deepStrictEqual(yield* delaysOf(RetryPolicy.connect, lost), [100, 200, 400, 800, 1_600])
        assert.deepStrictEqual(yield* delaysOf(RetryPolicy.transient, lost), [100, 200, 400, 800, 1_600])
        assert.deepStrictEqual(
          yield* delaysOf(RetryPolicy.serializable),
          [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000]
        )
      }).pipe(always(1))
    )
  })

  describe("mayRetry", () => {
    const modes = [undefined, "autocommit", "transaction", "readOnly"] as const
    const outcomes = ["notApplied", "partial", "unknown"] as const

    it("allows what left nothing behind, in every mode", () => {
      for (const mode of modes) {
        for (const idempotent of [undefined, false, true]) {
          assert.isTrue(RetryPolicy.mayRetry("notApplied", { mode, idempotent }))
        }
      }
      assert.isTrue(RetryPolicy.mayRetry("notApplied", {}))
    })

    it.each(outcomes.slice(1))("allows what is %s only to what reads or is idempotent", (outcome) => {
      const allowed = modes.map((mode) =>
        [undefined, false, true].map((idempotent) => RetryPolicy.mayRetry(outcome, { mode, idempotent }))
      )
      assert.deepStrictEqual(allowed, [
        [false, false, true],
        [false, false, true],
        [false, false, true],
        [true, true, true]
      ])
      assert.isFalse(RetryPolicy.mayRetry(outcome, {}))
    })
  })
})
