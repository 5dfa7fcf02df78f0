/**
 * One query as it is, and cut into 1, 2, 4 and 8 parts: by ranges of its key, and by blocks of its table.
 *
 * `aggregate` is work for the server: a hash of each of a table's rows, and one row of result for each part. `read` is
 * work for this process: all rows, as an array or as a stream, each decoded by a Schema. One process decodes one row at
 * a time, however many parts they come from.
 */
import { Effect, Layer, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Partition, PgQueryPool, Query } from "querypool"
import type { QueryPool } from "querypool"
import { BenchDatabase } from "../Database.ts"
import { collectGarbage } from "../Harness.ts"
import type { Meter } from "../Job.ts"
import { elapsedSeconds } from "../Job.ts"
import type { Answer, Case, Effort, Subject, Suite } from "../Suite.ts"
import { failAs } from "../Suite.ts"

/** To be aggregated, and a fifth of them to be read: 5,000,000 as an array take a gigabyte, and each round of them ten seconds. */
const rowsOf = (effort: Effort): number => (effort.quick ? 50_000 : 5_000_000)
const readPart = 5

const load = (rows: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table accounts (id int primary key, balance int, note text)`
    yield* sql`insert into accounts select id, (id * 37::bigint) % 10007 - 5000, 'account ' || id from generate_series(1, ${rows}::int) id`
    yield* sql`create table fewer (like accounts including all)`
    yield* sql`insert into fewer select * from accounts where id <= ${rows / readPart}::int`
    yield* sql`vacuum analyze accounts, fewer`
  })

const Account = Schema.Struct({ id: Schema.Int, balance: Schema.Int, note: Schema.String })
const Total = Schema.Struct({ rows: Schema.Int, balance: Schema.Int, note: Schema.String })

const accounts: Query.Find<typeof Account> = {
  name: "accounts",
  schema: Account,
  statement: (sql) => sql`select id, balance, note from fewer`
}

const total: Partition.Each = (sql, part) =>
  sql`select count(*)::int as rows, sum(balance)::int as balance, max(md5(note)) as note from ${part}`

const totals: Query.Find<typeof Total> = {
  name: "totals",
  schema: Total,
  statement: (sql) => sql`select id, balance, note from accounts`
}

/** The same of the totals of all parts. */
const sumOf = (parts: ReadonlyArray<typeof Total.Type>): Answer => ({
  rows: parts.reduce((sum, { rows }) => sum + rows, 0),
  balance: parts.reduce((sum, { balance }) => sum + balance, 0),
  note: parts.reduce((greatest, { note }) => (note > greatest ? note : greatest), "")
})

/** What does not depend on the order of the rows. */
class Digest {
  private rows = 0
  private ids = 0
  private balance = 0
  private length = 0

  add({ balance, id, note }: typeof Account.Type): void {
    this.rows++
    this.ids += id
    this.balance += balance
    this.length += note.length
  }

  get answer(): Answer {
    return { rows: this.rows, ids: this.ids, balance: this.balance, length: this.length }
  }
}

const digestOf = (rows: ReadonlyArray<typeof Account.Type>): Answer => {
  const digest = new Digest()
  for (const row of rows) digest.add(row)
  return digest.answer
}

const digestOfStream = <E, R>(rows: Stream.Stream<typeof Account.Type, E, R>): Effect.Effect<Answer, E, R> =>
  Effect.suspend(() => {
    const digest = new Digest()
    return Effect.map(
      Stream.runForEachArray(rows, (chunk) => Effect.sync(() => chunk.forEach((row) => digest.add(row)))),
      () => digest.answer
    )
  })

const usedBytes = (): number => {
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

/**
 * The most memory in use while the work ran, beside what was in use before, in megabytes. Not what the process has of the
 * system: it gives little of that back, so that whoever comes after a subject that needs much would seem to need it too.
 */
const peakMegabytes: Meter = (work) =>
  Effect.suspend(() => {
    // What the round before has left would count as in use, and be given back in the middle of this one.
    collectGarbage()
    const before = usedBytes()
    let most = before
    const look = (): void => {
      most = Math.max(most, usedBytes())
    }
    const looking = setInterval(look, 10)
    return work.pipe(
      // A short one may end before the first look.
      Effect.tap(() => Effect.sync(look)),
      Effect.ensuring(Effect.sync(() => clearInterval(looking))),
      Effect.map((result) => [(most - before) / 1e6, result] as const)
    )
  })

const allCounts = [1, 2, 4, 8]

interface Ways {
  readonly whole: Effect.Effect<Answer, unknown, QueryPool.QueryPool>
  readonly byRange: (parts: number) => Effect.Effect<Answer, unknown, QueryPool.QueryPool>
  readonly byBlocks: (parts: number) => Effect.Effect<Answer, unknown, QueryPool.QueryPool>
}

const aggregated: Ways = {
  whole: Effect.map(Query.findAll({ ...totals, statement: (sql) => total(sql, sql.literal("accounts")) }), sumOf),
  byRange: (parts) =>
    Effect.map(
      Partition.findAll(Partition.byRange(totals, { column: "id", parts, each: total }), { concurrency: parts }),
      sumOf
    ),
  byBlocks: (parts) =>
    Effect.map(
      Partition.findAll(Partition.byBlocks({ ...totals, table: "accounts" }, { parts, each: total }), {
        concurrency: parts
      }),
      sumOf
    )
}

const read: Ways = {
  whole: Effect.map(Query.findAll(accounts), digestOf),
  byRange: (parts) =>
    Effect.map(
      Partition.findAll(Partition.byRange(accounts, { column: "id", parts }), { concurrency: parts }),
      digestOf
    ),
  byBlocks: (parts) =>
    Effect.map(
      Partition.findAll(Partition.byBlocks({ ...accounts, table: "fewer" }, { parts }), { concurrency: parts }),
      digestOf
    )
}

const streamed: Ways = {
  whole: digestOfStream(Query.stream(accounts)),
  byRange: (parts) =>
    digestOfStream(Partition.stream(Partition.byRange(accounts, { column: "id", parts }), { concurrency: parts })),
  byBlocks: (parts) =>
    digestOfStream(
      Partition.stream(Partition.byBlocks({ ...accounts, table: "fewer" }, { parts }), { concurrency: parts })
    )
}

const subjects = (ways: Ways, meter: Meter, counts = allCounts): Case["subjects"] =>
  Effect.gen(function* () {
    const server = yield* BenchDatabase
    const pool = yield* Layer.build(
      PgQueryPool.layer({
        ...server,
        maxConnections: Math.max(...allCounts),
        // PostgreSQL would split a long scan over processors by itself, which hides what parts gain.
        startupParameters: { max_parallel_workers_per_gather: "0" }
      })
    ).pipe(failAs("partition"))
    const subject = (name: string, work: Ways["whole"]): Subject => ({
      name,
      round: meter(Effect.provideContext(work, pool)).pipe(
        Effect.map(([measured, answer]) => ({ measured, answer })),
        failAs(name)
      )
    })
    return [
      subject("one query", ways.whole),
      ...counts.map((parts) => subject(`${parts} by range`, ways.byRange(parts))),
      ...counts.map((parts) => subject(`${parts} by blocks`, ways.byBlocks(parts)))
    ]
  })

const took = { unit: "s", value: (seconds: number) => seconds }
const peak = { unit: "MB", value: (megabytes: number) => megabytes }

export const partition: Suite = {
  name: "partition",
  about: (effort) => `a table of ${rowsOf(effort).toLocaleString("en-US")} rows in parts, no parallel plans`,
  cases: (effort) =>
    Effect.as(load(rowsOf(effort)), [
      { name: "aggregate", ...took, subjects: subjects(aggregated, elapsedSeconds) },
      { name: "read", ...took, subjects: subjects(read, elapsedSeconds) },
      { name: "read, peak memory", ...peak, subjects: subjects(read, peakMegabytes, [8]) },
      { name: "stream", ...took, subjects: subjects(streamed, elapsedSeconds) },
      { name: "stream, peak memory", ...peak, subjects: subjects(streamed, peakMegabytes, [8]) }
    ])
}
