import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Latch, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as PgConnections from "../../../src/pool/PgConnections.ts"
import type { PgSession } from "../../../src/pool/PgSession.ts"
import { makeKeys } from "../../../src/pool/PgSqlClient.ts"
import { below, fewTurns, forSeeds } from "../../support/Chaos.ts"
import { ScriptedServer } from "../../support/ScriptedServer.ts"
import { waitUntil } from "../../support/waitUntil.ts"

/** One statement; tells which connection it ran on. */
const statement = (session: PgSession) => Effect.as(session.executeRaw("select", []), session.connection)

const started = Effect.fnUntraced(function* (options?: Partial<PgConnections.Config>) {
  const server = new ScriptedServer()
  const pool = yield* PgConnections.make({
    maxConnections: 1,
    minConnections: 0,
    idleTimeout: Duration.minutes(1),
    connectionTTL: Duration.hours(1),
    driver: { username: "nobody" },
    openSocket: server.open,
    transaction: makeKeys().transaction,
    alwaysReset: false,
    queueLimit: Infinity,
    leakThreshold: Duration.infinity,
    drainTimeout: Duration.infinity,
    cancelGrace: Duration.seconds(1),
    idleInTransactionTimeout: Duration.infinity,
    pipelined: { connections: 1, statementTimeout: Duration.infinity, transformRows: undefined },
    ...options
  })
  return { server, pool, ask: pool.use({ name: "asks" }, statement) }
})

const isSoon = (message: string, check: () => boolean) => waitUntil(message, Effect.sync(check), 1)

