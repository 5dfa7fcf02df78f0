import { NodeWorker } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Worker } from "node:worker_threads"
import * as Background from "../../../src/task/Background.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import { double, ends, spins, threadId, TooBig, turned, unknown } from "./Computations.ts"

/** A pool of real threads, and what the test sees of them. */
const makeThreads = () => {
  const counts = new Int32Array(new SharedArrayBuffer(8))
  const alive = new Set<Worker>()
  let started = 0
  const spawn = (file: string) => () => {
    const worker = new Worker(new URL(file, import.meta.url), { workerData: counts })
    started++
    alive.add(worker)
    worker.once("exit", () => alive.delete(worker))
    return worker
  }
  const layer = (size: number, file = "./computations.worker.ts") =>
    Layer.provide(Background.layerWorkers({ size }), NodeWorker.layer(spawn(file)))
  const spinning = () => Atomics.load(counts, 0)
  return {
    alive,
    layer,
    started: () => started,
    spinning,
    ended: () => Atomics.load(counts, 1),
    untilSpinning: (count: number) =>
      waitUntil(
        `${count} spin`,
        Effect.sync(() => spinning() >= count)
      )
  }
}

const date = new Date("2024-05-06")

const reasonOf = <E>(exit: Exit.Exit<unknown, E>) => {
  const error = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
  return error instanceof Background.OffloadError ? error.reason : error
}

