/** PostgreSQL's own COPY reads the file into a table of the same types, and finds the values that it was made of. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { CsvOptions } from "../../../src/sink/Csv.ts"
import * as Csv from "../../../src/sink/Csv.ts"
import type { Observer } from "../../support/Pg.ts"
import * as Pg from "../../support/Pg.ts"
import type { ServerReader } from "../../support/serverRows.ts"
import { reader } from "../../support/serverRows.ts"
import { createTable, createTypes, extremes, identifier } from "./Extremes.ts"
import { encode, write } from "./Files.ts"

/** Which columns of which rows are not what they were after a way through a file, by their text at the server. */
const changed = (
  observer: Observer,
  server: ServerReader,
  table: string,
  options: CsvOptions,
  copyOptions = "header true"
) =>
  Effect.gen(function* () {
    const rows = yield* Effect.promise(() => server.read(`select * from ${table} order by n`))
    const { file } = yield* encode(Csv.make(options), rows)
    const path = yield* write("rows.csv", file)
    yield* observer.rows(`drop table if exists back`)
    yield* observer.rows(`create table back (like ${table})`)
    yield* observer.rows(`copy back from '${path}' (format csv, ${copyOptions})`)
    const differences = rows.columns.map(({ name }) => {
      const column = identifier(name)
      return `select count(*) filter (where o.${column}::text is distinct from b.${column}::text) as count, '${name.replaceAll("'", "''")}' as name
        from ${table} o full join back b using (n)`
    })
    const found = yield* observer.rows(
      `select name, count::int from (${differences.join(" union all ")}) d where count > 0`
    )
    assert.strictEqual(yield* observer.value(`select count(*)::int from back`), rows.rows)
    return found
  }).pipe(Effect.scoped)

layer(Pg.layer("csv"), { excludeTestServices: true })("CSV", (it) => {
  it.effect("is read by COPY as what it was made of, for every type at its extremes", () =>
    Effect.gen(function* () {
      const { observer, url } = yield* Pg.Pg
      const server = yield* reader(url)
      yield* createTypes(observer)
      yield* createTable(observer, "extremes", extremes)
      assert.deepStrictEqual(yield* changed(observer, server, "extremes", {}), [])
      for (const [options, copyOptions] of [
        [{ delimiter: ";" }, "delimiter ';', header match"],
        [{ delimiter: "\t", lineEnd: "\r\n" }, "delimiter E'\\t', header true"],
        [{ header: false, null: "NULL" }, "null 'NULL'"],
        [{ null: "\\N", delimiter: "1" }, "null '\\N', delimiter '1', header true"],
        [{ null: "t" }, "null 't', header true"]
      ] as const) {
        assert.deepStrictEqual(yield* changed(observer, server, "extremes", options, copyOptions), [], copyOptions)
      }
    }).pipe(Effect.scoped)
  )
})
