/**
 * A run with a snapshot while everything goes on at once: somebody writes, connections break and are tried again, one
 * query is cut into parts, and in the end the snapshot itself is lost.
 */
import { assert, layer } from "@effect/vitest"
import { PgConnection } from "@effect/sql-pg"
import { Deferred, Effect, Fiber, Redacted, Schema, Stream } from "effect"
import { Partition, PgQueryPool, Query, QueryError, QueryPool, RetryPolicy } from "querypool"
import type { QueryEvent } from "querypool"
import * as Faults from "../../support/Faults.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

/** Each change of the books notes what they come to, in the transaction that makes it: so does each moment. */
const books = [
  "create table book (id int primary key, worth bigint not null) with (fillfactor = 50)",
  "create table history (version serial primary key, total text not null)",
  // For those who are to be left alone by the faults below.
  "create view calm as select id, worth as value from book",
  "insert into book select id, id from generate_series(1, 3000) id",
  "insert into history (total) select count(*) || ' rows, worth ' || sum(worth) from book",
  "analyze book"
]

const change = (version: number) => [
  "begin",
  // Moves a row to another block, where there is no room for it.
  `update book set worth = worth + ${version} where id % 11 = ${version % 11}`,
  `delete from book where id = (select min(id) from book) or id % 997 = ${version % 997}`,
  `insert into book select id, ${version} from generate_series((select max(id) from book) + 1, (select max(id) from book) + 3) id`,
  "insert into history (total) select count(*) || ' rows, worth ' || sum(worth) from book",
  "commit"
]

/** Changes the books on a connection of its own, until the scope closes. Gives how often it has. */
const writer = Effect.gen(function* () {
  const { url } = yield* Pg.Pg
  const pg = yield* PgConnection.make({ url, applicationName: "writer" })
  let version = 0
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.suspend(() => {
        const statements = change(++version)
        return Effect.forEach(statements, (statement) => pg.query(statement, [], false), { discard: true })
      })
    )
  )
  return () => version
})

const Row = Schema.Struct({ id: Schema.Finite, worth: Schema.BigInt })
const Sums = Schema.Struct({ count: Schema.Finite, sum: Schema.BigInt })
const Calm = Schema.Struct({ id: Schema.Finite, value: Schema.BigInt })

const told = (count: number, sum: bigint) => `${count} rows, worth ${sum}`
const ofRows = (rows: ReadonlyArray<typeof Row.Type>) =>
  told(
    new Set(rows.map(({ id }) => id)).size,
    rows.reduce((sum, { worth }) => sum + worth, 0n)
  )
const ofSums = (parts: ReadonlyArray<typeof Sums.Type>) =>
  told(
    parts.reduce((total, { count }) => total + count, 0),
    parts.reduce((total, { sum }) => total + sum, 0n)
  )

const sums: Partition.Each = (sql, part) => sql`select count(*)::int as count, sum(worth)::int8 as sum from ${part}`

const retry = RetryPolicy.make({
  on: ["ConnectionLost", "ConnectFailed", "TooBusy"],
  schedule: RetryPolicy.backoff({ base: "5 millis", cap: "50 millis", times: 20 })
})

const gate = 11
const lock = `select pg_advisory_xact_lock_shared(${gate})`

const totalOf = (name: string, text: string, before?: string) =>
  Query.make(
    name,
    (sql) =>
      Effect.gen(function* () {
        if (before !== undefined) yield* sql.unsafe(before)
        const [row] = yield* sql.unsafe<{ readonly total: string }>(text)
        return row?.total ?? "nothing"
      }),
    { retry }
  )

const latest = totalOf("history", "select total from history order by version desc limit 1")
const plain = (index: number) =>
  totalOf(`plain ${index}`, "select count(*) || ' rows, worth ' || sum(worth) as total from book -- plain")
const calmly = "select count(*) || ' rows, worth ' || sum(value) as total from calm"

const ranges = (name: string) =>
  Partition.byRange(
    { name, schema: Sums, statement: (sql) => sql`select id, worth from book where worth >= ${0}` },
    { column: "id", parts: 6, each: sums }
  )
