import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { PgQueryPool } from "querypool"
import type { Estimate } from "../../../src/pool/Estimates.ts"
import type { Subject } from "../../../src/pool/PgEstimates.ts"
import { expected } from "../../../src/pool/PgEstimates.ts"
import { DurationHistory } from "../../../src/query/Learning.ts"
import * as Pg from "../../support/Pg.ts"

/** A history that knows these keys, in milliseconds. */
const knows = (known: Readonly<Record<string, number>>) =>
  Effect.provideService(
    DurationHistory,
    DurationHistory.of({ recall: Effect.succeed((key) => known[key]), learn: () => Effect.void })
  )

const subject = (key: string, ...statements: ReadonlyArray<string>): Subject => ({ key, statements })

const sources = (estimates: ReadonlyArray<Estimate | undefined>) => estimates.map((found) => found?.source)

const millisOf = (estimates: ReadonlyArray<Estimate | undefined>, index: number): number =>
  estimates[index]?.millis ?? assert.fail(`there is no estimate ${index}`)

layer(Pg.layer("PgEstimates"), { excludeTestServices: true })("an estimate on PostgreSQL", (it) => {
  describe.each(["decoded", "text"] as const)("of a pool with %s results", (results) => {
    it.effect("sorts a join above a scan above a look-up, by their plans", () =>
      Effect.gen(function* () {
        const estimates = yield* expected([
          subject("look-up", "select * from account where id = 7"),
          subject("join", "-- big\nselect count(*) from account a, account b, account c"),
          subject("scan", "select sum(balance) from account")
        ]).pipe(knows({}))
        assert.deepStrictEqual(sources(estimates), ["explain", "explain", "explain"])
        assert.isAbove(millisOf(estimates, 1), millisOf(estimates, 2))
        assert.isAbove(millisOf(estimates, 2), millisOf(estimates, 0))
      }).pipe(Effect.provide(Pg.pool({ results })))
    )
  })

  it.effect("learns what a unit of cost takes from those that the history knows", () =>
    Effect.gen(function* () {
      const sum = "select sum(balance) from account"
      const known = Array.from({ length: 20 }, (_, index) => subject(`known ${index}`, sum))
      const history = knows(Object.fromEntries(known.map(({ key }) => [key, 8_000])))
      const estimates = yield* expected([...known, subject("new", "select max(balance) from account")]).pipe(history)
      assert.deepStrictEqual(estimates[20], { millis: 8_000, source: "explain" })
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("runs nothing of what it looks at", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create sequence numbers")
      yield* observer.rows("create table written (id int default nextval('numbers'))")
      yield* observer.rows("insert into written values (0)")
      const estimates = yield* expected(
        [
          "insert into written default values",
          "update written set id = nextval('numbers')",
          "delete from written",
          "with gone as (delete from written returning id) select * from gone",
          "select nextval('numbers')",
          "merge into written using account on written.id = account.id when not matched then insert values (1)",
          "analyze delete from written",
          "(analyze) delete from written"
        ].map((text, index) => subject(String(index), text))
      ).pipe(knows({}))
      assert.deepStrictEqual(sources(estimates.slice(0, 6)), Array(6).fill("explain"))
      assert.deepStrictEqual(sources(estimates.slice(6)), ["text", "text"])
      assert.strictEqual(String(yield* observer.value("select array_agg(id) from written")), "0")
      assert.strictEqual(yield* observer.value("select is_called from numbers"), false)
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("takes the text for what cannot be planned, and says so", () =>
    Effect.gen(function* () {
      const estimates = yield* expected([
        subject("missing", "select * from no_such_table"),
        subject("wrong", "select from from from"),
        subject("several", "create temp table a as select 1", "select * from a"),
        subject("definition", "create table b (id int)"),
        subject("parameter", "select * from account where id = $1"),
        subject("two at once", "select 1; select 2"),
        subject("unknown"),
        subject("scan", "select sum(balance) from account")
      ]).pipe(knows({}))
      assert.deepStrictEqual(sources(estimates), ["text", "text", "text", "text", "text", "text", undefined, "explain"])
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("does not wait for a lock for longer than it may, and keeps what was found before", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      yield* observer.rows("create table locked (id int)")
      yield* observer.rows("begin")
      yield* observer.rows("lock table locked")
      const estimates = yield* expected(
        [
          subject("before", "select sum(balance) from account"),
          subject("locked", "select * from locked"),
          subject("after", "select sum(balance) from account")
        ],
        "300 millis"
      ).pipe(knows({}), Effect.ensuring(Effect.orDie(observer.rows("rollback"))))
      assert.deepStrictEqual(sources(estimates), ["explain", "text", "text"])
      yield* observer.rows("drop table locked")
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("asks the server for nothing where the history knows all, and on one connection otherwise", () =>
    Effect.gen(function* () {
      const statistics = yield* PgQueryPool.Statistics
      const [a, b] = [subject("a", "select 1"), subject("b", "select 2")]
      assert.deepStrictEqual(yield* expected([a, b]).pipe(knows({ a: 1, b: 2 })), [
        { millis: 1, source: "learned" },
        { millis: 2, source: "learned" }
      ])
      assert.strictEqual((yield* statistics.get).opened, 0)
      assert.deepStrictEqual(sources(yield* expected([a, b]).pipe(knows({ a: 1 }))), ["learned", "explain"])
      assert.strictEqual((yield* statistics.get).opened, 1)
    }).pipe(Effect.provide(Pg.pool()))
  )

  it.effect("is there also where the server cannot be reached", () =>
    Effect.gen(function* () {
      const estimates = yield* expected([subject("a", "select 1"), subject("b", "select 22")]).pipe(knows({ a: 8 }))
      assert.deepStrictEqual(estimates, [
        { millis: 8, source: "learned" },
        { millis: 9, source: "text" }
      ])
    }).pipe(Effect.provide(Pg.pool({}, (url) => (url.pathname = "/no_such_database"))))
  )
})
