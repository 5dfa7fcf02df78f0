import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { EmbeddedPostgres } from "querypool/embedded"
import { documentOf, outcomesOf, start } from "../../integration/cli/Command.ts"
import * as Faults from "../../support/Faults.ts"
import * as Server from "../../support/Server.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const sql = `
  -- name: fast
  select 1;
  -- name: sleeps
  select pg_sleep(600);
  -- name: late
  select 2;`

/** A command whose second query runs, on a server of its own, through a proxy. */
const underWay = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres
  const server = yield* Server.make(url)
  const direct = new URL(Redacted.value(url))
  const faults = yield* Faults.make({ host: direct.hostname, port: Number(direct.port) })
  const through = new URL(Redacted.value(faults.through(url)))
  through.search = "?application_name=stopped&sslmode=disable"
  const running = yield* start(["run", "-", "--json", "--concurrency", "1"], {
    stdin: sql,
    env: { DATABASE_URL: through.href }
  })
  const sleeping = "select 1 from pg_stat_activity where application_name = 'stopped' and query like '%pg_sleep%'"
  yield* waitUntil(
    "the second query runs",
    Effect.map(server.rows(sleeping), (rows) => rows.length > 0)
  )
  return { faults, running }
})

/** As `underWay`, and the network takes whatever it is given, and brings nothing. */
const cutOff = Effect.gen(function* () {
  const { faults, running } = yield* underWay
  const before = faults.connections().length
  const freeze = yield* faults.inject(Faults.freeze())
  /** Gives the first signal, and waits until the cancel is under way. */
  const stop = (signal: NodeJS.Signals) =>
    Effect.andThen(
      Effect.sync(() => running.signal(signal)),
      faults.awaitConnection(({ id }) => id > before)
    )
  return { freeze, running, stop }
})

const provided = <A, E>(test: Effect.Effect<A, E, Effect.Services<typeof underWay>>) =>
  Effect.scoped(test).pipe(Effect.provide(EmbeddedPostgres.layer()))

describe("a run whose server does not answer", () => {
  it.live("leaves at once by a second Ctrl-C, and says what may still run", () =>
    Effect.gen(function* () {
      const { running, stop } = yield* cutOff
      yield* stop("SIGINT")
      let ended = false
      yield* Effect.forkScoped(Effect.tap(running.ended, () => Effect.sync(() => (ended = true))))
      // As a person who has run out of patience, who presses it again and again.
      yield* waitUntil(
        "it has ended",
        Effect.sync(() => {
          running.signal("SIGINT")
          return ended
        })
      )
      const { code, stderr, stdout } = yield* running.ended
      assert.strictEqual(
        stderr,
        "querypool: left at once. The server was not seen to stop, and may still run: sleeps\n"
      )
      assert.strictEqual(code, 130)
      // It did not wait for the end of the run, which ends the document.
      assert.notInclude(stdout, "makespanSeconds")
    }).pipe(provided)
  )

  it.live("ends by itself after a while, and says of which query it was not seen to stop", () =>
    Effect.gen(function* () {
      const { running, stop } = yield* cutOff
      yield* stop("SIGINT")
      const ended = yield* running.ended
      assert.match(
        ended.stderr,
        /^sleeps cancel unconfirmed: no answer in \d[\d.]* m?s, so the server may still run it\n$/
      )
      assert.deepStrictEqual(outcomesOf(documentOf(ended)), { fast: "succeeded", sleeps: "cancelled", late: "skipped" })
      assert.strictEqual(ended.code, 130)
    }).pipe(provided)
  )

  it.live("does not leave at once by a second SIGTERM or SIGHUP", () =>
    Effect.gen(function* () {
      const { freeze, running, stop } = yield* cutOff
      yield* stop("SIGTERM")
      running.signal("SIGTERM")
      running.signal("SIGHUP")
      yield* freeze.lift
      const ended = yield* running.ended
      assert.deepStrictEqual(outcomesOf(documentOf(ended)), { fast: "succeeded", sleeps: "cancelled", late: "skipped" })
      assert.strictEqual(ended.code, 130)
    }).pipe(provided)
  )
})
