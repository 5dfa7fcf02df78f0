/**
 * A query of a run of which it is known before how it ends: nothing is sent for it, and it takes no slot.
 *
 * @internal
 */
import { Effect } from "effect"
import type { QueryPool } from "../query/QueryPool.ts"
import { QueryTypeId } from "../query/QueryPool.ts"
import type { Run } from "../query/Run.ts"
import { told } from "../query/Run.ts"

/** @internal */
export const settled = <E>(name: string, end: Effect.Effect<void, E>) => {
  const member = {
    name,
    options: {},
    // By the value that the run announced.
    [QueryTypeId]: (_pool: QueryPool["Service"], run: Run): Effect.Effect<void, E> => told(run, query, () => end)
  }
  // Only a run can run it, which knows it for a query by the key.
  const query = Object.assign(Effect.die(new Error(`Query "${name}" was run outside of a run`)), member)
  return query
}
