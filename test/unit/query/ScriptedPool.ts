/**
 * A pool of sessions that are made up: it does what its script says when a session is opened, asked and closed, and
 * keeps count. It implements the contract of `QueryPool` and shares no code with the pool on PostgreSQL.
 */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Scope, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient } from "effect/sql"
import type { Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { Rejected, QueryError } from "../../../src/query/QueryError.ts"
import type { Limit, QueryInfo, Terms, Unit } from "../../../src/query/QueryPool.ts"
import { QueryPool } from "../../../src/query/QueryPool.ts"

/** What the pool does instead of talking to a server. By default it succeeds at once, and finds no rows. */
export interface Script {
  readonly open?: ((query: string) => Effect.Effect<void, SqlError>) | undefined
  readonly answer?: ((sql: string) => Effect.Effect<ReadonlyArray<object>, SqlError>) | undefined
  readonly close?: ((query: string) => Effect.Effect<void>) | undefined
  /** By default one is taken at once. */
  readonly snapshot?: ((options: { readonly allowStandby: boolean }) => Effect.Effect<void, SqlError>) | undefined
  /** What a session tells of itself, its number counted from 0 in the order of opening. By default nothing is kept. */
  readonly outcome?: ((session: number) => Unit["outcome"]) | undefined
}

/** An error as the client of effect/sql gives it. */
export const sqlError = (message: string): SqlError =>
  new SqlError({ reason: new UnknownError({ cause: new Error(message), message, operation: "query" }) })

class Session implements Unit {
  readonly query: string
  readonly outcome: Unit["outcome"]
  rows = 0
  readonly columns = undefined
  readonly command = undefined
  onNotice: Unit["onNotice"]
  onCancelled: Unit["onCancelled"]
  readonly copyRows: Unit["copyRows"] = () => Effect.fail(sqlError("a made-up session has no rows to copy"))

  constructor(query: string, outcome: Unit["outcome"]) {
    this.query = query
    this.outcome = outcome
  }
}

/** What has happened in a pool so far. */
class Ledger {
  inUse = 0
  mostInUse = 0
  /** Names of the queries whose sessions were opened, and of those whose sessions were closed, in order. */
  readonly opened: Array<string> = []
  readonly closed: Array<string> = []
  readonly sent: Array<{ readonly sql: string; readonly params: ReadonlyArray<unknown> }> = []
  readonly snapshots: Array<"taken" | "released"> = []
  /** Names of the queries that joined a snapshot. */
  readonly joined: Array<string> = []
  /** Says that the snapshot is lost. */
  lose: (() => void) | undefined

  begin(name: string): void {
    this.opened.push(name)
    this.inUse++
    this.mostInUse = Math.max(this.mostInUse, this.inUse)
  }

  end(name: string): void {
    this.closed.push(name)
    this.inUse--
  }
}

/** A pool and its ledger. */
export const make = Effect.fnUntraced(function* (script: Script = {}) {
  const ledger = new Ledger()
  const Current = Context.Service<Session>(`test/CurrentSession/${pools++}`)

  const execute = (sql: string, params: ReadonlyArray<unknown>) =>
    Effect.gen(function* () {
      ledger.sent.push({ sql, params })
      const rows = yield* script.answer?.(sql) ?? Effect.succeed([])
      const session = Context.getOrUndefined(yield* Effect.context<never>(), Current)
      if (session !== undefined) session.rows += rows.length
      return rows
    })
  const connection: Connection = {
    execute,
    executeRaw: execute,
    executeUnprepared: execute,
    executeValues: () => Effect.die("not scripted"),
    executeValuesUnprepared: () => Effect.die("not scripted"),
    executeStream: (sql, params) => Stream.unwrap(Effect.map(execute(sql, params), Stream.fromIterable))
  }
  const sql = yield* SqlClient.make({
    driver: "scripted",
    acquirer: Effect.succeed(connection),
    compiler: PgClient.makeCompiler(),
    spanAttributes: []
  }).pipe(Effect.provide(Reactivity.layer))

  const lease = ({ name }: QueryInfo) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        yield* restore(script.open?.(name) ?? Effect.void)
        ledger.begin(name)
        const close = Effect.andThen(
          script.close?.(name) ?? Effect.void,
          Effect.sync(() => ledger.end(name))
        )
        yield* Scope.addFinalizer(yield* Scope.Scope, close)
        return new Session(name, script.outcome?.(ledger.opened.length - 1) ?? "notApplied")
      })
    )

  const joined = Effect.map(Effect.context<never>(), (context) => Context.getOrUndefined(context, Current))

  const join = ({ name }: QueryInfo, terms: Pick<Terms, "snapshot"> | undefined) =>
    terms?.snapshot === undefined ? Effect.void : Effect.map(terms.snapshot, () => void ledger.joined.push(name))

  const service = QueryPool.of({
    use: (query, body, terms) =>
      Effect.flatMap(joined, (session) =>
        session !== undefined
          ? patient(body(sql, session), query, terms?.running?.(), session)
          : Effect.scoped(
              Effect.flatMap(patient(lease(query), query, terms?.queue), (session) =>
                patient(
                  Effect.andThen(
                    join(query, terms),
                    Effect.provideService(
                      Effect.suspend(() => body(sql, session)),
                      Current,
                      session
                    )
                  ),
                  query,
                  terms?.running?.(),
                  session
                )
              )
            )
      ).pipe(Effect.mapError((error) => toTyped(query.name, error))),
    stream: (query, body, terms) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const session = yield* joined
          if (session !== undefined) return body(sql, session)
          const own = yield* lease(query)
          yield* join(query, terms)
          return Stream.provideService(body(sql, own), Current, own)
        })
      ).pipe(Stream.mapError((error) => toTyped(query.name, error))),
    snapshot: ({ allowStandby, onLost }) =>
      Effect.gen(function* () {
        yield* script.snapshot?.({ allowStandby }) ?? Effect.void
        ledger.lose = onLost
        yield* Effect.acquireRelease(
          Effect.sync(() => ledger.snapshots.push("taken")),
          () => Effect.sync(() => ledger.snapshots.push("released"))
        )
        return { id: `snapshot ${ledger.snapshots.length}` }
      }),
    within: (context) => Context.getOrUndefined(context, Current)?.query
  })
  return { ledger, sql, service, provide: Effect.provideService(QueryPool, service) }
})

const patient = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  query: QueryInfo,
  limit: Limit | undefined,
  session?: Session
): Effect.Effect<A, E | QueryError, R> =>
  limit === undefined
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: limit.millis,
        orElse: () =>
          Effect.fail(
            new QueryError({
              query: query.name,
              reason: limit.reason,
              connection: "usable",
              outcome: session?.outcome ?? "notApplied"
            })
          )
      })

/** Sessions of one pool mean nothing to another. */
let pools = 0

const toTyped = <E>(query: string, error: E): Exclude<E, SqlError> | QueryError => {
  // That what is no SqlError is the rest of E is what `Exclude` says, and what narrowing cannot.
  if (!(error instanceof SqlError)) return error as Exclude<E, SqlError>
  const none = undefined
  const facts = { detail: none, hint: none, position: none, constraint: none, schema: none, table: none, column: none }
  const reason = new Rejected({ sqlState: undefined, message: error.message, ...facts })
  return new QueryError({ query, reason, connection: "usable", outcome: "notApplied" })
}
