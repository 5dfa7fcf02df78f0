// Mail by SMTP.
import { Context, Effect, Layer, Redacted } from "effect"
import { createTransport } from "nodemailer"
import { MailDelayed, MailRefused } from "./tasks.ts"

export class Mail extends Context.Service<
  Mail,
  {
    readonly send: (mail: {
      /** The same for the same mail, so that its reader can tell one that was sent twice. */
      readonly messageId: string
      readonly replyTo: string
      readonly subject: string
      readonly text: string
    }) => Effect.Effect<void, MailDelayed | MailRefused>
  }
>()("examples/web/Mail") {
  static readonly layer = (options: {
    readonly url: Redacted.Redacted
    readonly from: string
    readonly to: string
  }): Layer.Layer<Mail> =>
    Layer.effect(
      Mail,
      Effect.gen(function* () {
        const { from, to, url } = options
        const transport = yield* Effect.acquireRelease(
          Effect.sync(() => {
            const { hostname, password, port, protocol, username } = new URL(Redacted.value(url))
            return createTransport({
              pool: true,
              host: hostname,
              port: Number(port),
              secure: protocol === "smtps:",
              ...(username === "" ? {} : { auth: { user: username, pass: decodeURIComponent(password) } }),
              connectionTimeout: 5000,
              socketTimeout: 5000
            })
          }),
          (opened) => Effect.sync(() => opened.close())
        )
        return Mail.of({
          send: (mail) =>
            Effect.tryPromise({
              try: () => transport.sendMail({ ...mail, from, to }),
              catch: (error) => {
                const message = error instanceof Error ? error.message : String(error)
                const code = error instanceof Error && "responseCode" in error ? Number(error.responseCode) : 0
                return code >= 500 ? new MailRefused({ message }) : new MailDelayed({ message })
              }
            })
        })
      })
    )
}
