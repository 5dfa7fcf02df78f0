/**
 * The long form of `Kills.ts`: `npm run -s chaos:resume -- --kills 200 --save`.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Clock, Console, Context, Duration, Effect, FileSystem, Layer, Redacted, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import os from "node:os"
import { fileURLToPath } from "node:url"
import { EmbeddedPostgres } from "querypool/embedded"
import * as Server from "../support/Server.ts"
import * as Kills from "./Kills.ts"

class WentWrong extends Schema.TaggedError<WentWrong>()("WentWrong", { message: Schema.String }) {}

const file = fileURLToPath(new URL("../../bench/results/resume.json", import.meta.url))

const count = (name: string, description: string, otherwise: number) =>
  Flag.Int(name).pipe(Flag.withDescription(description), Flag.withDefault(otherwise))

const kills = Command.make(
  "chaos:resume",
  {
    kills: count("kills", "How many runs are killed", 20),
    seed: count("seed", "What the moments follow from", 1),
    save: Flag.Boolean("save").pipe(
      Flag.withDescription("Keep the figures in bench/results/resume.json"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("kills")(function* ({ kills, save, seed }) {
    const context = yield* Layer.build(EmbeddedPostgres.layer())
    const { url } = Context.get(context, EmbeddedPostgres)
    const server = yield* Server.make(url)
    const [took, result] = yield* Effect.timed(Kills.run({ url: Redacted.value(url), server }, { kills, seed }))
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
  Command.withDescription("Kill runs at any moment, go on with --resume, and see that nothing is lost or written twice")
)

kills.pipe(Command.run({ version: "0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
