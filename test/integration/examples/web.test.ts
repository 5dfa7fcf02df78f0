/** The example of a web server: its own process, a real client of HTTP, and a real mail server. */
import { assert, layer } from "@effect/vitest"
import type { Scope } from "effect"
import { Effect, Random, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Api } from "../../../examples/19-web/api.ts"
import * as MailServer from "../../support/MailServer.ts"
import * as Pg from "../../support/Pg.ts"
import { waitUntil } from "../../support/waitUntil.ts"

const main = fileURLToPath(new URL("../../../examples/19-web/main.ts", import.meta.url))

interface Web {
  readonly process: ChildProcess
  readonly baseUrl: string
  /** What it has printed. */
  readonly log: () => string
  /** Ends it as `kill` does, and waits until it has ended. */
  readonly stop: Effect.Effect<void>
}

/** Starts the server, until the scope closes. */
const start = Effect.fnUntraced(function* (
  mail: MailServer.MailServer,
  env: Readonly<Record<string, string>> = {}
): Effect.fn.Return<Web, unknown, Pg.Pg | Scope.Scope> {
  const { url } = yield* Pg.Pg
  let printed = ""
  const child = spawn(process.execPath, ["--conditions=@querypool/source", main], {
    env: { ...process.env, DATABASE_URL: Redacted.value(url), SMTP_URL: mail.url, PORT: "0", NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (printed += String(part)))
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const stop = Effect.promise(() => {
    child.kill("SIGTERM")
    return ended
  })
  yield* Effect.addFinalizer(() => stop)
  const listening = /Listening on (http:\S+)/
  yield* waitUntil(
    "the server listens",
    Effect.sync(() => listening.test(printed))
  )
  return { process: child, baseUrl: listening.exec(printed)?.[1] ?? "", log: () => printed, stop }
})

const clientOf = ({ baseUrl }: Web) => Effect.provide(HttpApiClient.make(Api, { baseUrl }), FetchHttpClient.layer)

const contact = (name: string) => ({ name, email: `${name}@example.org`, text: `It is me, ${name}.` })

layer(Pg.layer("Web example"), { excludeTestServices: true })("the example of a web server", (it) => {
  it.effect("answers at once, and sends each message once, also where the mail server has no time at first", () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      const mail = yield* MailServer.make(({ id }) => {
        if (seen.has(id)) return undefined
        seen.add(id)
        return seen.size % 2 === 0 ? { responseCode: 451, message: "later" } : undefined
      })
      const client = yield* clientOf(yield* start(mail))
      const { observer } = yield* Pg.Pg
      const ids = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => contact(`n${n}`)),
        (payload) => Effect.map(client.contacts.send({ payload }), ({ id }) => id),
        { concurrency: 4 }
      )
      yield* waitUntil(
        "all are kept as sent",
        Effect.map(observer.value("select count(*)::int from web_message where sent_at is not null"), (n) => n === 20)
      )
      assert.sameMembers([...mail.taken], ids)
      const tasks = yield* client.admin.tasks()
      assert.sameMembers(
        tasks.filter(({ state }) => state === "succeeded").map(({ id }) => id),
        ids
      )
    }).pipe(Effect.scoped)
  )

  it.effect(
    "refuses what is no message, and keeps a message that the mail server refuses, until it is sent again",
    () =>
      Effect.gen(function* () {
        let isOpen = false
        const mail = yield* MailServer.make(({ subject }) =>
          isOpen || !subject.includes("spam") ? undefined : { responseCode: 550, message: "no, thank you" }
        )
        const web = yield* start(mail)
        const client = yield* clientOf(web)
        const { status } = yield* Effect.promise(() =>
          fetch(`${web.baseUrl}/contact`, {
            method: "POST",
            body: new URLSearchParams({ ...contact("x"), email: "x" })
          })
        )
        assert.strictEqual(status, 400)
        const { id } = yield* client.contacts.send({ payload: contact("spam") })
        const taskOf = Effect.map(client.admin.tasks(), (tasks) => tasks.find((task) => task.id === id))
        yield* waitUntil(
          "it has failed",
          Effect.map(taskOf, (task) => task?.state === "failed")
        )
        assert.deepStrictEqual(mail.taken, [])
        isOpen = true
        yield* client.admin.requeue({ params: { id } })
        yield* waitUntil(
          "it is sent",
          Effect.sync(() => mail.taken.length === 1)
        )
        const unknown = yield* Effect.flip(client.admin.requeue({ params: { id: "unknown" } }))
        assert.strictEqual(unknown._tag, "NotFound")
      }).pipe(Effect.scoped)
  )

  it.effect("cleans up in steps that can be watched, and by itself at its time", () =>
    Effect.gen(function* () {
      const { observer } = yield* Pg.Pg
      const fill = observer.rows(`insert into web_message (id, name, email, text, received_at)
        select 'old ' || n, 'n', 'e', 't', now() - interval '31 days' from generate_series(1, 2500) n`)
      const old = observer.value("select count(*)::int from web_message where received_at < now() - interval '30 days'")
      const mail = yield* MailServer.make()
      yield* Effect.gen(function* () {
        const client = yield* clientOf(yield* start(mail))
        yield* fill
        const { id } = yield* client.admin.cleanUp()
        const progress = yield* client.admin.progress({ params: { id } })
        const steps = yield* Stream.runCollect(progress)
        assert.deepStrictEqual(steps.at(-1), { deleted: 2500, of: 2500 })
        assert.strictEqual(yield* old, 0)
      }).pipe(Effect.scoped)
      yield* fill
      yield* start(mail, { CLEAN_UP: "* * * * * *" })
      yield* waitUntil(
        "the old messages are gone",
        Effect.map(old, (n) => n === 0)
      )
    }).pipe(Effect.scoped)
  )

  it.effect.each([1, 2])("sends or names each message that it accepted, stopped at any moment (seed %d)", (seed) =>
    Effect.gen(function* () {
      const mail = yield* MailServer.make()
      const web = yield* start(mail)
      const accepted = new Set<string>()
      const client = yield* clientOf(web)
      const until = yield* Random.nextIntBetween(1, 60)
      const send = Effect.forever(
        Effect.flatMap(client.contacts.send({ payload: contact("n") }), ({ id }) =>
          Effect.sync(() => {
            accepted.add(id)
            if (accepted.size === until) web.process.kill("SIGTERM")
          })
        )
      )
      // Each goes on until the server is not there any more.
      yield* Effect.all(
        Array.from({ length: 8 }, () => Effect.ignore(send)),
        { concurrency: "unbounded" }
      )
      yield* web.stop
      const sent = new Set(mail.taken)
      const left = [...accepted].filter((id) => !sent.has(id))
      for (const id of left) assert.include(web.log(), `Task "send-message" (${id})`)
      assert.isAtLeast(accepted.size, until)
      assert.strictEqual(mail.taken.length, sent.size)
    }).pipe(Effect.scoped, Random.withSeed(seed))
  )
})
