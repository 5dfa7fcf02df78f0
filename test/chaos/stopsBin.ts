/**
 * The long form of `Stops.ts`: `npm run -s chaos:stop -- --rounds 200 --save`.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Clock, Console, Context, Duration, Effect, FileSystem, Layer, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import os from "node:os"
import { fileURLToPath } from "node:url"
import { EmbeddedPostgres } from "querypool/embedded"
import * as Server from "../support/Server.ts"
import * as Stops from "./Stops.ts"

class WentWrong extends Schema.TaggedError<WentWrong>()("WentWrong", { message: Schema.String }) {}

const file = fileURLToPath(new URL("../../bench/results/stop.json", import.meta.url))

const count = (name: string, description: string, otherwise: number) =>
  Flag.Int(name).pipe(Flag.withDescription(description), Flag.withDefault(otherwise))

const stops = Command.make(
  "chaos:stop",
  {
    rounds: count("rounds", "How many runners are stopped", 20),
    seed: count("seed", "What the moments follow from", 1),
    save: Flag.Boolean("save").pipe(
      Flag.withDescription("Keep the figures in bench/results/stop.json"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("stops")(function* ({ rounds, save, seed }) {
    const context = yield* Layer.build(EmbeddedPostgres.layer({ settings: { max_connections: 100 } }))
    const { url } = Context.get(context, EmbeddedPostgres)
    const server = yield* Server.make(url)
    const [took, result] = yield* Effect.timed(Stops.run({ url, server }, { rounds, seed }))
    const [row] = yield* server.rows("select current_setting('server_version') as version")
    const cpus = os.cpus()
    const machine = {
      day: new Date(yield* Clock.currentTimeMillis).toISOString().slice(0, 10),
      cpu: cpus[0]?.model ?? "unknown",
      cores: cpus.length,
      node: process.versions.node,
      postgres: String(row?.["version"])
    }
    const text = JSON.stringify({ seed, machine, seconds: Math.round(Duration.toSeconds(took)), ...result }, null, 2)
    yield* Console.log(text)
    if (save) yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.writeFileString(file, `${text}\n`))
    if (result.wrong.length > 0) return yield* new WentWrong({ message: result.wrong.join("\n") })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Stop runners of tasks at any moment, under load, and see that nothing is lost, left or written twice"
  )
)

stops.pipe(Command.run({ version: "0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
