/**
 * A table cut by ranges of its blocks, which the server reads without an index and without looking at any other
 * (manual, "TID Range Scan").
 *
 * A row is in the block where its version stands, and an update moves it: so all parts see one snapshot, in which each
 * row has one version. Rows and their blocks keep together for as long as the table is not written anew (VACUUM FULL,
 * CLUSTER, TRUNCATE, some ALTER TABLE). That is looked at behind each part, when its transaction keeps the table as it is:
 * who finds another file than the table had at that moment fails, and gives no rows that may be some of the wrong ones.
 *
 * The tables below a partitioned table, and those that inherit from a table, are read one by one, by the columns of the
 * table that was named.
 *
 * @internal
 */
import { Effect, Result } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { rowsOf } from "./PartitionColumn.ts"

/**
 * Blocks of one table: from one of them up to another, or to whatever the end is.
 *
 * @internal
 */
export interface Piece {
  readonly table: number
  readonly from: number
  readonly to: number | undefined
}

/**
 * Cuts tables of so many blocks each into at most so many parts of the same number of blocks. Every table is covered
 * from its first block, and its last piece has no end.
 *
 * @internal
 */
export const piecesOf = (blocks: ReadonlyArray<number>, parts: number): ReadonlyArray<ReadonlyArray<Piece>> => {
  const total = blocks.reduce((sum, count) => sum + count, 0)
  const count = Math.max(1, Math.min(parts, total))
  const pieces = Array.from({ length: count }, (): Array<Piece> => [])
  let part = 0
  let start = 0
  blocks.forEach((size, table) => {
    const end = start + size
    for (let from = start; ; part++) {
      const to = Math.floor((total * (part + 1)) / count)
      const isLast = to >= end
      pieces[part]?.push({ table, from: from - start, to: isLast ? undefined : to - start })
      from = to
      if (isLast) break
    }
    start = end
    // What begins where a part ends is the next part's.
    if (part < count - 1 && Math.floor((total * (part + 1)) / count) === end) part++
  })
  return pieces
}

/**
 * A table that has blocks.
 *
 * @internal
 */
export interface Storage {
  /** Quoted, with its schema. */
  readonly name: string
  /** The name of the file that it had at the moment that its parts see: it has another one after it was written anew. */
  readonly file: string
}

/**
 * One part's rows.
 *
 * @internal
 */
export interface BlockPart {
  readonly text: string
  readonly ranges: ReadonlyArray<{ readonly table: Storage; readonly from: number; readonly to: number | undefined }>
}

const tree = `with recursive tree (oid) as (
  select $1::text::pg_catalog.regclass::pg_catalog.oid
  union select i.inhrelid from pg_catalog.pg_inherits i join tree on i.inhparent = tree.oid where not i.inhdetachpending
)
select c.oid::text as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name, c.relkind::text as kind,
  coalesce(pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8, 0)::text as blocks,
  coalesce(nullif(c.relfilenode, 0), pg_catalog.pg_relation_filenode(c.oid))::text as file,
  pg_catalog.row_security_active(c.oid)::text as guarded,
  (select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum) from pg_catalog.pg_attribute a
    where a.attrelid = $1::text::pg_catalog.regclass and a.attnum > 0 and not a.attisdropped) as columns
from tree join pg_catalog.pg_class c using (oid) join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by c.oid <> $1::text::pg_catalog.regclass, c.oid`

const kinds: ReadonlyMap<string, string> = new Map([
  ["v", "a view"],
  ["f", "a foreign table"],
  ["i", "an index"],
  ["I", "an index"],
  ["S", "a sequence"],
  ["c", "a type"]
])

/** Since when the server reads a range of blocks without reading the others. */
const firstVersion = 14

/**
 * The parts of a table. A failure says why it has none.
 *
 * @internal
 */
export const blocksOf = Effect.fnUntraced(function* (
  sql: SqlClient,
  table: string,
  parts: number
): Effect.fn.Return<Result.Result<ReadonlyArray<BlockPart>, string>, SqlError> {
  const [server] = yield* rowsOf(sql, {
    text: "select pg_catalog.current_setting('server_version_num') as version",
    parameters: []
  })
  const version = Math.floor(Number(server?.["version"]) / 10_000)
  if (version < firstVersion) {
    return Result.fail(`the server reads ranges of blocks from version ${firstVersion} on, and is of ${version}`)
  }
  const found = yield* rowsOf(sql, { text: tree, parameters: [table] })
  const [root] = found
  if (root === undefined) return Result.fail(`${table} was not there yet when the snapshot was taken`)
  const odd = found.find((row) => kinds.has(row["kind"] ?? ""))
  if (odd !== undefined) {
    return Result.fail(`${odd["name"]} is ${kinds.get(odd["kind"] ?? "")}, which has no blocks to cut by`)
  }
  if (found.length > 1 && found.some((row) => row["guarded"] === "true")) {
    return Result.fail(`row security of ${root["name"]} does not hold for the tables below it, read one by one`)
  }
  const columns = root["columns"] ?? ""
  const stored = found.filter((row) => row["kind"] !== "p")
  const tables = stored.map(({ file, name }): Storage => ({ name: name ?? "", file: file ?? "" }))
  if (tables.length === 0) {
    return Result.succeed([{ text: `select ${columns} from ${root["name"]}`, ranges: [] }])
  }
  const sizes = stored.map((row) => Number(row["blocks"]))
  return Result.succeed(
    piecesOf(sizes, parts).map((pieces) => {
      const ranges = pieces.flatMap(({ from, table, to }) => {
        const storage = tables[table]
        return storage === undefined ? [] : { table: storage, from, to }
      })
      return { ranges, text: ranges.map((range) => textOf(columns, range)).join("\nunion all\n") }
    })
  )
})

const textOf = (columns: string, { from, table, to }: BlockPart["ranges"][number]): string => {
  const bounds = [
    ...(from === 0 ? [] : [`ctid >= '(${from},0)'::pg_catalog.tid`]),
    ...(to === undefined ? [] : [`ctid < '(${to},0)'::pg_catalog.tid`])
  ]
  return `select ${columns} from only ${table.name}${bounds.length === 0 ? "" : ` where ${bounds.join(" and ")}`}`
}

/**
 * A table of a part that is not what it was when the snapshot was taken, if one is. To be asked in the transaction that
 * has read the part.
 *
 * By its name, as it was read: another table may have that by now.
 *
 * @internal
 */
export const replaced = (sql: SqlClient, { ranges }: BlockPart): Effect.Effect<string | undefined, SqlError> =>
  Effect.map(
    rowsOf(sql, {
      text: `select name from unnest($1::text[], $2::text[]) as planned (name, file)
  where pg_catalog.pg_relation_filenode(pg_catalog.to_regclass(name))::text is distinct from file`,
      parameters: [ranges.map(({ table }) => table.name), ranges.map(({ table }) => table.file)]
    }),
    ([row]) => row?.["name"] ?? undefined
  )
