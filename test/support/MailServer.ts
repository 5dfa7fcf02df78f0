/** A mail server on a port of its own, which keeps what it takes, and refuses what it is told to. */
import type { Scope } from "effect"
import { Effect } from "effect"
import { SMTPServer } from "smtp-server"

export interface MailServer {
  readonly url: string
  /** The ids of the mails that it has taken, in that order. */
  readonly taken: ReadonlyArray<string>
}

/** What is said to a mail that is not taken. */
export interface Refusal {
  readonly responseCode: number
  readonly message: string
}

/** `refuse` looks at each mail before it is taken. */
export const make = (
  refuse: (mail: { readonly id: string; readonly subject: string }) => Refusal | undefined = () => undefined
): Effect.Effect<MailServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const taken: Array<string> = []
    const opened = new SMTPServer({
      authOptional: true,
      disabledCommands: ["STARTTLS"],
      onData: (stream, _session, done) => {
        let text = ""
        stream.setEncoding("utf8")
        stream.on("data", (part: string) => (text += part))
        stream.on("end", () => {
          const [, id = ""] = /^Message-ID: <([^@>]+)/im.exec(text) ?? []
          const [, subject = ""] = /^Subject: (.*)$/im.exec(text) ?? []
          const refusal = refuse({ id, subject })
          if (refusal !== undefined) return done(Object.assign(new Error(refusal.message), refusal))
          taken.push(id)
          done()
        })
      }
    })
    // A client that is killed in the middle of a mail.
    opened.on("error", () => {})
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        opened.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () => Effect.callback<void>((resume) => opened.close(() => resume(Effect.void)))
    )
    const address = opened.server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { url: `smtp://127.0.0.1:${port}`, taken }
  })
