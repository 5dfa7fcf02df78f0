import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Result, Schema } from "effect"
import { parseDuration } from "../../../src/cli/DurationText.ts"
import { parseSqlFile } from "../../../src/cli/SqlFile.ts"

const parse = (text: string) => parseSqlFile({ file: "q.sql", defaultName: "q", text })

/** What the headers of each query come to. */
const settingsOf = (text: string) =>
  Object.fromEntries(
    Result.getOrThrow(parse(text)).queries.map(({ name, settings: { timeout, ...others } }) => [
      name,
      timeout === undefined ? others : { timeout: Duration.toMillis(timeout), ...others }
    ])
  )

const messageOf = (text: string): string => {
  const parsed = parse(text)
  return Result.isFailure(parsed) ? parsed.failure.message : "no error"
}

describe("header lines", () => {
  it("under a `-- name:` line hold for that query", () => {
    assert.deepStrictEqual(
      settingsOf(`
        -- name: a
        -- timeout: 300ms
        -- retry: 3
        -- read-only
        select 1;
        -- name: b
        --retry:0

        -- Prose between headers.
        -- transaction
        /* A block comment. */
        --   idempotent
        select 2; select 3;
        -- name: c
        select 4`),
      {
        a: { timeout: 300, retry: 3, mode: "readOnly" },
        b: { retry: 0, mode: "transaction", idempotent: true },
        c: {}
      }
    )
  })

  it("at the top of a file hold for every query, and a query's own line wins", () => {
    assert.deepStrictEqual(
      settingsOf(`-- Reports.

        -- timeout: 5 minutes
        -- read-only
        -- name: a
        select 1;
        -- name: b
        -- timeout: 2h
        -- transaction
        select 2`),
      { a: { timeout: 300_000, mode: "readOnly" }, b: { timeout: 7_200_000, mode: "transaction" } }
    )
    assert.deepStrictEqual(settingsOf("-- retry: 1\nselect 1"), { q: { retry: 1 } })
  })
})

describe("needs and tags", () => {
  it("stand in as many lines as they need, and those of a query come on top of those of its file", () => {
    assert.deepStrictEqual(
      settingsOf(`-- needs: setup
        -- tag: team=library, tier=1
        -- name: a
        -- needs: b, import/people
        -- needs:some other.file
        -- tag: tier=2
        -- tag: owner = Ada Lovelace = me
        select 1;
        -- name: b
        select 2`),
      {
        a: {
          needs: [
            { name: "setup", line: 1 },
            { name: "b", line: 4 },
            { name: "import/people", line: 4 },
            { name: "some other.file", line: 5 }
          ],
          tags: { team: "library", tier: "2", owner: "Ada Lovelace = me" }
        },
        b: { needs: [{ name: "setup", line: 1 }], tags: { team: "library", tier: "1" } }
      }
    )
  })

  it("of a file may name one of its queries, which does not need itself because of that", () => {
    assert.deepStrictEqual(settingsOf("-- needs: a\n-- name: a\nselect 1;\n-- name: b\nselect 2"), {
      a: {},
      b: { needs: [{ name: "a", line: 1 }] }
    })
    // The one query of a file without names is what all of the file is.
    assert.deepStrictEqual(settingsOf("-- needs: q\nselect 1"), { q: { needs: [{ name: "q", line: 1 }] } })
  })

  it("are nothing but words to the language", () => {
    const { tags } = settingsOf("-- tag: __proto__=x, constructor=y\nselect 1")["q"] ?? {}
    assert.deepStrictEqual(Object.entries(tags ?? {}), [
      ["__proto__", "x"],
      ["constructor", "y"]
    ])
  })
})

describe("prose stays prose:", () => {
  it.each([
    "-- A sentence.",
    "-- Usage: psql -f this.sql",
    "-- the timeout: 3s",
    "-- note: it is slow",
    "-- todo: an index\n-- fixme: x\n-- see: the manual",
    "-- http://example.com",
    "-- sqlfluff:dialect:postgres",
    "-- pg_dump: 18",
    "-- users",
    "-- transaction of a whole day",
    "-- read only the first rows",
    "-- Timeout: none",
    "-- Needs: nothing",
    "-- needs",
    "-- tag",
    "-- tags",
    "-- tax",
    "-- seeds",
    "-- tag table",
    "-- Transaction",
    "-- ----------",
    "--",
    "-- x: y in /* a */ ; -- no line of its own",
    "/*\n-- timeout: soon\n*/"
  ])("%j", (comment) => {
    const text = comment.includes("x: y") ? `select 1; ${comment}` : `-- name: q\n${comment}\nselect 1`
    assert.deepStrictEqual(settingsOf(text), { q: {} })
  })

  it("below the first statement, unless it can be nothing but a setting", () => {
    const text =
      "select 1;\n-- timeout: as long as it takes\n-- step: two\n-- transactions\nselect 2\n-- retry\n-- users: x"
    assert.deepStrictEqual(settingsOf(text), { q: {} })
  })
})

