import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, FileSystem, Layer, Schedule } from "effect"
import { parquetReadObjects } from "hyparquet"
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Query, QueryPool, QuerySink, RetryPolicy, SinkError } from "querypool"
import type { QueryEvent } from "querypool"
import { below, fewTurns, forSeeds } from "../../support/Chaos.ts"
import { files, inFolder } from "../../support/inFolder.ts"
import { lineFormat } from "../../support/lineFormat.ts"
import * as Pg from "../../support/Pg.ts"

const endless = "select i, repeat('x', 1000) as filler from generate_series(1, 2000000) as i"

/** A query of these SQL texts whose rows go to `out.ndjson` of a folder. */
const file = (
  folder: string,
  sql: string,
  options?: QuerySink.Options,
  format: QuerySink.Format = lineFormat(),
  name = "out.ndjson"
) => QuerySink.file({ name, statement: (client) => client.unsafe(sql), path: join(folder, name), format }, options)

const linesOf = (path: string) => readFileSync(path, "utf8").trimEnd().split("\n")

const tick = Effect.promise(() => new Promise((done) => setImmediate(done)))

/** The file system, whose files are written when the test says so. */
const gated = () => {
  let open = false
  const waiting: Array<() => void> = []
  const pass = Effect.callback<void>((resume) => {
    if (open) resume(Effect.void)
    else waiting.push(() => resume(Effect.void))
  })
  return {
    release: () => {
      open = true
      for (const go of waiting.splice(0)) go()
    },
    held: () => waiting.length,
    layer: Layer.provideMerge(
      Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (fs) =>
          FileSystem.FileSystem.of({
            ...fs,
            open: (path, options) =>
              Effect.map(fs.open(path, options), (file) => ({
                ...file,
                sync: file.sync,
                writeAll: (bytes: Uint8Array) => Effect.andThen(Effect.interruptible(pass), file.writeAll(bytes))
              }))
          })
        )
      ),
      files
    )
  }
}

