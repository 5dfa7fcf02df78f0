// What the server answers.
import { Effect, Layer, Stream } from "effect"
import { HttpApiBuilder, HttpApiError } from "effect/http-api"
import { Task } from "querypool/task"
import { Api } from "./api.ts"
import * as pages from "./pages.ts"
import { cleanUp, sendMessage } from "./tasks.ts"

const Contacts = HttpApiBuilder.group(
  Api,
  "contacts",
  Effect.fn(function* (handlers) {
    return handlers.handleAll({
      form: () => Effect.succeed(pages.form),
      // Answers at once: the message is stored and mailed beside the requests.
      send: ({ payload }) =>
        Task.enqueue(sendMessage, payload).pipe(
          Effect.map(({ id }) => ({ id })),
          Effect.mapError(() => new HttpApiError.ServiceUnavailable())
        )
    })
  })
)

const Admin = HttpApiBuilder.group(
  Api,
  "admin",
  Effect.fn(function* (handlers) {
    return handlers.handleAll({
      page: () => Effect.succeed(pages.admin),
      tasks: () =>
        Effect.map(Effect.orDie(Task.list({ limit: 1000 })), (tasks) =>
          tasks
            .toReversed()
            .map(({ id, name, state, why }) => ({ id, name, state: state._tag, attempt: state.attempt, why }))
        ),
      cleanUp: () => Effect.orDie(Effect.map(Task.enqueue(cleanUp, { olderThanDays: 30 }), ({ id }) => ({ id }))),
      requeue: ({ params }) =>
        Effect.flatMap(Effect.orDie(Task.requeue([params.id])), ([queued]) =>
          queued === undefined ? Effect.fail(new HttpApiError.NotFound()) : Effect.void
        ),
      progress: ({ params }) =>
        Effect.map(Task.handle(cleanUp, params.id), ({ progress }) => Stream.catchCause(progress, () => Stream.empty))
    })
  })
)

export const layer = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(Layer.provide([Contacts, Admin]))
