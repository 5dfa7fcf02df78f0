import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Path } from "effect"
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Query, QueryPool } from "querypool"
import * as Durations from "../../../src/cli/Durations.ts"
import type { Facts } from "../../../src/cli/PlanOutput.ts"
import type { FileQuery } from "../../../src/cli/QueryFiles.ts"
import * as Learning from "../../../src/query/Learning.ts"
import { cacheFolder } from "../../support/cacheFolder.ts"
import { queriesOf } from "../../support/fileQueries.ts"
import * as Pg from "../../support/Pg.ts"
import { querypool, run, runJson } from "./Command.ts"

const files = Layer.merge(NodeFileSystem.layer, Path.layer)

/** In a process of its own, as far as the history is concerned. */
const on =
  (queries: ReadonlyArray<FileQuery>, database: string | undefined) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provide(effect, Layer.provide(Durations.layer(queries, database), files), { local: true })

const sources = (queries: ReadonlyArray<FileQuery>) =>
  Effect.map(Durations.estimates(queries), (found) => found.map((estimate) => estimate?.source))

const runAll = (queries: ReadonlyArray<FileQuery>) =>
  QueryPool.all(
    queries.map(({ name, statements }) =>
      Query.make(name, (sql) => Effect.forEach(statements, ({ text }) => sql.unsafe(text), { discard: true }))
    ),
    { mode: "outcome" }
  )

