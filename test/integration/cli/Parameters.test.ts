import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { ReportDocument } from "querypool"
import { inFolder } from "../../support/inFolder.ts"
import * as Pg from "../../support/Pg.ts"
import { run, runJson } from "./Command.ts"

layer(Pg.layer("Parameters"), { excludeTestServices: true })("--param", (it) => {
  it.effect("binds values whose types the server finds out, and never makes SQL of them", () =>
    Effect.gen(function* () {
      const { code, document } = yield* runJson(
        "select :n + 1 as n, :day::date + 1 as day, :text as text, :id - 1::bigint as id",
        ["n=41", "day=2024-02-28", "text='; drop table t; --", "id=9007199254740993"].flatMap((one) => ["--param", one])
      )
      assert.deepStrictEqual(document.queries[0]?.rows, [
        { n: 42, day: "2024-02-29", text: "'; drop table t; --", id: "9007199254740992" }
      ])
      assert.strictEqual(code, 0)
    })
  )

  it.effect("has an error of the server point to its place in the file", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run("select :long_name::int,\n  nowhere", ["--param", "long_name=1"])
      assert.include(stderr, "<stdin>:2:3")
      assert.strictEqual(code, 1)
    })
  )

  it.effect("is told by its name where it cannot stand, or has two types; the report says it, too", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const report = join(folder, "report.json")
        const sql =
          "-- name: a\nselect date :day;\n-- name: b\ncreate temp table two (n int, t text); insert into two values (:day, :day);\n-- name: c\nselect :day from nowhere"
        const { stderr } = yield* run(sql, ["--param", "day=2020-02-29", "--report", report])
        const hints = [
          ":day is a value, which can stand where an expression can: :day::date, and not date :day",
          ":day has one type in all of the statement: cast it where it is to have another, as in :day::text"
        ]
        assert.deepStrictEqual(
          Array.from(stderr.matchAll(/hint: (.*)/g), ([, hint]) => hint),
          hints
        )
        const document: ReportDocument.Document = JSON.parse(readFileSync(report, "utf8"))
        assert.deepStrictEqual(
          document.runs[0]?.queries.map(({ error }) => error?.hint),
          [...hints, undefined]
        )
      })
    )
  )

  it.effect("reaches every part of a partitioned query", () =>
    Effect.gen(function* () {
      const { document } = yield* runJson(
        "-- name: cut\n-- partition: column=n parts=3\nselect n from generate_series(1, 100) n where n > :least",
        ["--param", "least=40"]
      )
      assert.strictEqual(document.queries[0]?.rows.length, 60)
    })
  )
})
