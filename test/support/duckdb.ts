/** DuckDB, a reader of files that knows nothing of this package. */
import type { DuckDBValue } from "@duckdb/node-api"
import { DuckDBInstance } from "@duckdb/node-api"
import { Effect } from "effect"

/** Runs queries in a database in memory. */
export interface Duckdb {
  readonly rows: (sql: string) => Promise<ReadonlyArray<ReadonlyArray<DuckDBValue>>>
}

export const duckdb = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const instance = await DuckDBInstance.create(":memory:", { threads: "1" })
      return { instance, connection: await instance.connect() }
    }),
    ({ connection, instance }) =>
      Effect.sync(() => {
        connection.closeSync()
        instance.closeSync()
      })
  ),
  ({ connection }): Duckdb => ({
    rows: async (sql) => (await connection.runAndReadAll(sql)).getRows()
  })
)