layer(Pg.layer("Durations"), { excludeTestServices: true })("how long the queries of files take", (it) => {
  const queries = queriesOf(`
    -- name: sum
    select sum(balance) from account;
    -- name: two
    select 1; select 2;
    -- name: fails
    select 1 / 0;`)

  it.effect("is learned on each database, from those that succeed", () =>
    Effect.gen(function* () {
      yield* cacheFolder
      assert.deepStrictEqual(yield* sources(queries).pipe(on(queries, "a")), ["explain", "text", "text"])
      yield* runAll(queries).pipe(on(queries, "a"))
      assert.deepStrictEqual(yield* sources(queries).pipe(on(queries, "a")), ["learned", "learned", "text"])
      assert.deepStrictEqual(yield* sources(queries).pipe(on(queries, "b")), ["explain", "text", "text"])
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("is known by their statements, whatever their names and their file", () =>
    Effect.gen(function* () {
      yield* cacheFolder
      yield* runAll(queries).pipe(on(queries, "a"))
      const renamed = queriesOf(`
        -- name: total
        -- timeout: 3s
        select sum(balance) from account
        -- name: sum
        select sum(id) from account`)
      assert.deepStrictEqual(yield* sources(renamed).pipe(on(renamed, "a")), ["learned", "explain"])
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("is the mean of those that say the same under several names", () =>
    Effect.gen(function* () {
      yield* cacheFolder
      const alike = queriesOf(`
        -- name: one
        select 1;
        -- name: two
        select 1;
        -- name: other
        select 2;`)
      const run = new Map([
        ["one", 10],
        ["two", 30],
        ["one [1/2]", 500]
      ])
      yield* Effect.flatMap(Learning.DurationHistory, ({ learn }) => learn(run)).pipe(on(alike, "a"))
      for (const database of ["a", undefined]) {
        assert.deepStrictEqual(yield* Learning.estimates(alike).pipe(on(alike, database)), [20, 20, undefined])
      }
    })
  )

  it.effect("is what a plan knows of runs on any database", () =>
    Effect.gen(function* () {
      yield* cacheFolder
      yield* runAll(queries).pipe(on(queries, "a"))
      const [sum, two, fails] = yield* Learning.estimates(queries).pipe(on(queries, undefined))
      assert.isAbove(sum ?? 0, 0)
      assert.isAbove(two ?? 0, 0)
      assert.isUndefined(fails)
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("decides which is first in a run with the longest first, also for those that have never run", () =>
    Effect.gen(function* () {
      const { folder } = yield* cacheFolder
      const { document } = yield* runJson(
        `-- name: look-up
        select * from account where id = 1;
        -- name: join
        select count(*) from account a, account b where a.id < 10;
        -- name: scan
        select sum(balance) from account;`,
        ["--concurrency", "1", "--order", "longest-first"],
        { env: { XDG_CACHE_HOME: folder } }
      )
      const byStart = document.queries.toSorted((a, b) => a.waitedSeconds - b.waitedSeconds)
      assert.deepStrictEqual(
        byStart.map(({ name }) => name),
        ["join", "scan", "look-up"]
      )
    })
  )

  it.effect("is what the command goes by from the second run on, and what it plans with", () =>
    Effect.gen(function* () {
      const { folder } = yield* cacheFolder
      const options = { env: { XDG_CACHE_HOME: folder } }
      const sql = `
        -- name: quick
        select 'a text that is longer than that of the slow one, which says nothing';
        -- name: slow
        select pg_sleep(0.05)`
      const planned = Effect.map(
        querypool(["plan", "-", "--json", "--order", "longest-first"], { stdin: sql, ...options }),
        ({ stdout }) => JSON.parse(stdout) as Facts
      )
      const runFirst = Effect.map(
        runJson(sql, ["--concurrency", "1", "--order", "longest-first"], options),
        ({ document }) => document.queries.toSorted((a, b) => a.waitedSeconds - b.waitedSeconds)[0]?.name
      )
      assert.strictEqual((yield* planned).unit, "queries")
      assert.strictEqual(yield* runFirst, "quick")
      assert.strictEqual(yield* runFirst, "slow")
      const { queries, unit } = yield* planned
      assert.strictEqual(unit, "seconds")
      assert.deepStrictEqual(
        queries.map(({ name, place }) => [name, place]),
        [
          ["slow", 1],
          ["quick", 2]
        ]
      )
    })
  )

  it.effect("is written by the command in one file that holds no SQL and no name, and only this user can read", () =>
    Effect.gen(function* () {
      const { file, folder } = yield* cacheFolder
      const { code } = yield* run("-- name: secret\nselect 'secret' as hidden", [], {
        env: { XDG_CACHE_HOME: folder }
      })
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(folder, "querypool"))), ["durations.json"])
      const text = yield* Effect.promise(() => readFile(file, "utf8"))
      assert.notMatch(text, /secret|hidden|test_durations/)
      const { queries } = JSON.parse(text) as { readonly queries: ReadonlyArray<ReadonlyArray<unknown>> }
      assert.lengthOf(queries, 2)
      for (const [key] of queries) assert.match(String(key), /^[\w-]{43}$/)
      const { mode } = yield* Effect.promise(() => stat(file))
      assert.strictEqual(mode & 0o777, 0o600)
    })
  )

  it.effect("is begun anew by the command, with a warning beside the results, where the file is damaged", () =>
    Effect.gen(function* () {
      const { file, folder } = yield* cacheFolder
      yield* Effect.promise(() => mkdir(join(folder, "querypool"), { mode: 0o700 }))
      yield* Effect.promise(() => writeFile(file, "not ours"))
      const options = { env: { XDG_CACHE_HOME: folder } }
      const first = yield* runJson("select 1", [], options)
      assert.strictEqual(first.code, 0)
      assert.strictEqual(first.document.queries[0]?.outcome, "succeeded")
      assert.lengthOf(first.stderr.match(/durations\.json.*is damaged, or not of querypool/g) ?? [], 1)
      const second = yield* runJson("select 1", [], options)
      assert.deepStrictEqual([second.code, second.stderr], [0, ""])
      assert.include(yield* Effect.promise(() => readFile(file, "utf8")), "querypool durations")
    })
  )

  it.effect("is forgotten in silence where it can be neither read nor written", () =>
    Effect.gen(function* () {
      const { file, folder } = yield* cacheFolder
      yield* Effect.promise(() => mkdir(join(file, "in the way"), { recursive: true, mode: 0o700 }))
      const { code, stderr } = yield* runJson("select 1", [], { env: { XDG_CACHE_HOME: folder } })
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(folder, "querypool"))), ["durations.json"])
    })
  )
})