layer(Layer.merge(Pg.layer("QuerySink"), files), { excludeTestServices: true })("a query to a file", (it) => {
  const one = Effect.provide(Pg.pool({ maxConnections: 1 }))
  const some = Effect.provide(Pg.pool({ maxConnections: 4, results: "text" }))

  it.effect("leaves a file with the rows that the server sent, and tells how many", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const written = yield* file(
          folder,
          "select i, case when i % 3 > 0 then 'é' || i end as t from generate_series(1, 100000) as i"
        )
        const path = join(folder, "out.ndjson")
        const lines = linesOf(path)
        assert.deepStrictEqual(written, { path, rows: 100_000, bytes: readFileSync(path).length })
        assert.strictEqual(lines[0], '["i","t"]')
        assert.deepStrictEqual(
          lines.slice(1),
          Array.from({ length: 100_000 }, (_, i) =>
            JSON.stringify([String(i + 1), (i + 1) % 3 > 0 ? `é${i + 1}` : null])
          )
        )
        assert.deepStrictEqual(readdirSync(folder), ["out.ndjson"])
        assert.strictEqual((yield* file(folder, "select 1 as a where false")).rows, 0)
        assert.deepStrictEqual(linesOf(path), ['["a"]'])
      })
    ).pipe(one)
  )

  it.effect("takes what a query builder compiles to, with its parameters", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const path = join(folder, "a.ndjson")
        const format = lineFormat()
        for (const statement of [
          () => ({ sql: "select $1::int + 1 as n", parameters: [41] }),
          () => ({ sql: "select $1::int + 1 as n", params: [41] })
        ]) {
          yield* QuerySink.file({ name: "built", statement, path, format })
          assert.deepStrictEqual(linesOf(path), ['["n"]', '["42"]'])
        }
        yield* QuerySink.file({ name: "tagged", statement: (sql) => sql`select ${41}::int + 1 as n`, path, format })
        assert.deepStrictEqual(linesOf(path), ['["n"]', '["42"]'])
      })
    ).pipe(one)
  )

  it.effect("has the format that its path says, unless another is given", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const contents: Record<string, string> = {}
        const write = (name: string, format?: QuerySink.Format) =>
          Effect.map(
            QuerySink.file({
              name,
              statement: (sql) => sql`select 1 as n, 'a, "b"' as t, null as nothing union all select 2, '', 'x'`,
              path: join(folder, name),
              format
            }),
            ({ path }) => (contents[name] = readFileSync(path, "utf8"))
          )
        for (const name of ["a.csv", "A.CSV", "a.json", "a.ndjson", "a.jsonl"]) yield* write(name)
        yield* write("a.tsv", QuerySink.csv({ delimiter: "\t", null: "-", header: false }))
        const csv = 'n,t,nothing\n1,"a, ""b""",\n2,"",x\n'
        const lines = '{"n":1,"t":"a, \\"b\\"","nothing":null}\n{"n":2,"t":"","nothing":"x"}\n'
        assert.strictEqual(contents["a.csv"], csv)
        assert.strictEqual(contents["A.CSV"], csv)
        assert.strictEqual(contents["a.ndjson"], lines)
        assert.strictEqual(contents["a.jsonl"], lines)
        assert.deepStrictEqual(JSON.parse(contents["a.json"] ?? ""), [
          { n: 1, t: 'a, "b"', nothing: null },
          { n: 2, t: "", nothing: "x" }
        ])
        assert.strictEqual(contents["a.tsv"], '1\t"a, ""b"""\t-\n2\t""\tx\n')
        for (const path of ["a.txt", "csv", "folder.csv/a", ""]) {
          assert.throws(
            () => QuerySink.file({ name: "no", statement: (sql) => sql`select 1`, path }),
            RangeError,
            `Expected \`path\` to end in one of .csv, `
          )
        }
      })
    ).pipe(one)
  )

  it.effect("may be Parquet, whose rows come before the package that writes it is loaded", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { bytes, path, rows } = yield* QuerySink.file({
          name: "parquet",
          statement: (sql) =>
            sql`select i, i / 4.0::float8 as ratio, 'row ' || i as t from generate_series(1, 50000) as i`,
          path: join(folder, "a.parquet")
        })
        const content = readFileSync(path)
        assert.strictEqual(rows, 50_000)
        assert.strictEqual(bytes, content.length)
        const file = content.buffer.slice(content.byteOffset, content.byteOffset + content.length)
        const read = yield* Effect.promise(() => parquetReadObjects({ file }))
        assert.deepStrictEqual(
          read,
          Array.from({ length: 50_000 }, (_, i) => ({ i: i + 1, ratio: (i + 1) / 4, t: `row ${i + 1}` }))
        )
        const error = yield* Effect.flip(
          QuerySink.file({
            name: "held",
            statement: (sql) => sql`select 'infinity'::timestamptz as "at" from generate_series(1, 10)`,
            path: join(folder, "b.parquet")
          })
        )
        assert.isTrue(error._tag === "SinkError" && error.reason._tag === "NotEncodable")
        assert.include(error.message, `Cannot write ${join(folder, "b.parquet")}: `)
        assert.deepStrictEqual(readdirSync(folder), ["a.parquet"])
      })
    ).pipe(one)
  )

  it.effect("is kept from writing by the server, unless another mode is said", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table taken as select i from generate_series(1, 10) as i")
        const sql = "delete from taken where i > 5 returning i"
        const error = yield* Effect.flip(file(folder, sql))
        assert.isTrue(
          error._tag === "QueryError" && error.reason._tag === "Rejected" && error.reason.sqlState === "25006"
        )
        const full = lineFormat({
          onAdd: () => {
            throw new Error("full")
          }
        })
        yield* Effect.exit(file(folder, sql, { mode: "transaction" }, full))
        assert.strictEqual(Number(yield* observer.value("select count(*) from taken")), 10)
        assert.deepStrictEqual(readdirSync(folder), [])
        assert.strictEqual((yield* file(folder, sql, { mode: "transaction" })).rows, 5)
        assert.strictEqual(Number(yield* observer.value("select count(*) from taken")), 5)
      })
    ).pipe(one)
  )

  it.effect("needs a statement that gives rows", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(file(folder, "set work_mem = '5MB'"))
        assert.strictEqual(
          error.message,
          `Cannot write ${join(folder, "out.ndjson")}: the statement gives no rows: use a select, or a returning`
        )
        assert.deepStrictEqual(readdirSync(folder), [])
      })
    ).pipe(one)
  )

  it.effect("may be two in one unit, and more at once, each with its own rows", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const both = Query.make("both", () =>
          Effect.forEach(
            ["a", "b", "c"],
            (name, index) =>
              file(
                folder,
                `select i, '${name}' as t from generate_series(1, ${(index + 1) * 10_000}) as i`,
                undefined,
                lineFormat(),
                name
              ),
            { concurrency: 3 }
          )
        )
        const results = yield* both
        assert.deepStrictEqual(
          results.map(({ rows }) => rows),
          [10_000, 20_000, 30_000]
        )
        for (const [index, name] of ["a", "b", "c"].entries()) {
          const lines = linesOf(join(folder, name))
          assert.lengthOf(lines, (index + 1) * 10_000 + 1)
          assert.isTrue(lines.slice(1).every((line) => line.endsWith(`,"${name}"]`)))
        }
      })
    ).pipe(one)
  )

  it.effect("makes the server wait for a slow disk, in bounded memory", () =>
    inFolder((folder) => {
      const gate = gated()
      return Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const fiber = yield* Effect.forkChild(
          file(folder, "select i, repeat('x', 1000) from generate_series(1, 100000) as i")
        )
        yield* observer.seen("the server waits for its client", ({ wait }) => wait === "Client:ClientWrite")
        const before = process.memoryUsage().arrayBuffers
        for (let ticks = 0; ticks < 50; ticks++) yield* tick
        assert.isBelow(process.memoryUsage().arrayBuffers - before, 16_000_000)
        assert.strictEqual(gate.held(), 1)
        gate.release()
        assert.strictEqual((yield* Fiber.join(fiber)).rows, 100_000)
        assert.lengthOf(linesOf(join(folder, "out.ndjson")), 100_001)
      }).pipe(Effect.provide(gate.layer))
    }).pipe(one)
  )

  it.effect("leaves nothing when it is interrupted, also while the server waits for the disk", () =>
    inFolder((folder) => {
      const gate = gated()
      return Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        writeFileSync(join(folder, "out.ndjson"), "before")
        const events: Array<QueryEvent.QueryEvent> = []
        const run = yield* Effect.forkChild(
          QueryPool.all([file(folder, endless)], { onEvent: (event) => events.push(event) })
        )
        const { pid } = yield* observer.seen("the server waits", ({ wait }) => wait === "Client:ClientWrite")
        assert.lengthOf(readdirSync(folder), 2)
        const ending = yield* Effect.forkChild(Fiber.interrupt(run), { startImmediately: true })
        yield* Effect.sync(gate.release)
        yield* Fiber.join(ending)
        assert.deepStrictEqual(readdirSync(folder), ["out.ndjson"])
        assert.strictEqual(readFileSync(join(folder, "out.ndjson"), "utf8"), "before")
        assert.isTrue(events.some((event) => event._tag === "CancelEnded" && event.how === "idle"))
        assert.isFalse((yield* observer.backends).some((backend) => backend.pid === pid && backend.state === "active"))
        assert.strictEqual((yield* file(folder, "select 1")).rows, 1)
      }).pipe(Effect.provide(gate.layer))
    }).pipe(one)
  )

  it.effect("leaves nothing when its time is over, and nothing when it fails in its midst", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const late = yield* Effect.flip(
          file(folder, `select 1 from (${endless}) as q, pg_sleep(60)`, { timeout: "300 millis" })
        )
        assert.isTrue(late._tag === "QueryError" && late.reason._tag === "TimedOut")
        assert.deepStrictEqual(readdirSync(folder), [])
        const broken = yield* Effect.flip(
          file(folder, "select 1 / (50000 - i), repeat('x', 100) from generate_series(1, 100000) as i")
        )
        assert.isTrue(broken._tag === "QueryError" && broken.reason._tag === "Rejected")
        assert.deepStrictEqual(readdirSync(folder), [])
        assert.strictEqual((yield* file(folder, "select 1")).rows, 1)
      })
    ).pipe(one)
  )

  it.effect("begins anew when it is tried again, and leaves one file", () =>
    inFolder((folder) => {
      const gate = gated()
      return Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        const retry = RetryPolicy.make({ on: ["ConnectionLost"], schedule: Schedule.recurs(3) })
        const sql = "select i, repeat('x', 1000) as filler from generate_series(1, 30000) as i"
        const events: Array<string> = []
        const run = yield* Effect.forkChild(
          QueryPool.all([file(folder, sql, { retry })], { onEvent: ({ _tag }) => events.push(_tag) })
        )
        const { pid } = yield* observer.seen("the server waits", ({ wait }) => wait === "Client:ClientWrite")
        yield* observer.terminate(pid)
        gate.release()
        const [{ rows }] = yield* Fiber.join(run)
        assert.strictEqual(rows, 30_000)
        assert.include(events, "Retrying")
        assert.deepStrictEqual(readdirSync(folder), ["out.ndjson"])
        assert.lengthOf(linesOf(join(folder, "out.ndjson")), 30_001)
      }).pipe(Effect.provide(gate.layer))
    }).pipe(one)
  )

  it.effect("is tried again after an error of the disk, where its policy names SinkError", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        let tries = 0
        const query = QuerySink.file(
          {
            name: "again",
            statement: (sql) => {
              tries++
              return sql`select 1`
            },
            path: join(folder, "later", "a.ndjson"),
            format: lineFormat()
          },
          { retry: RetryPolicy.make({ on: ["SinkError"], schedule: Schedule.recurs(2) }) }
        )
        const error = yield* Effect.flip(query)
        assert.strictEqual(error._tag, "SinkError")
        assert.strictEqual(tries, 3)
        mkdirSync(join(folder, "later"))
        assert.strictEqual((yield* query).rows, 1)
      })
    ).pipe(one)
  )

  it.effect("sees the snapshot of its run", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* observer.rows("create table growing (n int)")
        yield* QueryPool.all(
          [
            Query.make("first", (sql) =>
              Effect.tap(sql`select 1 from growing`, () =>
                Effect.orDie(observer.rows("insert into growing values (1)"))
              )
            ),
            file(folder, "select n from growing")
          ],
          { concurrency: 1, snapshot: true }
        )
        assert.deepStrictEqual(linesOf(join(folder, "out.ndjson")), ['["n"]'])
      })
    ).pipe(some)
  )

  it.effect("fails alone: the other queries of its run go on, and its own has been stopped", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        mkdirSync(join(folder, "vanishing"))
        mkdirSync(join(folder, "folder.ndjson"))
        const vanish = lineFormat({ onAdd: () => rmSync(join(folder, "vanishing"), { recursive: true, force: true }) })
        const refuse = lineFormat({
          onAdd: () => {
            throw new SinkError.SinkError({ reason: new SinkError.NotEncodable({ message: "column a: too large" }) })
          }
        })
        const outcomes = yield* QueryPool.all(
          {
            nowhere: file(folder, endless, {}, lineFormat(), "nowhere/a.ndjson"),
            vanishing: file(folder, "select 1", {}, vanish, "vanishing/a.ndjson"),
            folder: file(folder, endless, {}, lineFormat(), "folder.ndjson"),
            refused: file(folder, endless, {}, refuse, "refused.ndjson"),
            other: Query.make("other", (sql) => sql`select pg_sleep(0.2)::text, 1 as n`),
            good: file(folder, "select i from generate_series(1, 50000) as i", {}, lineFormat(), "good.ndjson")
          },
          { concurrency: 3, mode: "outcome" }
        )
        const messageOf = (outcome: (typeof outcomes)["nowhere"]) =>
          outcome._tag === "Failed" ? outcome.error.message : outcome._tag
        assert.strictEqual(
          messageOf(outcomes.nowhere),
          `Cannot write ${folder}/nowhere/a.ndjson: there is no folder ${folder}/nowhere: create it first`
        )
        assert.strictEqual(
          messageOf(outcomes.vanishing),
          `Cannot write ${folder}/vanishing/a.ndjson: there is no folder ${folder}/vanishing: create it first`
        )
        assert.strictEqual(
          messageOf(outcomes.folder),
          `Cannot write ${folder}/folder.ndjson: that is a folder: name a file in it`
        )
        assert.strictEqual(messageOf(outcomes.refused), `Cannot write ${folder}/refused.ndjson: column a: too large`)
        assert.strictEqual(outcomes.other._tag, "Succeeded")
        assert.isTrue(outcomes.good._tag === "Succeeded" && outcomes.good.value.rows === 50_000)
        assert.deepStrictEqual(readdirSync(folder).toSorted(), ["folder.ndjson", "good.ndjson"])
        assert.isTrue((yield* observer.backends).every(({ state }) => state !== "active"))
      })
    ).pipe(some)
  )

  it.effect("is whole or not there, whatever happens to it and when", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const { observer } = yield* Pg.Pg
        yield* forSeeds(40, (seed) =>
          Effect.gen(function* () {
            const size = 1 + (yield* below(20_000))
            const fate = yield* below(4)
            const path = join(folder, "out.ndjson")
            const before = `before ${seed}`
            writeFileSync(path, before)
            const sql = `select i, repeat('x', 500) ${fate === 1 ? `, 1 / (${size} - i)` : ""} from generate_series(1, ${size}) as i`
            const fiber = yield* Effect.forkChild(
              Effect.exit(file(folder, sql, {}, lineFormat({ pieceBytes: 10_000 })))
            )
            if (fate >= 2) {
              for (let turns = yield* below(60); turns > 0; turns--) {
                yield* fewTurns
                yield* tick
              }
              if (fate === 2) yield* Fiber.interrupt(fiber)
              else {
                const backends = yield* observer.backends
                yield* Effect.forEach(backends, ({ pid }) => observer.terminate(pid))
              }
            }
            const ended = yield* Fiber.await(fiber)
            const text = readFileSync(path, "utf8")
            if (Exit.isSuccess(ended) && Exit.isSuccess(ended.value)) {
              assert.strictEqual(ended.value.value.rows, size)
              assert.strictEqual(ended.value.value.bytes, text.length)
            }
            if (text !== before) assert.lengthOf(text.trimEnd().split("\n"), size + 1)
            else assert.isFalse(Exit.isSuccess(ended) && Exit.isSuccess(ended.value))
            assert.deepStrictEqual(readdirSync(folder), ["out.ndjson"])
          })
        )
      })
    ).pipe(one)
  )
})
