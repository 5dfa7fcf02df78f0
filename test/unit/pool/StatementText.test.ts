import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { isPlannable, normalForm, withoutConstants } from "../../../src/pool/StatementText.ts"

/** As PostgreSQL 18.4 was seen to keep them, beside the statement that was run. */
const kept: ReadonlyArray<readonly [statement: string, kept: string]> = [
  ["select * from t where id = 5", "select * from t where id = $1"],
  ["SELECT  *\n  FROM t -- a comment\n where id=7", "select * from t where id = $1"],
  [
    "/* hint */ select 'it''s', E'a\\n', $$dollar$$, length(B'101'), length(x'ff'), 1.5e3, -4, + 3, null, true, false, " +
      "date '2020-01-01', interval '1 day', '5'::int, 5::text",
    "select $1, $2, $3, length($4), length($5), $6, $7, + $8, $9, $10, $11, date $12, interval $13, $14::int, $15::text"
  ],
  [
    "select id - 5, id -5, id*-5 from t where id in (1,2,3,4) and id in (5) order by 1 limit 10 offset 2",
    "select id - $1, id -$2, id*$3 from t where id in ($4 /*, ... */) and id in ($5) order by 1 limit $6 offset $7"
  ],
  [
    "select count(*) from t where name like 'a%' and id between 1 and 10 and b is null and c is not true",
    "select count(*) from t where name like $1 and id between $2 and $3 and b is null and c is not true"
  ],
  ["with x as (select 1 a) select * from x", "with x as (select $1 a) select * from x"],
  ["insert into t (id, name) values (1, 'a'), (2, 'b')", "insert into t (id, name) values ($1, $2), ($3, $4)"],
  ["update t set name = 'x' where id = -1", "update t set name = $1 where id = $2"],
  ["select pg_sleep(0.01)", "select pg_sleep($1)"],
  ["set work_mem = '4MB'", "set work_mem = $1"],
  [
    `select "id", T."ID2" from (select id, 1 as "ID2" from t) T`,
    `select "id", T."ID2" from (select id, $1 as "ID2" from t) T`
  ],
  ["select id from t where id = any(array[1,2,3])", "select id from t where id = any(array[$1 /*, ... */])"],
  ["select case when id > 3 then 'x' else 'y' end from t", "select case when id > $1 then $2 else $3 end from t"],
  [
    "select id::numeric(10,2), 'x'::varchar(5), length(id::bit(3)) from t",
    "select id::numeric(10,2), $1::varchar(5), length(id::bit(3)) from t"
  ],
  ["select 1_000, 0x1F, 1e10, .5", "select $1, $2, $3, $4"],
  ["   select 2 /* trailing */ ", "select $1 /* trailing */"],
  ["select U&'\\0061'", "select $1"],
  ["select extract(year from now()), cast('3' as int)", "select extract($1 from now()), cast($2 as int)"],
  ["create table u (id int default 5)", "create table u (id int default 5)"],
  ["select * from t limit all", "select * from t limit $1"],
  [
    "select id from t where id in (1::int, 2::int) and name in ('a'::text, 'b')",
    "select id from t where id in ($1 /*, ... */) and name in ($2 /*, ... */)"
  ],
  ["select id from t where id in (1::int)", "select id from t where id in ($1::int)"],
  ["select 5 - -3, 5 - 3, 5-3, -id from t", "select $1 - $2, $3 - $4, $5-$6, -id from t"],
  ["select normalize('a', NFC), 'a' is nfc normalized", "select normalize($1, $2), $3 is $4 normalized"],
  ["select E'a\\'b'\n'c\\'d', 'a'\n'b', U&'d!0061' uescape '!'", "select $1, $2, $3 uescape '!'"],
  ["do $$ begin perform 1; end $$", "do $$ begin perform 1; end $$"]
]

