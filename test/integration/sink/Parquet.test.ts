/** DuckDB and hyparquet read the files, and find the values and types that the database has. */
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBUUIDValue
} from "@duckdb/node-api"
import type { DuckDBValue } from "@duckdb/node-api"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { parquetReadObjects } from "hyparquet"
import * as Parquet from "../../../src/sink/Parquet.ts"
import { duckdb } from "../../support/duckdb.ts"
import * as Pg from "../../support/Pg.ts"
import { reader } from "../../support/serverRows.ts"
import { createTable, createTypes, extremes, identifier } from "./Extremes.ts"
import { encode, write } from "./Files.ts"

/** How a type's values are compared: by a text that PostgreSQL makes of a column, and the type that DuckDB finds. */
interface Compared {
  readonly duckType: string
  readonly expected: (column: string) => string
}

const as = (duckType: string, expected: Compared["expected"] = (column) => `${column}::text`): Compared => ({
  duckType,
  expected
})
/** By its bytes: on the way from DuckDB to JavaScript a text loses a byte order mark. */
const hexOf = (column: string) =>
  `case when num_nulls(${column}) = 0 then encode(convert_to(format('%s', ${column}), 'UTF8'), 'hex') end`
const text = as("VARCHAR", hexOf)
const microsOf = (column: string) => `round(extract(epoch from ${column}) * 1000000)::text`
const latest = "'294247-01-10 04:00:54.775807'"
const ifHeld = (condition: (column: string) => string, text: (column: string) => string) => (column: string) =>
  `case when ${condition(column)} then ${text(column)} end`
const number = ifHeld(
  (column) => `${column} <> 'NaN'`,
  (column) => `${column}::text`
)

const compared: Readonly<Record<string, Compared>> = {
  bool: as("BOOLEAN", (column) => `${column}::text`),
  int2: as("SMALLINT"),
  int4: as("INTEGER"),
  int8: as("BIGINT"),
  oid: as("BIGINT"),
  float4: as("FLOAT", (column) => `encode(float4send(${column}), 'hex')`),
  float8: as("DOUBLE", (column) => `encode(float8send(${column}), 'hex')`),
  "numeric(5, 2)": as("DECIMAL(5,2)", number),
  "numeric(9)": as("DECIMAL(9,0)"),
  "numeric(18, 6)": as("DECIMAL(18,6)"),
  "numeric(38, 10)": as("DECIMAL(38,10)"),
  "numeric(3, -2)": as("DECIMAL(5,0)"),
  "numeric(2, 4)": as("DECIMAL(4,4)"),
  bytea: as("BLOB", (column) => `encode(${column}, 'hex')`),
  date: as(
    "DATE",
    ifHeld(
      (column) => `isfinite(${column})`,
      (column) => `(${column} - date '1970-01-01')::text`
    )
  ),
  time: as("TIME", microsOf),
  timestamp: as(
    "TIMESTAMP",
    ifHeld((column) => `isfinite(${column}) and ${column} <= ${latest}`, microsOf)
  ),
  timestamptz: as(
    "TIMESTAMP WITH TIME ZONE",
    ifHeld((column) => `isfinite(${column}) and ${column} <= ${latest}`, microsOf)
  ),
  json: as("JSON", hexOf),
  jsonb: as("JSON", hexOf),
  uuid: as("UUID"),
  small: as("INTEGER")
}

/** The same text of what DuckDB found. */
const textOf = (value: DuckDBValue, duckType: string): string | null => {
  if (value === null) return null
  if (duckType === "FLOAT" || duckType === "DOUBLE") {
    const bytes = Buffer.alloc(duckType === "FLOAT" ? 4 : 8)
    if (duckType === "FLOAT") bytes.writeFloatBE(Number(value))
    else bytes.writeDoubleBE(Number(value))
    return bytes.toString("hex")
  }
  if (value instanceof DuckDBDateValue) return String(value.days)
  if (value instanceof DuckDBTimeValue) return String(value.micros)
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) return String(value.micros)
  if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString("hex")
  if (value instanceof DuckDBDecimalValue || value instanceof DuckDBUUIDValue) return value.toString()
  return String(value)
}

