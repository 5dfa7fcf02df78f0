/** A proof by command: on a server of its own, with as many turns as are asked for, and its figures kept. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import type { Redacted } from "effect"
import { Clock, Console, Context, Duration, Effect, FileSystem, Layer, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import os from "node:os"
import { fileURLToPath } from "node:url"
import { EmbeddedPostgres } from "querypool/embedded"
import * as Server from "../support/Server.ts"

class WentWrong extends Schema.TaggedError<WentWrong>()("WentWrong", { message: Schema.String }) {}

const count = (name: string, description: string, otherwise: number) =>
  Flag.Int(name).pipe(Flag.withDescription(description), Flag.withDefault(otherwise))

/** Runs `chaos:NAME`, whose figures are kept in bench/results/NAME.json. */
export const runMain = <E>(options: {
  readonly name: string
  readonly about: string
  /** The flag for how many turns there are. */
  readonly turns: { readonly flag: string; readonly about: string }
  readonly run: (
    stage: { readonly url: Redacted.Redacted; readonly server: Effect.Success<ReturnType<typeof Server.make>> },
    given: { readonly turns: number; readonly seed: number }
  ) => Effect.Effect<{ readonly wrong: ReadonlyArray<string> }, E, NodeServices.NodeServices>
}): void => {
  const { about, name, run, turns } = options
  const file = fileURLToPath(new URL(`../../bench/results/${name}.json`, import.meta.url))
  const flags = {
    turns: count(turns.flag, turns.about, 20),
    seed: count("seed", "What the moments follow from", 1),
    save: Flag.Boolean("save").pipe(
      Flag.withDescription(`Keep the figures in bench/results/${name}.json`),
      Flag.withDefault(false)
    )
  }
  Command.make(
    `chaos:${name}`,
    flags,
    Effect.fn("longForm")(function* ({ save, seed, turns }) {
      const context = yield* Layer.build(EmbeddedPostgres.layer({ settings: { max_connections: 100 } }))
      const { url } = Context.get(context, EmbeddedPostgres)
      const server = yield* Server.make(url)
      const [took, result] = yield* Effect.timed(run({ url, server }, { turns, seed }))
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
    Command.withDescription(about),
    Command.run({ version: "0" }),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain
  )
}