const rows = Partition.byRange(
  { name: "rows", schema: Row, statement: (sql) => sql`select id, worth from book` },
  { column: "worth", parts: 5 }
)
const blocks = Partition.byBlocks({ name: "blocks", schema: Row, table: "book" }, { parts: 5 })
const calm = Partition.byRange(
  { name: "calm", schema: Calm, statement: (sql) => sql`table calm` },
  { column: "id", parts: 4 }
)

/** Its first parts have joined when the snapshot is lost, and the others have not. */
const atGate: Partition.Each = (sql, part) =>
  sql`select count(*)::int as count, sum(value)::int8 as sum from ${part} cross join (${sql.literal(lock)}) as gate`
const held = Partition.byRange(
  { name: "held", schema: Sums, statement: (sql) => sql`table calm` },
  { column: "id", parts: 6, each: atGate }
)

/** What a member gave, or why it failed. */
const endOf = (outcome: { readonly _tag: string; readonly value?: unknown; readonly error?: unknown }): unknown => {
  if (outcome._tag === "Succeeded") return outcome.value
  const { error } = outcome
  if (!(error instanceof QueryError.QueryError)) return outcome
  return error.reason._tag === "SnapshotLost" ? error.reason._tag : error.message
}

const slots = 4

const answerTo = (statement: RegExp) => Faults.fromServer("CommandComplete", { statement })

