/**
 * Faults that a server makes, through an observer: a connection that belongs to no pool.
 *
 * Who ends or looks at backends names them by process id or by `application_name`. A server that is to be stopped or
 * killed is one of the test's own: see `ServerProcess.ts`.
 */
import { PgConnection } from "@effect/sql-pg"
import { Deferred, Effect, Exit, Predicate, Scope, Semaphore } from "effect"
import type { Redacted } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { randomInt } from "node:crypto"
import { waitUntil } from "./waitUntil.ts"

/** Backends by process id, or all those of a name. */
export type Who = { readonly pid: number } | { readonly applicationName: string }

/** "active" is running a statement that waits for no lock; "gone" is said of all who were meant. */
type Situation = "active" | "idle" | "idle in transaction" | "waiting for a lock" | "gone"

/** How a session runs a statement. */
export type Run<E, R> = (sql: string) => Effect.Effect<unknown, E, R>

/** Two parts for two transactions; whoever plays one gives it the first statements of his transaction to run. */
export interface Conflict<E> {
  /** Ends with the error that is wanted. Played again, as by a retry, it does nothing and succeeds. */
  readonly victim: <E2, R>(run: Run<E2, R>) => Effect.Effect<void, E | E2, R>
  /** Succeeds. */
  readonly survivor: <E2, R>(run: Run<E2, R>) => Effect.Effect<void, E2, R>
}

/** What failed when the observer waited or looked. */
type WaitError = Effect.Error<ReturnType<typeof waitUntil<SqlError, never>>>

