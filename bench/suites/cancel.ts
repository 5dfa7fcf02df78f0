/**
 * How long PostgreSQL goes on working for queries that nobody waits for any more: a hundred run, all are given up in
 * the same moment, and a second connection looks until the server has stopped.
 *
 * Each subject gives up in the way it has: querypool and bare by interruption, pg by its `query_timeout`, postgres.js
 * by `.cancel()`. A query counts with the last look at which it was still active. Who does not stop the server within
 * a second is not waited for any longer: a second is what its figure says, and ten minutes what it would be.
 *
 * `frozen network`: nothing arrives any more in either direction, so that the server cannot be asked; what is measured
 * is how soon the slots come back.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Layer, Redacted } from "effect"
import type { Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { Pool } from "pg"
import postgres from "postgres"
import { PgQueryPool, Query, QueryPool } from "querypool"
import * as Faults from "../../test/support/Faults.ts"
import { BenchDatabase } from "../Database.ts"
import type { Connection } from "../Database.ts"
import type { Case, Effort, Subject, Suite } from "../Suite.ts"
import { failAs } from "../Suite.ts"

const statement = "select pg_sleep(600)"
const longestMillis = 1_000
const timeoutMillis = 1_500

/** Queries that run, and how to give them all up: done as soon as that was asked for. */
interface Running {
  readonly giveUp: Effect.Effect<void>
}

type Way = (server: Connection, queries: number) => Effect.Effect<Running, unknown, Scope.Scope>

const byQuerypool: Way = Effect.fnUntraced(function* (server, queries) {
  const pool = yield* Layer.build(PgQueryPool.layer({ ...server, maxConnections: queries }))
  const sleeps = Array.from({ length: queries }, () => Query.make("sleeps", (sql) => sql.unsafe(statement)))
  const fiber = yield* Effect.forkScoped(
    Effect.exit(Effect.provideContext(QueryPool.all(sleeps, { concurrency: queries }), pool))
  )
  return { giveUp: Effect.asVoid(Effect.forkDetach(Fiber.interrupt(fiber), { startImmediately: true })) }
})

const bare: Way = Effect.fnUntraced(function* (server, queries) {
  const sql = yield* PgClient.make({ ...server, maxConnections: queries }).pipe(Effect.provide(Reactivity.layer))
  const fiber = yield* Effect.forkScoped(
    Effect.exit(Effect.replicateEffect(sql.unsafe(statement), queries, { concurrency: queries }))
  )
  return { giveUp: Effect.asVoid(Effect.forkDetach(Fiber.interrupt(fiber), { startImmediately: true })) }
})

const nodePostgres: Way = Effect.fnUntraced(function* ({ database, host, password, port, username }, queries) {
  const options = { host, port, database, user: username, password: Redacted.value(password), max: queries }
  const pool = yield* Effect.acquireRelease(
    Effect.sync(() => new Pool({ ...options, query_timeout: timeoutMillis }).on("error", () => {})),
    (pool) => Effect.promise(() => pool.end())
  )
  // Connected before the clock of the timeout runs.
  const clients = yield* Effect.promise(() => Promise.all(Array.from({ length: queries }, () => pool.connect())))
  for (const client of clients) client.on("error", () => {}).release()
  const all = Array.from({ length: queries }, () => pool.query(statement).catch(() => {}))
  return { giveUp: Effect.promise(async () => void (await Promise.race(all))) }
})

const postgresJs: Way = Effect.fnUntraced(function* ({ database, host, password, port, username }, queries) {
  const options = { host, port, username, database, password: Redacted.value(password), max: queries }
  const sql = yield* Effect.acquireRelease(
    Effect.sync(() => postgres(options)),
    (sql) => Effect.promise(() => sql.end({ timeout: 0 }))
  )
  const all = Array.from({ length: queries }, () => sql.unsafe(statement))
  for (const query of all) query.catch(() => {})
  return { giveUp: Effect.sync(() => all.forEach((query) => query.cancel())) }
})

const active = `select pid from pg_stat_activity
  where datname = current_database() and state = 'active' and query = '${statement}'`
