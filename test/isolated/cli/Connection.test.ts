import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { EmbeddedPostgres } from "querypool/embedded"
import { documentOf, querypool } from "../../integration/cli/Command.ts"
import * as Pgbouncer from "../../support/Pgbouncer.ts"
import * as ServerProcess from "../../support/ServerProcess.ts"

const run = (args: ReadonlyArray<string>, url: Redacted.Redacted, stdin = "select 1 as one") =>
  querypool(["run", "-", "--url", `${Redacted.value(url)}?sslmode=disable`, ...args], { stdin })

const provided = <A, E>(test: Effect.Effect<A, E, EmbeddedPostgres | Effect.Services<typeof startPooler>>) =>
  Effect.scoped(test).pipe(Effect.provide(EmbeddedPostgres.layer()))

const startPooler = Effect.flatMap(EmbeddedPostgres, (embedded) =>
  Pgbouncer.start(embedded, { mode: "transaction", sessions: 20 })
)

describe("a run with --snapshot", () => {
  it.live("is refused once on a standby, unless --allow-standby allows it", () =>
    Effect.gen(function* () {
      const embedded = yield* EmbeddedPostgres
      yield* ServerProcess.degrade(embedded)
      const two = "-- name: a\nselect 1;\n-- name: b\nselect 2"
      const refused = yield* run(["--snapshot"], embedded.url, two)
      const { host } = new URL(Redacted.value(embedded.url))
      assert.deepStrictEqual(refused, {
        code: 2,
        stdout: "",
        stderr:
          `querypool: No snapshot on ${host}: the server is a standby: a snapshot on it holds back its replay, ` +
          "or is cancelled by it: run it on the primary, or allow it by --allow-standby\n"
      })
      const allowed = yield* run(["--snapshot", "--allow-standby", "--json"], embedded.url)
      assert.deepStrictEqual(documentOf(allowed).queries[0]?.rows, [{ one: 1 }])
      assert.strictEqual(allowed.code, 0)
    }).pipe(provided)
  )
})

describe.skipIf(Pgbouncer.program === undefined)("a run through a pooler that shares sessions", () => {
  it.live("warns on standard error, so that standard output is a document", () =>
    Effect.gen(function* () {
      const url = yield* startPooler
      const { code, stderr, stdout } = yield* run(["--json"], url)
      assert.match(stderr, /WARN/)
      assert.deepStrictEqual(documentOf({ stdout }).queries[0]?.rows, [{ one: 1 }])
      assert.strictEqual(code, 0)
    }).pipe(provided)
  )
})
