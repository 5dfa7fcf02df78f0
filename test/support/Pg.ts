/**
 * A database for a test file, pools on it, and an observer: a connection of its own that proves things at the server.
 *
 * ```ts
 * layer(Pg.layer("Isolation"), { excludeTestServices: true })("a session", (it) => {
 *   it.effect("…", () => Effect.gen(function* () { … }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 }))))
 * })
 * ```
 *
 * Every pool has the file's `application_name`; a test that leaves a backend of that name behind fails (`leaks.ts`). A
 * pool may also be shared by a suite: then its idle connections may stay from test to test.
 */
import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted, Semaphore } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { randomBytes } from "node:crypto"
import { PgQueryPool } from "querypool"
import { inject } from "vitest"
import { template } from "./globalSetup.ts"
import { alsoCheck } from "./leaks.ts"
import { waitUntil } from "./waitUntil.ts"

/** A backend, as pg_stat_activity tells of it. */
export interface Backend {
  readonly pid: number
  readonly state: string | null
  readonly query: string
  readonly wait: string | null
}

export interface Observer {
  /** Runs a statement on a connection that belongs to no pool; several at a time take turns. */
  readonly rows: (
    sql: string,
    params?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<PgConnection.Row>, SqlError>
  /** The first column of the first row. */
  readonly value: (sql: string, params?: ReadonlyArray<unknown>) => Effect.Effect<unknown, SqlError>
  /** The backends of the file's pools, but for those of control connections. */
  readonly backends: Effect.Effect<ReadonlyArray<Backend>, SqlError>
  readonly everyBackend: Effect.Effect<ReadonlyArray<Backend>, SqlError>
  /** Waits until a backend of the file's pools answers to the description. */
  readonly seen: (message: string, is: (backend: Backend) => boolean) => Effect.Effect<Backend, unknown>
  /** Waits until the file's pools have no backend. */
  readonly gone: Effect.Effect<void, unknown>
  /** Ends a backend, as a restart of the server would. */
  readonly terminate: (pid: number) => Effect.Effect<void, SqlError>
  /** Takes an advisory lock, which makes whoever asks for the same wait. */
  readonly hold: (key: number) => Effect.Effect<void, SqlError>
  readonly release: (key: number) => Effect.Effect<void, SqlError>
}

/** Those of queries; with `control`, what the pool controls them with as well. */
const describedBackends = (applicationName: string, control = false) => `
  select pid, state, query, case when wait_event is null then null else wait_event_type || ':' || wait_event end as wait
  from pg_stat_activity where application_name in ('${applicationName}'${control ? `, '${applicationName} control'` : ""})
  order by backend_start`

/** Pools whose layer is alive. */
const livingPools = new Set<object>()

export class Pg extends Context.Service<
  Pg,
  {
    /** Of the file's own database. */
    readonly url: Redacted.Redacted
    readonly applicationName: string
    readonly observer: Observer
  }
>()("test/support/Pg") {}

/** Clones the template for a test file and drops the clone when the layer closes. */
export const layer = (name: string): Layer.Layer<Pg, SqlError> =>
  Layer.effect(
    Pg,
    Effect.gen(function* () {
      const applicationName = `${name} ${randomBytes(4).toString("hex")}`
      const server = Redacted.make(inject("postgresUrl"))
      const database = `test_${applicationName.replaceAll(/\W/g, "_").toLowerCase()}`
      const admin = (sql: string) =>
        Effect.scoped(
          Effect.flatMap(PgConnection.make({ url: server, applicationName: "test admin" }), (pg) => pg.query(sql))
        )
      yield* Effect.acquireRelease(admin(`create database ${database} template ${template}`), () =>
        Effect.orDie(admin(`drop database ${database} with (force)`))
      )
      const url = new URL(Redacted.value(server))
      url.pathname = `/${database}`
      const pg = yield* PgConnection.make({
        url: Redacted.make(url.href),
        applicationName: `observer of ${applicationName}`
      })
      const observer = makeObserver(pg, applicationName)
      yield* Effect.acquireRelease(
        Effect.sync(() => alsoCheck(backendCheck(observer))),
        (stop) => Effect.sync(stop)
      )
      return Pg.of({ url: Redacted.make(url.href), applicationName, observer })
    })
  )

const makeObserver = (pg: PgConnection.PgConnection, applicationName: string): Observer => {
  const turns = Semaphore.makeUnsafe(1)
  const rows: Observer["rows"] = (sql, params) =>
    turns.withPermit(Effect.map(pg.query(sql, params, false), (result) => result.rows))
  const described = (control: boolean) =>
    Effect.map(rows(describedBackends(applicationName, control)), (found) =>
      found.map((row): Backend => ({
        pid: Number(row["pid"]),
        state: row["state"] === null ? null : String(row["state"]),
        query: String(row["query"]),
        wait: row["wait"] === null ? null : String(row["wait"])
      }))
    )
  const backends = described(false)
  return {
    rows,
    everyBackend: described(true),
    value: (sql, params) => Effect.map(rows(sql, params), (found) => Object.values(found[0] ?? {})[0]),
    backends,
    seen: (message, is) =>
      Effect.gen(function* () {
        let found: Backend | undefined
        yield* waitUntil(
          message,
          Effect.map(backends, (all) => {
            found = all.find(is)
            return found !== undefined
          }),
          5
        )
        return found ?? (yield* Effect.die("unreachable"))
      }),
    gone: waitUntil(
      "no backend is left",
      Effect.map(backends, (all) => all.length === 0),
      5
    ),
    terminate: (pid) => Effect.asVoid(rows("select pg_terminate_backend($1, 5000)", [pid])),
    hold: (key) => Effect.asVoid(rows("select pg_advisory_lock($1)", [key])),
    release: (key) => Effect.asVoid(rows("select pg_advisory_unlock($1)", [key]))
  }
}

/** No backend may be left, but for idle ones while a pool lives that the test has not made. */
const backendCheck = (observer: Observer) => {
  let poolsBefore: ReadonlyArray<object> = []
  return {
    begin: () => {
      poolsBefore = [...livingPools]
    },
    end: async () => {
      const backends = await Effect.runPromise(observer.everyBackend)
      const shared = poolsBefore.filter((pool) => livingPools.has(pool)).length
      const made = livingPools.size - shared
      // Of a pool that lives on: what closes idle connections, and what looks for sessions that are held too long.
      const isAllowed = (backend: Backend) => shared > 0 && backend.state === "idle"
      return {
        leaks: [
          ...(made === 0 ? [] : [`${made} × pool`]),
          ...backends
            .filter((backend) => !isAllowed(backend))
            .map(({ pid, query, state }) => `backend ${pid} (${state}: ${query.slice(0, 60)})`)
        ],
        allowed: { socket: backends.filter(isAllowed).length, "suspended fiber": 2 * shared }
      }
    }
  }
}

/** A pool on the file's database, whose URL `adapt` may change. */
export const pool = (config?: Omit<PgQueryPool.Config, "applicationName" | "url">, adapt?: (url: URL) => void) =>
  Layer.unwrap(
    Effect.map(Pg, (pg) => {
      const url = new URL(Redacted.value(pg.url))
      adapt?.(url)
      const living = {}
      return Layer.merge(
        PgQueryPool.layer({ ...config, url: Redacted.make(url.href), applicationName: pg.applicationName }),
        Layer.effectDiscard(
          Effect.acquireRelease(
            Effect.sync(() => livingPools.add(living)),
            () => Effect.sync(() => livingPools.delete(living))
          )
        )
      )
    })
  )
