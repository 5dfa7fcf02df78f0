/** DuckDB reads the files, and finds the values that the command line's document has of the same rows. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { toJson } from "../../../src/cli/TextValue.ts"
import * as Json from "../../../src/sink/Json.ts"
import { duckdb } from "../../support/duckdb.ts"
import * as Pg from "../../support/Pg.ts"
import type { ServerRows } from "../../support/serverRows.ts"
import { reader, valuesOf } from "../../support/serverRows.ts"
import { createTable, createTypes, extremes } from "./Extremes.ts"
import { encode, write } from "./Files.ts"

/** What a program that reads JSON makes of the rows. */
const expected = (rows: ServerRows): ReadonlyArray<unknown> =>
  valuesOf(rows).map((values) =>
    JSON.parse(
      `{${values.map((value, index) => {
        const { name = "", typeOid = 0 } = rows.columns[index] ?? {}
        return `${JSON.stringify(name)}:${JSON.stringify(toJson(value, typeOid))}`
      })}}`
    )
  )

/** What DuckDB finds in a file, row by row. */
const found = (reader: string, name: string, contents: Uint8Array) =>
  Effect.gen(function* () {
    const duck = yield* duckdb
    const path = yield* write(name, contents)
    const rows = yield* Effect.promise(() => duck.rows(`select json::varchar from ${reader.replace("PATH", path)}`))
    return rows.map(([text]) => JSON.parse(String(text)) as unknown)
  }).pipe(Effect.scoped)

layer(Pg.layer("json"), { excludeTestServices: true })("JSON", (it) => {
  it.effect("has every type at its extremes, row by row in lines and as one array", () =>
    Effect.gen(function* () {
      const { observer, url } = yield* Pg.Pg
      const server = yield* reader(url)
      yield* createTypes(observer)
      yield* createTable(observer, "extremes", extremes)
      const rows = yield* Effect.promise(() => server.read("select * from extremes order by n"))
      const lines = yield* encode(Json.ndjson, rows)
      const array = yield* encode(Json.json, rows, 100_000)
      assert.strictEqual(lines.rows, rows.rows)
      assert.strictEqual(array.rows, rows.rows)
      const values = expected(rows)
      assert.deepStrictEqual(
        lines.file
          .toString()
          .trimEnd()
          .split("\n")
          .map((line): unknown => JSON.parse(line)),
        values
      )
      assert.deepStrictEqual(JSON.parse(array.file.toString()), values)
      assert.deepStrictEqual(yield* found("read_ndjson_objects('PATH')", "rows.ndjson", lines.file), values)
      assert.deepStrictEqual(
        yield* found("read_json_objects('PATH', format = 'array')", "rows.json", array.file),
        values
      )
    }).pipe(Effect.scoped)
  )
})