describe("PgConnections", () => {
  it.effect("connects only when a session is asked for, and then once for many", () =>
    Effect.gen(function* () {
      const { ask, server } = yield* started({ maxConnections: 3 })
      assert.strictEqual(server.opened, 0)
      yield* Effect.replicateEffect(ask, 5)
      assert.strictEqual(server.opened, 1)
      yield* Effect.all(
        Array.from({ length: 50 }, () => ask),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(server.opened, 3)
      assert.strictEqual(server.most, 3)
    })
  )

  it.effect("lends first what was idle for the shortest time", () =>
    Effect.gen(function* () {
      const { ask, pool } = yield* started({ maxConnections: 2 })
      const bothAre = yield* Latch.make()
      const inFirst = yield* Effect.forkChild(
        pool.use({ name: "a" }, (session) => Effect.as(bothAre.await, session.connection)),
        { startImmediately: true }
      )
      const second = yield* pool.use({ name: "b" }, (session) => Effect.as(Effect.void, session.connection))
      yield* bothAre.open
      const first = yield* Fiber.join(inFirst)
      assert.notStrictEqual(first, second)
      assert.strictEqual(yield* ask, first)
      assert.strictEqual(yield* ask, first)
    })
  )

  it.effect("serves those who wait in the order of asking", () =>
    Effect.gen(function* () {
      const { ask } = yield* started()
      const order: Array<number> = []
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => n),
        (n) => Effect.tap(ask, () => Effect.sync(() => order.push(n))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        order,
        Array.from({ length: 20 }, (_, n) => n)
      )
    })
  )

  describe("closes a connection", () => {
    it.effect("that was idle for the timeout, one after the other, down to those that are to be kept", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started({ maxConnections: 3, minConnections: 1 })
        yield* Effect.all([ask, ask, ask], { concurrency: "unbounded" })
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(server.present.size, 3)
        yield* TestClock.adjust("1 second")
        yield* isSoon("two are closed", () => server.present.size === 1)
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(server.present.size, 1)
        yield* ask
        assert.strictEqual(server.opened, 3)
      })
    )

    it.effect("that is idle again after it was used, from its last use on", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started()
        yield* ask
        yield* TestClock.adjust("40 seconds")
        yield* ask
        yield* TestClock.adjust("40 seconds")
        assert.strictEqual(server.present.size, 1)
        yield* TestClock.adjust("20 seconds")
        yield* isSoon("it is closed", () => server.present.size === 0)
        yield* ask
        assert.strictEqual(server.opened, 2)
      })
    )

    it.effect("when its time to live is over: at its return, and before it is lent again", () =>
      Effect.gen(function* () {
        const { ask, pool, server } = yield* started({ minConnections: 1 })
        yield* ask
        yield* TestClock.adjust("53 minutes")
        yield* ask
        assert.strictEqual(server.opened, 1)
        yield* pool.use({ name: "lives through it" }, () => TestClock.adjust("8 minutes"))
        assert.strictEqual(server.present.size, 0)
        yield* ask
        assert.strictEqual(server.opened, 2)
        yield* TestClock.adjust("61 minutes")
        yield* ask
        assert.strictEqual(server.opened, 3)
      })
    )

    it.effect("that broke while it was idle, and opens another", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started()
        yield* ask
        server.drop(1)
        yield* ask
        assert.strictEqual(server.opened, 2)
        assert.deepStrictEqual([...server.present], [2])
      })
    )

    it.effect("that broke while it was lent, and fails what used it", () =>
      Effect.gen(function* () {
        const { ask, pool, server } = yield* started()
        const error = yield* Effect.flip(
          pool.use({ name: "breaks" }, (session) => {
            server.drop(1)
            return session.executeRaw("select", [])
          })
        )
        assert.strictEqual(error.reason._tag, "ConnectionError")
        yield* ask
        assert.strictEqual(server.opened, 2)
      })
    )
  })

  describe("never has more connections than it may,", () => {
    it.effect("also while one that was idle for too long is on its way out", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started()
        yield* ask
        server.exit.close()
        yield* TestClock.adjust("1 minute")
        const next = yield* Effect.forkChild(ask, { startImmediately: true })
        yield* Effect.yieldNow
        server.exit.open()
        yield* Fiber.join(next)
        assert.strictEqual(server.most, 1)
      })
    )

    it.effect("also while one whose session could not be cleaned is on its way out", () =>
      Effect.gen(function* () {
        const { ask, pool, server } = yield* started()
        server.exit.close()
        const spoils = yield* Effect.forkChild(
          pool.use({ name: "spoils" }, (session) => session.executeRaw("discard all", []))
        )
        yield* isSoon("it ran", () => server.statements.length === 1)
        const next = yield* Effect.forkChild(ask, { startImmediately: true })
        yield* Effect.yieldNow
        server.exit.open()
        yield* Fiber.join(spoils)
        yield* Fiber.join(next)
        assert.strictEqual(server.most, 1)
        assert.strictEqual(server.opened, 2)
      })
    )

    it.effect("also while one that expired is on its way out", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started({ minConnections: 1 })
        yield* ask
        yield* TestClock.adjust("61 minutes")
        server.exit.close()
        const next = yield* Effect.forkChild(ask, { startImmediately: true })
        yield* Effect.yieldNow
        server.exit.open()
        yield* Fiber.join(next)
        assert.strictEqual(server.most, 1)
      })
    )
  })

  describe("loses no slot", () => {
    it.effect("to a server that refuses", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started()
        for (let times = 0; times < 3; times++) {
          server.refuseOnce("53300")
          const error = yield* Effect.flip(ask)
          assert.strictEqual(error.reason.operation, "connect")
        }
        yield* ask
        assert.strictEqual(server.opened, 4)
      })
    )

    it.effect("to a caller who leaves while the connection opens", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started()
        server.door.close()
        const leaves = yield* Effect.forkChild(ask, { startImmediately: true })
        const waits = yield* Effect.forkChild(ask, { startImmediately: true })
        yield* isSoon("the connection is being opened", () => server.opened === 1)
        yield* Fiber.interrupt(leaves)
        server.door.open()
        yield* Fiber.join(waits)
        yield* ask
      })
    )

    it.effect("to a body that throws where it should give an effect", () =>
      Effect.gen(function* () {
        const { ask, pool } = yield* started()
        const exit = yield* Effect.exit(
          pool.use({ name: "throws" }, (): Effect.Effect<void> => {
            throw new Error("thrown")
          })
        )
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        yield* ask
      })
    )

    it.effect("to a server that does not say whether it let anybody in, after the time for that", () =>
      Effect.gen(function* () {
        const { ask, server } = yield* started()
        server.door.close()
        const asks = yield* Effect.forkChild(Effect.flip(ask), { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(asks)).reason.operation, "connect")
        server.door.open()
        yield* ask
      })
    )
  })

  describe("when its scope closes", () => {
    it.effect("waits for what runs, refuses what waits and what comes, and leaves no connection", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { ask, pool, server } = yield* Scope.provide(started({ maxConnections: 2 }), scope)
        const inside = yield* Deferred.make<void>()
        const mayEnd = yield* Latch.make()
        const runs = yield* Effect.forkChild(
          pool.use({ name: "runs" }, (session) =>
            Effect.andThen(
              Deferred.succeed(inside, undefined),
              Effect.andThen(mayEnd.await, session.executeRaw("select", []))
            )
          )
        )
        yield* Deferred.await(inside)
        yield* ask
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        for (const late of [Effect.asVoid(ask), Effect.asVoid(Effect.scoped(pool.lease({ name: "late" })))]) {
          assert.match((yield* Effect.flip(late)).reason.message ?? "", /The pool is closed/)
        }
        yield* isSoon("the idle one is closed", () => server.present.size === 1)
        yield* mayEnd.open
        yield* Fiber.join(runs)
        yield* Fiber.join(closing)
        assert.strictEqual(server.present.size, 0)
        for (const late of [Effect.asVoid(ask), Effect.asVoid(Effect.scoped(pool.lease({ name: "late" })))]) {
          assert.match((yield* Effect.flip(late)).reason.message ?? "", /The pool is closed/)
        }
      })
    )

    it.effect("refuses who waited for a slot", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { ask, pool } = yield* Scope.provide(started(), scope)
        const inside = yield* Deferred.make<void>()
        const mayEnd = yield* Latch.make()
        const runs = yield* Effect.forkChild(
          pool.use({ name: "runs" }, () => Effect.andThen(Deferred.succeed(inside, undefined), mayEnd.await))
        )
        yield* Deferred.await(inside)
        const waits = yield* Effect.forkChild(Effect.flip(ask), { startImmediately: true })
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        yield* mayEnd.open
        assert.match((yield* Fiber.join(waits)).reason.message ?? "", /The pool is closed/)
        yield* Fiber.join(runs)
        yield* Fiber.join(closing)
      })
    )
  })
})

