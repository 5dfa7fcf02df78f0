// What the threads of 18-beside-requests run. Single modules of the platform load in half of the time.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect } from "effect"
import { Background } from "querypool/task"
import { primesBelow } from "./computation.ts"

const isPrime = (number: number): boolean => {
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false
  return number > 1
}

const count = Background.handle(primesBelow, (limit) =>
  Effect.sync(() => {
    let primes = 0
    for (let number = 2; number < limit; number++) if (isPrime(number)) primes++
    return primes
  })
)

Background.serve([count]).pipe(Effect.provide(NodeWorkerRunner.layer), NodeRuntime.runMain)
