import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Pg from "../../support/Pg.ts"
import { run, runJson } from "./Command.ts"

/** Of each built-in type what stands at its edges. */
const expressions = [
  ..."'-32768'::int2 '-2147483648'::int4 '-9223372036854775808'::int8 9223372036854775807::int8 4294967295::oid".split(
    " "
  ),
  ..."9007199254740991::int8 9007199254740993::int8 'NaN'::numeric 'Infinity'::numeric 12345678901234567890.5".split(
    " "
  ),
  ..."'NaN'::float4 '-Infinity'::float8 3.4028235e38::float4 1e-45::float4 5e-324::float8 0.1::float8+0.2::float8".split(
    " "
  ),
  ..."true null::text ''::text 'a'::char(5) '\\x00ff80'::bytea '\\x'::bytea 'x'::name 'c'::\"char\"".split(" "),
  ..."'5874897-12-31'::date 'infinity'::date '-infinity'::timestamp '24:00:00'::time '24:00:00-1559'::timetz".split(
    " "
  ),
  "'4713-11-24 00:00:00 BC'::timestamp",
  "'294276-12-31 23:59:59.999999+00'::timestamptz",
  "'178000000 years'::interval",
  "'-1 year -2 mons +3 days -04:05:06.789'::interval",
  ..."'12345678-1234-1234-1234-123456789abc'::uuid '1.2.3.4/24'::inet '10.0.0.0/8'::cidr '08:00:2b:01:02:03'::macaddr".split(
    " "
  ),
  ..."'-92233720368547758.08'::money b'10101' b''::varbit '(1,2)'::point '{1,2,3}'::line '[(0,0),(1,1)]'::lseg".split(
    " "
  ),
  ..."'(1,1),(0,0)'::box '((0,0),(1,1))'::polygon '<(0,0),1>'::circle '0/16B3748'::pg_lsn '(1,2)'::tid '9'::xid8".split(
    " "
  ),
  ..."'<a>b</a>'::xml 'a_fat_cat'::tsvector 'fat&rat'::tsquery 'pg_class'::regclass 'int4'::regtype".split(" "),
  ..."'[1,10)'::int4range 'empty'::int4range '(,)'::numrange '{[1,2),[5,6)}'::int4multirange '[0:1]={1,2}'::int4[]".split(
    " "
  ),
  "row(1, 'a b', null, 'x\"y')",
  "array[row(1, 'a,b')]",
  "array['(1,1),(0,0)'::box, '(2,2),(1,1)'::box]",
  "E'tab\\tnew\\nline\\u0001 \\u001b[31m \\u2028 back\\\\slash \"quote\"'",
  "'emoji 👩‍👩‍👧‍👦 日本語 é'"
]

/** What is no text in JSON, and what it is instead. */
const structures: Readonly<Record<string, unknown>> = {
  "'{}'::int4[]": [],
  "'{{1,NULL},{3,4}}'::int4[]": [
    [1, null],
    [3, 4]
  ],
  "'{9223372036854775807,1}'::int8[]": ["9223372036854775807", 1],
  "'{NaN,0.5}'::float8[]": ["NaN", 0.5],
  "array['a', 'b\"c', '', 'NULL', null, '{x}', 'a,b', E'n\\nl']": ["a", 'b"c', "", "NULL", null, "{x}", "a,b", "n\nl"],
  "array['\\x00'::bytea]": ["\\x00"],
  "'null'::jsonb": null,
  '\'{"a": [1, {"b": "\\u00e9"}]}\'::json': { a: [1, { b: "é" }] },
  "array['{\"a\": 1}'::jsonb, null]": [{ a: 1 }, null]
}

