// What the server can be asked: shared with clients, and free of the code that answers.
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiError, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { Contact, Progress } from "./tasks.ts"

const Html = Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/html; charset=utf-8" }))

const Accepted = Schema.Struct({ id: Schema.String }).pipe(HttpApiSchema.status(202))

class Contacts extends HttpApiGroup.make("contacts").add(
  HttpApiEndpoint.get("form", "/", { success: Html }),
  HttpApiEndpoint.post("send", "/contact", {
    payload: [Contact, Contact.pipe(HttpApiSchema.asFormUrlEncoded())],
    success: Accepted,
    error: HttpApiError.ServiceUnavailable
  })
) {}

const Listed = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  state: Schema.String,
  attempt: Schema.Int,
  why: Schema.optional(Schema.String)
})

// Whoever reaches these sees everybody's messages: a real server asks who it is.
class Admin extends HttpApiGroup.make("admin")
  .add(
    HttpApiEndpoint.get("page", "/", { success: Html }),
    HttpApiEndpoint.get("tasks", "/tasks", { success: Schema.Array(Listed) }),
    HttpApiEndpoint.post("cleanUp", "/clean-up", { success: Accepted }),
    HttpApiEndpoint.post("requeue", "/tasks/:id/requeue", {
      params: { id: Schema.String },
      success: HttpApiSchema.NoContent,
      error: HttpApiError.NotFound
    }),
    HttpApiEndpoint.get("progress", "/tasks/:id/progress", {
      params: { id: Schema.String },
      success: HttpApiSchema.StreamSse({ data: Progress })
    })
  )
  .prefix("/admin") {}

export class Api extends HttpApi.make("contact").add(Contacts).add(Admin) {}
