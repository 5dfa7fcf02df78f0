// Work beside the requests of the same process. What Effect gives is not wrapped: forkIn, delay and Schedule. Added is what
// has to know of the event loop: when it has time, how to leave it time, how to leave it alone, and who does not.
import { NodeRuntime, NodeWorker } from "@effect/platform-node"
import { Console, Effect, Exit, Layer, Logger, Schedule, Scope } from "effect"
import { Worker } from "node:worker_threads"
import { Background } from "querypool/task"
import { primesBelow } from "./primes/computation.ts"

/** Computes for as long. */
const compute = (millis: number): void => {
  const until = performance.now() + millis
  while (performance.now() < until);
}

const asEffectGivesIt = Effect.gen(function* () {
  // The server's. What a request has begun goes on after its answer, and ends with the server at the latest.
  const server = yield* Scope.make()
  const request = Effect.gen(function* () {
    yield* Effect.forkIn(
      Effect.onInterrupt(Effect.never, () => Console.log("stopped with the server")),
      server
    )
    yield* Effect.forkIn(Effect.delay(Console.log("a while later"), "20 millis"), server)
    const ticks = Effect.schedule(Console.log("a tick"), Schedule.upTo(Schedule.spaced("100 millis"), { times: 2 }))
    yield* Effect.forkIn(ticks, server)
    return "answered"
  })
  yield* Console.log(yield* request)
  yield* Effect.sleep("1 second")
  yield* Scope.close(server, Exit.void)
})

const whenThereIsTime = Effect.gen(function* () {
  const busy = Effect.gen(function* () {
    for (const next of Background.yieldEvery(Array.from({ length: 500 }))) {
      yield* next
      compute(1)
    }
    yield* Console.log("much work is done")
  })
  // Within a minute in any case.
  const light = Console.log("what can wait has begun").pipe(Background.idle({ longestWait: "1 minute" }))
  yield* Effect.all([light, busy], { concurrency: 2 })
})

const withTurns = Effect.gen(function* () {
  let fired = 0
  const timer = setInterval(() => fired++, 10)
  const items = Array.from({ length: 200 }, () => 1)
  for (const millis of items) compute(millis)
  yield* Console.log(`timers that fired in a bare loop: ${fired}`)
  for (const next of Background.yieldEvery(items)) compute(yield* next)
  yield* Console.log(`with yieldEvery, some: ${fired > 5}`)
  clearInterval(timer)
})

const inThreads = Effect.gen(function* () {
  const counts = yield* Effect.forEach([10, 1_000, 100_000], (limit) => Background.offload(primesBelow, limit), {
    concurrency: 2
  })
  yield* Console.log(`primes below: ${counts.join(", ")}`)
  // A loop of hours: its thread is terminated.
  const late = yield* Effect.timeoutOption(Background.offload(primesBelow, 1e12), "500 millis")
  yield* Console.log(`below 10^12: ${late._tag}`)
}).pipe(
  Effect.provide(
    Layer.provide(
      Background.layerWorkers({ size: 2 }),
      NodeWorker.layer(() => new Worker(new URL("./primes/worker.ts", import.meta.url)))
    )
  )
)

const whoBlocks = Effect.gen(function* () {
  yield* Effect.withSpan(
    Effect.sync(() => compute(1_000)),
    "GET /report"
  )
  yield* Effect.sleep("200 millis")
}).pipe(
  Effect.provide(
    Layer.provide(
      Background.monitor({ limit: "200 millis" }),
      // Milliseconds and columns differ from time to time.
      Logger.layer([Logger.make(({ message }) => console.log(String(message).replace(/\d+ ms|\d+:\d+(?=\)$)/g, "…")))])
    )
  )
)

const program = Effect.all([asEffectGivesIt, whenThereIsTime, withTurns, inThreads, whoBlocks])

program.pipe(NodeRuntime.runMain)
