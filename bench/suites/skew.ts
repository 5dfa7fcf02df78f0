/**
 * Batches of queries of very different length, in the order given and with the longest first: how much longer a run
 * takes than the lower bound that no order can beat.
 *
 * A batch has 24 queries: lengths of a Pareto distribution (shape 1.3, from a seed), but for one that is as long as what
 * each worker has to do. That is where the order matters most: begun last, it is what all others wait for. Each round
 * takes another batch, and has that query in another part of it, so the median of the rounds is that of batches in which
 * it stands in the middle.
 *
 * `sleep` queries keep no processor busy, so the bound is max(longest, total / workers). `work` queries do; theirs is
 * max(longest, total / min(workers, processors)), of the times that they took alone. The server has those of this
 * machine.
 *
 * The subjects: the order given; the first run with the longest first, when nothing is known but the length of the text,
 * which has nothing to do with that of the query, or the cost by EXPLAIN, which knows nothing of sleeping; and later
 * runs, when the history knows the time that each took among the others. What it takes to ask for costs is not measured.
 */
import { Context, Effect, Layer } from "effect"
import type { Scope } from "effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { SqlClient } from "effect/sql/SqlClient"
import { availableParallelism } from "node:os"
import { DurationHistory, PgQueryPool, Plan, Query, QueryPool } from "querypool"
import { estimate } from "../../src/pool/Estimates.ts"
import { expected } from "../../src/pool/PgEstimates.ts"
import { BenchDatabase } from "../Database.ts"
import type { Case, Effort, Subject, Suite } from "../Suite.ts"
import { BenchError, failAs } from "../Suite.ts"

const queriesInBatch = 24
const shape = 1.3
const seed = 20_261_126

/** As long as the longest of a batch may be, so that the rounds of all cases take a minute and a half. */
const boundMillis = ({ quick }: Effort): number => (quick ? 10 : 200)

/** One for each round: the harness takes every second turn as a warm-up, so their number has to be odd. */
const batchesOf = ({ quick }: Effort): number => (quick ? 1 : 5)

const kinds = ["sleep", "work"] as const
const workerCounts = [2, 4, 8]

interface Piece {
  readonly name: string
  readonly text: string
  /** What its one row has to have as its value. */
  readonly value: string
}

interface Batch {
  readonly pieces: ReadonlyArray<Piece>
  readonly lowerBoundMillis: number
}

/** Numbers from 0 to 1, the same for the same seed (Mulberry32). */
export const randomFrom = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Lengths that add up to `total`. The longest is a worker's share of it, and stands in this part of the list, from 0 to 1. */
export const lengths = (random: () => number, total: number, workers: number, place: number): ReadonlyArray<number> => {
  const longest = total / workers
  const drawn = Array.from({ length: queriesInBatch - 1 }, () => (1 - random()) ** (-1 / shape))
  const scale = (total - longest) / drawn.reduce((sum, length) => sum + length, 0)
  // What is above the longest goes to the others.
  const cut = drawn.map((length) => Math.min(length * scale, longest))
  const missing = (total - longest - cut.reduce((sum, length) => sum + length, 0)) / (queriesInBatch - 1)
  const others = cut.map((length) => Math.min(length + missing, longest))
  return others.toSpliced(Math.floor(place * queriesInBatch), 0, longest)
}

/** A comment as long as nobody can tell from the query. */
const comment = (random: () => number): string => `/* ${"x".repeat(Math.floor(random() * 200))} */`

/** Rows that a join without a condition counts, a thousand at a time. */
const counting = (thousands: number): string =>
  `count(*) as value from generate_series(1, 1000) a, generate_series(1, ${thousands}) b`

const pieceOf = (kind: (typeof kinds)[number], name: string, millis: number, perMilli: number, note: string): Piece => {
  if (kind === "sleep") {
    return { name, text: `select ${note} pg_sleep(${(millis / 1000).toFixed(4)})::text as value`, value: "" }
  }
  const thousands = Math.max(1, Math.round(millis * perMilli))
  return { name, text: `select ${note} ${counting(thousands)}`, value: String(thousands * 1000) }
}

/** How many thousands of rows are counted in a millisecond, by one connection alone. */
const measureSpeed = Effect.fnUntraced(function* ({ quick }: Effort) {
  const sql = yield* SqlClient
  const thousands = quick ? 100 : 1_000
  const seconds = yield* Effect.forEach([1, 2, 3], () => timed(sql.unsafe(`select ${counting(thousands)}`)))
  return thousands / Math.min(...seconds)
})

const timed = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    return Effect.map(work, () => performance.now() - startedAt)
  })

const makeBatch = Effect.fnUntraced(function* (
  kind: (typeof kinds)[number],
  workers: number,
  index: number,
  effort: Effort,
  perMilli: number
) {
  const sql = yield* SqlClient
  const random = randomFrom(seed + index)
  const atOnce = kind === "sleep" ? workers : Math.min(workers, availableParallelism())
  const nominal = lengths(random, boundMillis(effort) * atOnce, workers, (index + 0.5) / batchesOf(effort))
  const pieces = nominal.map((millis, place) =>
    pieceOf(kind, `${kind} ${workers} ${index} ${place}`, millis, perMilli, comment(random))
  )
  const durations =
    kind === "sleep"
      ? nominal
      : yield* Effect.forEach(pieces, ({ text }) =>
          Effect.map(Effect.all([timed(sql.unsafe(text)), timed(sql.unsafe(text))]), ([a, b]) => Math.min(a, b))
        )
  const { duration } = Plan.lowerBound({
    durations,
    workers,
    processors: kind === "sleep" ? undefined : availableParallelism()
  })
  return { pieces, lowerBoundMillis: duration } satisfies Batch
})

