import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { fill } from "../../../src/sink/Filling.ts"
import { dataRows } from "../../support/dataRows.ts"
import { files, inFolder } from "../../support/inFolder.ts"
import { lineFormat } from "../../support/lineFormat.ts"

const columns = [{ name: "a", typeOid: 25, typeModifier: -1 }]

/** Fills a file with one row, of which it is said that there were so many. */
const filled = (folder: string, count: number) =>
  fill(join(folder, "a.ndjson"), lineFormat(), (receiver) =>
    Effect.sync(() => {
      receiver.columns(columns, { pause: () => {}, resume: () => {} })
      const bytes = dataRows([["1"]])
      receiver.rows(bytes, 0, bytes.length)
      return count
    })
  )

describe("filling a file", () => {
  it.effect("is a defect, and leaves nothing, where a row came that is not in it", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.scoped(filled(folder, 2)))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "Of 2 rows that came, 1 were encoded")
        const all = yield* Effect.scoped(filled(folder, 1))
        assert.strictEqual(all?.rows, 1)
        assert.deepStrictEqual(readdirSync(folder), [])
      })
    ).pipe(Effect.provide(files))
  )
})
