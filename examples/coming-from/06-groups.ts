// Several tasks at once, and one that gets what they found.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Exit, Layer, Schema } from "effect"
import { Task, TaskGroup, TaskRunner, TaskStoreMemory } from "querypool/task"

const square = Task.make("square", { payload: Schema.Int, success: Schema.Int, session: "none" })
const Square = Task.toLayer(square, (n) => Effect.succeed(n * n))

// Is called however they end: what it gets are Exits.
const total = Task.make("total", {
  payload: Schema.Array(TaskGroup.exit(square)),
  success: Schema.Int,
  session: "none"
})
const Total = Task.toLayer(total, (squares) =>
  Effect.succeed(squares.reduce((sum, exit) => sum + (Exit.isSuccess(exit) ? exit.value : 0), 0))
)

const program = Effect.gen(function* () {
  const members = [1, 2, 3].map((n) => TaskGroup.member(square, n))
  const squares = yield* TaskGroup.all(members)
  yield* Console.log(`[${squares.map((exit) => (Exit.isSuccess(exit) ? exit.value : "none")).join(", ")}]`)
  const { callback } = yield* TaskGroup.chord(members, total)
  yield* Console.log(yield* yield* callback.await)
})

const Tasks = Layer.mergeAll(Square, Total).pipe(
  Layer.provide(TaskRunner.layer()),
  Layer.provideMerge(TaskStoreMemory.layerMemory())
)
program.pipe(Effect.provide(Tasks), NodeRuntime.runMain)
