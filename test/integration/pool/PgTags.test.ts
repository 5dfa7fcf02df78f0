import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { Query, QueryError, QueryPool } from "querypool"
import * as Pg from "../../support/Pg.ts"
import * as Recorder from "../../support/Recorder.ts"

const Text = Schema.Struct({ text: Schema.String })

/** Reads what pg_stat_activity has of the session that asks. */
const ownText = (sql: Parameters<Parameters<typeof Query.make>[1]>[0]) =>
  sql`select query as text from pg_stat_activity where pid = pg_backend_pid() and ${1}::int = 1`

const tag = /\/\*(.*)\*\/$/

const tagOf = (text: string | undefined): string | undefined => tag.exec(text ?? "")?.[1]

const single = (comments: "query" | "trace") => Pg.pool({ maxConnections: 1, telemetry: { comments } })

const odd = (text: string) => Query.make("odd", (sql) => sql.unsafe(text))

layer(Pg.layer("PgTags"), { excludeTestServices: true })("a statement with tags", (it) => {
  it.effect("shows a second connection who sent it, while it runs", () =>
    Effect.gen(function* () {
      const { applicationName, observer } = yield* Pg.Pg
      const recorder = Recorder.make()
      const totals = Query.make("monthly totals", (sql) => sql`select pg_sleep(600)`)
      const running = yield* QueryPool.all([totals]).pipe(
        Recorder.recorded(recorder),
        Effect.provide(Pg.pool({ telemetry: { comments: "trace" } })),
        Effect.forkChild
      )
      const { pid, query } = yield* observer.seen("it sleeps", (backend) => backend.query.includes("pg_sleep"))
      const [activity] = yield* observer.rows("select application_name from pg_stat_activity where pid = $1", [pid])
      yield* Fiber.interrupt(running)
      const { spanId, traceId } = recorder.one("monthly totals")
      assert.strictEqual(activity?.["application_name"], applicationName)
      assert.strictEqual(tagOf(query), `action='monthly%20totals',traceparent='00-${traceId}-${spanId}-01'`)
    })
  )

  it.effect("stands with them in the server's log", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const name = `failing ${Date.now()}`
      const failing = Query.make(name, (sql) => sql`select 1 / ${0}::int`)
      yield* failing.pipe(Effect.exit, Effect.provide(Pg.pool({ telemetry: { comments: "query" } })))
      const log = yield* observer.value("select pg_read_file(current_setting('data_directory') || '/../log')")
      assert.include(String(log), `select 1 / $1::int /*action='${encodeURIComponent(name)}'*/`)
    })
  )

  it.effect("has them in both lanes, in streams, transactions and snapshots, and none unless asked", () =>
    Effect.gen(function* () {
      const find = { name: "who", schema: Text, statement: ownText }
      const all = Effect.gen(function* () {
        const [piped, pinned, moved] = yield* QueryPool.all([
          Query.findOne(find, { lane: "pipelined" }),
          Query.findOne(find),
          Query.findOne(find, { mode: "transaction" })
        ])
        const streamed = yield* Stream.runCollect(Query.stream(find))
        const [seen] = yield* QueryPool.all([Query.findOne(find)], { snapshot: true })
        return [piped, pinned, moved, ...streamed, seen].map(({ text }) => tagOf(text))
      })
      const tagged = yield* all.pipe(Effect.provide(Pg.pool({ telemetry: { comments: "query" } })))
      assert.deepStrictEqual(
        tagged,
        Array.from({ length: 5 }, () => "action='who'")
      )
      const plain = yield* all.pipe(Effect.provide(Pg.pool()))
      assert.deepStrictEqual(
        plain,
        Array.from({ length: 5 }, () => undefined)
      )
    })
  )

  it.effect("is prepared once with a name, and not at all with a trace, which no other has", () =>
    Effect.gen(function* () {
      const prepared = Query.findAll({
        name: "prepared",
        schema: Text,
        statement: (sql) => sql`select statement as text from pg_prepared_statements`
      })
      const find = Query.findOne({ name: "who", schema: Text, statement: ownText })
      const texts = Effect.gen(function* () {
        for (let time = 0; time < 5; time++) yield* find
        return (yield* prepared).map(({ text }) => text).filter((text) => text.includes("pg_stat_activity"))
      })
      const named = yield* texts.pipe(Effect.provide(single("query")))
      assert.deepStrictEqual(named.map(tagOf), ["action='who'"])
      const followed = yield* texts.pipe(Recorder.recorded(Recorder.make()), Effect.provide(single("trace")))
      assert.deepStrictEqual(followed, [])
      // Nobody follows these: there is no trace to tell of.
      const unfollowed = yield* texts.pipe(Effect.provide(single("trace")))
      assert.deepStrictEqual(unfollowed.map(tagOf), ["action='who'"])
    })
  )

  it.effect("runs whatever the query's name is, and whatever the statement looks like", () =>
    Effect.gen(function* () {
      const names = ["*/ select 'out'; --", "/* deeper", "it's", "a\nline", "100 %", "\ud800", "ünïcode"]
      for (const name of names) {
        const { text } = yield* Query.findOne({ name, schema: Text, statement: ownText })
        const value = /action='((?:\\'|[^'])*)'/.exec(text)?.[1]
        assert.strictEqual(decodeURIComponent((value ?? "").replaceAll("\\'", "'")), name.toWellFormed())
      }
      for (const text of ["select 1;", "select 1 -- to the end", "select /* mine */ 1", "select '--', '/*'"]) {
        assert.strictEqual((yield* odd(text)).length, 1)
      }
    }).pipe(Effect.provide(Pg.pool({ telemetry: { comments: "query" } })))
  )

  it.effect("is told of as it was written: in the place of an error, and in its span", () =>
    Effect.gen(function* () {
      const recorder = Recorder.make()
      const wrong = Query.make("wrong", (sql) => sql`select nothing from pg_class where oid = ${1}`)
      const exit = yield* wrong.pipe(
        Recorder.recorded(recorder),
        Effect.exit,
        Effect.provide(Pg.pool({ telemetry: { comments: "trace" } }))
      )
      const error = Exit.isFailure(exit)
        ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
        : undefined
      assert.instanceOf(error, QueryError.QueryError)
      const { reason } = error
      assert.strictEqual(
        reason._tag === "Rejected" ? reason.position?.text : undefined,
        "select nothing from pg_class where oid = $1"
      )
      assert.strictEqual(
        recorder.one("wrong").attributes.get("db.query.text"),
        "select nothing from pg_class where oid = $1"
      )
      assert.isTrue(Option.isNone(recorder.one("wrong").parent))
    })
  )
})
