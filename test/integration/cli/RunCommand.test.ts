import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { readFileSync } from "node:fs"
import { EmbeddedPostgres } from "querypool/embedded"
import * as Server from "../../support/Server.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"
import type { Ended, Options } from "./Command.ts"
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

type Case = readonly [args: ReadonlyArray<string>, expected: string | RegExp, options?: Options]

const answers = ([args, expected, options]: Case) =>
  Effect.map(querypool(args, options), (ended) => assertRefused(ended, expected))

describe("a command line that cannot be followed", () => {
  it.live("is answered by one line that says why, and exit code 2", () =>
    each<Case>(
      [
        [["run"], "No queries given. Name .sql files or folders, or - for standard input"],
        [["run", "missing.sql"], "missing.sql: there is no such file or folder"],
        [["run", "-"], "<stdin>:1:1: no statement in this file: write one, or remove the file"],
        [
          ["run", "-", "--json"],
          "<stdin>:2:1: psql command: \\d is not SQL, remove it, or run this file with psql",
          { stdin: "select 1;\n\\d t" }
        ],
        [["run", "-"], /^querypool: No database given\. .*(\n {2}.+){4}\n$/, { stdin: "select 1" }],
        [
          ["run", "-", "--url", "db.test"],
          /^querypool: --url: The connection URL is not a URL\..*\n$/,
          { stdin: "select 1" }
        ],
        [
          ["run", "-", "--embedded", "--url", "postgres://h/d"],
          "--embedded and --url name different databases. Give one of them"
        ],
        [
          ["run", "-", "--on-error", "maybe"],
          'Invalid value for flag --on-error: "maybe". Expected: "continue" | "stop"'
        ],
        [["run", "-", "--max-rows", "-1"], 'Invalid value for flag --max-rows: "-1". Expected: an integer from 0'],
        ...["0", "-1", "1.5", "1e3", "many"].map(
          (text) =>
            [
              ["run", "-", "--concurrency", text],
              `Invalid value for flag --concurrency: "${text}". Expected: an integer from 1`
            ] as const
        ),
        ...["0s", "3", "soon"].flatMap((text) =>
          ["--timeout", "--queue-timeout", "--deadline"].map(
            (flag) =>
              [
                ["run", "-", flag, text],
                `Invalid value for flag ${flag}: "${text}". Expected: a duration such as 300ms, 30s, 5m or 2h`
              ] as const
          )
        ),
        [
          ["run", "-", "--retries", "few"],
          'Invalid value for flag --retries: "few". Expected: an integer from 0 to 999999'
        ],
        [
          ["run", "-", "--embedded"],
          "<stdin>:2:1: Unknown header `timeuot`. Did you mean `timeout`?",
          { stdin: "-- name: a\n-- timeuot: 300ms\nselect 1" }
        ],
        [
          ["run", "-", "--embedded", "--read-only"],
          '<stdin>:1: the header `transaction` of query "a" contradicts --read-only. Remove one of them',
          { stdin: "-- name: a\n-- transaction\nselect 1" }
        ],
        [
          ["run", "-", "--embedded"],
          '<stdin>:2: query "a" needs "lod", which is no query of this run. Did you mean "load"?',
          { stdin: "-- name: a\n-- needs: lod\nselect 1;\n-- name: load\nselect 1" }
        ],
        [
          ["run", "-", "--embedded"],
          "Queries need each other in a circle, so none of them can start. Remove one of these needs:\n" +
            "  <stdin>:2: a needs b\n  <stdin>:6: b needs a",
          { stdin: "-- name: a\n-- needs: b\nselect 1;\n-- name: b\n-- Prose.\n-- needs: a\nselect 1" }
        ],
        [
          ["run", "-", "--embedded", "--select", "b*"],
          '--select "b*": no query has such a name. There are: a, c/d',
          { stdin: "-- name: a\nselect 1;\n-- name: c/d\nselect 1" }
        ],
        [
          ["run", "-", "--embedded", "--select", "tag:x=2"],
          '--select "tag:x=2": no query has such a tag. There are: tag:x=1',
          { stdin: "-- tag: x=1\n-- name: a\nselect 1;\n-- name: b\nselect 1" }
        ],
        [
          ["run", "-", "--order", "shortest"],
          'Invalid value for flag --order: "shortest". Expected: "given" | "longest-first"'
        ],
        [["run", "-", "--colour"], /^querypool: Unrecognized flag: --colour in command querypool run\n/],
        [["rnu"], /^querypool: Unknown subcommand "rnu" for "querypool"\n\n {2}Did you mean this\?\n {4}run\n$/],
        [["\u001b[31m"], /^querypool: Unknown subcommand "\\u001b\[31m"/]
      ],
      answers
    )
  )

  it.live("is answered so where flags contradict each other or the files", () =>
    each<Case>(
      [
        [
          ["run", "-", "--targets", "t.txt", "--url", "postgres://h/d"],
          "--targets and --url name different databases. Give one of them"
        ],
        [["run", "-", "--total", "5"], "--total is for the databases of --targets. For one database say --concurrency"],
        [
          ["run", "-", "--targets", "missing.txt"],
          "missing.txt: there is no such file or folder",
          { stdin: "select 1" }
        ],
        [
          ["run", "-", "--embedded", "--snapshot"],
          '<stdin>:2: query "stdin" ends a transaction, and with --snapshot it is one as a whole. ' +
            "Leave out BEGIN, COMMIT and ROLLBACK",
          { stdin: "begin; select 1;\ncommit" }
        ],
        [
          ["run", "-", "--embedded", "--allow-standby"],
          "--allow-standby is for the snapshot of --snapshot. Give both",
          { stdin: "select 1" }
        ]
      ],
      answers
    )
  )

  it.live("is explained where help is asked for", () =>
    Effect.gen(function* () {
      const [run, bare, version] = yield* Effect.all(
        [querypool(["run", "--help"]), querypool([]), querypool(["--version"])],
        { concurrency: 2 }
      )
      for (const word of [
        "--url",
        "--embedded",
        "--targets file",
        "--total",
        "--concurrency, -c",
        "(default 5)",
        "--on-error",
        "--select",
        "--order",
        "-- needs: a, b",
        "--read-only",
        "--snapshot",
        "--allow-standby",
        "--timeout duration",
        "--queue-timeout",
        "--deadline",
        "--retries",
        "-- timeout: 30s",
        "-- idempotent",
        "--max-rows",
        "--json"
      ]) {
        assert.include(run.stdout, word)
      }
      assert.match(bare.stdout, /run .*\n.*plan .*\n.*demo /)
      const manifest: { readonly version: string } = JSON.parse(
        readFileSync(new URL("../../../package.json", import.meta.url), "utf8")
      )
      assert.include(version.stdout, manifest.version)
      for (const { code, stderr } of [run, bare, version])
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