const misplaced = (word: string, line: number) =>
  `q.sql:${line}:1: header \`${word}\` below a statement, where it does nothing: ` +
  "move it up, under the `-- name:` line or to the top of the file"

const cut = (sql: string) => messageOf(`-- name: x\n-- partition: column=id parts=8\n${sql}`)

describe("a partition", () => {
  it("names its column, in quotes where it has to, and how many parts there are", () => {
    for (const value of ["column=id parts=8", "parts=8 column=id", "  column=id   parts=8 "]) {
      assert.deepStrictEqual(settingsOf(`-- partition: ${value}\nselect 1`), {
        q: { partition: { column: "id", parts: 8 } }
      })
    }
    assert.deepStrictEqual(settingsOf('-- partition: column="the ""Id""" parts=10000\nselect 1'), {
      q: { partition: { column: 'the "Id"', parts: 10_000 } }
    })
    assert.deepStrictEqual(settingsOf("-- partition\n-- partitions are few\nselect 1"), { q: {} })
  })

  it("is refused, at its statement, where there is nothing that can be cut", () => {
    assert.strictEqual(
      cut("select 1; select 2"),
      'q.sql:3:1: query "x" has several statements, and `-- partition:` cuts one: give that a `-- name:` line of its own'
    )
    assert.strictEqual(
      cut("-- prose\ndelete from a"),
      "q.sql:4:1: a query that cannot be cut by `-- partition:`: DELETE is no SELECT, VALUES, TABLE or WITH … SELECT"
    )
    assert.strictEqual(
      cut("-- transaction\nselect 1"),
      "q.sql:4:1: conflicting headers `partition` and `transaction`: parts only read, each by itself, remove one of them"
    )
    assert.strictEqual(cut("select 1;"), "no error")
  })
})

describe("a header is refused, with its line and what to write,", () => {
  it.each([
    ["-- timeuot: 300ms", "Unknown header `timeuot`. Did you mean `timeout`?"],
    ["-- retries: 3", "Unknown header `retries`. Did you mean `retry`?"],
    ["-- readonly", "Unknown header `readonly`. Did you mean `read-only`?"],
    ["-- read_only", "Unknown header `read_only`. Did you mean `read-only`?"],
    ["-- read only", "Unknown header `read only`. Did you mean `read-only`?"],
    ["-- transation", "Unknown header `transation`. Did you mean `transaction`?"],
    ["-- timeout 3s", "Unknown header `timeout 3s`. Did you mean `timeout: 3s`?"],
    [
      "-- author: me",
      "Unknown header `author`. Known are name, timeout, retry, transaction, read-only, idempotent, needs, tag, partition. " +
        "A comment that is no header begins with a capital letter"
    ],
    ["-- timeout: 3", 'invalid timeout "3": write a duration such as 300ms, 30s, 5m or 2h after `-- timeout:`'],
    ["-- timeout", 'invalid timeout "": write a duration such as 300ms, 30s, 5m or 2h after `-- timeout:`'],
    ["-- retry: -1", 'invalid retry "-1": write how often to try again at most, such as 3, after `-- retry:`'],
    ["-- needs: ", 'invalid needs "": write names of queries, separated by commas, after `-- needs:`'],
    ["-- needs: a,, b", 'invalid needs "a,, b": write names of queries, separated by commas, after `-- needs:`'],
    ["-- need: a", "Unknown header `need`. Did you mean `needs`?"],
    ["-- needs load", "Unknown header `needs load`. Did you mean `needs: load`?"],
    ["-- tags: a=b", "Unknown header `tags`. Did you mean `tag`?"],
    ["-- tag: nightly", 'invalid tag "nightly": write key=value after `-- tag:`'],
    ["-- tag: a b=c", 'invalid tag "a b=c": write key=value after `-- tag:`'],
    ["-- tag: a=1, a=2", 'invalid tag "a=1, a=2": write key=value after `-- tag:`'],
    ["-- tag: a=1\n-- tag: b=2, a=1", "second tag `a`: remove one of them", 3],
    ...[
      "id",
      "column=id",
      "parts=8",
      "parts=8 column=id parts=8",
      "column=id parts=0",
      "column=id parts=10001",
      "column= parts=8",
      'column="" parts=8'
    ].map((value): [string, string] => [
      `-- partition: ${value}`,
      `invalid partition "${value}": write a column and from 1 to 10000 parts, such as column=id parts=8, after \`-- partition:\``
    ]),
    ["-- partitions: column=id parts=8", "Unknown header `partitions`. Did you mean `partition`?"],
    [
      "-- partition: column=id parts=8\n-- partition: column=id parts=4",
      "second header `partition`: remove one of them",
      3
    ],
    ["-- transaction: yes", "header `transaction` with a value: write `-- transaction` alone"],
    ["-- read-only\n-- transaction", "conflicting headers `transaction` and `read-only`: remove one of them", 3],
    ["-- retry: 1\n-- timeout: 1s\n-- retry: 2", "second header `retry`: remove one of them", 4],
    ["-- idempotent\n-- idempotent", "second header `idempotent`: remove one of them", 3]
  ])("%j", (header, message, line = 2) => {
    assert.strictEqual(messageOf(`-- name: x\n${header}\nselect 1`), `q.sql:${line}:1: ${message}`)
    assert.strictEqual(messageOf(`\n${header}\nselect 1`), `q.sql:${line}:1: ${message}`)
  })

  it("also where it would do nothing: below a statement, or inside of it", () => {
    assert.strictEqual(messageOf("select 1;\n-- timeout: 3s\nselect 2"), misplaced("timeout", 2))
    assert.strictEqual(messageOf("select 1;\n-- needs: a\nselect 2"), misplaced("needs", 2))
    assert.strictEqual(messageOf("select 1;\n-- tag: a=b"), misplaced("tag", 2))
    assert.strictEqual(messageOf("-- name: x\nselect 1\n-- read-only"), misplaced("read-only", 3))
    assert.strictEqual(messageOf("-- name: x\nselect 1;\n\n-- retry: 1\n-- name: y\nselect 2"), misplaced("retry", 4))
  })

  it("shown on one line, however long", () => {
    const message = messageOf(`-- ${"x".repeat(1_000_000)}: y\nselect 1`)
    assert.isBelow(message.length, 300)
    assert.notMatch(message, /\n/)
  })
})