// Without a wait for each: that is a tenth of a second at least, in which the others would have ended too.
const endAll = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and query = '${statement}'`

const percentile = (sorted: ReadonlyArray<number>, part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? 0

const subject = Effect.fnUntraced(function* (name: string, way: Way, queries: number, part: number) {
  const server = yield* BenchDatabase
  const observer = yield* PgClient.make({ ...server, maxConnections: 1 }).pipe(
    Effect.provide(Reactivity.layer),
    failAs(name)
  )
  const look = Effect.map(observer.unsafe<{ readonly pid: number }>(active), (rows) => rows.map(({ pid }) => pid))
  const round = Effect.gen(function* () {
    const { giveUp } = yield* way(server, queries)
    yield* Effect.addFinalizer(() => Effect.orDie(observer.unsafe(endAll)))
    while ((yield* look).length < queries) yield* Effect.sleep(5)
    yield* giveUp
    const start = performance.now()
    const lastSeen = new Map<number, number>()
    for (let at = 0; at < longestMillis; at = performance.now() - start) {
      const pids = yield* look
      if (pids.length === 0) break
      for (const pid of pids) lastSeen.set(pid, performance.now() - start)
    }
    const unseen = Array.from({ length: queries - lastSeen.size }, () => 0)
    const millis = [...unseen, ...lastSeen.values()].sort((a, b) => a - b)
    return { measured: percentile(millis, part), answer: { queries } }
  })
  return { name, round: Effect.scoped(round).pipe(failAs(name)) } satisfies Subject
})

const frozen = Effect.fnUntraced(function* (name: string, queries: number) {
  const server = yield* BenchDatabase
  const observer = yield* PgClient.make({ ...server, maxConnections: 1 }).pipe(
    Effect.provide(Reactivity.layer),
    failAs(name)
  )
  const round = Effect.gen(function* () {
    const faults = yield* Faults.make({ host: server.host, port: server.port })
    const pool = yield* Layer.build(
      PgQueryPool.layer({ ...server, host: faults.host, port: faults.port, maxConnections: queries })
    )
    yield* Effect.addFinalizer(() => Effect.orDie(observer.unsafe(endAll)))
    const fibers = yield* Effect.replicateEffect(
      Effect.forkScoped(
        Effect.exit(
          Effect.provideContext(
            Query.make("sleeps", (sql) => sql.unsafe(statement)),
            pool
          )
        )
      ),
      queries
    )
    while ((yield* observer.unsafe(active)).length < queries) yield* Effect.sleep(5)
    yield* faults.inject(Faults.freeze())
    const start = performance.now()
    const ends = yield* Effect.forEach(
      fibers,
      (fiber) => Effect.map(Fiber.interrupt(fiber), () => performance.now() - start),
      { concurrency: "unbounded" }
    )
    yield* faults.heal
    return {
      measured: percentile(
        ends.sort((a, b) => a - b),
        0.99
      ),
      answer: { queries }
    }
  })
  return { name, round: Effect.scoped(round).pipe(failAs(name)) } satisfies Subject
})

const parts = { median: 0.5, p99: 0.99 }

const millis = { unit: "ms", value: (millis: number) => millis }

const cases = (queries: number): ReadonlyArray<Case> => [
  ...Object.entries(parts).map(([name, part]): Case => ({
    name,
    ...millis,
    subjects: Effect.all([
      subject("querypool", byQuerypool, queries, part),
      subject("bare", bare, queries, part),
      subject("p-map + pg, query_timeout", nodePostgres, queries, part),
      subject("p-map + postgres.js, cancel()", postgresJs, queries, part)
    ])
  })),
  { name: "frozen network, p99", ...millis, subjects: Effect.all([frozen("querypool", queries)]) }
]

const queriesOf = (effort: Effort): number => (effort.quick ? 10 : 100)

export const cancel: Suite = {
  name: "cancel",
  about: (effort) => `until PostgreSQL has stopped, ${queriesOf(effort)} running queries given up together`,
  cases: (effort) => Effect.succeed(cases(queriesOf(effort)))
}
