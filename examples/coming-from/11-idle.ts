// What is in no hurry waits until nothing else is to be done.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { Background } from "querypool/task"

const work = (name: string) => Effect.andThen(Effect.yieldNow, Console.log(name))

// Not for ever: after a minute it starts in any case.
const rebuildIndex = Background.idle(Console.log("index rebuilt"), { longestWait: "1 minute" })

const program = Effect.all([work("request 1"), work("request 2"), rebuildIndex], { concurrency: "unbounded" })

program.pipe(NodeRuntime.runMain)