layer(Pg.layer("RunOutput"), { excludeTestServices: true })("what a run shows", (it) => {
  it.effect("is in JSON what the server makes of each value, or a number or literal that is the same", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const all = [...expressions, ...Object.keys(structures)]
      const columns = all.map((expression, index) => `(${expression}) as c${index}`)
      const texts = expressions.map((expression, index) => `format('%s', (${expression})) as c${index}`)
      const { document } = yield* runJson(`select ${columns.join(",\n")}`)
      const row = document.queries[0]?.rows[0] ?? {}
      const [rendered = {}] = yield* observer.rows(`select ${texts.join(",\n")}`)
      expressions.forEach((expression, index) => {
        const value = row[`c${index}`]
        const text = rendered[`c${index}`]
        if (typeof value === "number") assert.strictEqual(value, Number(text), expression)
        else if (typeof value === "boolean") assert.strictEqual(value, text === "t", expression)
        else assert.strictEqual(value ?? "", text, expression)
      })
      Object.entries(structures).forEach(([expression, expected], index) => {
        assert.deepStrictEqual(row[`c${expressions.length + index}`], expected, expression)
      })
    })
  )

  it.effect("has every column, of whatever name and number", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 1600 }, (_, index) => `${index} as c`)
      const { document } = yield* runJson(`
        -- name: many
        select ${many.join(", ")};
        -- name: taken
        select 1 as a, 2 as a, 3 as a_2, 4 as a;
        -- name: odd
        select 1 as "__proto__", 2 as "constructor", 3 as "1", 4 as "a b";
        -- name: big
        select repeat('x', 20000000) as x;`)
      const [many1600, taken, odd, big] = document.queries.map(({ rows }) => rows[0] ?? {})
      assert.deepStrictEqual(
        Object.values(many1600 ?? {}),
        Array.from({ length: 1600 }, (_, index) => index)
      )
      assert.deepStrictEqual(taken, { a: 1, a_3: 2, a_2: 3, a_4: 4 })
      assert.deepStrictEqual(Object.entries(odd ?? {}).toSorted(), [
        ["1", 3],
        ["__proto__", 1],
        ["a b", 4],
        ["constructor", 2]
      ])
      assert.lengthOf(String(big?.["x"]), 20_000_000)
    })
  )

  it.effect("is a table for each query and one for the run, with notices and failures beside it", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(
        `-- name: values
        select 1234.5 as number, 'text' as text, null as nothing, true as yes, '日本' as "漢字";
        -- name: noisy
        do $$ begin raise notice 'one'; raise warning E'two\\nlines'; end $$;
        -- name: empty
        select 1 as a where false;
        -- name: bad
        select *
          from nowhere;
        -- name: thorough
        do $$ begin raise exception 'no' using detail = 'the detail', hint = 'the hint', errcode = 'P0042'; end $$;`,
        ["--concurrency", "1"]
      )
      const [results = "", summary = ""] = stdout.replaceAll(/ \d[\d.]* m?s\b/g, " T").split(/(?<=\n)(?=query )/)
      assert.deepStrictEqual(results.split("\n"), [
        "values  1 row in T",
        "number  text  nothing  yes  漢字",
        "──────  ────  ───────  ───  ────",
        "1234.5  text  NULL     t    日本",
        "",
        "noisy  DO in T",
        "",
        "empty  0 rows in T",
        "",
        ""
      ])
      assert.deepStrictEqual(
        summary.split("\n").map((line) => line.split(/ {2,}/)),
        [
          ["query", "outcome", "rows", "waited", "ran"],
          ["────────", "─────────", "────", ...(summary.match(/─+/g) ?? []).slice(3)],
          ["values", "succeeded", "1", "T", "T"],
          ["noisy", "succeeded", "T", "T"],
          ["empty", "succeeded", "0", "T", "T"],
          ["bad", "failed", "T", "T"],
          ["thorough", "failed", "T", "T"],
          [""],
          ["5 queries: 3 succeeded, 2 failed in T, 1 at a time"],
          ["Lower bound T: total work"],
          [""]
        ]
      )
      assert.deepStrictEqual(stderr.split("\n"), [
        "noisy NOTICE: one",
        "noisy WARNING: two\\nlines",
        'bad failed: relation "nowhere" does not exist (42P01) at <stdin>:9:16',
        "            from nowhere;",
        "                 ^",
        "",
        "thorough failed: no (P0042) at <stdin>:11:9",
        "  detail: the detail",
        "  hint: the hint",
        // A block can commit in its middle.
        "  outcome: unknown: it may be applied, so look before you run it again",
        "",
        ""
      ])
      assert.strictEqual(code, 1)
    })
  )

  it.effect("never acts on a terminal, whatever the database holds", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* run(`
        -- name: shown
        select E'\\u001b[31m\\u009b2J\\r\\n\\u0007\\u202e' as "\u001b]0;title\u0007";
        -- name: raised
        do $$ begin
          raise notice E'\\u001b[2J';
          raise exception E'\\u001b[31m' using hint = E'\\u001b[1A', detail = E'\\u0008';
        end $$;
        -- name: quoted
        select "\u001b[31m";`)
      assert.notMatch(stdout + stderr, /[^\P{Cc}\n]|[\u202a-\u202e]/u)
      assert.include(stdout, "\\u001b[31m\\u009b2J\\r\\n\\u0007\\u202e")
      assert.include(stderr, "raised failed: \\u001b[31m (P0001)")
    })
  )

  it.effect("is coloured only where it is wanted, and nothing but failures with --quiet", () =>
    Effect.gen(function* () {
      const sql = "-- name: good\nselect null as a;\n-- name: bad\nselect b"
      const [piped, forced, refused, quiet] = yield* Effect.all(
        [
          run(sql),
          run(sql, [], { env: { FORCE_COLOR: "1" } }),
          run(sql, [], { env: { NO_COLOR: "1" } }),
          run(sql, ["--quiet"])
        ],
        { concurrency: 2 }
      )
      for (const { stderr, stdout } of [piped, refused]) assert.notInclude(stdout + stderr, "\u001b")
      assert.include(forced.stdout, "\u001b[2mNULL\u001b[22m")
      assert.include(forced.stderr, "\u001b[1m\u001b[31mbad")
      assert.strictEqual(quiet.stdout, "")
      assert.match(quiet.stderr, /^bad failed: /)
    })
  )
})
