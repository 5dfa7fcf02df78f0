/**
 * The tables of `pgbench -i`, made by the server itself.
 *
 * The schema, the rows and the primary keys are those of `pgbench --initialize` (PostgreSQL manual, "pgbench",
 * initialization steps `dtGvp`), except that nothing is dropped: tables that are already there are left as they are
 * and the load fails. Everything but the final `vacuum analyze` is one transaction, so a load that fails or is
 * interrupted leaves nothing behind.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

const tables = [
  "create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))",
  "create table pgbench_tellers (tid int not null, bid int, tbalance int, filler char(84)) with (fillfactor = 100)",
  "create table pgbench_accounts (aid int not null, bid int, abalance int, filler char(84)) with (fillfactor = 100)",
  "create table pgbench_branches (bid int not null, bbalance int, filler char(88)) with (fillfactor = 100)"
]

const rows = [
  "insert into pgbench_branches (bid, bbalance) select bid, 0 from generate_series(1, $1::int) bid",
  "insert into pgbench_tellers (tid, bid, tbalance) select tid, (tid - 1) / 10 + 1, 0 from generate_series(1, $1::int * 10) tid",
  "insert into pgbench_accounts (aid, bid, abalance, filler) select aid, (aid - 1) / 100000 + 1, 0, '' from generate_series(1, $1::int * 100000) aid"
]

const keys = [
  "alter table pgbench_branches add primary key (bid)",
  "alter table pgbench_tellers add primary key (tid)",
  "alter table pgbench_accounts add primary key (aid)"
]

/**
 * Above this scale pgbench itself gives `aid` another type.
 *
 * @since 0.1.0
 */
export const maxScale = 19_999

/**
 * Creates and fills the tables of `pgbench -i` in the first schema of the search path: `scale` branches, ten tellers
 * and 100,000 accounts for each (about 15 MB), and an empty history.
 *
 * @param scale an integer from 1 to `maxScale`
 * @since 0.1.0
 */
export const loadPgbench = Effect.fn("loadPgbench")(function* (
  scale: number
): Effect.fn.Return<void, SqlError, SqlClient> {
  if (!Number.isInteger(scale) || scale < 1 || scale > maxScale) {
    return yield* Effect.die(new RangeError(`Expected \`scale\` to be an integer from 1 to ${maxScale}, got ${scale}`))
  }
  const sql = yield* SqlClient
  const load = Effect.gen(function* () {
    for (const statement of tables) yield* sql.unsafe(statement)
    for (const statement of rows) yield* sql.unsafe(statement, [scale])
    for (const statement of keys) yield* sql.unsafe(statement)
  })
  yield* sql.withTransaction(load)
  yield* sql`vacuum analyze pgbench_branches, pgbench_tellers, pgbench_accounts, pgbench_history`
})
