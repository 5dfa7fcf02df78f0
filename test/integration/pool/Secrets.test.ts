import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Redacted, References, Stream, Tracer } from "effect"
import { SqlClient } from "effect/sql"
import { randomBytes } from "node:crypto"
import { inspect } from "node:util"
import type { QueryEvent } from "querypool"
import { PgQueryPool, Query, QueryError, QueryPool } from "querypool"
import * as Pg from "../../support/Pg.ts"

/** Everything that can be seen of a value. */
const shown = (value: unknown): string => {
  const inspected = inspect(value, { depth: 30, showHidden: true, getters: true, maxStringLength: Infinity })
  try {
    return `${inspected}\n${String(value)}\n${JSON.stringify(value)}`
  } catch {
    // It contains itself, or a bigint.
    return inspected
  }
}

/** A tracer, and a logger of every level, that keep what they are given. */
const collector = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const lines: Array<string> = []
  const tracer = Tracer.make({
    span(options) {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const logger = Logger.make(({ cause, fiber, logLevel, message }) => {
    lines.push(shown([logLevel, message, cause, fiber.getRef(References.CurrentLogAnnotations)]))
  })
  const services = Layer.mergeAll(
    Logger.layer([logger]),
    Layer.succeed(Tracer.Tracer, tracer),
    Layer.succeed(References.MinimumLogLevel, "Trace")
  )
  return { spans, lines, services }
}

const works = Query.make("works", (sql) => Effect.asVoid(sql`select 1`))
const fails = Query.make("fails", (sql) => Effect.asVoid(sql`select 1 / 0`))
const late = Query.make("late", (sql) => Effect.asVoid(sql`select pg_sleep(600)`), { timeout: "20 millis" })
const loses = Query.make("loses", (sql) => Effect.asVoid(sql`select pg_terminate_backend(pg_backend_pid())`))
const streams = Query.make("streams", (sql) =>
  Stream.runDrain(sql`select 1 / (3 - n) as x from generate_series(1, 5) n`.stream)
)

interface Case {
  readonly what: string
  readonly query?: typeof works
  readonly ends: string
  /** What is wrong with the URL, or beside it; `random` is a password that the server does not know. */
  readonly url?: (right: URL, random: string) => void
  readonly config?: (random: string) => Omit<PgQueryPool.Config, "url">
}

const cases: ReadonlyArray<Case> = [
  { what: "a query that works", ends: "Succeeded" },
  { what: "a statement that fails", query: fails, ends: "Rejected" },
  { what: "a stream that fails", query: streams, ends: "Rejected" },
  { what: "a timeout", query: late, ends: "TimedOut" },
  { what: "a lost connection", query: loses, ends: "ConnectionLost" },
  { what: "a wrong password in the URL", ends: "ConnectFailed", url: (url, random) => void (url.password = random) },
  {
    what: "a wrong password as a parameter of the URL",
    ends: "ConnectFailed",
    url: (url, random) => {
      url.password = ""
      url.searchParams.set("password", random)
    }
  },
  {
    what: "a wrong password beside the URL",
    ends: "ConnectFailed",
    config: (random) => ({ password: Redacted.make(random) })
  },
  {
    what: "a wrong password that an effect gives",
    ends: "ConnectFailed",
    config: (random) => ({ password: Effect.sync(() => Redacted.make(random)) })
  },
  { what: "a server that cannot be reached", ends: "ConnectFailed", url: (url) => void (url.port = "1") },
  { what: "a host that is not there", ends: "ConnectFailed", url: (url) => void (url.hostname = "nowhere.invalid") },
  { what: "a database that is not there", ends: "ConnectFailed", url: (url) => void (url.pathname = "/nowhere") },
  {
    what: "a certificate that nobody vouches for",
    ends: "ConnectFailed",
    config: () => ({ ssl: { rejectUnauthorized: true } })
  },
  {
    what: "a setting that the server does not know",
    ends: "ConnectFailed",
    config: () => ({ startupParameters: { nonsense: "1" } })
  }
]

layer(Pg.layer("Secrets"), { excludeTestServices: true })("a password", (it) => {
  it.effect.each(cases)(
    "is in no error, event, report, span or line of the log of $what",
    ({ config, ends, query: asked, url: spoil }) =>
      Effect.gen(function* () {
        const { applicationName, url: right } = yield* Pg.Pg
        const random = `secret-${randomBytes(12).toString("base64url")}`
        const url = new URL(Redacted.value(right))
        const passwords = [url.password, random]
        spoil?.(url, random)
        const events: Array<QueryEvent.QueryEvent> = []
        const { lines, services, spans } = collector()
        const report = yield* QueryPool.report([asked ?? works], { onEvent: (event) => void events.push(event) }).pipe(
          Effect.withSpan("a run"),
          Effect.tap((done) => Effect.logError("the run is over", done.queries[0]?.error)),
          Effect.provide(
            Layer.provideMerge(
              PgQueryPool.layer({ url: Redacted.make(url.href), applicationName, ...config?.(random) }),
              services
            )
          )
        )
        const [query] = report.queries
        const error = query?.error
        assert.strictEqual(error instanceof QueryError.QueryError ? error.reason._tag : query?.outcome, ends)
        assert.isNotEmpty(events)
        assert.isNotEmpty(lines)
        assert.isNotEmpty(spans)
        const all = [
          error,
          report,
          events,
          ...spans.map((span) => [span.name, span.attributes, span.events, span.status])
        ]
        for (const text of [...all.map(shown), ...lines]) {
          for (const password of passwords) assert.notInclude(text, password)
        }
      })
  )

  it.effect("is not to be seen in what a pool provides, nor in its sessions", () =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const { password } = new URL(Redacted.value(url))
      const client = yield* PgClient.PgClient
      const look = Effect.gen(function* () {
        const session = yield* (yield* SqlClient.SqlClient).reserve
        return [client, client.config, yield* PgQueryPool.Statistics, yield* QueryPool.QueryPool, session]
      })
      const seen = [...(yield* Effect.scoped(look)), yield* Effect.context<never>()]
      for (const value of seen) assert.notInclude(shown(value), password)
      // It is there.
      const { config } = client
      assert.isTrue(Redacted.isRedacted(config.url) && Redacted.value(config.url).includes(password))
    }).pipe(Effect.provide(Pg.pool({ maxConnections: 1 })))
  )

  it.effect("is not in what is said of a session that is held for too long", () =>
    Effect.gen(function* () {
      const { applicationName, url } = yield* Pg.Pg
      const told = yield* Deferred.make<string>()
      const logger = Logger.make((line) => Deferred.doneUnsafe(told, Effect.succeed(shown([line.message, line.cause]))))
      const line = yield* Effect.gen(function* () {
        const holder = yield* Effect.forkChild(Query.make("holds", () => Effect.never))
        const said = yield* Deferred.await(told)
        yield* Fiber.interrupt(holder)
        return said
      }).pipe(
        Effect.provide(
          Layer.provideMerge(
            PgQueryPool.layer({ url, applicationName, leakThreshold: "20 millis" }),
            Logger.layer([logger])
          )
        )
      )
      assert.include(line, "has held its session")
      assert.notInclude(line, new URL(Redacted.value(url)).password)
    })
  )

  it.effect.each([
    (url: URL) => url.href.replace("postgres:", "mysql:"),
    (url: URL) => url.href.replace("postgres://", ""),
    (url: URL) => url.href.replace(/:\d+\//, ":99999/"),
    (url: URL) => url.href.replace("@", "@["),
    (url: URL) => url.href.replace("//", "/"),
    (url: URL) => `${url.href}?sslmode=${url.password}`,
    (url: URL) => `${url.href}?connect_timeout=${url.password}`,
    (url: URL) => `${url.href}?port=${url.password}`,
    (url: URL) => `${url.href}?sslmode=verify-full&sslrootcert=/nowhere`
  ])("is not in the refusal of a URL that is broken: %#", (broken) =>
    Effect.gen(function* () {
      const { url } = yield* Pg.Pg
      const right = new URL(Redacted.value(url))
      const refused = yield* Effect.flip(
        Effect.scoped(Layer.build(PgQueryPool.layer({ url: Redacted.make(broken(right)) })))
      )
      assert.isNotEmpty(refused.message)
      assert.notInclude(shown(refused), right.password)
    })
  )
})
