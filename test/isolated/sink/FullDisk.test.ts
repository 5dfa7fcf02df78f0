import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { PgQueryPool, Query, QueryPool, QuerySink } from "querypool"
import { EmbeddedPostgres } from "querypool/embedded"
import { inFileSystem, mayMount } from "../../support/fileSystem.ts"
import { files } from "../../support/inFolder.ts"
import { lineFormat } from "../../support/lineFormat.ts"

const pool = Layer.unwrap(Effect.map(EmbeddedPostgres, ({ url }) => PgQueryPool.layer({ url, maxConnections: 4 })))

const large = (folder: string, name: string) =>
  QuerySink.file({
    name,
    statement: (sql) => sql`select i, repeat('x', 1000) from generate_series(1, 50000) as i`,
    path: join(folder, `${name}.ndjson`),
    format: lineFormat()
  })

const small = (folder: string, name: string) =>
  QuerySink.file({
    name,
    statement: (sql) => sql`select 1`,
    path: join(folder, `${name}.ndjson`),
    format: lineFormat()
  })

layer(Layer.merge(EmbeddedPostgres.layer(), files), { excludeTestServices: true })("a disk", (it) => {
  it.effect.skipIf(!mayMount)("that is full fails the query that filled it: its file is gone, and others go on", () =>
    inFileSystem("size=8m", (folder) =>
      Effect.gen(function* () {
        const outcomes = yield* QueryPool.all(
          {
            large: large(folder, "large"),
            before: small(folder, "before"),
            other: Query.make("other", (sql) => sql`select 1 as n`)
          },
          { concurrency: 3, mode: "outcome" }
        )
        assert.isTrue(outcomes.large._tag === "Failed" && outcomes.large.error._tag === "SinkError")
        if (outcomes.large._tag !== "Failed") return
        assert.match(
          outcomes.large.error.message,
          /^Cannot write .*\/large\.ndjson: no space is left after [1-9]\d* bytes: free some, or choose another disk$/
        )
        assert.strictEqual(outcomes.before._tag, "Succeeded")
        assert.strictEqual(outcomes.other._tag, "Succeeded")
        assert.deepStrictEqual(readdirSync(folder), ["before.ndjson"])
        // And there is room again.
        assert.strictEqual((yield* small(folder, "after")).rows, 1)
      })
    ).pipe(Effect.provide(pool))
  )

  it.effect.skipIf(!mayMount)("that is read-only is told of in a line", () =>
    inFileSystem("size=1m,ro", (folder) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(small(folder, "a"))
        assert.strictEqual(
          error.message,
          `Cannot write ${folder}/a.ndjson: the file system is read-only: choose another folder`
        )
      })
    ).pipe(Effect.provide(pool))
  )
})
