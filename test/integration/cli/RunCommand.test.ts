import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { EmbeddedPostgres } from "querypool/embedded"
import * as Server from "../../support/Server.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import type { Ended } from "./Command.ts"
import { databaseUrl, documentOf, querypool, start } from "./Command.ts"

/** Nothing but what is wrong, in a line, and nothing that only a programmer reads. */
const assertRefused = ({ code, stderr, stdout }: Ended, expected: string | RegExp): void => {
  assert.strictEqual(stdout, "")
  if (typeof expected === "string") assert.strictEqual(stderr, `querypool: ${expected}\n`)
  else assert.match(stderr, expected)
  assert.notMatch(stderr, /^ {4}at /m)
  assert.strictEqual(code, 2)
}

const each = <A>(cases: ReadonlyArray<A>, check: (one: A) => Effect.Effect<void>) =>
  Effect.forEach(cases, check, { concurrency: 2, discard: true })

describe("the process of a command", () => {
  it.live("says in one line why nothing was run, and ends with exit code 2", () =>
    each<readonly [args: ReadonlyArray<string>, expected: string, stdin?: string]>(
      [
        [["run", "-"], "<stdin>:1:1: no statement in this file: write one, or remove the file"],
        [
          ["run", "-", "--json"],
          "<stdin>:2:1: psql command: \\d is not SQL, remove it, or run this file with psql",
          "select 1;\n\\d t"
        ],
        [["run", "-", "--concurrency", "0"], 'Invalid value for flag --concurrency: "0". Expected: an integer from 1']
      ],
      ([args, expected, stdin]) => Effect.map(querypool(args, { stdin }), (ended) => assertRefused(ended, expected))
    )
  )

  it.live("explains itself where help is asked for, and ends with exit code 0", () =>
    Effect.map(querypool(["run", "--help"]), ({ code, stderr, stdout }) => {
      assert.include(stdout, "--concurrency, -c")
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
    })
  )
})

const databaseIn = (ended: Ended) => documentOf(ended).queries[0]?.rows[0]?.["database"]

layer(Pg.layer("RunCommand"), { excludeTestServices: true })("the database of a run", (it) => {
  const one = { stdin: "select current_database() as database" }

  it.effect("comes from --url, DATABASE_URL, or the variables that psql reads", () =>
    Effect.gen(function* () {
      const url = yield* databaseUrl
      const { hostname, password, pathname, port, username } = new URL(url)
      const variables = { PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password }
      const database = pathname.slice(1)
      const elsewhere = "postgres://127.0.0.1:1/elsewhere"
      yield* each(
        [
          querypool(["run", "-", "--json", "--url", url], { ...one, env: { DATABASE_URL: elsewhere } }),
          querypool(["run", "-", "--json"], { ...one, env: { DATABASE_URL: url, PGHOST: "elsewhere.test" } }),
          querypool(["run", "-", "--json"], { ...one, env: { ...variables, PGDATABASE: database } }),
          querypool(["run", "-", "--json", "--url", `postgres://${hostname}:${port}/${database}`], {
            ...one,
            env: variables
          })
        ],
        (run) =>
          Effect.map(run, (ended) => {
            assert.strictEqual(databaseIn(ended), database)
            assert.strictEqual(ended.code, 0)
          })
      )
    })
  )

  it.effect("cannot be reached: said once, before anything runs, and without any password", () =>
    Effect.gen(function* () {
      const url = new URL(yield* databaseUrl)
      const { host, pathname, username } = url
      const secret = "s3cr3t/%zz"
      const encoded = encodeURIComponent(secret)
      const wrong = new URL(url)
      wrong.password = encoded
      const right = Redacted.value((yield* Pg.Pg).url).replace(/^.*:(.*)@.*$/, "$1")
      const missing = new URL(url)
      missing.pathname = "/nowhere"
      const refused = "Cannot connect to 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1"
      yield* each<readonly [url: string, expected: string | RegExp, args?: ReadonlyArray<string>]>(
        [
          [wrong.href, `Cannot connect to ${host}: password authentication failed for user "${username}"`],
          [
            `postgres://${username}@${host}${pathname}?password=${encoded}`,
            `Cannot connect to ${host}: password authentication failed for user "${username}"`
          ],
          [
            `postgres://${username}@${host}${pathname}`,
            `Cannot connect to ${host}: The server requested password authentication. ` +
              "Give one in the URL, in PGPASSWORD or in the password file"
          ],
          // What the server has refused, it refuses again.
          [missing.href, `Cannot connect to ${host}: database "nowhere" does not exist`, ["--retries", "9"]],
          [`postgres://me:${encoded}@127.0.0.1:1/db`, refused],
          [`postgres://127.0.0.1:1/db?user=me&password=${encoded}`, refused],
          [`postgres://me:${encoded}@127.0.0.1:99999/db`, /^querypool: --url: .*\n$/],
          [`postgres://me:${secret}@127.0.0.1:1/db`, /^querypool: --url: .* must be written as %2F .*\n$/]
        ],
        ([given, expected, args = []]) =>
          Effect.map(querypool(["run", "-", "--json", "--url", given, ...args], one), (ended) => {
            assertRefused(ended, expected)
            for (const word of [secret, encoded, "s3cr3t", right]) assert.notInclude(ended.stderr, word)
          })
      )
    })
  )

  it.effect("may be a throw-away server, which is gone afterwards", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* querypool(["run", "-", "--embedded", "--json"], {
        stdin: "select 1 as one; create table t (id int); select count(*) as count from t"
      })
      assert.deepStrictEqual(documentOf({ stdout }).queries[0]?.rows, [{ count: 0 }])
      assert.strictEqual(code, 0)
    })
  )

  it.effect("may be gone in the middle: the rest fails with reasons, and the document is whole", () =>
    Effect.gen(function* () {
      const { processId, url } = yield* EmbeddedPostgres
      const server = yield* Server.make(url)
      const sql = "-- name: before\nselect 1;\n-- name: during\nselect pg_sleep(600);\n-- name: after\nselect 2;"
      const running = yield* start(["run", "-", "--json", "--concurrency", "1"], {
        stdin: sql,
        env: { DATABASE_URL: `${Redacted.value(url)}?application_name=victim&sslmode=disable` }
      })
      const sleeping = "select 1 from pg_stat_activity where application_name = 'victim' and query like '%pg_sleep%'"
      yield* waitUntil(
        "the second query runs",
        Effect.map(server.rows(sleeping), (rows) => rows.length > 0)
      )
      process.kill(processId, "SIGINT")
      const ended = yield* running.ended
      const [before, during, after] = documentOf(ended).queries.map(({ error, outcome }) => error?.reason ?? outcome)
      assert.deepStrictEqual([before, during], ["succeeded", "ConnectionLost"])
      // It is refused for as long as the server shuts down, and then there is nobody to connect to.
      assert.include(["TooBusy", "ConnectFailed"], after)
      assert.strictEqual(ended.code, 1)
    }).pipe(Effect.scoped, Effect.provide(EmbeddedPostgres.layer()))
  )
})