describe("the normal form of a statement", () => {
  it.each(kept)("of %s is that of what pg_stat_statements keeps of it", (statement, kept) => {
    assert.strictEqual(normalForm(statement), normalForm(kept))
  })

  it("is the same whatever the white space, the comments, the case of words and the constants", () => {
    const forms = [
      "select a from t where b = 'x' and c in (1, 2)",
      "SELECT a\r\n\tFROM t -- where\nWHERE b='it''s -- no comment' AND c IN (3)",
      "/* a /* nested */ comment */ select a from t where b = $x$ ' $x$ and c in ($2, $3, 4);"
    ].map(normalForm)
    assert.deepStrictEqual(new Set(forms), new Set(["select a from t where b = ? and c in ( ? )"]))
  })

  it("differs where names, quoted names or the structure differ", () => {
    const statements = [
      "select a from t",
      "select b from t",
      "select a from u",
      `select "A" from t`,
      `select "a" from t`,
      "select a from t where true",
      "select a, a from t",
      "select a from t for update",
      "select a1 from t",
      "select a$1 from t",
      "select all from t",
      "select 1::int",
      "select 1::text",
      "do $$ begin perform 1; end $$",
      "do $$ begin perform 2; end $$",
      "do 'begin perform 1; end'"
    ]
    assert.strictEqual(new Set(statements.map(normalForm)).size, statements.length)
  })

  it("leaves out of a list of constants what types they have", () => {
    assert.strictEqual(normalForm("select 1::int, 'a'::text, 2 from t"), "select ? from t")
    assert.strictEqual(normalForm("select 1::int, id, 2::text from t"), "select ? : : int , id , ? : : text from t")
  })

  it("takes what an escape string, a dollar-quoted string and a quoted name hold for theirs", () => {
    assert.strictEqual(normalForm(String.raw`select E'a\'-- b', 'c\', d`), "select ? , d")
    assert.strictEqual(normalForm("select $a$ $$ ' $b$ $a$ || $1 || $$ -- $$"), "select ? | | ? | | ?")
    assert.strictEqual(normalForm(`select "a -- ""b"" 'c" from t`), `select "a -- ""b"" 'c" from t`)
  })

  it.prop("takes any text, and is the normal form of itself", [Schema.String], ([text]) => {
    const form = normalForm(text)
    assert.strictEqual(normalForm(form), form)
  })

  it("takes a text of megabytes, whatever it is made of", () => {
    for (const part of ["'", "(", "/*", "$$", "a ", "1,", "- ", " ", "--\n", "''", `"`, "e'\\", ".", "$1"]) {
      assert.isString(normalForm(part.repeat(300_000)))
    }
  })
})

describe("what can be planned without running any of it", () => {
  it("begins with a word for a query or a change of rows", () => {
    for (const text of [
      "select 1",
      "-- a\n/* b */ WITH x as (select 1) table x",
      "values (1)",
      "insert into t select 1"
    ]) {
      assert.isTrue(isPlannable(text), text)
    }
  })

  it("is nothing else, and above all no option of EXPLAIN", () => {
    for (const text of [
      "",
      "-- select 1",
      "analyze select 1",
      "(analyze) delete from t",
      "(select 1)",
      "verbose delete from t",
      "explain select 1",
      "create table t as select 1",
      "execute p",
      "call p()",
      "do $$ begin end $$",
      `"select" 1`,
      "'select'",
      "selects"
    ]) {
      assert.isFalse(isPlannable(text), text)
    }
  })

  it("has no parameters", () => {
    assert.isFalse(isPlannable("select * from t where id = $1"))
    assert.isTrue(isPlannable("select '$1', $$ $1 $$, a$1 from t -- $1"))
  })
})

describe("a statement without its constants", () => {
  it.each([
    ["select * from t where email = 'a@b' and n = 7", "select * from t where email = ? and n = ?"],
    ["SELECT  a\n FROM t -- 'sesame'\n where b is null", "SELECT a FROM t where b is null"],
    ["select E'ses\\'ame', $$sesame$$, U&'sesame', -1.5e3, true", "select ?, ?, ?, -?, true"],
    ["/* sesame */ select 'costs $1'", "select ?"],
    ["select 'no end", "select ?"]
  ])("of %s is %s", (text, safe) => {
    assert.strictEqual(withoutConstants(text), safe)
  })

  it("is as it is where its values are parameters", () => {
    const text = "select  'x', $1::int -- why"
    assert.strictEqual(withoutConstants(text), text)
  })

  it("is cut off where it is long", () => {
    assert.strictEqual(withoutConstants(`select ${"a, ".repeat(5_000)}a`).length, 2_001)
  })
})
