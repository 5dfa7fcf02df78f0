/**
 * The pool's one `SqlClient`: it runs on the session of the unit it is used in, and otherwise on a session of its own.
 *
 * That it finds the session in the fiber's context costs nothing against a bare client (1.00 ×); a client made for
 * each unit would cost 0.72 ×.
 *
 * @internal
 */
import { PgClient } from "@effect/sql-pg"
import type { PgConnection } from "@effect/sql-pg"
import type { Scope } from "effect"
import { Context, Effect } from "effect"
import type { Queue } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as Statement from "effect/sql/Statement"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import type { Fate, TransactionId } from "./PgLostCommit.ts"
import type { TransactionKey } from "./PgSession.ts"
import { PgSession } from "./PgSession.ts"
import { clientRollback } from "./PgTurns.ts"

let count = 0

/**
 * Where a unit's session and its transaction stand in the context of its fibers. Each pool has keys of its own, so that
 * a query of one pool may run in the body of a query of another.
 *
 * @internal
 */
export const makeKeys = (): {
  readonly current: Context.Service<PgSession, PgSession>
  readonly transaction: TransactionKey
} => {
  const id = count++
  return {
    current: Context.Service<PgSession>(`querypool/pool/CurrentSession/${id}`),
    transaction: Context.Service<SqlClient.TransactionConnection, SqlClient.TransactionConnection.Service>(
      `querypool/pool/CurrentTransaction/${id}`
    )
  }
}

/**
 * Adds a unit's session to the contexts of its fibers.
 *
 * A context keeps its latest eight additions apart, and the ninth copies it whole: for a program of 60 services that
 * costs 11 µs, for each unit anew when many start from one such context. So a context from which a second unit starts
 * is copied once, and later additions to the copy are cheap.
 *
 * @internal
 */
export const makeProvide = (
  current: Context.Service<PgSession, PgSession>
): (<A, E, R>(effect: Effect.Effect<A, E, R>, session: PgSession) => Effect.Effect<A, E, R>) => {
  const copies = new WeakMap<Context.Context<never>, Context.Context<never> | "seen">()
  const add = <R>(context: Context.Context<R>, session: PgSession): Context.Context<R> => {
    const copy = copies.get(context)
    if (copy === undefined) {
      copies.set(context, "seen")
      return Context.add(context, current, session)
    }
    // It is a copy of a context of R.
    if (copy !== "seen") return Context.add(copy, current, session) as Context.Context<R>
    const made = Context.makeUnsafe<R>(new Map(context.mapUnsafe))
    copies.set(context, made)
    return Context.add(made, current, session)
  }
  return (effect, session) => Effect.updateContext(effect, (context) => add(context, session))
}

/** @internal */
export const make = Effect.fnUntraced(function* (options: {
  readonly config: PgClient.PgClientConfig
  /** What the spans of statements say, beside what the configuration has. */
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
  readonly current: Context.Service<PgSession, PgSession>
  readonly transaction: TransactionKey
  /** Lends a session that belongs to no query to one effect. */
  readonly use: <A, E, R>(f: (session: PgSession) => Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** Lends one until the scope closes. */
  readonly lease: Effect.Effect<PgSession, SqlError, Scope.Scope>
  readonly lookUp: LookUp
  /** Opens a connection outside of the pool. */
  readonly connect: Effect.Effect<PgConnection.PgConnection, SqlError, Scope.Scope>
}) {
  const { config, current } = options
  const here = <A, E, R, E2, R2>(
    none: () => Effect.Effect<A, E, R>,
    some: (session: PgSession) => Effect.Effect<A, E2, R2>
  ): Effect.Effect<A, E | E2, R | R2> =>
    Effect.withFiber<A, E | E2, R | R2>((fiber) => {
      const session = Context.getOrUndefined(fiber.context, current)
      return session === undefined ? none() : some(session)
    })

  const borrower: SqlConnection.Borrower = (f) => here(() => options.use(f), f)
  const acquirer: SqlConnection.Acquirer = here(() => options.lease, Effect.succeed)
  const transactionAcquirer: SqlConnection.Acquirer = here(
    () => Effect.flatMap(options.lease, (session) => session.beginTransaction),
    (session) => session.beginTransaction
  )

  const client = yield* SqlClient.make({
    driver: "pg",
    compiler: PgClient.makeCompiler(config.transformQueryNames, config.transformJson),
    borrower,
    acquirer,
    transactionAcquirer,
    transactionService: options.transaction,
    // A unit may drop the driver's prepared statements, and must still be able to roll back.
    prepareTransactionControls: false,
    rollback: clientRollback,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    commit: (connection) =>
      connection instanceof PgSession
        ? connection.looksUp
          ? commitKnowingly(connection, options.lookUp)
          : commit(connection)
        : Effect.asVoid(connection.executeRaw("COMMIT", [])),
    // A connection that broke has no transaction any more; a ROLLBACK on it would be a defect in place of the error.
    isTransaction: (connection) => !(connection instanceof PgSession) || connection.hasTransaction(),
    transformRows:
      config.transformResultNames === undefined
        ? undefined
        : Statement.defaultTransforms(config.transformResultNames, config.transformJson).array,
    spanAttributes: [...Object.entries(config.spanAttributes ?? {}), ...options.spanAttributes]
  })

  const listen = (
    channel: string
  ): Effect.Effect<Queue.Dequeue<PgConnection.Notification, SqlError>, SqlError, Scope.Scope> =>
    Effect.flatMap(options.connect, (connection) => connection.listen(channel))

  const pgClient: PgClient.PgClient = Object.assign(client, {
    [PgClient.TypeId]: PgClient.TypeId,
    config,
    // effect/sql would reserve as for a transaction, and inside a unit wait for the unit's own end.
    reserve: acquirer,
    json: (value: unknown) => Statement.fragment([pgJson(value, undefined, undefined)]),
    listen,
    notify: (channel: string, payload: string) => Effect.asVoid(client`select pg_notify(${channel}, ${payload})`)
  })
  return pgClient
})

const pgJson = Statement.custom<Statement.Custom<"PgJson", unknown, undefined, undefined>>("PgJson")

/** The server answers ROLLBACK to the COMMIT of a transaction in which a statement had failed. */
const commit = (session: PgSession): Effect.Effect<void, SqlError> =>
  Effect.flatMap(session.commit, (result) => {
    if (result.command !== "ROLLBACK") return Effect.void
    const message = "The transaction was rolled back, not committed: one of its statements had failed"
    return Effect.fail(
      new SqlError({ reason: new UnknownError({ cause: new Error(message), message, operation: "commit" }) })
    )
  })

/**
 * Commits, and asks the server what became of the transaction when the answer is lost. Its id has to be known before:
 * one round trip, for which see docs/decisions/0005. A transaction that has written nothing has no id, and nothing to
 * lose.
 */
const commitKnowingly = (session: PgSession, lookUp: LookUp): Effect.Effect<void, SqlError> =>
  Effect.flatMap(session.transactionId, (id) =>
    Effect.catch(commit(session), (error) => {
      if (id === undefined || session.ledger.unanswered !== "commit") return Effect.fail(error)
      return Effect.flatMap(id === null ? Effect.succeed<Fate>("committed") : lookUp(session, id), (became) => {
        if (became === "committed") session.ledger.committed()
        if (became === "aborted") session.ledger.rolledBack()
        return became === "committed" ? Effect.void : Effect.fail(error)
      })
    })
  )

/**
 * Asks what became of a transaction, by its id, once its session's connection is gone.
 *
 * @internal
 */
export type LookUp = (session: PgSession, id: TransactionId) => Effect.Effect<Fate>
