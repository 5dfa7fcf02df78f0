// A long loop that lets others have their turn.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { Background } from "querypool/task"

const program = Effect.gen(function* () {
  let beats = 0
  const heart = setInterval(() => beats++, 1)
  const total = yield* Stream.range(0, 999_999).pipe(
    Background.yieldEvery(), // after each millisecond; the event loop turns, and not only other fibers
    Stream.runFold(
      () => 0,
      (sum, i) => sum + i
    )
  )
  clearInterval(heart)
  yield* Console.log(total)
  if (beats > 0) yield* Console.log("others had their turn")
})

program.pipe(NodeRuntime.runMain)
