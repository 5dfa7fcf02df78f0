/** Whatever is in a table, and whatever is known or believed of it: its parts have each of its rows once. */
import { assert, layer } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Partition } from "querypool"
import { Dice } from "../../chaos/Dice.ts"
import * as Pg from "../../support/Pg.ts"

/** Makes values of a type, as texts. */
type Values = (dice: Dice) => string

const oneOf =
  (...values: readonly [string, ...ReadonlyArray<string>]): Values =>
  (dice) =>
    dice.pick(values)

/** One of these in every fifth place or so, and otherwise something ordinary. */
const withSome =
  (some: Values, ordinary: Values): Values =>
  (dice) =>
    dice.chance(0.2) ? some(dice) : ordinary(dice)

const integer =
  (least: number, most: number): Values =>
  (dice) =>
    String(dice.between(least, most))

const digits = (dice: Dice, count: number): string =>
  Array.from({ length: count }, () => String(dice.between(0, 9))).join("")

const letters = [
  "a",
  "A",
  "b",
  "B",
  "ä",
  "Z",
  "z",
  "ß",
  "é",
  "_",
  " ",
  "-",
  "1",
  "\u{1f600}",
  "\u0301",
  "'",
  "\\",
  '"'
] as const

const wordOf =
  (most: number): Values =>
  (dice) =>
    Array.from({ length: dice.between(0, most) }, () => dice.pick(letters)).join("")
const word = wordOf(6)

const time = (dice: Dice) =>
  `${dice.between(10, 23)}:${dice.between(10, 59)}:${dice.between(10, 59)}.${digits(dice, 6)}`
const day = (dice: Dice) => `${dice.between(1000, 2999)}-${dice.between(10, 12)}-${dice.between(10, 28)}`
const early = oneOf("4713-01-01 BC", "0044-03-15 BC", "0001-01-01", "-infinity", "infinity", "200000-01-01")
const uuid = (dice: Dice) =>
  Array.from({ length: 32 }, () => dice.between(0, 15).toString(16))
    .join("")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")

const types: ReadonlyArray<readonly [type: string, values: Values]> = [
  ["int2", withSome(oneOf("-32768", "32767"), integer(-100, 100))],
  ["int4", withSome(oneOf("-2147483648", "2147483647"), integer(-10_000, 10_000))],
  ["int8", withSome(oneOf("-9223372036854775808", "9223372036854775807", "9007199254740993"), integer(-9, 9_000_000))],
  [
    "numeric",
    withSome(
      oneOf("NaN", "Infinity", "-Infinity", "0.0", "-0.00", `1${"0".repeat(300)}.5`),
      (dice) => `${integer(-9, 9)(dice)}.${digits(dice, 25)}`
    )
  ],
  ["numeric(10, 2)", withSome(oneOf("NaN", "0"), (dice) => `${integer(-99, 99)(dice)}.${digits(dice, 2)}`)],
  [
    "float8",
    withSome(
      oneOf("NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "-1.7e308"),
      (dice) => `${digits(dice, 1)}.${digits(dice, 16)}e${dice.between(-9, 9)}`
    )
  ],
  ["float4", withSome(oneOf("NaN", "Infinity", "3.4e38"), (dice) => `${digits(dice, 1)}.${digits(dice, 9)}`)],
  ["date", withSome(early, day)],
  ["timestamp", withSome(early, (dice) => `${day(dice)} ${time(dice)}`)],
  ["timestamptz", withSome(early, (dice) => `${day(dice)} ${time(dice)}+0${dice.between(0, 9)}`)],
  ["uuid", withSome(oneOf("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"), uuid)],
  ['text collate "C"', word],
  ["text collate pg_c_utf8", word],
  ['text collate "und-x-icu"', word],
  ["text collate lax", word],
  ["text", word],
  ["varchar(4)", wordOf(4)],
  ["char(5)", wordOf(5)],
  ["name", word],
  [
    "bytea",
    (dice) =>
      `\\x${uuid(dice)
        .replaceAll("-", "")
        .slice(0, 2 * dice.between(0, 4))}`
  ],
  ["bool", oneOf("true", "false")],
  ["interval", (dice) => `${dice.between(-20, 20)} days ${dice.between(-600_000, 600_000)} seconds`],
  ["time", time],
  ["inet", (dice) => `10.0.${dice.between(0, 3)}.${dice.between(0, 255)}/${dice.between(24, 32)}`],
  ["mood", oneOf("sad", "ok", "happy", "wild")],
  ["even", (dice) => String(2 * dice.between(-500, 500))],
  ["int4[]", (dice) => `{${Array.from({ length: dice.between(0, 3) }, () => integer(0, 5)(dice)).join(",")}}`],
  ["int4range", (dice) => `[${dice.between(0, 50)},${dice.between(50, 99)}]`],
  ["bit(5)", (dice) => dice.between(0, 31).toString(2).padStart(5, "0")],
  ["pair", (dice) => `(${dice.between(0, 3)},${dice.chance(0.3) ? "" : dice.between(0, 3)})`],
  // Sorted in one way by default, and compared in another by whoever does not have its schema in the search path.
  ["lone.citext", word],
  ["lone.ci", word]
]

const setUp = `
  create collation lax (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
  create type mood as enum ('sad', 'ok', 'happy', 'wild');
  create domain even as int check (value % 2 = 0);
  create type pair as (a int, b int);
  create schema lone;
  create extension citext schema lone;
  create domain lone.ci as text collate lax`

type Shape = "empty" | "one row" | "all equal" | "all null" | "few values" | "skewed" | "any" | "with nulls"
const shapes: readonly [Shape, ...ReadonlyArray<Shape>] = [
  "any",
  "empty",
  "one row",
  "all equal",
  "all null",
  "few values",
  "skewed",
  "with nulls"
]

const rows = (count: number, value: () => string | null) => Array.from({ length: count }, value)

const fill = (dice: Dice, shape: Shape, values: Values): ReadonlyArray<string | null> => {
  const many = dice.between(2, 400)
  const few = Array.from({ length: dice.between(2, 6) }, () => values(dice))
  const first = few[0] ?? ""
  switch (shape) {
    case "empty":
      return []
    case "one row":
      return rows(1, () => values(dice))
    case "all equal":
      return rows(many, () => first)
    case "all null":
      return rows(many, () => null)
    case "few values":
      return rows(many, () => few[dice.between(0, few.length - 1)] ?? null)
    case "skewed":
      return rows(many, () => (dice.chance(0.7) ? first : values(dice)))
    case "any":
      return rows(many, () => values(dice))
    case "with nulls":
      return rows(many, () => (dice.chance(0.4) ? null : values(dice)))
  }
}

const Row = Schema.Struct({ at: Schema.String, value: Schema.NullOr(Schema.String) })

const placesOf = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>) =>
  rows.map((row) => String(row["at"])).toSorted()

