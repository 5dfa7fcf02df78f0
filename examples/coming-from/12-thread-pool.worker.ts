// What runs in each thread.
import { NodeRuntime, NodeWorkerRunner } from "@effect/platform-node"
import { Effect } from "effect"
import { Background } from "querypool/task"
import { primesBelow } from "./12-thread-pool.computation.ts"

const count = (n: number): number => {
  const sieve = new Uint8Array(n).fill(1, 2)
  for (let i = 2; i * i < n; i++) {
    if (sieve[i] === 1) for (let multiple = i * i; multiple < n; multiple += i) sieve[multiple] = 0
  }
  return sieve.reduce((sum, isPrime) => sum + isPrime, 0)
}

Background.serve([Background.handle(primesBelow, (n) => Effect.sync(() => count(n)))]).pipe(
  Effect.provide(NodeWorkerRunner.layer),
  NodeRuntime.runMain
)