describe("PgConnections, in any interleaving of borrowers, failures and interrupts,", () => {
  it.effect("has never more connections than it may, loses none, and closes them all", () =>
    forSeeds(60, (seed) =>
      Effect.gen(function* () {
        const maxConnections = 1 + (seed % 3)
        const { ask, pool, server } = yield* started({ maxConnections, connectionTTL: Duration.millis(40) })
        const doorClosed = Effect.andThen(
          Effect.sync(() => server.door.close()),
          fewTurns
        )
        const lives = (session: PgSession) =>
          Effect.gen(function* () {
            for (let steps = yield* below(4); steps >= 0; steps--) {
              const step = yield* below(11)
              if (step === 0) yield* session.executeRaw("discard all", [])
              else if (step === 1) yield* session.executeRaw("set a = b", [])
              else if (step === 2) yield* Effect.forkDetach(Effect.exit(session.executeRaw("select", [])))
              else if (step === 3) server.drop(yield* below(server.opened + 1))
              else if (step === 4) return yield* Effect.fail("gives up")
              else if (step === 5) yield* TestClock.adjust("20 millis")
              else if (step === 6) yield* fewTurns
              else if (step === 7) server.refuseOnce("53300")
              else if (step === 8)
                yield* Effect.ensuring(
                  doorClosed,
                  Effect.sync(() => server.door.open())
                )
              else yield* session.executeRaw("select", [])
            }
          })
        const borrows = Effect.gen(function* () {
          yield* fewTurns
          if ((yield* below(2)) === 0) yield* pool.use({ name: "uses" }, lives)
          else yield* Effect.scoped(Effect.flatMap(pool.lease({ name: "leases" }), lives))
        })
        const fibers = yield* Effect.replicateEffect(Effect.forkChild(Effect.exit(borrows)), 25)
        for (let interrupts = 0; interrupts < 10; interrupts++) {
          const victim = fibers[yield* below(fibers.length)]
          if (victim !== undefined) yield* Effect.forkChild(Fiber.interrupt(victim))
          yield* fewTurns
        }
        yield* Effect.forEach(fibers, Fiber.await)
        server.refuseOnce(undefined)
        yield* Effect.all(
          Array.from({ length: maxConnections }, () => ask),
          { concurrency: "unbounded" }
        )
        assert.isAtMost(server.most, maxConnections)
        return server
      }).pipe(
        Effect.scoped,
        Effect.map((server) => assert.strictEqual(server.present.size, 0))
      )
    )
  )
})
