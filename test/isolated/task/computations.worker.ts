import { NodeRuntime, NodeWorkerRunner } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { threadId as ownId, workerData } from "node:worker_threads"
import { handle, serve } from "../../../src/task/BackgroundServe.ts"
import { double, ends, spins, threadId, TooBig, turned } from "./Computations.ts"

/** Of the tests: how many spin, how many have ended in good order. */
const counts: Int32Array = workerData

const Counted = Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(() => Atomics.add(counts, 1, 1))))

serve([
  handle(double, ({ at, value }) =>
    value > 100n ? Effect.fail(new TooBig({ most: 100n })) : Effect.succeed(value * BigInt(at.getUTCFullYear()))
  ),
  handle(ends, (how) => {
    switch (how) {
      case "dies":
        throw new TypeError("a fault of the handler")
      case "interrupts itself":
        return Effect.interrupt
      case "exits":
        return Effect.sync(() => process.exit(7))
      case "throws later":
        setImmediate(() => {
          throw new Error("nobody catches this")
        })
        return Effect.never
      case "does not agree":
        return Effect.succeed(Number.NaN)
    }
  }),
  handle(spins, () =>
    Effect.sync(() => {
      Atomics.add(counts, 0, 1)
      Atomics.notify(counts, 0)
      for (;;);
    })
  ),
  handle(threadId, () => Effect.succeed(ownId)),
  handle(turned, (bytes) => Effect.sync(() => bytes.toReversed()))
]).pipe(Effect.provide([NodeWorkerRunner.layer, Counted]), NodeRuntime.runMain)