type Run = (
  batch: Batch,
  queries: ReadonlyArray<Query.Query<ReadonlyArray<Row>, unknown>>
) => Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, unknown, QueryPool.QueryPool>

interface Row {
  readonly value: unknown
}

const queriesOf = ({ pieces }: Batch) =>
  pieces.map(({ name, text }) => Query.make(name, (sql) => sql.unsafe<Row>(text)))

const check = (name: string, { pieces }: Batch, results: ReadonlyArray<ReadonlyArray<Row>>) => {
  const wrong = pieces.find(({ value }, index) => String(results[index]?.[0]?.value) !== value)
  return wrong === undefined
    ? Effect.void
    : Effect.fail(new BenchError({ message: `${name}: "${wrong.name}" did not give ${wrong.value}` }))
}

const subject = Effect.fnUntraced(function* (
  name: string,
  workers: number,
  batches: ReadonlyArray<Batch>,
  open: Effect.Effect<Run, unknown, Scope.Scope | QueryPool.QueryPool>
) {
  const { database, host, password, port, username } = yield* BenchDatabase
  const pool = yield* Layer.build(
    PgQueryPool.layer({
      host,
      port,
      username,
      password,
      database,
      maxConnections: workers,
      // PostgreSQL would use more than one processor for a query, and compile the longest.
      startupParameters: { max_parallel_workers_per_gather: "0", jit: "off" }
    })
  ).pipe(failAs(name))
  const run = yield* open.pipe(Effect.provideContext(pool), failAs(name))
  let turns = 0
  const round = Effect.gen(function* () {
    const batch = batches[turns++ % batches.length] ?? (yield* Effect.die("there is no batch"))
    const startedAt = performance.now()
    const results = yield* run(batch, queriesOf(batch))
    const millis = performance.now() - startedAt
    yield* check(name, batch, results)
    return { measured: millis / batch.lowerBoundMillis, answer: { queries: results.length } }
  })
  return { name, round: round.pipe(Effect.provideContext(pool), failAs(name)) } satisfies Subject
})

const inOrder =
  (workers: number, order: "given" | "longest-first"): Run =>
  (_, queries) =>
    QueryPool.all(queries, { concurrency: workers, order })

/** With the longest first by what `millis` says of each piece, found out before. */
const byEstimates = <E, R>(
  workers: number,
  batches: ReadonlyArray<Batch>,
  millis: (batch: Batch) => Effect.Effect<ReadonlyArray<number | undefined>, E, R>
): Effect.Effect<Run, E, R> =>
  Effect.map(
    Effect.forEach(batches, (batch) =>
      Effect.map(millis(batch), (found) => batch.pieces.map(({ name }, index) => [name, found[index]] as const))
    ),
    (found) => {
      const known = new Map(found.flat())
      const history = DurationHistory.DurationHistory.of({
        recall: Effect.succeed((name) => known.get(name)),
        learn: () => Effect.void
      })
      return (batch, queries) =>
        Effect.provideService(
          inOrder(workers, "longest-first")(batch, queries),
          DurationHistory.DurationHistory,
          history
        )
    }
  )

const newHistory = Layer.provide(DurationHistory.layer, KeyValueStore.layerMemory)

/** With a history that one run of each batch in the order given has taught. */
const learned = (workers: number, batches: ReadonlyArray<Batch>) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(newHistory)
    const history = Effect.provideService(
      DurationHistory.DurationHistory,
      Context.get(context, DurationHistory.DurationHistory)
    )
    for (const batch of batches) yield* history(inOrder(workers, "given")(batch, queriesOf(batch)))
    const run: Run = (batch, queries) => history(inOrder(workers, "longest-first")(batch, queries))
    return run
  })

const subjects = (workers: number, batches: ReadonlyArray<Batch>): Case["subjects"] =>
  Effect.all([
    subject("order given", workers, batches, Effect.succeed(inOrder(workers, "given"))),
    subject(
      "first run, by text",
      workers,
      batches,
      byEstimates(workers, batches, ({ pieces }) =>
        Effect.succeed(estimate(pieces.map(({ text }) => ({ length: text.length }))).map((found) => found?.millis))
      )
    ),
    subject(
      "first run, by EXPLAIN",
      workers,
      batches,
      byEstimates(workers, batches, ({ pieces }) =>
        expected(pieces.map(({ name, text }) => ({ key: name, statements: [text] }))).pipe(
          Effect.map((found) => found.map((estimate) => estimate?.millis)),
          Effect.provide(newHistory)
        )
      )
    ),
    subject("learned", workers, batches, learned(workers, batches))
  ])

export const skew: Suite = {
  name: "skew",
  about: (effort) =>
    `${queriesInBatch} queries of very different length, makespan over lower bound (of ${boundMillis(effort)} ms)`,
  cases: (effort) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* sql`set jit = off`
      yield* sql`set max_parallel_workers_per_gather = 0`
      const perMilli = yield* measureSpeed(effort)
      return yield* Effect.forEach(
        kinds.flatMap((kind) => workerCounts.map((workers) => ({ kind, workers }))),
        ({ kind, workers }) =>
          Effect.map(
            Effect.forEach(Array.from({ length: batchesOf(effort) }), (_, index) =>
              makeBatch(kind, workers, index, effort, perMilli)
            ),
            (batches): Case => ({
              name: `${kind}, ${workers} workers`,
              unit: "× bound",
              value: (ratio) => ratio,
              subjects: subjects(workers, batches)
            })
          )
      )
    })
}