/** Struck in the middle of an answer, by an administrator, and where a connection is opened: the leader's is one. */
const strike = Effect.fnUntraced(function* (faults: Faults.Faults) {
  const shutDown = Faults.answer({ code: "57P01", message: "terminating connection due to administrator command" })
  return yield* Effect.all([
    faults.inject(Faults.answer({ code: "53300", message: "too many connections" }), { times: 3 }),
    faults.inject(Faults.cut(), { before: answerTo(/-- plain/), times: 3 }),
    faults.inject(Faults.cut(), { before: answerTo(/select count.* from \(\n/), times: 3 }),
    faults.inject(Faults.cut(), { before: answerTo(/from only "?public/), times: 2 }),
    faults.inject(Faults.cut(), { before: answerTo(/^explain[^]*worth/), times: 1 }),
    faults.inject(shutDown, { before: Faults.fromClient("Execute", { statement: /worth from book/ }), times: 2 })
  ])
})

layer(Pg.layer("PgSnapshotFaults"), { excludeTestServices: true })("a run with a snapshot", (it) => {
  it.effect("shows all that succeeds one moment, whatever breaks, and nothing of another when it is lost", () =>
    Effect.gen(function* () {
      const { applicationName, observer, url } = yield* Pg.Pg
      for (const statement of books) yield* observer.rows(statement)
      const version = yield* writer
      const target = new URL(Redacted.value(url))
      const leaders = Effect.map(
        observer.rows("select pid from pg_stat_activity where application_name = $1", [`${applicationName} snapshot`]),
        (found) => found.map(({ pid }) => Number(pid))
      )

      for (const seed of [1, 2, 3]) {
        const faults = yield* Faults.make({ host: target.hostname, port: Number(target.port), seed })
        const events: Array<QueryEvent.QueryEvent> = []
        const namesOf = (tag: "Retrying" | "Started") =>
          events.flatMap((event) => (event._tag === tag ? [event.name] : []))
        const [isOver, isLost] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        let left = 6
        /** One of those that are to have ended before the snapshot is lost. */
        const early = <A, E, R>(member: Effect.Effect<A, E, R>) =>
          Effect.ensuring(
            member,
            Effect.suspend(() => (--left === 0 ? Deferred.succeed(isOver, undefined) : Effect.void))
          )
        /** One that has joined by then. */
        const joined = <A, E, R>(member: Effect.Effect<A, E, R>) => Effect.andThen(Deferred.await(isOver), member)
        /** One that has not. */
        const late = <A, E, R>(member: Effect.Effect<A, E, R>) => Effect.andThen(Deferred.await(isLost), member)
        const findAll = <S extends Schema.Constraint>(partition: Partition.Partition<S>) =>
          Partition.findAll(partition, { retry })
        const streamed = Stream.runCollect(Partition.stream(calm, { preserveOrder: true }))
        const plains = Effect.all(
          Array.from({ length: 12 }, (_, index) => plain(index)),
          { concurrency: 3 }
        )

        const members = {
          latest: early(latest),
          plains: early(Effect.map(plains, (all) => [...new Set(all)].join(" and "))),
          ranges: early(Effect.map(findAll(ranges("ranges")), ofSums)),
          blocks: early(Effect.map(findAll(blocks), ofRows)),
          rows: early(Effect.map(findAll(rows), ofRows)),
          stream: early(Effect.map(streamed, (all) => ofRows(all.map(({ id, value }) => ({ id, worth: value }))))),
          joined: joined(totalOf("joined", calmly, lock)),
          torn: joined(totalOf("torn", `${calmly} -- torn`, lock)),
          held: joined(findAll(held)),
          late: late(plain(1)),
          later: late(plain(2)),
          lateParts: late(findAll(ranges("late parts")))
        }

        yield* Effect.gen(function* () {
          yield* latest
          const injected = yield* strike(faults)
          const torn = yield* faults.inject(Faults.cut(), {
            before: Faults.fromServer("CommandComplete", { statement: /-- torn/ })
          })
          yield* observer.hold(gate)
          const before = version()
          const run = yield* Effect.forkChild(
            QueryPool.all(members, {
              concurrency: slots,
              snapshot: true,
              mode: "outcome",
              onEvent: (event) => events.push(event)
            })
          )
          yield* waitUntil(
            "four have joined, and wait",
            Effect.map(observer.backends, (all) => all.filter(({ wait }) => wait === "Lock:advisory").length === slots),
            5
          )
          const after = version()
          assert.isAbove(after, before + 5, "somebody wrote all the time")
          for (const pid of yield* leaders) yield* observer.terminate(pid)
          yield* waitUntil(
            "the run knows",
            Effect.sync(() => events.some((event) => event._tag === "SnapshotEnded" && event.lost))
          )
          yield* Deferred.succeed(isLost, undefined)
          yield* waitUntil(
            "somebody goes on to write",
            Effect.sync(() => version() > after + 2)
          )
          yield* observer.release(gate)
          const outcomes = yield* Fiber.join(run)

          const ends = Object.fromEntries(Object.entries(outcomes).map(([name, outcome]) => [name, endOf(outcome)]))
          const moment = ends["latest"]
          assert.deepStrictEqual(
            ends,
            {
              latest: moment,
              plains: moment,
              ranges: moment,
              blocks: moment,
              rows: moment,
              stream: moment,
              joined: moment,
              torn: "SnapshotLost",
              held: "SnapshotLost",
              late: "SnapshotLost",
              later: "SnapshotLost",
              lateParts: "SnapshotLost"
            },
            `seed ${seed}`
          )
          // It had joined, was cut, and could not join again.
          assert.deepInclude({ ...(outcomes.torn._tag === "Failed" ? outcomes.torn.error : undefined) }, { attempt: 2 })
          assert.strictEqual(torn.count(), 1)

          for (const injection of injected) assert.isAbove(injection.count(), 0)
          for (const retried of [/^plain \d+$/, /^ranges \[\d\/\d\]$/, /^blocks \[\d\/\d\]$/, /\[plan\]$/]) {
            assert.isTrue(
              namesOf("Retrying").some((name) => retried.test(name)),
              `${String(retried)} among ${namesOf("Retrying").join(", ")}`
            )
          }
          // Nothing of what came late was begun.
          assert.isFalse(namesOf("Started").some((name) => name.startsWith("late parts")))
          assert.deepStrictEqual(
            events.flatMap((event) =>
              event._tag === "SnapshotTaken" || event._tag === "SnapshotEnded" ? [event._tag] : []
            ),
            ["SnapshotTaken", "SnapshotEnded"]
          )

          assert.deepStrictEqual(yield* leaders, [])
          const { get } = yield* PgQueryPool.Statistics
          assert.deepInclude(yield* get, { inUse: 0, waiting: 0 })
          for (const { state } of yield* observer.backends) assert.strictEqual(state, "idle")
          yield* faults.heal
          const again = yield* QueryPool.all([latest, ...Array.from({ length: slots }, (_, index) => plain(index))], {
            concurrency: slots,
            snapshot: true
          })
          assert.strictEqual(new Set(again).size, 1)
          assert.notStrictEqual(again[0], moment)
        }).pipe(
          Effect.provide(
            Pg.pool({ maxConnections: slots }, (to) => {
              to.hostname = faults.host
              to.port = String(faults.port)
            })
          )
        )
        yield* observer.gone
      }
    }).pipe(Effect.scoped)
  )
})