describe("offload", () => {
  it.live("gives what the handler gives: a value, an error, a defect", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      assert.strictEqual(yield* Background.offload(double, { value: 7n, at: date }), 14_168n)
      const failed = yield* Effect.exit(Background.offload(double, { value: 101n, at: date }))
      assert.deepStrictEqual(reasonOf(failed), new TooBig({ most: 100n }))
      const died = yield* Effect.exit(Background.offload(ends, "dies"))
      const defect = Exit.isFailure(died) ? Cause.squash(died.cause) : undefined
      assert.instanceOf(defect, Error)
      assert.strictEqual(defect.name, "TypeError")
      assert.include(defect.stack, "computations.worker.ts")
      const interrupted = yield* Effect.exit(Background.offload(ends, "interrupts itself"))
      assert.isTrue(Exit.isFailure(interrupted) && !Cause.hasInterrupts(interrupted.cause))
      // None of that is the end of the worker.
      assert.strictEqual(threads.started(), 1)
    }).pipe(Effect.provide(threads.layer(1)))
  })

  it.live("says what does not agree with a schema, what has no handler, and what cannot be sent", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      const unfit = yield* Effect.flip(Background.offload(ends, "does not agree"))
      assert.strictEqual(unfit.reason._tag, "Unfit")
      assert.include(unfit.message, `Computation "ends": its success does not agree with its schema`)
      const invalid = yield* Effect.flip(Background.offload(double, { value: 1n, at: new Date(Number.NaN) }))
      assert.include(invalid.message, `Computation "double": its payload does not agree with its schema`)
      const noHandler = yield* Effect.flip(Background.offload(unknown, undefined))
      assert.include(noHandler.message, `Computation "unknown": its worker has handlers for double, ends`)
      const bytes = new Uint8Array(8)
      yield* Background.offload(turned, bytes)
      // It was handed over, and is here no more.
      assert.strictEqual(bytes.length, 0)
      const gone = yield* Effect.flip(Background.offload(turned, bytes))
      assert.strictEqual(gone.reason._tag, "Unsendable")
      assert.strictEqual(threads.started(), 1)
    }).pipe(Effect.provide(threads.layer(1)))
  })

  it.live("hands bytes over, and back", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      const result = yield* Background.offload(
        turned,
        Uint8Array.from({ length: 1_000_000 }, (_, index) => index)
      )
      assert.strictEqual(result.length, 1_000_000)
      assert.deepStrictEqual([...result.subarray(0, 3)], [63, 62, 61])
    }).pipe(Effect.provide(threads.layer(1)))
  })

  it.live("runs as many at once as there are workers, which it starts when they are needed", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      assert.strictEqual(threads.started(), 0)
      const numbers = Array.from({ length: 100 }, (_, index) => index)
      const [id] = yield* Effect.forEach(numbers.slice(0, 3), (number) => Background.offload(threadId, number))
      assert.strictEqual(threads.started(), 1)
      const ids = yield* Effect.forEach(numbers, (number) => Background.offload(threadId, number), {
        concurrency: "unbounded"
      })
      assert.lengthOf(ids, 100)
      assert.isAtMost(new Set(ids).size, 2)
      assert.include(ids, id)
      assert.isAtMost(threads.started(), 2)
    }).pipe(Effect.provide(threads.layer(2)))
  })

  it.live(
    "stops a loop that is interrupted before the interruption is over, and has another worker for the next",
    () => {
      const threads = makeThreads()
      return Effect.gen(function* () {
        const [first] = yield* Effect.forEach([0], (number) => Background.offload(threadId, number))
        const fiber = yield* Effect.forkChild(Background.offload(spins, undefined))
        yield* threads.untilSpinning(1)
        const waiting = yield* Effect.forkChild(Background.offload(threadId, 1))
        const [spinner] = threads.alive
        yield* Fiber.interrupt(fiber)
        assert.isFalse(spinner !== undefined && threads.alive.has(spinner))
        assert.notStrictEqual(yield* Fiber.join(waiting), first)
        assert.strictEqual(threads.started(), 2)
      }).pipe(Effect.provide(threads.layer(1)))
    }
  )

  it.live("leaves the line when it is interrupted there, and disturbs nobody", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      const spinner = yield* Effect.forkChild(Background.offload(spins, undefined))
      yield* threads.untilSpinning(1)
      const waiting = yield* Effect.forkChild(Background.offload(spins, undefined))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(waiting)
      assert.strictEqual(threads.started(), 1)
      assert.strictEqual(threads.alive.size, 1)
      yield* Fiber.interrupt(spinner)
      assert.strictEqual(threads.spinning(), 1)
    }).pipe(Effect.provide(threads.layer(1)))
  })

  it.live("has never more threads than its size, while all are interrupted again and again", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      for (let round = 0; round < 5; round++) {
        const before = threads.spinning()
        const fibers = yield* Effect.replicateEffect(Effect.forkChild(Background.offload(spins, undefined)), 4)
        yield* waitUntil(
          "two spin",
          Effect.sync(() => {
            assert.isAtMost(threads.alive.size, 2)
            return threads.spinning() >= before + 2
          })
        )
        yield* Effect.forEach(fibers.toReversed(), Fiber.interrupt, { discard: true })
        assert.isAtMost(threads.alive.size, 2)
      }
      assert.isNumber(yield* Background.offload(threadId, 0))
    }).pipe(Effect.provide(threads.layer(2)))
  })

  it.live("says so when a worker ends under a computation, and has another one for the next", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      const exited = yield* Effect.flip(Background.offload(ends, "exits"))
      assert.strictEqual(exited.reason._tag, "WorkerLost")
      assert.include(exited.message, "code: 7")
      const threw = yield* Effect.flip(Background.offload(ends, "throws later"))
      assert.include(threw.message, "its worker ended: nobody catches this")
      assert.strictEqual(yield* Background.offload(double, { value: 1n, at: date }), 2024n)
    }).pipe(Effect.provide(threads.layer(1)))
  })

  it.live("says so when a worker cannot be started, each time", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      for (const _ of [1, 2]) {
        const { reason } = yield* Effect.flip(Background.offload(threadId, 0))
        assert.strictEqual(reason._tag, "WorkerLost")
        assert.include(reason.message, "nowhere.ts")
      }
    }).pipe(Effect.provide(threads.layer(1, "./nowhere.ts")))
  })

  it.live(
    "leaves no thread when its layer closes, whatever they are at, and lets the idle ones end in good order",
    () => {
      const threads = makeThreads()
      return Effect.gen(function* () {
        const fiber = yield* Effect.gen(function* () {
          const fiber = yield* Effect.forkDetach(Effect.flip(Background.offload(spins, undefined)))
          yield* threads.untilSpinning(1)
          yield* Background.offload(threadId, 0)
          assert.strictEqual(threads.alive.size, 2)
          return fiber
        }).pipe(Effect.provide(threads.layer(2)))
        assert.strictEqual(threads.alive.size, 0)
        assert.strictEqual(threads.ended(), 1)
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.message, `Computation "spins": its worker ended: the workers are being closed`)
      })
    }
  )

  it.live("leaves no thread when its layer closes while they start", () => {
    const threads = makeThreads()
    return Effect.gen(function* () {
      yield* Effect.forkDetach(Effect.exit(Background.offload(threadId, 0))).pipe(
        Effect.andThen(Effect.yieldNow),
        Effect.provide(threads.layer(1))
      )
      assert.strictEqual(threads.started(), 1)
      assert.strictEqual(threads.alive.size, 0)
    })
  })

  it("refuses a size below one", () => {
    assert.throws(() => Background.layerWorkers({ size: 0 }), "Expected `size` to be an integer from 1, got 0")
  })

  it("refuses two handlers of one computation", () => {
    const one = Background.computation("one", { payload: Schema.Void })
    const handler = Background.handle(one, () => Effect.void)
    assert.throws(() => Background.serve([handler, handler]), `Computation "one" has two handlers`)
  })
})
