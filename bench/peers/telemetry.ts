/**
 * Lookups whose pool tells of them: spans to a collector, as JSON, and metrics.
 *
 * The collector is in a process of its own, as one would be.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Schema, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { OtlpMetrics, OtlpSerialization, OtlpTracer } from "effect/observability"
import { Reactivity } from "effect/reactivity"
import { SqlSchema } from "effect/sql"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { PgTelemetry, Query } from "querypool"
import { PgQueryPool, QueryPool } from "querypool"
import { Account, findAccount, idOf, selectAccount } from "../Accounts.ts"
import type { BenchError } from "../Suite.ts"
import { benchError } from "../Suite.ts"
import type { Tally, Way } from "../Tally.ts"

type Lane = NonNullable<Query.FindOptions["lane"]>

const connections = 10

/** One for each connection; and twice what the lane keeps on a wire. */
const atATime: Readonly<Record<Lane, number>> = { pinned: connections, pipelined: 256 }

const nothing = (): Tally => ({ rows: 0, sum: 0 })

const add = ({ rows, sum }: Tally, { abalance }: Pick<typeof Account.Type, "abalance">): Tally => ({
  rows: rows + 1,
  sum: sum + abalance
})

const ids = (count: number): Stream.Stream<number> => Stream.map(Stream.range(0, count - 1), idOf)

/** The address of a collector, which listens until the scope closes. */
export const collector = Effect.map(
  Effect.acquireRelease(
    Effect.callback<{ readonly end: () => void; readonly port: number }, BenchError>((resume) => {
      const child = fork(fileURLToPath(new URL("collectorMain.ts", import.meta.url)))
      child.once("error", (error) => resume(Effect.fail(benchError("collector", error))))
      child.once("message", (port) => resume(Effect.succeed({ end: () => child.kill(), port: Number(port) })))
    }),
    ({ end }) => Effect.sync(end)
  ),
  ({ port }) => `http://127.0.0.1:${port}`
)

const resource = { serviceName: "bench" }

const exporterOf = (url: string) =>
  Layer.merge(
    OtlpTracer.layer({ url: `${url}/v1/traces`, resource }),
    OtlpMetrics.layer({ url: `${url}/v1/metrics`, resource })
  ).pipe(Layer.provide(OtlpSerialization.layerJson), Layer.provide(FetchHttpClient.layer))

/** With a collector there is a tracer; the rest is for the pool to tell. */
export const telling = (lane: Lane, telemetry: PgTelemetry.Options, collectorUrl?: string): Way =>
  Effect.fnUntraced(function* (server, count) {
    const pool = PgQueryPool.layer({ ...server, maxConnections: connections, telemetry })
    const context = yield* Layer.build(
      collectorUrl === undefined ? pool : Layer.provideMerge(pool, exporterOf(collectorUrl))
    )
    const queries = Stream.map(ids(count), (id) => findAccount(id, { lane }))
    const work = QueryPool.stream(queries, { concurrency: atATime[lane] }).pipe(
      Stream.runFold(nothing, (tally, { outcome }) =>
        outcome._tag === "Succeeded" ? add(tally, outcome.value) : tally
      ),
      Effect.provideContext(context)
    )
    return { work }
  })

/** effect's own client, which nobody asks to tell of anything. */
export const bare = (lane: Lane): Way =>
  Effect.fnUntraced(function* (server, count) {
    const sql = yield* PgClient.make({
      ...server,
      ...(lane === "pinned"
        ? { maxConnections: connections }
        : // Of its own accord it would let 32 share a connection.
          { maxConnections: 1, multiplex: true, multiplexConcurrency: atATime.pipelined })
    }).pipe(Effect.provide(Reactivity.layer))
    const find = SqlSchema.findOne({ Request: Schema.Int, Result: Account, execute: (id) => selectAccount(sql, id) })
    const found = Stream.mapEffect(ids(count), find, { concurrency: atATime[lane], unordered: true })
    return { work: Stream.runFold(found, nothing, add) }
  })