export interface Server {
  readonly rows: (
    sql: string,
    params?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<PgConnection.Row>, SqlError>
  /** Waits until one of those who are meant is in this situation. */
  readonly until: (who: Who, situation: Situation) => Effect.Effect<void, WaitError>
  /** Ends backends, and waits up to 5 seconds until they are gone; gives how many. */
  readonly terminate: (who: Who) => Effect.Effect<number, SqlError>
  /** Cancels what backends are running; gives how many were told. */
  readonly cancel: (who: Who) => Effect.Effect<number, SqlError>
  /** Runs a statement that takes a lock, in a transaction that stays open until released or until the scope closes. */
  readonly hold: (sql: string) => Effect.Effect<{ readonly release: Effect.Effect<void> }, SqlError, Scope.Scope>
  /** Takes every connection that is left, until the scope closes; gives how many. Other tests suffer, too. */
  readonly exhaust: Effect.Effect<number, SqlError, Scope.Scope>
  /** The victim fails with 40P01. Both sessions have to be a superuser's. */
  readonly deadlock: Effect.Effect<Conflict<WaitError>>
  /** The victim fails with 40001 when the survivor commits. It becomes REPEATABLE READ. */
  readonly serializationFailure: Effect.Effect<Conflict<never>, SqlError, Scope.Scope>
}

/** An observer of the server at this URL, which has to be a superuser's, until the scope closes. */
export const make = Effect.fnUntraced(function* (
  url: Redacted.Redacted
): Effect.fn.Return<Server, SqlError, Scope.Scope> {
  const connect = (applicationName: string) => PgConnection.make({ url, applicationName })
  const pg = yield* connect("observer")
  const turns = Semaphore.makeUnsafe(1)
  const rows: Server["rows"] = (sql, params) =>
    turns.withPermit(Effect.map(pg.query(sql, params, false), (result) => result.rows))
  const number = (sql: string, ...params: ReadonlyArray<unknown>): Effect.Effect<number, SqlError> =>
    Effect.map(rows(sql, params), ([row]) => Number(row?.["number"]))
  const backends = (who: Who, condition: string) =>
    number(
      `select count(*)::int as number from pg_stat_activity where ${column(who)} = $1 and ${condition}`,
      value(who)
    )
  // Materialized, or the call could come first, and hit everybody.
  const signal = (call: string) => (who: Who) =>
    number(
      `with meant as materialized (select pid from pg_stat_activity where ${column(who)} = $1)
        select count(*) filter (where ${call})::int as number from meant`,
      value(who)
    )

  const until: Server["until"] = (who, situation) =>
    waitUntil(
      `${column(who)} ${value(who)} is ${situation}`,
      Effect.map(backends(who, conditions[situation]), (found) => (situation === "gone" ? found === 0 : found > 0)),
      pollMillis
    )

  const hold: Server["hold"] = Effect.fnUntraced(function* (sql) {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const holder = yield* Scope.provide(connect("holder of a lock"), scope)
    yield* holder.query("begin")
    yield* holder.query(sql)
    // The lock is given back when this returns, not only when the backend has noticed that its client has gone.
    const release = Effect.andThen(Effect.ignore(holder.query("rollback")), Scope.close(scope, Exit.void))
    return { release }
  })

  const exhaust = Effect.gen(function* () {
    const bound = yield* number("select current_setting('max_connections')::int as number")
    for (let taken = 0; taken < bound; taken++) {
      const isLast = yield* connect("taker of connections").pipe(
        Effect.as(false),
        Effect.catchIf(isTooManyConnections, () => Effect.succeed(true))
      )
      if (isLast) return taken
    }
    return yield* Effect.die("The server took more connections than max_connections allows")
  })

  const deadlock = Effect.sync((): Conflict<WaitError> => {
    const [first, second] = [randomInt(2 ** 31), randomInt(2 ** 31)]
    const waiting = number(
      "select count(*)::int as number from pg_locks where locktype = 'advisory' and classid = $1 and not granted",
      second
    )
    const [firstTaken, secondTaken] = [Deferred.makeUnsafe<void>(), Deferred.makeUnsafe<void>()]
    const once = onlyOnce()
    const victim: Conflict<WaitError>["victim"] = (run) =>
      Effect.gen(function* () {
        // Who looks for a deadlock, and finds one, is the one to fail: the other never looks.
        yield* run("set local deadlock_timeout = '10ms'")
        yield* run(lock(second))
        yield* Deferred.succeed(secondTaken, undefined)
        yield* Deferred.await(firstTaken)
        yield* waitUntil("the survivor waits", Effect.map(waiting, Boolean), pollMillis)
        yield* run(lock(first))
      }).pipe(once)
    const survivor: Conflict<never>["survivor"] = (run) =>
      Effect.gen(function* () {
        yield* run("set local deadlock_timeout = '1h'")
        yield* run(lock(first))
        yield* Deferred.succeed(firstTaken, undefined)
        yield* Deferred.await(secondTaken)
        yield* run(lock(second))
      })
    return { victim, survivor }
  })

  const serializationFailure = Effect.gen(function* () {
    const table = `conflict_${randomInt(2 ** 47)}`
    yield* Effect.acquireRelease(rows(`create table ${table} as select 0 as changes`), () =>
      Effect.ignore(rows(`drop table ${table}`))
    )
    const change = `update ${table} set changes = changes + 1`
    const [seen, changed] = [Deferred.makeUnsafe<void>(), Deferred.makeUnsafe<void>()]
    const once = onlyOnce()
    const victim: Conflict<never>["victim"] = (run) =>
      Effect.gen(function* () {
        yield* run("set transaction isolation level repeatable read")
        yield* run(`select changes from ${table}`)
        yield* Deferred.succeed(seen, undefined)
        yield* Deferred.await(changed)
        yield* run(change)
      }).pipe(once)
    const survivor: Conflict<never>["survivor"] = (run) =>
      Effect.gen(function* () {
        yield* Deferred.await(seen)
        yield* run(change)
        yield* Deferred.succeed(changed, undefined)
      })
    return { victim, survivor }
  })

  return {
    rows,
    until,
    terminate: signal("pg_terminate_backend(pid, 5000)"),
    cancel: signal("pg_cancel_backend(pid)"),
    hold,
    exhaust,
    deadlock,
    serializationFailure
  }
})

// Each poll is a query of a millisecond.
const pollMillis = 5

const conditions: Readonly<Record<Situation, string>> = {
  active: "state = 'active' and wait_event_type is distinct from 'Lock'",
  idle: "state = 'idle'",
  "idle in transaction": "state in ('idle in transaction', 'idle in transaction (aborted)')",
  "waiting for a lock": "wait_event_type = 'Lock'",
  gone: "true"
}

const column = (who: Who): string => ("pid" in who ? "pid" : "application_name")
const value = (who: Who): number | string => ("pid" in who ? who.pid : who.applicationName)

const isTooManyConnections = ({ reason }: SqlError): boolean =>
  Predicate.isObject(reason.cause) && Reflect.get(reason.cause, "code") === "53300"

const lock = (key: number): string => `select pg_advisory_xact_lock(${key}, 0)`

/** Lets one of all runs do something; a retry of whoever it was finds nothing left to do. */
const onlyOnce = () => {
  let done = false
  return <E, R>(part: Effect.Effect<void, E, R>): Effect.Effect<void, E, R> =>
    Effect.suspend(() => {
      if (done) return Effect.void
      done = true
      return part
    })
}
