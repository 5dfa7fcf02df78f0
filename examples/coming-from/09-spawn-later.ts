// Beside the requests, and not before its time.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Fiber } from "effect"

const forget = (token: string) => Console.log(`${token} is forgotten`)

const program = Effect.gen(function* () {
  const timer = yield* Effect.forkChild(Effect.delay(forget("token 7"), "100 millis"))
  const cancelled = yield* Effect.forkChild(Effect.delay(forget("token 8"), "100 millis"))
  yield* Fiber.interrupt(cancelled)
  yield* Console.log("two tokens")
  yield* Fiber.join(timer)
})

program.pipe(NodeRuntime.runMain)