layer(Pg.layer("parquet"), { excludeTestServices: true })("Parquet", (it) => {
  it.effect("has every type at its extremes, in a type of its own where there is one", () =>
    Effect.gen(function* () {
      const { observer, url } = yield* Pg.Pg
      const server = yield* reader(url)
      const duck = yield* duckdb
      yield* createTypes(observer)
      const { columns } = yield* createTable(observer, "extremes", extremes)
      const rows = yield* Effect.promise(() => server.read("select * from extremes order by n"))
      for (const compression of ["snappy", "zstd", "none"] as const) {
        const { file, rows: count } = yield* encode(Parquet.make({ compression, unheld: "null" }), rows)
        assert.strictEqual(count, rows.rows)
        const path = yield* write("rows.parquet", file)
        const types = yield* Effect.promise(() => duck.rows(`describe select * from '${path}'`))
        const selected = columns.map(({ name, type }) =>
          (compared[type] ?? text).expected === hexOf ? `lower(hex(${identifier(name)}::varchar))` : identifier(name)
        )
        const found = yield* Effect.promise(() => duck.rows(`select ${selected.join(", ")} from '${path}' order by n`))
        for (const [index, { name, type }] of columns.entries()) {
          const { duckType, expected } = compared[type] ?? text
          assert.deepStrictEqual(types[index + 1]?.slice(0, 2), [name.replace("\ufeff", ""), duckType])
          const texts = yield* observer.rows(`select ${expected(identifier(name))} as text from extremes order by n`)
          assert.deepStrictEqual(
            found.map((row) => textOf(row[index] ?? null, duckType)),
            texts.map((row) => row["text"]),
            `${type} ${compression}`
          )
        }
      }
    }).pipe(Effect.scoped)
  )

  it.effect("fails for what a type cannot hold, and names the column", () =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const server = yield* reader(url)
      const failureOf = (sql: string) =>
        Effect.gen(function* () {
          const rows = yield* Effect.promise(() => server.read(`select ${sql} as "valid to"`))
          const encoder = yield* Parquet.make().encoder(rows.columns)
          return yield* Effect.flip(
            Effect.try({ try: () => encoder.add(rows.bytes, 0, rows.bytes.length), catch: (error) => String(error) })
          )
        })
      for (const sql of ["'infinity'::timestamptz", "'-infinity'::date", "'NaN'::numeric(5, 2)"]) {
        assert.match(
          yield* failureOf(sql),
          /column "valid to" has .*, which a Parquet \w+ cannot hold: cast it to text in the query, or make it NULL there/
        )
      }
      assert.include(yield* failureOf("'294276-12-31'::timestamp"), "a year after 294246")
      yield* Effect.promise(() => server.read("set datestyle = 'German'"))
      assert.include(yield* failureOf("'2000-01-01'::date"), "DateStyle ISO")
    }).pipe(Effect.scoped)
  )

  it.effect("has every row in its place, whatever the row groups, and bounds that readers may skip by", () =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const server = yield* reader(url)
      const duck = yield* duckdb
      const rows = yield* Effect.promise(() =>
        server.read(`select i, i::int8 * 1000003 as wide, ((i % 1000)::numeric / 100)::numeric(9, 2) as d, 'state ' || i % 7 as few,
          'text ' || i as many, case when i % 3 = 0 then null else i end as gaps, null::text as nothing,
          timestamptz '2020-01-01 00:00:00+00' + i * interval '1 minute' as moment, i % 2 = 0 as even
          from generate_series(0, 9999) i`)
      )
      const { file } = yield* encode(Parquet.make({ rowGroupRows: 1500 }), rows, 20_000)
      const path = yield* write("groups.parquet", file)
      const query = (sql: string) => Effect.promise(() => duck.rows(sql.replaceAll("FILE", `'${path}'`)))
      assert.deepStrictEqual(
        yield* query("select num_row_groups::int, num_rows::int from parquet_file_metadata(FILE)"),
        [[7, 10_000]]
      )
      assert.deepStrictEqual(
        yield* query(`select count(*)::int from range(10000) t(i) full join FILE f on f.i = t.i
          where f.i is null or t.i is null or wide <> t.i::bigint * 1000003 or few <> 'state ' || t.i % 7
            or many <> 'text ' || t.i or gaps is distinct from case when t.i % 3 = 0 then null else t.i end
            or nothing is not null or even <> (t.i % 2 = 0)
            or epoch_us(moment) <> epoch_us(timestamptz '2020-01-01 00:00:00+00') + t.i::bigint * 60000000`),
        [[0]]
      )
      const other = yield* Effect.promise(() => parquetReadObjects({ file: Uint8Array.from(file).buffer }))
      assert.deepStrictEqual(
        other,
        Array.from({ length: 10_000 }, (_, i) => ({
          i,
          wide: BigInt(i) * 1_000_003n,
          // As this reader computes it: 35 hundredths are not quite 0.35.
          d: (i % 1000) * 0.01,
          few: `state ${i % 7}`,
          many: `text ${i}`,
          gaps: i % 3 === 0 ? null : i,
          nothing: null,
          moment: new Date(Date.UTC(2020, 0, 1, 0, i)),
          even: i % 2 === 0
        }))
      )
      // Readers skip row groups by their bounds: the row that is looked for is in one of them.
      assert.deepStrictEqual(
        yield* query(`select count(*)::int from FILE where i = 7777 and wide = 7777::bigint * 1000003 and many = 'text 7777'
          and moment = timestamptz '2020-01-06 09:37:00+00'`),
        [[1]]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("is a file without rows, too", () =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const server = yield* reader(url)
      const duck = yield* duckdb
      const rows = yield* Effect.promise(() => server.read("select 1 as a, 'x' as b where false"))
      const { file } = yield* encode(Parquet.make(), rows)
      const path = yield* write("empty.parquet", file)
      assert.deepStrictEqual(
        (yield* Effect.promise(() => duck.rows(`describe select * from '${path}'`))).map((row) => row.slice(0, 2)),
        [
          ["a", "INTEGER"],
          ["b", "VARCHAR"]
        ]
      )
      assert.deepStrictEqual(yield* Effect.promise(() => duck.rows(`select count(*)::int from '${path}'`)), [[0]])
    }).pipe(Effect.scoped)
  )
})
