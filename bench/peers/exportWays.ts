/**
 * A query's rows to a file: what each way gives back is how many rows there are, and a sum over the file's lines that
 * does not depend on their order. That is taken when the time has been.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { stringify } from "csv-stringify"
import { Effect, Layer, Redacted } from "effect"
import { asyncBufferFromFile, parquetMetadataAsync } from "hyparquet"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { pipeline } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { Pool } from "pg"
import QueryStream from "pg-query-stream"
import { PgQueryPool, QueryPool, QuerySink } from "querypool"
import type { Connection } from "../Database.ts"
import type { Tally, Way } from "../Tally.ts"

const exportText = (rows: number): string =>
  `select id, big, price, ratio, active, at, label, note from export where id <= ${rows} order by id`

/** A file for as long as the scope is open. */
const temporary = (name: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "querypool-export-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => join(folder, name)
  )

const linesOf = (file: string) => createInterface({ input: createReadStream(file), crlfDelay: Infinity })

/** Of the lines of a file, in whatever order: of each, the first 24 bits of a hash. */
const sumOf = async (file: string): Promise<number> => {
  let sum = 0
  for await (const line of linesOf(file)) sum += createHash("md5").update(line).digest().readUIntBE(0, 3)
  return sum
}

/** How many lines there are beside those that there should be. */
const linesBeside = async (file: string, rows: number): Promise<number> => {
  let lines = 0
  for await (const line of linesOf(file)) if (line.startsWith("{")) lines++
  return lines - rows
}

/** What a file that should be CSV comes to. */
const tallyOf =
  (path: string) =>
  ({ rows }: Tally) =>
    Effect.map(
      Effect.promise(() => sumOf(path)),
      (sum) => ({ rows, sum })
    )

const querypool = (
  name: string,
  format: QuerySink.Format | undefined,
  check: (file: string, rows: number) => Promise<number>
): Way =>
  Effect.fnUntraced(function* (server, count) {
    const path = yield* temporary(name)
    const pool = yield* Layer.build(Layer.mergeAll(PgQueryPool.layer(server), NodeServices.layer))
    const query = QuerySink.file({
      name: "export",
      statement: () => ({ sql: exportText(count), parameters: [] }),
      path,
      ...(format === undefined ? {} : { format })
    })
    const work = Effect.map(QueryPool.all([query]), ([{ rows }]) => ({ rows, sum: 0 }))
    return {
      work: Effect.provideContext(work, pool),
      check: ({ rows }: Tally) =>
        Effect.map(
          Effect.promise(() => check(path, rows)),
          (sum) => ({ rows, sum })
        )
    }
  })

const environment = ({ database, host, password, port, username }: Connection) => ({
  ...process.env,
  PGHOST: host,
  PGPORT: String(port),
  PGUSER: username,
  PGPASSWORD: Redacted.value(password),
  PGDATABASE: database
})

/** A program that writes `file` below a folder of its own. Its own memory and processor time are not measured. */
const program = (
  file: string,
  command: (folder: string, count: number) => readonly [string, ReadonlyArray<string>]
): Way =>
  Effect.fnUntraced(function* (server, count) {
    const path = yield* temporary(file)
    const [name, args] = command(dirname(path), count)
    const work = Effect.tryPromise(
      () =>
        new Promise<Tally>((resolve, reject) => {
          const child = spawn(name, args, { env: environment(server), stdio: ["ignore", "pipe", "inherit"] })
          child.on("error", reject)
          child.stdout.resume()
          child.on("close", (code) =>
            code === 0 ? resolve({ rows: count, sum: 0 }) : reject(new Error(`${name}: ${code}`))
          )
        })
    )
    return { work, check: tallyOf(path) }
  })

const psql = program("export.csv", (folder, count) => [
  "psql",
  ["-qX", "-c", `\\copy (${exportText(count)}) to '${join(folder, "export.csv")}' (format csv, header)`]
])

const bin = fileURLToPath(new URL("../../src/cli/bin.ts", import.meta.url))

/** From its start: two tenths of a second are that of a process. */
const inParts = (parts: number) =>
  program("export.csv", (folder, count) => {
    const file = join(folder, "export.sql")
    // Parts come as they come: an order would be sorted for, and lost.
    const text = exportText(count).replace(/ order by \w+$/, "")
    writeFileSync(file, `-- partition: column=id parts=${parts}\n${text}`)
    return [process.execPath, ["--conditions=@querypool/source", bin, "run", file, "--out", folder, "--quiet"]]
  })

/** Values stay the server's text, as they do in the other ways: parsed and printed again they would differ. */
const asText = { getTypeParser: () => (text: string) => text }

const nodePostgres: Way = Effect.fnUntraced(function* ({ database, host, password, port, username }, count) {
  const path = yield* temporary("export.csv")
  const pool = yield* Effect.acquireRelease(
    Effect.sync(() => new Pool({ host, port, user: username, password: Redacted.value(password), database, max: 1 })),
    (pool) => Effect.promise(() => pool.end())
  )
  const work = Effect.tryPromise(async () => {
    const client = await pool.connect()
    try {
      let rows = 0
      // In batches of 100 and of 10,000 rows it was no faster.
      const query = new QueryStream(exportText(count), [], { batchSize: 1000, types: asText })
      const text = stringify({ header: true, quoted_match: /^$/ })
      query.on("data", () => rows++)
      await pipeline(client.query(query), text, createWriteStream(path))
      return { rows, sum: 0 }
    } finally {
      client.release()
    }
  })
  return { work, check: tallyOf(path) }
})

export const exportWays = {
  "querypool, CSV": querypool("export.csv", undefined, sumOf),
  "querypool, NDJSON": querypool("export.ndjson", undefined, linesBeside),
  "querypool, Parquet": querypool("export.parquet", undefined, async (file, rows) => {
    const { num_rows } = await parquetMetadataAsync(await asyncBufferFromFile(file))
    return Number(num_rows) - rows
  }),
  "querypool run, CSV in 4 parts": inParts(4),
  "psql \\copy": psql,
  "pg + pg-query-stream + csv-stringify": nodePostgres
} satisfies Readonly<Record<string, Way>>
