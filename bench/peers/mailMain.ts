/** A mail server in a process of its own. Says its port first, and for each message to it the ids that it has taken since. */
import { SMTPServer } from "smtp-server"

let taken: Array<string> = []

const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ["STARTTLS"],
  onData: (stream, _session, done) => {
    let text = ""
    stream.setEncoding("utf8")
    stream.on("data", (part: string) => (text += part))
    stream.on("end", () => {
      const [, id = ""] = /^Message-ID: <([^@>]+)/im.exec(text) ?? []
      taken.push(id)
      done()
    })
  }
})
// A client that is killed in the middle of a mail.
server.on("error", () => {})
server.listen(0, "127.0.0.1", () => {
  const address = server.server.address()
  process.send?.({ port: typeof address === "object" && address !== null ? address.port : 0 })
})

process.on("message", () => {
  process.send?.({ taken })
  taken = []
})
process.on("disconnect", () => process.exit())
