import type { Effect, FileSystem, Layer, Path } from "effect"
import type { KeyValueStore } from "effect/persistence/KeyValueStore"
import { DurationHistory, QueryPool } from "querypool"
import type { Query } from "querypool"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

declare const query: Query.Query<number>

// ---- a history is asked where there is one, and never required -------------------------------------------------------

const run = QueryPool.all([query], { order: "longest-first" })
expect<Equals<typeof run, Effect.Effect<[number], never, QueryPool.QueryPool>>>()

// ---- its layers fail for nobody --------------------------------------------------------------------------------------

expect<Equals<typeof DurationHistory.layer, Layer.Layer<DurationHistory.DurationHistory, never, KeyValueStore>>>()
const inFolder = DurationHistory.layerFileSystem("cache")
expect<
  Equals<typeof inFolder, Layer.Layer<DurationHistory.DurationHistory, never, FileSystem.FileSystem | Path.Path>>
>()

// ---- another one can be made -----------------------------------------------------------------------------------------

declare const recall: Effect.Effect<(name: string) => number | undefined>
declare const learn: (run: ReadonlyMap<string, number>) => Effect.Effect<void>
accept(DurationHistory.DurationHistory.of({ recall, learn }))
