// Answer at once, and do the rest beside the requests.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Fiber } from "effect"

const sendMail = (userId: number) => Effect.andThen(Effect.sleep("50 millis"), Console.log(`mail sent to ${userId}`))

const program = Effect.scoped(
  Effect.gen(function* () {
    const server = yield* Effect.scope
    // Lives as long as the server: a fiber that was not forked into it would end with its request.
    const handleRequest = (userId: number) =>
      Effect.map(Effect.forkIn(sendMail(userId), server), (mail) => ({ answer: "202 Accepted", mail }))

    const { answer, mail } = yield* handleRequest(7)
    yield* Console.log(answer)
    yield* Fiber.join(mail)
  })
)

program.pipe(NodeRuntime.runMain)
