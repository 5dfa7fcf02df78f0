// What calculates for long goes to threads, and what waits for it stays in a fiber.
import { NodeRuntime, NodeWorker } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Background } from "querypool/task"
import { Worker } from "node:worker_threads"
import { primesBelow } from "./12-thread-pool.computation.ts"

const program = Effect.gen(function* () {
  // Each on a processor of its own. One that is interrupted is stopped, too.
  const counts = yield* Effect.forEach([1_000, 100_000], (n) => Background.offload(primesBelow, n), {
    concurrency: "unbounded"
  })
  yield* Console.log(`[${counts.join(", ")}]`)
})

const Workers = Layer.provide(
  Background.layerWorkers(),
  NodeWorker.layer(() => new Worker(new URL("./12-thread-pool.worker.ts", import.meta.url)))
)
program.pipe(Effect.provide(Workers), NodeRuntime.runMain)
