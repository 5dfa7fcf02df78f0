// One throw-away PostgreSQL for the whole run, with a database that every test file clones.
import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { EmbeddedPostgres } from "../../src/embedded/EmbeddedPostgres.ts"
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TestProject } from "vitest/node"

declare module "vitest" {
  interface ProvidedContext {
    /** Of the server's superuser, in its own database. */
    readonly postgresUrl: string
  }
}

/** The database that test files clone: a thousand rows, and functions that hide what they do to a session. */
export const template = "querypool_template"

const contents = [
  "create table account (id int primary key, owner text not null, balance int not null)",
  "insert into account select id, 'owner ' || id, 100 from generate_series(1, 1000) id",
  "create function hidden_setting() returns text language sql as $$ select set_config('work_mem', '7MB', false) $$",
  "create function hidden_lock(key bigint) returns void language sql as $$ select pg_advisory_lock(key) $$",
  "vacuum analyze account"
]

/** Signed by itself, for `localhost`, valid until 2124. */
export const certificate = join(import.meta.dirname, "tls", "server.crt")

/** Where the server finds its certificate and key, which nobody but its own user may be able to read. */
const tlsFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "querypool-test-tls-"))
    chmodSync(folder, 0o755)
    for (const name of ["server.crt", "server.key"]) {
      copyFileSync(join(import.meta.dirname, "tls", name), join(folder, name))
      chmodSync(join(folder, name), 0o600)
      // As root, servers run as nobody.
      if (process.getuid?.() === 0) chownSync(join(folder, name), 65534, 65534)
    }
    return folder
  }),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const server = Layer.unwrap(
  Effect.map(tlsFolder, (folder) =>
    EmbeddedPostgres.layer({
      settings: {
        // Each test file has a pool, an observer, and backends that are on their way out.
        max_connections: 300,
        ssl: true,
        ssl_cert_file: join(folder, "server.crt"),
        ssl_key_file: join(folder, "server.key")
      }
    })
  )
)

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const scope = Scope.makeUnsafe()
  const { url } = await Effect.runPromise(
    Effect.map(Layer.buildWithScope(server, scope), Context.get(EmbeddedPostgres))
  )
  await Effect.runPromise(
    Effect.gen(function* () {
      const admin = yield* PgConnection.make({ url })
      yield* admin.query(`create database ${template}`)
      const inside = yield* PgConnection.make({ url, database: template })
      for (const statement of contents) yield* inside.query(statement)
    }).pipe(Effect.scoped)
  )
  project.provide("postgresUrl", Redacted.value(url))
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}
