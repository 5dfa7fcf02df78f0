/**
 * Tasks that do nothing, in batches: each batch is offered, run by a hundred at once, and every task of it waited for.
 *
 * What a tally has as rows is how many ends were seen, and as sum how often the work was done.
 */
import { Context, Effect, Exit, Layer, Schema } from "effect"
import { promise as fastq } from "fastq"
import PQueue from "p-queue"
import { Task, TaskRunner, TaskStore, TaskStoreMemory } from "querypool/task"
import type { Tally, Way } from "../Tally.ts"

const concurrency = 100

/** So many are offered together, by all who can do that. */
const batchSize = 1000

const batchesOf = (count: number): ReadonlyArray<ReadonlyArray<undefined>> =>
  Array.from({ length: Math.ceil(count / batchSize) }, (_, batch) =>
    Array.from({ length: Math.min(batchSize, count - batch * batchSize) }, () => undefined)
  )

/** `run` offers a batch and gives how many ends it has seen. */
const inBatches = (
  count: number,
  done: () => number,
  run: (batch: ReadonlyArray<undefined>) => Effect.Effect<number, unknown>
) =>
  Effect.suspend(() => {
    const before = done()
    const ends = Effect.reduce(
      batchesOf(count),
      () => 0,
      (seen, batch) => Effect.map(run(batch), (more) => seen + more)
    )
    return Effect.map(ends, (rows): Tally => ({ rows, sum: done() - before }))
  })

const noop = Task.make("noop", { payload: Schema.Void, session: "none" })

const querypool: Way = Effect.fnUntraced(function* (_, count) {
  let done = 0
  const Tasks = Task.toLayer(noop, () =>
    Effect.sync(() => {
      done++
    })
  ).pipe(Layer.provide(TaskRunner.layer({ concurrency })), Layer.provideMerge(TaskStoreMemory.layerMemory()))
  const store = Context.get(yield* Layer.build(Tasks), TaskStore.TaskStore)
  const run = Effect.fnUntraced(
    function* (batch: ReadonlyArray<undefined>) {
      const handles = yield* Task.enqueueAll(noop, batch)
      const exits = yield* Effect.forEach(handles, (handle) => handle.await, { concurrency: "unbounded" })
      return exits.filter(Exit.isSuccess).length
    },
    Effect.provideService(TaskStore.TaskStore, store)
  )
  return { work: inBatches(count, () => done, run) }
})

/** What is left when nothing is kept: the fibers. */
const bare: Way = (_, count) =>
  Effect.sync(() => {
    let done = 0
    const one = Effect.sync(() => {
      done++
    })
    const run = (batch: ReadonlyArray<undefined>) =>
      Effect.map(
        Effect.forEach(batch, () => one, { concurrency }),
        (ends) => ends.length
      )
    return { work: inBatches(count, () => done, run) }
  })

const pQueue: Way = (_, count) =>
  Effect.sync(() => {
    let done = 0
    const queue = new PQueue({ concurrency })
    const one = async () => {
      done++
    }
    const run = (batch: ReadonlyArray<undefined>) =>
      Effect.promise(() => queue.addAll(batch.map(() => one))).pipe(Effect.map((ends) => ends.length))
    return { work: inBatches(count, () => done, run) }
  })

const fastqPromise: Way = (_, count) =>
  Effect.sync(() => {
    let done = 0
    const queue = fastq<undefined>(async () => {
      done++
    }, concurrency)
    const run = (batch: ReadonlyArray<undefined>) =>
      Effect.promise(() => Promise.all(batch.map((payload) => queue.push(payload)))).pipe(
        Effect.map((ends) => ends.length)
      )
    return { work: inBatches(count, () => done, run) }
  })

export const taskWays = {
  querypool,
  "Effect.forEach": bare,
  "p-queue": pQueue,
  fastq: fastqPromise
} satisfies Readonly<Record<string, Way>>
