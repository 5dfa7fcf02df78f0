// A process that owns an embedded server. It says `{ processId, url }` on standard output once the server is ready.
//
//   plainly    runs without any signal handler, until it is killed
//   orderly    closes the layer on SIGINT and SIGTERM
//   forgetful  starts the server and closes nothing
//   parental   as plainly, with a child process of its own that outlives it
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Redacted } from "effect"
import { EmbeddedPostgres } from "querypool/embedded"
import { spawn } from "node:child_process"

const [, , manner] = process.argv

const announce = Layer.effectDiscard(
  Effect.map(EmbeddedPostgres, ({ processId, url }) => {
    const child = manner === "parental" ? spawn("sleep", ["600"], { detached: true, stdio: "ignore" }).pid : undefined
    process.stdout.write(JSON.stringify({ processId, url: Redacted.value(url), child }) + "\n")
  })
)

const owner = Layer.launch(Layer.provide(announce, EmbeddedPostgres.layer()))

if (manner !== "forgetful") process.stdin.resume()
if (manner === "orderly") NodeRuntime.runMain(owner)
else Effect.runFork(owner)
