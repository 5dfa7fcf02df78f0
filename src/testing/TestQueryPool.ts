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
import type { Scope } from "effect"
import { Context, Effect, Layer, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type { Acquirer, Borrower } from "effect/sql/SqlConnection"
import { SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import { Slots } from "../internal/Slots.ts"
import { classify, toQueryError } from "../pool/PgErrors.ts"
import { PgLedger } from "../pool/PgLedger.ts"
import { PgRefusal, refusal } from "../pool/PgRefusal.ts"
import type { QueryError } from "../query/QueryError.ts"
import { QueueFull, SnapshotLost } from "../query/QueryError.ts"
import type { Limit, QueryInfo, Terms } from "../query/QueryPool.ts"
import { QueryPool } from "../query/QueryPool.ts"
import type { Snapshot } from "../query/RunSnapshot.ts"
import type { Failure } from "./Failure.ts"
import { isOfOpening, toldBy, toSqlError } from "./Failure.ts"
import type { Ledger } from "./Ledger.ts"
import { Book } from "./Ledger.ts"
import type { Script } from "./Script.ts"
import { Prompter } from "./Script.ts"
import { ScriptedSession } from "./ScriptedSession.ts"

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
    readonly sql: SqlClient.SqlClient
    /** Provides the pool to one effect. */
    readonly provide: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, QueryPool>>
  }
>()("querypool/testing/TestQueryPool") {}

/**
 * Provides a pool that answers by a script, the client of its sessions, and what has happened in it.
 *
 * @since 0.1.0
 */
export const layer = (
  script: Script,
  options?: Options
): Layer.Layer<QueryPool | SqlClient.SqlClient | TestQueryPool> =>
  Layer.effectContext(
    Effect.map(make(script, options), (made) =>
      Context.make(TestQueryPool, made).pipe(
        Context.add(QueryPool, made.pool),
        Context.add(SqlClient.SqlClient, made.sql)
      )
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

/** Where a fiber is: in which query, and on which session. */
interface Place {
  readonly session: ScriptedSession
  readonly query: string
}

let pools = 0

/**
 * A pool as `layer` provides it, for a test that has several.
 *
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  script: Script = {},
  options: Options = {}
): Effect.fn.Return<TestQueryPool["Service"]> {
  const slots = new Slots(most("maxConnections", options.maxConnections ?? 10, 1))
  const queueLimit = most("queueLimit", options.queueLimit ?? Infinity, 0)
  const book = new Book()
  const prompter = new Prompter(script)
  // Of each pool its own: a query of one may run in the body of a query of another.
  const id = pools++
  const Current = Context.Service<Place>(`querypool/testing/Current/${id}`)
  const transaction = Context.Service<SqlClient.TransactionConnection, SqlClient.TransactionConnection.Service>(
    `querypool/testing/Transaction/${id}`
  )

  const nameOf = (fallback: string) => (fiber: { readonly context: Context.Context<never> }) =>
    Context.getOrUndefined(fiber.context, Current)?.query ?? fallback

  const around = (context: Context.Context<never>): ScriptedSession | undefined => {
    const session = Context.getOrUndefined(context, Current)?.session
    if (session !== undefined) return session
    const connection = Context.getOrUndefined(context, transaction)?.[0]
    return connection instanceof ScriptedSession ? connection : undefined
  }

  const connect = (query: string): Effect.Effect<void, SqlError> =>
    Effect.suspend(() => {
      const failure = prompter.opening(query, isOfOpening)
      if (failure !== undefined) return Effect.fail(toSqlError(failure))
      return Effect.mapError(options.connect?.(query) ?? Effect.void, toSqlError)
    })

  const begin = (query: string): ScriptedSession =>
    new ScriptedSession(query, book.begin(query), prompter, book, nameOf(query))

  const finish = (session: ScriptedSession): Effect.Effect<void> =>
    Effect.suspend(() => {
      session.finish()
      return Effect.andThen(
        options.release?.(session.query) ?? Effect.void,
        Effect.sync(() => book.end(session.query))
      )
    })

  type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

  const slot = (restore: Restore, queue: Terms["queue"]): Effect.Effect<void, SqlError> => {
    if (slots.used >= slots.size && slots.queue >= queueLimit) {
      return Effect.fail(refusal(new QueueFull({ limit: queueLimit })))
    }
    return slots.take(
      restore,
      queue === undefined ? undefined : { millis: queue.millis, orElse: Effect.fail(refusal(queue.reason)) }
    )
  }

  const lend = <A, E, R>(
    query: string,
    f: (session: ScriptedSession) => Effect.Effect<A, E, R>,
    terms?: Terms | undefined
  ): Effect.Effect<A, E | SqlError, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(slot(restore, terms?.queue), () => {
        const work = Effect.uninterruptibleMask((restoreWork) =>
          Effect.flatMap(restoreWork(connect(query)), () => {
            const session = begin(query)
            return Effect.onExitPrimitive(restoreWork(Effect.suspend(() => f(session))), () => finish(session))
          })
        )
        const limit = terms?.running?.()
        const limited: Effect.Effect<A, E | SqlError, R> = limit === undefined ? work : within(limit, work)
        return Effect.onExitPrimitive(restore(limited), () => {
          slots.give()
          return undefined
        })
      })
    )

  const lease = (query: string): Effect.Effect<ScriptedSession, SqlError, Scope.Scope> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.acquireRelease(
        Effect.andThen(
          Effect.suspend(() => slot(restore, undefined)),
          Effect.onError(
            Effect.map(restore(connect(query)), () => begin(query)),
            () => Effect.sync(() => slots.give())
          )
        ),
        (session) =>
          Effect.andThen(
            finish(session),
            Effect.sync(() => slots.give())
          )
      )
    )

  /** Statements outside of any query. */
  const acquirer = (name: string): Acquirer =>
    Effect.withFiber(({ context }) => {
      const session = Context.getOrUndefined(context, Current)?.session
      return session === undefined ? lease(name) : Effect.succeed(session)
    })
  const borrower: Borrower = (f) =>
    Effect.withFiber(({ context }) => {
      const session = Context.getOrUndefined(context, Current)?.session
      return session === undefined ? lend("statement", f) : f(session)
    })

  const sql = yield* SqlClient.make({
    driver: "pg",
    compiler,
    acquirer: acquirer("statement"),
    borrower,
    transactionAcquirer: acquirer("transaction"),
    transactionService: transaction,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    commit: (connection) => (connection instanceof ScriptedSession ? connection.commit : Effect.void),
    isTransaction: (connection) => !(connection instanceof ScriptedSession) || connection.isConnected,
    spanAttributes: [["db.system.name", "postgresql"]]
  }).pipe(Effect.provide(Reactivity.layer))

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
      return Effect.provideService(isTransaction ? sql.withTransaction(unit) : unit, Current, {
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
        return Stream.provideService(body(sql, session), Current, { session, query: query.name })
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
    within: (context) => Context.getOrUndefined(context, Current)?.session.query
  })
  return { ledger: book, pool, sql, provide: Effect.provideService(QueryPool, pool) }
})

/** PostgreSQL's, as its driver has it. */
const compiler = Statement.makeCompiler({
  dialect: "pg",
  placeholder: (index) => `$${index}`,
  onIdentifier: Statement.defaultEscape('"'),
  onRecordUpdate: (placeholders, alias, columns, values, returning) => [
    `(values ${placeholders}) AS ${alias}${columns}${returning === undefined ? "" : ` RETURNING ${returning[0]}`}`,
    returning === undefined ? values.flat() : values.flat().concat(returning[1])
  ],
  onCustom: () => ["", []]
})

const within = <A, E, R>(limit: Limit, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.timeoutOrElse(effect, {
    duration: Math.max(limit.millis, 0),
    orElse: () => Effect.fail(refusal(limit.reason))
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
