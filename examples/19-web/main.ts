// A server with a contact form. It answers at once; messages are stored and mailed beside the requests. It is stopped by
// Ctrl-C or SIGTERM: first nobody is let in any more, then what runs has ten seconds to end, then the connections close.
//
//     DATABASE_URL=postgres://… SMTP_URL=smtp://localhost:1025 PORT=3000 node main.ts
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { PgQueryPool } from "querypool"
import { TaskRunner, TaskStoreMemory } from "querypool/task"
import { createServer } from "node:http"
import * as Handlers from "./handlers.ts"
import { Mail } from "./mail.ts"
import * as Messages from "./messages.ts"
import * as Server from "./server.ts"

const settings = Config.all({
  smtp: Config.Redacted("SMTP_URL"),
  from: Config.withDefault(Config.String("MAIL_FROM"), "form@contact.example"),
  to: Config.withDefault(Config.String("MAIL_TO"), "us@contact.example"),
  port: Config.withDefault(Config.Int("PORT"), 3000),
  cleanUp: Config.withDefault(Config.String("CLEAN_UP"), "30 3 * * *")
})

const Main = Layer.unwrap(
  Effect.map(settings, ({ cleanUp, from, port, smtp, to }) => {
    const Runner = TaskRunner.layer({ concurrency: 10, queues: { mail: { concurrency: 5 } } })
    const Tasks = Handlers.layer({ cleanUp }).pipe(
      Layer.provide(Mail.layer({ url: smtp, from, to })),
      Layer.provide(Runner)
    )
    const Http = HttpRouter.serve(Server.layer).pipe(
      Layer.provide(
        NodeHttpServer.layer(createServer, { host: "127.0.0.1", port, gracefulShutdownTimeout: "5 seconds" })
      )
    )
    // Each is closed before what is provided to it.
    return Http.pipe(
      Layer.provide(Tasks),
      Layer.provide(TaskStoreMemory.layerMemory()),
      Layer.provide(Layer.effectDiscard(Messages.createTable)),
      Layer.provide(PgQueryPool.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
    )
  })
)

Layer.launch(Main).pipe(NodeRuntime.runMain)