const lines = Schema.Literals([
  "-- name: x\n",
  "-- timeout: 1s\n",
  "-- retry: 2\n",
  "-- transaction\n",
  "-- read-only\n",
  "-- idempotent\n",
  "-- needs: y\n",
  "-- tag: z=1\n",
  "-- partition: column=a parts=2\n",
  "-- Prose.\n",
  "/* block */\n",
  "\n"
])

const isSetting = (line: string) => /^-- ([tri]|needs|partition)/.test(line)

it.prop(
  "never loses a header: it is a setting of the query or the file is refused",
  [
    Arbitrary.array(Arbitrary.schema(lines), { maxLength: 6 }),
    Arbitrary.array(Arbitrary.schema(lines), { maxLength: 2 })
  ],
  ([above, below]) => {
    const parsed = parse(`${above.join("")}select 1\n${below.join("")}`)
    if (Result.isFailure(parsed)) return assert.match(parsed.failure.message, /^q\.sql:\d+:1: ./)
    assert.isFalse(below.some(isSetting))
    assert.lengthOf(parsed.success.queries, 1)
    const words = above.filter(isSetting).map((line) => line.slice(3).replace(/[:\n].*$/s, ""))
    // A query's mode wins over that of its file.
    const modes = words.filter((word) => word === "transaction" || word === "read-only").slice(-1)
    const others = new Set(
      words
        .filter((word) => word !== "transaction" && word !== "read-only")
        .map((word) => (word === "tag" ? "tags" : word))
    )
    const keys = Object.keys(parsed.success.queries[0]?.settings ?? {})
    assert.sameMembers(keys, [...others, ...(modes.length === 0 ? [] : ["mode"])])
  },
  { arbitrary: { seed: 7, runs: 1_000, size: 10 } }
)

describe("a duration", () => {
  it.each([
    ["300ms", 300],
    ["0.5s", 500],
    ["30s", 30_000],
    ["5m", 300_000],
    ["2h", 7_200_000],
    ["5 minutes", 300_000],
    ["1 day", 86_400_000]
  ])("%s is read", (text, millis) => {
    const parsed = parseDuration(text)
    assert.strictEqual(parsed._tag === "Some" ? Duration.toMillis(parsed.value) : undefined, millis)
  })

  it.each([
    "",
    "3",
    "0s",
    "-1s",
    "-5 minutes",
    "Infinity",
    "1e3s",
    "3 s",
    "3S",
    "s",
    "5 lightyears",
    "9".repeat(400) + "h"
  ])("%s is none", (text) => assert.strictEqual(parseDuration(text)._tag, "None"))
})
