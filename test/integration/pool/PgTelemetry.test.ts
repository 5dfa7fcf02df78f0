import { assert, layer } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Redacted, Schedule, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Partition, Query, QueryPool, RetryPolicy } from "querypool"
import * as Pg from "../../support/Pg.ts"
import * as Recorder from "../../support/Recorder.ts"

const Row = Schema.Struct({ n: Schema.Int })

/** Its parameter is as telling as a parameter can be. */
const lookup = (options?: Query.FindOptions) =>
  Query.findOne(
    { name: "lookup", schema: Row, statement: (sql) => sql`select length(${"sesame"}::text)::int as n` },
    options
  )

const attributesOf = ({ attributes }: { readonly attributes: ReadonlyMap<string, unknown> }) =>
  Object.fromEntries(attributes)

const traced = (...[telemetry, config]: [telemetry?: object, config?: Parameters<typeof Pg.pool>[0]]) => {
  const recorder = Recorder.make()
  const run = <A, E>(effect: Effect.Effect<A, E, QueryPool.QueryPool | SqlClient.SqlClient | Pg.Pg>) =>
    effect.pipe(Recorder.recorded(recorder), Effect.provide(Pg.pool({ ...config, telemetry })))
  return { recorder, run }
}

layer(Pg.layer("PgTelemetry"), { excludeTestServices: true })("a query that is told of", (it) => {
  it.effect("is one span with all that the conventions ask for, also where it is one statement", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      yield* run(lookup())
      yield* run(lookup())
      const span = recorder.named("lookup")[0] ?? assert.fail("no span")
      assert.strictEqual(recorder.spans.filter(({ name }) => name !== "wait").length, 2)
      const { url } = yield* Pg.Pg
      const target = yield* serverOf(url)
      assert.strictEqual(span.kind, "client")
      assert.deepStrictEqual(attributesOf(span), {
        "db.system.name": "postgresql",
        ...target,
        "db.query.summary": "lookup",
        "db.query.text": "select length($1::text)::int as n",
        "db.response.returned_rows": 1
      })
      assert.notInclude(recorder.text, "sesame")
    })
  )

  it.effect("is one span in the pipelined lane too, and where it is one transaction", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      yield* run(lookup({ lane: "pipelined" }))
      yield* run(Query.make("move", (sql) => sql`select ${"sesame"}::text`, { mode: "transaction" }))
      assert.deepStrictEqual(
        recorder.spans.flatMap(({ name }) => (name === "wait" ? [] : [name])),
        ["lookup", "move"]
      )
      const [piped, moved] = [recorder.one("lookup"), recorder.one("move")].map(attributesOf)
      assert.strictEqual(piped?.["querypool.query.lane"], "pipelined")
      assert.strictEqual(piped?.["db.query.text"], "select length($1::text)::int as n")
      assert.strictEqual(moved?.["querypool.query.mode"], "transaction")
      assert.strictEqual(moved?.["db.query.text"], "select $1::text")
      assert.deepStrictEqual(
        recorder.one("move").events.map(([name]) => name),
        ["effect.sql.transaction.commit"]
      )
    })
  )

  it.effect("has its statements, its user's spans and the queries that join it under it", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      const several = Query.make("several", (sql) =>
        Effect.gen(function* () {
          yield* sql`select 1`
          yield* Effect.withSpan(sql`select ${"sesame"}::text`, "mine")
          yield* lookup()
          yield* sql.withTransaction(sql`select 3`)
        })
      )
      yield* run(several)
      const span = recorder.one("several")
      const database = String(span.attributes.get("db.namespace"))
      assert.sameMembers([...recorder.under(span)], ["wait", database, "mine", "lookup", "sql.transaction"])
      assert.deepStrictEqual(recorder.under(recorder.one("mine")), [database])
      assert.deepStrictEqual(recorder.under(recorder.one("lookup")), [])
      assert.deepStrictEqual(recorder.under(recorder.one("sql.transaction")), [database])
      assert.isUndefined(span.attributes.get("db.query.text"))
      assert.deepStrictEqual(
        recorder.named(database).map(({ attributes }) => attributes.get("db.query.text")),
        ["select ?", "select $1::text", "select ?"]
      )
      assert.strictEqual(recorder.one("lookup").attributes.get("db.query.text"), "select length($1::text)::int as n")
    })
  )

  it.effect("has its run around it, and whatever is around that", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      const members = [lookup(), Effect.withSpan(lookup(), "a step"), Effect.withSpan(Effect.void, "no query")]
      yield* run(Effect.withSpan(QueryPool.all(members, { concurrency: 2 }), "request"))
      yield* run(Stream.runDrain(QueryPool.stream([lookup(), Effect.withSpan(Effect.void, "in a stream")])))
      const [all, streamed] = [recorder.one("QueryPool.all"), recorder.one("QueryPool.stream")]
      assert.deepStrictEqual(recorder.under(recorder.one("request")), ["QueryPool.all"])
      assert.sameMembers([...recorder.under(all)], ["lookup", "a step", "no query"])
      assert.deepStrictEqual(recorder.under(recorder.one("a step")), ["lookup"])
      assert.sameMembers([...recorder.under(streamed)], ["lookup", "in a stream"])
      assert.deepStrictEqual(attributesOf(all), {
        "querypool.run.concurrency": 2,
        "querypool.run.snapshot": false,
        "querypool.run.queries": 2
      })
      assert.strictEqual(new Set(recorder.spans.map(({ traceId }) => traceId)).size, 2)
    })
  )

  it.effect("has a span for each attempt, with what it failed with, where it has a policy", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      const retry = RetryPolicy.make({ on: ["Rejected"], schedule: Schedule.spaced("5 millis") })
      let attempts = 0
      const flaky = Query.make("flaky", (sql) => sql`select 1 / ${attempts++}::int`, { mode: "readOnly", retry })
      yield* run(QueryPool.report([flaky]))
      const query = recorder.one("flaky")
      const [first, second] = recorder.named("attempt")
      assert.deepStrictEqual(
        recorder.under(query).filter((name) => name === "attempt"),
        ["attempt", "attempt"]
      )
      assert.strictEqual(query.attributes.get("querypool.query.attempts"), 2)
      assert.isUndefined(Recorder.failureOf(query))
      assert.deepInclude(attributesOf(first ?? query), {
        "querypool.attempt": 1,
        "error.type": "22012",
        "db.response.status_code": "22012"
      })
      assert.strictEqual(Recorder.failureOf(first ?? query), "22012: division_by_zero")
      assert.isUndefined(Recorder.failureOf(second ?? query))
      assert.strictEqual(second?.links[0]?.span.spanId, first?.spanId)
      const waits = recorder.named("wait").filter((span) => span.attributes.get("querypool.wait.for") === "retry")
      assert.strictEqual(waits.length, 1)
      assert.isAtLeast(Math.min(...waits.map(Recorder.millisOf)), 4)
    })
  )

  it.effect("tells how long it waited for a session", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const { recorder, run } = traced({}, { maxConnections: 1 })
      yield* observer.hold(41)
      yield* run(
        Effect.gen(function* () {
          const first = yield* Effect.forkChild(
            Query.make("first", (sql) => sql`select pg_advisory_lock(41), pg_advisory_unlock(41)`)
          )
          yield* observer.seen("the first waits for the lock", ({ wait }) => wait === "Lock:advisory")
          const second = yield* Effect.forkChild(lookup())
          yield* Effect.yieldNow
          yield* Effect.sleep("5 millis")
          yield* observer.release(41)
          yield* Fiber.join(first)
          yield* Fiber.join(second)
        })
      )
      const wait = recorder.named("wait").find(({ parent }) => Option.getOrUndefined(parent) === recorder.one("lookup"))
      assert.strictEqual(wait?.attributes.get("querypool.wait.for"), "session")
      assert.isAtLeast(Recorder.millisOf(recorder.one("lookup")), Recorder.millisOf(wait ?? recorder.one("first")))
    })
  )

  it.effect("tells of its cancel and how that ended", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      yield* run(
        Effect.exit(QueryPool.all([Query.make("slow", (sql) => sql`select pg_sleep(600)`, { timeout: "50 millis" })]))
      )
      const slow = recorder.one("slow")
      assert.include(recorder.under(slow), "cancel")
      assert.strictEqual(recorder.one("cancel").attributes.get("querypool.cancel.how"), "idle")
      assert.strictEqual(slow.attributes.get("error.type"), "TimedOut")
      assert.strictEqual(Recorder.failureOf(slow), "TimedOut: exceeded its timeout of 50 ms")
      assert.strictEqual(recorder.one("QueryPool.all").attributes.get("error.type"), "TimedOut")
    })
  )

  it.effect("is cancelled, and not failed, when it was interrupted", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const { recorder, run } = traced()
      const asleep = observer.seen("it sleeps", ({ query }) => query.includes("pg_sleep"))
      const slow = Query.make("slow", (sql) => sql`select pg_sleep(600)`)
      yield* run(Effect.flatMap(Effect.forkChild(slow), (fiber) => Effect.andThen(asleep, Fiber.interrupt(fiber))))
      const { attributes, status } = recorder.one("slow")
      assert.strictEqual(attributes.get("error.type"), "cancelled")
      assert.isTrue(
        status._tag === "Ended" && Exit.isFailure(status.exit) && Cause.hasInterruptsOnly(status.exit.cause)
      )
    })
  )

  it.effect("sees the run's snapshot, whose taking and end the run tells of", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      yield* run(QueryPool.all([lookup(), lookup()], { snapshot: true }))
      const all = recorder.one("QueryPool.all")
      assert.deepStrictEqual(
        all.events.map(([name]) => name),
        ["snapshot taken", "snapshot ended"]
      )
      assert.strictEqual(all.attributes.get("querypool.run.snapshot"), true)
      for (const { attributes } of recorder.named("lookup")) {
        assert.strictEqual(attributes.get("db.query.text"), "select length($1::text)::int as n")
      }
      assert.notInclude(
        recorder.spans.map(({ name }) => name),
        "sql.transaction"
      )
    })
  )

  it.effect("is told until its last row, where it is a stream", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      const rows = Query.stream({
        name: "rows",
        schema: Row,
        statement: (sql) => sql`select generate_series(1, ${2_000}::int) as n`
      })
      yield* run(Stream.runDrain(rows))
      yield* run(QueryPool.all([Stream.runDrain(rows)]))
      yield* run(Stream.runDrain(Stream.take(rows, 1)))
      const [alone, inRun, cut] = recorder.named("rows")
      assert.strictEqual(alone?.attributes.get("db.response.returned_rows"), 2_000)
      assert.strictEqual(alone?.attributes.get("db.query.text"), "select generate_series(1, $1::int) as n")
      assert.strictEqual(
        Option.getOrUndefined(inRun?.parent ?? Option.none())?.spanId,
        recorder.one("QueryPool.all").spanId
      )
      assert.isTrue(cut?.status._tag === "Ended" && Exit.isSuccess(cut.status.exit))
    })
  )

  it.effect("counts as one of its kind when it is a part of a query", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      const numbers = Partition.byRange(
        { name: "numbers", schema: Row, statement: (sql) => sql`select n from generate_series(1, 100) as n` },
        { column: "n", bounds: [50] }
      )
      const rows = yield* run(Partition.findAll(numbers))
      assert.strictEqual(rows.length, 100)
      const spans = recorder.named("numbers")
      assert.sameMembers(
        spans.map(({ attributes }) => attributes.get("querypool.query.name")),
        ["numbers [plan]", "numbers [1/2]", "numbers [2/2]"]
      )
      for (const { attributes } of spans) assert.strictEqual(attributes.get("db.query.summary"), "numbers")
      assert.sameMembers([...recorder.under(recorder.one("QueryPool.all"))], ["numbers", "numbers", "numbers"])
    })
  )

  it.effect("has no span without a tracer, under a span that is not sampled, and where tracing is switched off", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      yield* lookup().pipe(Effect.provide(Pg.pool()))
      yield* run(Effect.withTracerEnabled(lookup(), false))
      yield* run(Effect.withSpan(QueryPool.all([lookup()]), "unsampled", { sampled: false }))
      assert.deepStrictEqual(recorder.spans, [])
    })
  )

  it.effect("quotes no value of a parameter, a constant or an error, unless values are asked for", () =>
    Effect.gen(function* () {
      const parameter = Query.make("parameter", (sql) => sql`select ${"sesame"}::text::int`)
      const bad = [
        parameter,
        Query.make("constant", (sql) => sql.unsafe("select 'sesame'::int")),
        Query.make("raised", (sql) => sql`do ${sql.literal("$$ begin raise exception 'sesame'; end $$")}`)
      ]
      const own = Query.make("own", () => Effect.fail({ _tag: "Own", message: "sesame" } as const))
      const closed = traced()
      yield* closed.run(
        QueryPool.report([own, ...bad, Query.make("twice", (sql) => Effect.andThen(sql`select 1`, parameter))])
      )
      assert.notInclude(closed.recorder.text, "sesame")
      assert.strictEqual(closed.recorder.one("constant").attributes.get("db.query.text"), "select ?::int")
      const open = traced({ values: true })
      yield* open.run(QueryPool.report(bad))
      assert.strictEqual(open.recorder.one("parameter").attributes.get("db.query.parameter.0"), "sesame")
      assert.include(open.recorder.text, "invalid input syntax for type integer")
    })
  )

  it.effect("is not followed when its pool has told of enough, unless there is something to tell", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced({ spansPerSecond: 1 })
      const bad = Query.make("bad", (sql) => sql`select 1 / ${0}::int`)
      const mine = Query.make("mine", (sql) => Effect.withSpan(sql`select 1`, "inside"))
      yield* run(
        QueryPool.report([lookup(), lookup(), mine, lookup(), bad, Effect.withSpan(Effect.void, "no query")], {
          concurrency: 1
        })
      )
      const all = recorder.one("QueryPool.report")
      assert.sameMembers([...recorder.under(all)], ["lookup", "bad", "no query"])
      assert.strictEqual(recorder.one("bad").attributes.get("querypool.query.told_afterwards"), "failed")
      assert.strictEqual(recorder.one("bad").attributes.get("db.response.status_code"), "22012")
      assert.strictEqual(all.attributes.get("querypool.run.queries"), 5)
      assert.strictEqual(all.attributes.get("querypool.run.queries.without_span"), 3)
      assert.strictEqual(recorder.named("inside").length, 0)
    })
  )

  it.effect("leaves statements outside of queries to effect/sql, with what is known of the server", () =>
    Effect.gen(function* () {
      const { recorder, run } = traced()
      yield* run(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select ${"sesame"}::text`))
      const { url } = yield* Pg.Pg
      const [span] = recorder.spans
      assert.deepInclude(attributesOf(span ?? assert.fail("no span")), yield* serverOf(url))
    })
  )
})

const serverOf = (url: Pg.Pg["Service"]["url"]) =>
  Effect.sync(() => {
    const { hostname, pathname, port } = new URL(Redacted.value(url))
    return { "db.namespace": pathname.slice(1), "server.address": hostname, "server.port": Number(port) }
  })
