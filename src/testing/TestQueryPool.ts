/**
 * A pool of queries without a database: a script says what each query finds, and a ledger tells what was sent.
 *
 * ```ts
 * const pool = TestQueryPool.layer({
 *   "user by id": [{ id: 7, name: "Ann" }],
 *   "orders of": ({ parameters }) => ordersOf(parameters[0]),
 *   charge: TestQueryPool.inOrder(Faults.sqlState("40P01"), [{ id: 1 }]),
 *   "slow report": Effect.delay(Effect.succeed([]), "3 seconds")
 * })
 *
 * it.effect("charges again after a deadlock", () =>
 *   Effect.gen(function* () {
 *     yield* charge(7)
 *     const { ledger } = yield* TestQueryPool.TestQueryPool
 *     assert.deepStrictEqual(ledger.opened, ["charge", "charge"])
 *   }).pipe(Effect.provide(pool))
 * )
 * ```
 *
 * - Everything above a session is the real thing: runs, slots, waiting, deadlines, attempts, events, reports.
 * - A failure has the consequences that it has on PostgreSQL: what is left of the unit's work follows from what its session
 *   sent, by the same rules, and with it whether the query may be tried again.
 * - A query that is not scripted is a mistake of the test: a defect, whose message lists those that are.
 * - SQL is not understood: what a statement would do, or that a read-only session refuses to write, no script can know.
 *   For that there is `querypool/embedded`.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import { classify, toQueryError } from "../pool/PgErrors.ts"
import { PgLedger } from "../pool/PgLedger.ts"
import { PgRefusal, refusal } from "../pool/PgRefusal.ts"
import type { QueryError } from "../query/QueryError.ts"
import { SnapshotLost } from "../query/QueryError.ts"
import type { QueryInfo, Terms } from "../query/QueryPool.ts"
import { QueryPool } from "../query/QueryPool.ts"
import type { Snapshot } from "../query/RunSnapshot.ts"
import type { Failure } from "./Failure.ts"
import { toldBy, toSqlError } from "./Failure.ts"
import type { Ledger } from "./Ledger.ts"
import { Book } from "./Ledger.ts"
import type { Script } from "./Script.ts"
import { Prompter } from "./Script.ts"
import * as ScriptedClient from "./ScriptedClient.ts"
import { ScriptedSession } from "./ScriptedSession.ts"
import * as ScriptedSessions from "./ScriptedSessions.ts"
import { within } from "./ScriptedSessions.ts"

export type { Failure } from "./Failure.ts"
export type { Ledger } from "./Ledger.ts"
export type { Answer, Answers, Script, Statement } from "./Script.ts"
export { inOrder } from "./Script.ts"

/**
 * How the pool is beside what it answers.
 *
 * @since 0.1.0
 */
export interface Options {
  /** How many sessions at once: an integer from 1. Default 10, as of the pool on PostgreSQL. */
  readonly maxConnections?: number | undefined
  /** How many may wait for a session; who comes then is refused with `QueueFull`. Unlimited by default. */
  readonly queueLimit?: number | undefined
  /** What opening a session for a query does, in its slot. By default it succeeds at once. */
  readonly connect?: ((query: string) => Effect.Effect<void, Failure>) | undefined
  /** What taking it back does, in its slot. By default nothing. */
  readonly release?: ((query: string) => Effect.Effect<void>) | undefined
  /** What taking a snapshot does. By default it succeeds at once. */
  readonly snapshot?: ((options: { readonly allowStandby: boolean }) => Effect.Effect<void, Failure>) | undefined
}

/**
 * A pool that is made up, and what has happened in it.
 *
 * @since 0.1.0
 */
export class TestQueryPool extends Context.Service<
  TestQueryPool,
  {
    readonly ledger: Ledger
    readonly pool: QueryPool["Service"]
    /** What queries get as `sql`. Outside of a query each statement takes a session for itself. */
    readonly sql: SqlClient
    /** Provides the pool to one effect. */
    readonly provide: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, QueryPool>>
  }
>()("querypool/testing/TestQueryPool") {}

/**
 * Provides a pool that answers by a script, the client of its sessions, and what has happened in it.
 *
 * @since 0.1.0
 */
export const layer = (script: Script, options?: Options): Layer.Layer<QueryPool | SqlClient | TestQueryPool> =>
  Layer.effectContext(
    Effect.map(make(script, options), (made) =>
      Context.make(TestQueryPool, made).pipe(Context.add(QueryPool, made.pool), Context.add(SqlClient, made.sql))
    )
  )

const most = (option: string, value: number, least: number): number => {
  if (value === Infinity || (Number.isSafeInteger(value) && value >= least)) return value
  throw new RangeError(`Expected \`${option}\` to be an integer from ${least}, got ${String(value)}`)
}

/** A snapshot of this pool. */
class Taken implements Snapshot {
  readonly id: string
  isLost = false

