/**
 * Whether a fiber is in a transaction of its own SqlClient.
 *
 * @internal
 */
import { Context, Option } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

/**
 * The client whose transaction the context is in.
 *
 * @internal
 */
export const transactionOf = (context: Context.Context<never>): SqlClient | undefined => {
  const sql = Option.getOrUndefined(Context.getOption(context, SqlClient))
  return sql !== undefined && Option.isSome(Context.getOption(context, sql.transactionService)) ? sql : undefined
}
