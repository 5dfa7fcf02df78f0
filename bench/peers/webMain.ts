/**
 * The server of `examples/19-web`, with a store that forgets at once what it is offered: each request is read, checked and
 * answered as there, and nothing runs beside it.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Context, Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { TaskStore, TaskStoreMemory } from "querypool/task"
import { createServer } from "node:http"
import * as Server from "../../examples/19-web/server.ts"

const Forgetful = Layer.effect(
  TaskStore.TaskStore,
  Effect.map(Layer.build(TaskStoreMemory.layerMemory()), (context) => ({
    ...Context.get(context, TaskStore.TaskStore),
    offer: (offers: ReadonlyArray<TaskStore.Offer>) => Effect.succeed(offers.map(({ id }) => id))
  }))
)

const Main = Layer.unwrap(
  Effect.map(Config.Int("PORT"), (port) =>
    HttpRouter.serve(Server.layer).pipe(
      Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port })),
      Layer.provide(Forgetful)
    )
  )
)

Layer.launch(Main).pipe(NodeRuntime.runMain)
