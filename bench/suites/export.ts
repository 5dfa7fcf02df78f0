/**
 * The rows of one query to a file: eight columns of mixed types, some NULL, some with what has to be quoted.
 *
 * Each way has a process of its own and goes once. What is in the file is looked at afterwards: of a CSV file a sum over
 * the hashes of its lines, which the server tells as well.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { spawnSync } from "node:child_process"
import { exportWays } from "../peers/exportWays.ts"
import type { Task } from "../peers/ownProcess.ts"
import { spentCases } from "../peers/ownProcess.ts"
import type { Effort, Suite } from "../Suite.ts"

const rowsOf = ({ quick }: Effort): number => (quick ? 20_000 : 5_000_000)

const load = (rows: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table export (
      id int primary key, big int8, price numeric(12, 2), ratio float8, active bool, at timestamptz, label text, note text
    )`
    yield* sql`insert into export select
      n, n::int8 * 1000000007, (n % 1000000) / 7.0, n / 3.0::float8, n % 3 = 0,
      timestamptz '2024-01-01' + n * interval '1.000001 seconds', 'label ' || n % 1000,
      case n % 5 when 0 then null when 1 then '' when 2 then 'plain text' when 3 then 'with, a comma' else 'and "quotes"' end
      from generate_series(1, ${rows}::int) n`
    yield* sql`vacuum analyze export`
  })

/** Of the lines of the CSV file, as PostgreSQL's own rules for it are: what `exportWays.ts` makes of the file. */
const csvSum = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<{ readonly sum: string }>`
    with line as (
      select concat_ws(',', id, big, price, ratio, case when active then 't' else 'f' end, at, label) || ',' ||
        case when note is null then '' when note = '' then '""'
          when note ~ '[",]' then '"' || replace(note, '"', '""') || '"' else note end as text
      from export
      union all select 'id,big,price,ratio,active,at,label,note'
    )
    select sum(('x' || left(md5(text), 6))::bit(24)::bigint)::text as sum from line`
  return Number(found?.sum)
})

const kindOf = (way: string): "csv" | "other" => (/NDJSON|Parquet/.test(way) ? "other" : "csv")

export const exports: Suite = {
  name: "export",
  about: (effort) => `${rowsOf(effort).toLocaleString("en-US")} rows of 8 columns to a file`,
  cases: Effect.fnUntraced(function* (effort) {
    const rows = rowsOf(effort)
    yield* load(rows)
    const sum = yield* csvSum
    const hasPsql = spawnSync("psql", ["--version"]).status === 0
    const ways = Object.keys(exportWays).filter((way) => hasPsql || !way.startsWith("psql"))
    const tasks = ways.map((way): Task => ({
      name: way,
      kind: "export",
      way,
      startsAnother: /^(?:psql|querypool run)/.test(way),
      expected: { rows, sum: kindOf(way) === "csv" ? sum : 0 }
    }))
    return yield* spentCases({ tasks, unit: "rows" })
  })
}
