/**
 * The client of a made-up pool: it runs on the session of the query it is used in, and otherwise on a session of its own.
 *
 * @internal
 */
import { Context, Effect } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type { Acquirer, Borrower } from "effect/sql/SqlConnection"
import * as Statement from "effect/sql/Statement"
import { ScriptedSession } from "./ScriptedSession.ts"
import type { ScriptedSessions } from "./ScriptedSessions.ts"

/** Where a fiber is: in which query, and on which session. */
interface Place {
  readonly session: ScriptedSession
  readonly query: string
}

let pools = 0

/**
 * Where that stands in the context of a fiber. Of each pool its own: a query of one may run in the body of a query of
 * another.
 *
 * @internal
 */
export const makeKeys = () => {
  const id = pools++
  return {
    current: Context.Service<Place>(`querypool/testing/Current/${id}`),
    transaction: Context.Service<SqlClient.TransactionConnection, SqlClient.TransactionConnection.Service>(
      `querypool/testing/Transaction/${id}`
    )
  }
}

/** @internal */
export const make = ({
  keys,
  lease,
  lend
}: ScriptedSessions & { readonly keys: ReturnType<typeof makeKeys> }): Effect.Effect<SqlClient.SqlClient> => {
  /** Statements outside of any query. */
  const acquirer = (name: string): Acquirer =>
    Effect.withFiber(({ context }) => {
      const session = Context.getOrUndefined(context, keys.current)?.session
      return session === undefined ? lease(name) : Effect.succeed(session)
    })
  const borrower: Borrower = (f) =>
    Effect.withFiber(({ context }) => {
      const session = Context.getOrUndefined(context, keys.current)?.session
      return session === undefined ? lend("statement", f) : f(session)
    })

  return SqlClient.make({
    driver: "pg",
    compiler,
    acquirer: acquirer("statement"),
    borrower,
    transactionAcquirer: acquirer("transaction"),
    transactionService: keys.transaction,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    commit: (connection) => (connection instanceof ScriptedSession ? connection.commit : Effect.void),
    isTransaction: (connection) => !(connection instanceof ScriptedSession) || connection.isConnected,
    spanAttributes: [["db.system.name", "postgresql"]]
  }).pipe(Effect.provide(Reactivity.layer))
}

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
