import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, Queue, Redacted, Schema, Stream } from "effect"
import { PgQueryPool, Query } from "querypool"
import { EmbeddedPostgres } from "querypool/embedded"
import { once } from "node:events"
import { createServer } from "node:net"
import type { AddressInfo, Socket } from "node:net"
import { certificate } from "../../support/globalSetup.ts"
import * as Pg from "../../support/Pg.ts"

const isEncrypted = Query.make("is it encrypted", (sql) =>
  Effect.map(
    sql<{ readonly ssl: string | boolean }>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`,
    ([row]) => row?.ssl === true || row?.ssl === "t"
  )
)

/** A pool whose URL asks for an sslmode. */
const poolWith = (query: string, config?: { readonly results?: "text"; readonly host?: string }) =>
  Pg.pool({ maxConnections: 1, ...config }, (url) => {
    url.hostname = config?.host ?? "localhost"
    url.search = query
  })

const ofPlainServer = (query: string) =>
  Effect.gen(function* () {
    const { url } = yield* EmbeddedPostgres
    const withMode = new URL(Redacted.value(url))
    withMode.search = query
    return yield* Effect.provide(Effect.result(isEncrypted), PgQueryPool.layer({ url: Redacted.make(withMode.href) }))
  })

layer(Pg.layer("PgWire"), { excludeTestServices: true })("a connection", (it) => {
  it.effect.each([
    { query: "", encrypted: false },
    { query: "sslmode=disable", encrypted: false },
    { query: "sslmode=allow", encrypted: true },
    { query: "sslmode=prefer", encrypted: true },
    { query: "sslmode=require", encrypted: true },
    { query: `sslmode=require&sslrootcert=${certificate}`, encrypted: true },
    { query: `sslmode=verify-ca&sslrootcert=${certificate}`, encrypted: true },
    { query: `sslmode=verify-full&sslrootcert=${certificate}`, encrypted: true },
    { query: `sslmode=verify-ca&sslrootcert=${certificate}`, host: "127.0.0.1", encrypted: true }
  ])("with $query to $host is encrypted: $encrypted", ({ encrypted, host, query }) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* isEncrypted, encrypted)
    }).pipe(Effect.provide(poolWith(query, host === undefined ? {} : { host })))
  )

  it.effect.each([
    { what: "a certificate that nobody vouches for", query: "sslmode=verify-full", says: /self.signed certificate/ },
    {
      what: "a certificate of another host",
      query: `sslmode=verify-full&sslrootcert=${certificate}`,
      host: "127.0.0.1",
      says: /does not match certificate's altnames/
    }
  ])("is refused by $what", ({ host, query, says }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(isEncrypted)
      assert.strictEqual(error.reason._tag, "ConnectFailed")
      assert.match(error.message, says)
    }).pipe(Effect.provide(poolWith(query, host === undefined ? {} : { host })))
  )

  describe("to a server without TLS", () => {
    it.effect("is plain where TLS is preferred, and refused where it is required", () =>
      Effect.gen(function* () {
        for (const query of ["sslmode=prefer", "sslmode=allow", "sslmode=disable"]) {
          assert.deepInclude(yield* ofPlainServer(query), { _tag: "Success", success: false })
        }
        const refused = yield* ofPlainServer("sslmode=require")
        assert.strictEqual(refused._tag, "Failure")
        assert.include(String(refused._tag === "Failure" && refused.failure), "The server does not support TLS")
      }).pipe(Effect.provide(EmbeddedPostgres.layer()))
    )

    it.effect.each([
      { what: "hangs up at the request for TLS", answer: (socket: Socket) => socket.destroy() },
      { what: "closes at the request for TLS", answer: (socket: Socket) => socket.end() },
      { what: "answers nonsense", answer: (socket: Socket) => socket.write("HTTP/1.1 400 Bad Request") },
      { what: "puts words in front of the encrypted part", answer: (socket: Socket) => socket.write("SE") },
      { what: "hangs up during the handshake", answer: (socket: Socket) => socket.end("S") }
    ])("that $what fails at once", ({ answer }) =>
      Effect.gen(function* () {
        const server = createServer((socket) => {
          socket.on("error", () => {})
          socket.once("data", () => answer(socket))
        }).listen(0, "127.0.0.1")
        yield* Effect.promise(() => once(server, "listening"))
        const { port } = server.address() as AddressInfo
        const url = Redacted.make(`postgres://me@127.0.0.1:${port}/d?sslmode=prefer&connect_timeout=3600`)
        const error = yield* Effect.flip(isEncrypted).pipe(Effect.provide(PgQueryPool.layer({ url })))
        assert.strictEqual(error.reason._tag, "ConnectFailed")
        yield* Effect.promise(() => new Promise((resolve) => server.close(resolve)))
      })
    )
  })

  it.effect("that gets no answer to its request for TLS is closed when its time is over, or nobody waits for it", () =>
    Effect.gen(function* () {
      const ended = yield* Queue.unbounded<void>()
      const silent = createServer((socket) => {
        socket.resume().on("close", () => Queue.offerUnsafe(ended, undefined))
      }).listen(0, "127.0.0.1")
      yield* Effect.promise(() => once(silent, "listening"))
      const { port } = silent.address() as AddressInfo
      const url = Redacted.make(`postgres://me@127.0.0.1:${port}/d?sslmode=require`)
      const error = yield* Effect.flip(isEncrypted).pipe(
        Effect.provide(PgQueryPool.layer({ url, connectTimeout: "50 millis" }))
      )
      assert.strictEqual(error.reason._tag, "ConnectFailed")
      yield* Queue.take(ended)
      yield* Effect.timeoutOption(isEncrypted, "50 millis").pipe(Effect.provide(PgQueryPool.layer({ url })))
      yield* Queue.take(ended)
      yield* Effect.promise(() => new Promise((resolve) => silent.close(resolve)))
    })
  )

  const wires = [
    { name: "over TLS", pool: poolWith("sslmode=require") },
    { name: "over TLS, with results as text", pool: poolWith("sslmode=require", { results: "text" }) },
    { name: "in the clear, with results as text", pool: poolWith("", { results: "text" }) }
  ] as const

  for (const { name, pool } of wires) {
    describe(`${name}`, () => {
      it.effect("carries large results and parameters, whole and streamed", () =>
        Effect.gen(function* () {
          const long = "é".repeat(2_000_000)
          const [row] = yield* Query.make(
            "large",
            (sql) => sql<{ readonly long: string }>`select ${long}::text as long`
          )
          assert.isTrue(row?.long === long)
          const rows = Query.stream({
            name: "many",
            schema: Schema.Struct({ n: Schema.Union([Schema.Finite, Schema.FiniteFromString]) }),
            statement: (sql) => sql`select n from generate_series(1, 200000) n`
          })
          assert.strictEqual(
            yield* Stream.runFold(
              rows,
              () => 0,
              (sum, { n }) => sum + n
            ),
            (200_000 * 200_001) / 2
          )
        }).pipe(Effect.provide(pool))
      )

      it.effect("stops a query on the server that is interrupted, and serves on", () =>
        Effect.gen(function* () {
          const { observer } = yield* Pg.Pg
          const fiber = yield* Effect.forkChild(Query.make("sleeps", (sql) => sql`select pg_sleep(600)`))
          yield* observer.seen("it sleeps", (backend) => backend.query.includes("pg_sleep(600)"))
          yield* Fiber.interrupt(fiber)
          assert.isFalse((yield* observer.backends).some((backend) => backend.state === "active"))
          assert.isBoolean(yield* isEncrypted)
        }).pipe(Effect.provide(pool))
      )

      it.effect("is found lost when its backend ends", () =>
        Effect.gen(function* () {
          const { observer } = yield* Pg.Pg
          const fiber = yield* Effect.forkChild(Effect.flip(Query.make("sleeps", (sql) => sql`select pg_sleep(600)`)))
          const { pid } = yield* observer.seen("it sleeps", (backend) => backend.query.includes("pg_sleep(600)"))
          yield* observer.terminate(pid)
          assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "ConnectionLost")
          assert.isBoolean(yield* isEncrypted)
        }).pipe(Effect.provide(pool))
      )
    })
  }
})
