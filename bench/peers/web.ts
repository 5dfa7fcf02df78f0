/**
 * Servers in processes of their own, and a steady load on them.
 *
 * The load is open: each request has its moment, whether those before it have been answered or not, and how long it takes
 * counts from that moment. So a server that stands still is seen by all who would have come meanwhile. (G. Tene, "How NOT
 * to measure latency", 2013, calls what closed loads leave out "coordinated omission".)
 */
import { Effect } from "effect"
import { fork, spawn } from "node:child_process"
import { once } from "node:events"
import { Agent, request } from "node:http"
import { fileURLToPath } from "node:url"
import { BenchError } from "../Suite.ts"

const ownFlags = ["--conditions=@querypool/source"]

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

/** A mail server, until the scope closes. */
export const mailServer = Effect.gen(function* () {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(here("mailMain.ts"), { execArgv: ownFlags })),
    (opened) => Effect.sync(() => opened.kill())
  )
  const said = (key: string) =>
    Effect.tryPromise({
      try: async (signal) => {
        const [message] = await once(child, "message", { signal })
        return message?.[key]
      },
      catch: () => new BenchError({ message: "the mail server said nothing" })
    })
  const port: unknown = yield* said("port")
  /** The ids of the mails that it has taken since it was asked last. */
  const taken = Effect.map(
    Effect.suspend(() => {
      child.send({})
      return said("taken")
    }),
    (ids): ReadonlyArray<string> => (Array.isArray(ids) ? ids.map(String) : [])
  )
  return { url: `smtp://127.0.0.1:${String(port)}`, taken }
})

/** A server, until the scope closes; gives where it listens. */
export const webServer = (file: string, env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [...ownFlags, here(file)], {
          env: { ...process.env, ...env, PORT: "0", NO_COLOR: "1" },
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (opened) =>
        Effect.promise(async () => {
          if (opened.exitCode !== null) return
          opened.kill()
          await once(opened, "close")
        })
    )
    return yield* Effect.callback<string, BenchError>((resume) => {
      let printed = ""
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        printed = (printed + part).slice(-10_000)
        const [, url] = /Listening on (http:\S+)/.exec(printed) ?? []
        if (url !== undefined) resume(Effect.succeed(url))
      })
      child.once("close", () => resume(Effect.fail(new BenchError({ message: `${file} ended: ${printed}` }))))
    })
  })

const body = JSON.stringify({ name: "Ann", email: "ann@example.org", text: "It is me, Ann. ".repeat(20) })

const post = (url: string, agent: Agent): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": body.length }
    const sent = request(`${url}/contact`, { method: "POST", agent, headers }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (part: string) => (text += part))
      response.on("end", () =>
        response.statusCode === 202
          ? resolve(/"id":"([^"]+)"/.exec(text)?.[1] ?? "")
          : reject(new Error(`POST /contact: ${response.statusCode} ${text}`))
      )
    })
    sent.on("error", reject)
    sent.end(body)
  })

/** What a load found: how long each request took, in milliseconds, and the ids that were given. */
interface Loaded {
  readonly millis: ReadonlyArray<number>
  readonly ids: ReadonlyArray<string>
}

/** So many requests in each second, for so many seconds. */
export const load = (url: string, perSecond: number, seconds: number): Effect.Effect<Loaded, unknown> =>
  Effect.tryPromise(async () => {
    const agent = new Agent({ keepAlive: true })
    const count = Math.round(perSecond * seconds)
    const begins = performance.now() + 20
    const requests: Array<Promise<readonly [millis: number, id: string]>> = []
    await new Promise<void>((resolve) => {
      const next = () => {
        for (; requests.length < count;) {
          const due = begins + (requests.length * 1000) / perSecond
          const wait = due - performance.now()
          if (wait > 0) return void setTimeout(next, wait)
          requests.push(post(url, agent).then((id) => [performance.now() - due, id] as const))
        }
        resolve()
      }
      next()
    })
    const found = await Promise.all(requests)
    agent.destroy()
    return { millis: found.map(([millis]) => millis), ids: found.map(([, id]) => id) }
  })

export const cleanUp = (url: string): Effect.Effect<void, unknown> =>
  Effect.tryPromise(async () => {
    const { status } = await fetch(`${url}/admin/clean-up`, { method: "POST" })
    if (status !== 202) throw new Error(`POST /admin/clean-up: ${status}`)
  })
