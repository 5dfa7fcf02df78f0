// The connection breaks after COMMIT was sent, so its answer is lost. Whoever retries on the error writes twice.
// querypool asks the server what became of the transaction: it was committed, so the query has succeeded.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Redacted } from "effect"
import { createServer, connect, type AddressInfo } from "node:net"
import { once } from "node:events"
import pMap from "p-map"
import { Pool } from "pg"
import { PgQueryPool, Query, QueryPool, RetryPolicy } from "querypool"

const server = new URL(process.env["DATABASE_URL"] ?? "")
const orders = ["order 1", "order 2", "order 3"]

/** Passes everything on, but for the answer to the first COMMIT of order 2: there it hangs up. */
const startProxy = async (): Promise<string> => {
  let lost = false
  const proxy = createServer((client) => {
    const upstream = connect(Number(server.port), server.hostname)
    let isOrder2 = false
    let hangsUp = false
    client.on("data", (bytes) => {
      isOrder2 ||= bytes.includes("order 2")
      if (isOrder2 && !lost && bytes.includes("COMMIT")) lost = hangsUp = true
      upstream.write(bytes)
    })
    upstream.on("data", (bytes) => {
      if (hangsUp) client.destroy()
      else client.write(bytes)
    })
    client.on("close", () => upstream.end()).on("error", () => {})
    upstream.on("close", () => client.end()).on("error", () => {})
  })
  await once(proxy.unref().listen(0, "127.0.0.1"), "listening")
  const { port } = proxy.address() as AddressInfo
  return Object.assign(new URL(server), { port }).href
}

const withPMap = async (url: string): Promise<void> => {
  const pool = new Pool({ connectionString: url })
  const pay = async (order: string, retries = 3): Promise<void> => {
    const client = await pool.connect()
    // Without a listener, a connection that breaks ends the process.
    client.on("error", () => {})
    try {
      await client.query("begin")
      await client.query("insert into payment values ($1, $2)", ["p-map + pg", order])
      await client.query("COMMIT")
      client.release()
    } catch (error) {
      client.release(true)
      if (retries === 0) throw error
      await pay(order, retries - 1)
    }
  }
  await pMap(orders, (order) => pay(order), { concurrency: 3 })
  await pool.end()
}

const pay = (order: string) =>
  Query.make(order, (sql) => sql`insert into payment values ('querypool', ${order})`, {
    mode: "transaction",
    retry: RetryPolicy.transient
  })
const withQuerypool = (url: string) =>
  QueryPool.all(orders.map(pay), { concurrency: 3 }).pipe(
    Effect.provide(PgQueryPool.layer({ url: Redacted.make(url) }))
  )

const program = Effect.gen(function* () {
  yield* Query.make("prepare", (sql) => sql`create table payment (paid_with text, "order" text)`)
  yield* Effect.promise(async () => withPMap(await startProxy()))
  yield* withQuerypool(yield* Effect.promise(startProxy))

  const payments = yield* Query.make(
    "payments",
    (sql) => sql<{ paid_with: string; order: string; times: number }>`
      select paid_with, "order", count(*)::int as times from payment group by 1, 2 order by 1, 2`
  )
  for (const { order, paid_with, times } of payments) {
    yield* Console.log(`${paid_with} paid ${order} ${times === 1 ? "once" : times === 2 ? "twice" : `${times} times`}`)
  }
})

program.pipe(Effect.provide(PgQueryPool.layer({ url: Redacted.make(server.href) })), NodeRuntime.runMain)
