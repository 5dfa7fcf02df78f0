/** Whatever rows there are: each format says the same as the server. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { toJson } from "../../../src/cli/TextValue.ts"
import * as Csv from "../../../src/sink/Csv.ts"
import * as Json from "../../../src/sink/Json.ts"
import * as Parquet from "../../../src/sink/Parquet.ts"
import { Dice } from "../../chaos/Dice.ts"
import { duckdb } from "../../support/duckdb.ts"
import * as Pg from "../../support/Pg.ts"
import { reader, valuesOf } from "../../support/serverRows.ts"
import { encode, write } from "./Files.ts"

const characters = [
  "a",
  "Z",
  "1",
  " ",
  ",",
  ";",
  '"',
  "'",
  "\\",
  ".",
  "\n",
  "\r",
  "\t",
  "\u0001",
  "\u007f",
  "{",
  "}",
  "é",
  "漢",
  "😀",
  "\ufeff",
  "NULL",
  "\\."
] as const

const word = (dice: Dice): string =>
  Array.from({ length: dice.between(0, dice.chance(0.1) ? 200 : 6) }, () => dice.pick(characters)).join("")
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`
const digits = (dice: Dice, most: number): string =>
  Array.from({ length: dice.between(1, most) }, () => String(dice.between(0, 9))).join("")
const sign = (dice: Dice): string => (dice.chance(0.5) ? "-" : "")

/** By type: SQL for a value, which the server renders. Those before the line DuckDB renders alike. */
const makers: ReadonlyArray<readonly [type: string, make: (dice: Dice) => string]> = [
  ["text", (dice) => quoted(word(dice))],
  ["bool", (dice) => String(dice.chance(0.5))],
  ["int4", (dice) => `'${sign(dice)}${digits(dice, 9)}'`],
  ["int8", (dice) => `'${sign(dice)}${digits(dice, 18)}'`],
  ["numeric(30, 10)", (dice) => `'${sign(dice)}${digits(dice, 20)}.${digits(dice, 10)}'`],
  ["numeric(8, 3)", (dice) => `'${sign(dice)}${digits(dice, 5)}.${digits(dice, 3)}'`],
  ["numeric", (dice) => `'${sign(dice)}${digits(dice, 30)}.${digits(dice, 30)}'`],
  ["uuid", (dice) => `md5('${digits(dice, 5)}')::uuid`],
  ["date", (dice) => `date '2000-02-29' + ${dice.between(-700_000, 2_900_000)}`],
  ["timestamp", (dice) => `timestamp '2000-01-01' + ${sign(dice)}${digits(dice, 10)} * interval '1.000003 s'`],
  ["text[]", (dice) => `array[${quoted(word(dice))}, null, ${quoted(word(dice))}]`],
  // ---
  ["float8", (dice) => `'${sign(dice)}${digits(dice, 17)}e${sign(dice)}${dice.between(0, 290)}'`],
  ["float4", (dice) => `'${sign(dice)}${digits(dice, 9)}e${sign(dice)}${dice.between(0, 28)}'`],
  ["timestamptz", (dice) => `timestamptz '2000-01-01' + ${sign(dice)}${digits(dice, 10)} * interval '1.000003 s'`],
  ["bytea", (dice) => `convert_to(${quoted(word(dice))}, 'UTF8')`],
  ["json", (dice) => `to_json(array[${quoted(word(dice))}, '1'])`],
  [
    "jsonb",
    (dice) => `jsonb_build_object(${quoted(word(dice))}, ${quoted(word(dice))}, 'b', ${digits(dice, 20)}::numeric)`
  ],
  ["int8[]", (dice) => `array[[${digits(dice, 18)}, null], [0, 1]]`],
  ["float8[]", (dice) => `array['${digits(dice, 17)}'::float8, 'NaN']`],
  [
    "interval",
    (dice) => `make_interval(months => ${dice.between(-50, 50)}, secs => ${dice.between(-9999, 9999)} / 7.0)`
  ],
  ["inet", (dice) => `'10.0.0.${dice.between(0, 255)}'`]
]
const renderedAlike = new Set(makers.slice(0, 11).map(([type]) => type))

const tables = 40

layer(Pg.layer("any rows"), { excludeTestServices: true })("any rows", (it) => {
  it.effect("are the same in every format", () =>
    Effect.gen(function* () {
      const { observer, url } = yield* Pg.Pg
      const server = yield* reader(url)
      const duck = yield* duckdb
      for (let seed = 1; seed <= tables; seed++) {
        const dice = new Dice(seed)
        const columns = Array.from(
          { length: dice.between(1, 8) },
          () => makers[dice.between(0, makers.length - 1)] ?? makers[0]
        )
        const rows = Array.from({ length: dice.between(1, 12) }, (_, row) => [
          String(row),
          ...columns.map((column) =>
            column === undefined || dice.chance(0.2) ? "null" : `(${column[1](dice)})::${column[0]}`
          )
        ])
        yield* observer.rows("drop table if exists any_rows, back")
        yield* observer.rows(
          `create table any_rows (n int, ${columns.map((column, index) => `c${index} ${column?.[0]}`).join(", ")})`
        )
        yield* observer.rows(`insert into any_rows values ${rows.map((row) => `(${row.join(", ")})`).join(", ")}`)
        const sent = yield* Effect.promise(() => server.read("select * from any_rows order by n"))
        const texts = valuesOf(sent)
        const where = `seed ${seed}`

        const guarded = dice.chance(0.5)
        const csv = yield* encode(Csv.make(guarded ? { delimiter: ";", null: "NULL", lineEnd: "\r\n" } : {}), sent)
        yield* observer.rows("create table back (like any_rows)")
        const path = yield* write("rows.csv", csv.file)
        yield* observer.rows(
          `copy back from '${path}' (format csv, header match${guarded ? ", delimiter ';', null 'NULL'" : ""})`
        )
        const back = yield* Effect.promise(() => server.read("select * from back order by n"))
        assert.deepStrictEqual(valuesOf(back), texts, where)

        const lines = yield* encode(Json.ndjson, sent)
        assert.deepStrictEqual(
          lines.file
            .toString()
            .trimEnd()
            .split("\n")
            .map((line): unknown => JSON.parse(line)),
          texts.map((row) =>
            Object.fromEntries(
              sent.columns.map(({ name, typeOid }, index) => [
                name,
                JSON.parse(JSON.stringify(toJson(row[index] ?? null, typeOid))) as unknown
              ])
            )
          ),
          where
        )

        const parquet = yield* encode(Parquet.make({ rowGroupRows: dice.between(1, 12) }), sent)
        const file = yield* write("rows.parquet", parquet.file)
        const alike = columns.flatMap((column, index) => (renderedAlike.has(column?.[0] ?? "") ? [index] : []))
        const found = yield* Effect.promise(() =>
          duck.rows(
            `select n, ${alike.map((index) => `lower(hex(c${index}::varchar)), `).join("")} count(*) over () from '${file}' order by n`
          )
        )
        assert.deepStrictEqual(
          found.map((row) => row.slice(1, -1)),
          texts.map((row) =>
            alike.map((index) => {
              const text = row[index + 1] ?? null
              const isBoolean = columns[index]?.[0] === "bool"
              const rendered = isBoolean && text !== null ? String(text === "t") : text
              return rendered === null ? null : Buffer.from(rendered).toString("hex")
            })
          ),
          where
        )
      }
    }).pipe(Effect.scoped)
  )
})