  constructor(id: string) {
    this.id = id
  }
}

/**
 * A pool as `layer` provides it, for a test that has several.
 *
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  script: Script = {},
  options: Options = {}
): Effect.fn.Return<TestQueryPool["Service"]> {
  const bounds = {
    maxConnections: most("maxConnections", options.maxConnections ?? 10, 1),
    queueLimit: most("queueLimit", options.queueLimit ?? Infinity, 0)
  }
  const book = new Book()
  const keys = ScriptedClient.makeKeys()

  const around = (context: Context.Context<never>): ScriptedSession | undefined => {
    const session = Context.getOrUndefined(context, keys.current)?.session
    if (session !== undefined) return session
    const connection = Context.getOrUndefined(context, keys.transaction)?.[0]
    return connection instanceof ScriptedSession ? connection : undefined
  }

  const { lend, lease } = ScriptedSessions.make({
    bounds,
    options,
    prompter: new Prompter(script),
    book,
    nameOf: ({ context }) => Context.getOrUndefined(context, keys.current)?.query
  })
  const sql = yield* ScriptedClient.make({ keys, lend, lease })

  const join = (query: string, snapshot: Terms["snapshot"]): Effect.Effect<void, SqlError> =>
    snapshot === undefined
      ? Effect.void
      : Effect.flatMap(snapshot, (taken) => {
          if (!(taken instanceof Taken) || !taken.isLost) return Effect.sync(() => void book.joined.push(query))
          return Effect.fail(refusal(new SnapshotLost({ message: "the session that held it is gone" })))
        })

  const use: QueryPool["Service"]["use"] = (query, body, terms) => {
    let session: ScriptedSession | undefined
    const run = (on: ScriptedSession) => {
      session = on
      const unit = Effect.suspend(() => body(sql, on))
      const isTransaction = query.options.mode === "transaction" && terms?.snapshot === undefined
      return Effect.provideService(isTransaction ? sql.withTransaction(unit) : unit, keys.current, {
        session: on,
        query: query.name
      })
    }
    return Effect.mapError(
      Effect.withFiber((fiber) => {
        const joined = around(fiber.context)
        if (joined === undefined) {
          return lend(query.name, (own) => Effect.andThen(join(query.name, terms?.snapshot), run(own)), terms)
        }
        const limit = terms?.running?.()
        const joining = joined.over() ?? run(joined)
        return limit === undefined ? joining : within(limit, joining)
      }),
      (error) => toTyped(query, session, error)
    )
  }

  const stream: QueryPool["Service"]["stream"] = (query, body, terms) => {
    let session: ScriptedSession | undefined
    return Stream.unwrap(
      Effect.gen(function* () {
        session = around(yield* Effect.context<never>())
        if (session === undefined) {
          session = yield* lease(query.name)
          yield* join(query.name, terms?.snapshot)
        }
        yield* session.over() ?? Effect.void
        return Stream.provideService(body(sql, session), keys.current, { session, query: query.name })
      })
    ).pipe(Stream.mapError((error) => toTyped(query, session, error)))
  }

  const snapshot: QueryPool["Service"]["snapshot"] = ({ allowStandby, onLost }) =>
    Effect.gen(function* () {
      yield* Effect.mapError(options.snapshot?.({ allowStandby }) ?? Effect.void, toSqlError)
      const taken = new Taken(`snapshot ${book.snapshots.length + 1}`)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          book.snapshots.push("taken")
          book.onLost = () => {
            taken.isLost = true
            onLost()
          }
        }),
        () =>
          Effect.sync(() => {
            book.snapshots.push("released")
            book.onLost = undefined
          })
      )
      return taken
    })

  const pool = QueryPool.of({
    use,
    stream,
    snapshot,
    within: (context) => Context.getOrUndefined(context, keys.current)?.session.query
  })
  return { ledger: book, pool, sql, provide: Effect.provideService(QueryPool, pool) }
})

const untouched = new PgLedger()

const toTyped = <E>(
  query: QueryInfo,
  session: ScriptedSession | undefined,
  error: E
): Exclude<E, SqlError> | QueryError => {
  // That what is no SqlError is the rest of E is what `Exclude` says, and what narrowing cannot.
  if (!(error instanceof SqlError)) return error as Exclude<E, SqlError>
  const { cause } = error.reason
  const reason = cause instanceof PgRefusal ? cause.reason : toldBy(error)
  if (reason !== undefined) {
    const isCut = reason._tag === "TimedOut" && session !== undefined
    return toQueryError(query, {
      reason,
      connection: isCut ? "gone" : "usable",
      outcome: session?.outcome ?? "notApplied"
    })
  }
  return toQueryError(
    query,
    classify({
      error,
      phase: session === undefined ? "connect" : session.committing ? "commit" : "statement",
      sql: session?.sql,
      unit: session?.ledger ?? untouched,
      cancelled: session?.cancelled === true
    })
  )
}
