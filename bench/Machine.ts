/** What the figures were taken on: without it they say little. */
import { Clock, Effect, FileSystem, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import os from "node:os"
import { fileURLToPath } from "node:url"
import { Python } from "./peers/python.ts"
import { failAs } from "./Suite.ts"

export const Machine = Schema.Struct({
  day: Schema.String,
  cpu: Schema.String,
  cores: Schema.Int,
  memoryGiB: Schema.Int,
  node: Schema.String,
  postgres: Schema.String,
  /** Name to version of all that was compared. */
  peers: Schema.Record(Schema.String, Schema.String)
})
export type Machine = typeof Machine.Type

const packages = ["effect", "@effect/sql-pg", "pg", "postgres", "p-map", "p-queue", "fastq", "piscina"]

const bytesPerGiB = 2 ** 30

const Package = Schema.fromJsonString(Schema.Struct({ version: Schema.String }))

const versionOf = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  const path = fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url))
  const { version } = yield* Effect.flatMap(fs.readFileString(path), Schema.decodeEffect(Package))
  return [name, version] as const
})

/** Describes this machine. The server may be on another one: only its version is known. */
export const describeMachine = Effect.gen(function* () {
  const sql = yield* SqlClient
  const [server] = yield* sql<{ version: string }>`select current_setting('server_version') as version`
  const versions = yield* Effect.forEach(packages, versionOf)
  const python = yield* Python
  const cpus = os.cpus()
  return Machine.make({
    day: new Date(yield* Clock.currentTimeMillis).toISOString().slice(0, 10),
    cpu: cpus[0]?.model ?? "unknown",
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / bytesPerGiB),
    node: process.versions.node,
    postgres: server?.version ?? "unknown",
    peers: { ...Object.fromEntries(versions), ...Option.getOrUndefined(python)?.versions }
  })
}).pipe(failAs("machine"))