/** What is known of the table when it is cut. */
type Known = "nothing" | "all" | "what was before"

/** The server's own words, which stand at the bottom of an error. */
const why = (error: Error): string => (error.cause instanceof Error ? why(error.cause) : error.message)

/** Two for each type. */
const runs = 2 * types.length

layer(Pg.layer("PartitionAnyTable"), { excludeTestServices: true })("the parts of any table", (it) => {
  const check = Effect.fnUntraced(function* (seed: number) {
    const { observer } = yield* Pg.Pg
    const dice = new Dice(seed)
    const [type, values] = types[seed % types.length] ?? types[0] ?? (yield* Effect.die("no types"))
    const shape = dice.pick(shapes)
    const known = dice.pick<Known>(["nothing", "all", "what was before"])
    const indexed = dice.chance(0.5) && type !== "pair"
    const table = `any_${seed}`
    const insert = (rows: ReadonlyArray<string | null>) =>
      rows.length === 0
        ? Effect.void
        : observer.rows(
            `insert into ${table} select v::${type.replace(/ collate .*/, "")} from json_array_elements_text($1::text::json) v`,
            [JSON.stringify(rows)]
          )
    yield* observer.rows(`create table ${table} (value ${type})`)
    if (indexed) yield* observer.rows(`create index on ${table} (value)`)
    yield* insert(fill(dice, shape, values))
    // What a session has changed is counted up to a second later, and would count as changed after ANALYZE.
    yield* observer.rows("select pg_stat_force_next_flush()")
    if (known !== "nothing") yield* observer.rows(`analyze ${table}`)
    if (known === "what was before") {
      yield* observer.rows(`delete from ${table} where random() < 0.8`)
      yield* insert(fill(dice, dice.pick(shapes), values))
    }
    yield* observer.rows("select pg_stat_force_next_flush()")

    const bounds = Array.from({ length: dice.between(0, 6) }, () => values(dice))
    const parts = dice.between(1, 9)
    const by = dice.chance(0.3) ? { bounds: [...bounds, ...bounds.slice(0, 2)] } : { parts }
    const partition = Partition.byRange(
      {
        name: table,
        schema: Row,
        statement: (sql) => sql`select ctid::text as at, value from ${sql.literal(table)} where ${true}`
      },
      { column: "value", ...by }
    )
    const about = `seed ${seed}: ${type}, ${shape}, ${known} known, ${JSON.stringify(by)}`
    const whole = yield* observer.rows(`select ctid::text as at from ${table}`)
    const plan = yield* Partition.plan(partition)
    const rows = yield* Partition.findAll(partition, { concurrency: dice.between(1, 4) })
    assert.deepStrictEqual(placesOf(rows), placesOf(whole), about)
    const preserveOrder = dice.chance(0.5)
    const streamed = yield* Stream.runCollect(Partition.stream(partition, { preserveOrder, concurrency: 3 }))
    assert.deepStrictEqual(placesOf(streamed), placesOf(whole), about)
    if (preserveOrder) assert.deepStrictEqual(placesOf(streamed.slice(0, 3)), placesOf(rows.slice(0, 3)), about)
    assert.isAtMost(plan.parts.length, "bounds" in by ? bounds.length + 1 : parts, about)
    yield* observer.rows(`drop table ${table}`)
    return plan
  })

  it.effect(
    "have each of its rows once",
    () =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        for (const statement of setUp.split(";")) yield* observer.rows(statement)
        const seeds = Array.from({ length: runs }, (_, seed) => seed)
        const plans = yield* Effect.forEach(seeds, (seed) =>
          Effect.catch(check(seed), (error) => Effect.die(`seed ${seed}: ${why(error)}`))
        )
        const origins = plans.flatMap(({ origin, parts }) => (parts.length > 1 ? [origin] : []))
        assert.includeMembers(origins, ["histogram", "min and max", "sample", "bounds"])
      }).pipe(Effect.provide(Pg.pool({ maxConnections: 4, results: "text" }))),
    120_000
  )
})
