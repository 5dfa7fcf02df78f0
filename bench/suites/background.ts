/**
 * Work beside the requests: how long a loop of computations keeps the event loop, and what it costs to compute elsewhere.
 *
 * `yieldEvery`: five seconds of one loop, as it is and with turns of the event loop in it. A timer that should fire every
 * millisecond is watched; what counts is how late it fires, the millisecond included.
 *
 * `offload`: the same computations in worker threads, as many as piscina has, and in this thread.
 *
 * Tasks, and how requests fare beside them, have files of their own.
 */
import { NodeWorker } from "@effect/platform-node"
import { Context, Effect, Layer, Stream } from "effect"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Worker } from "node:worker_threads"
import { Piscina } from "piscina"
import { Background } from "querypool/task"
import { elapsedSeconds } from "../Job.ts"
import { crunched, stamped } from "../peers/computations.ts"
import { crunch, stamp } from "../peers/crunch.ts"
import type { Case, Effort, Subject, Suite } from "../Suite.ts"
import { failAs } from "../Suite.ts"
import { requestCases } from "./backgroundRequests.ts"
import { taskCases } from "./backgroundTasks.ts"

// ---- yieldEvery -------------------------------------------------------------------------------------------------------

/** Of an element; some 20 µs. */
const stepsInLoop = 8_000

const elementsIn = ({ quick }: Effort): number => (quick ? 10_000 : 250_000)

type Loop = (elements: ReadonlyArray<number>) => Effect.Effect<number>

const loops: Readonly<Record<string, Loop>> = {
  "bare loop": (elements) =>
    Effect.sync(() => elements.reduce((sum, element) => (sum + crunch(element, stepsInLoop)) | 0, 0)),
  yieldEvery: (elements) => throughIterable(elements, undefined),
  "yieldEvery 5 ms": (elements) => throughIterable(elements, "5 millis"),
  "yieldEvery 100": (elements) => throughIterable(elements, 100),
  "bare stream": (elements) => sumOf(Stream.fromIterable(elements)),
  "stream with yieldEvery": (elements) => sumOf(Stream.fromIterable(elements).pipe(Background.yieldEvery()))
}

const throughIterable = (elements: ReadonlyArray<number>, every: Background.Every | undefined) =>
  Effect.gen(function* () {
    let sum = 0
    for (const next of Background.yieldEvery(elements, every)) sum = (sum + crunch(yield* next, stepsInLoop)) | 0
    return sum
  })

const sumOf = (elements: Stream.Stream<number>) =>
  elements.pipe(
    Stream.map((element) => crunch(element, stepsInLoop)),
    Stream.runFold(
      () => 0,
      (sum, value) => (sum + value) | 0
    )
  )

const nanosPerMilli = 1e6

/** One loop, once: what it found, and how the event loop fared meanwhile. */
const watched = (loop: Loop, elements: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const delays = monitorEventLoopDelay({ resolution: 1 })
    delays.enable()
    // The watched timer fires before the loop begins, and a last time after it: a block is recorded then.
    yield* Effect.sleep("20 millis")
    const [seconds, sum] = yield* elapsedSeconds(loop(elements))
    yield* Effect.sleep("10 millis")
    delays.disable()
    return {
      sum,
      perSecond: elements.length / seconds,
      p99: delays.percentile(99) / nanosPerMilli,
      longest: delays.max / nanosPerMilli
    }
  })

const loopCases = Effect.fnUntraced(function* (effort: Effort): Effect.fn.Return<ReadonlyArray<Case>> {
  const elements = Array.from({ length: elementsIn(effort) }, (_, index) => index)
  // Each loop is compiled, and with a short round the machine is awake.
  for (const loop of Object.values(loops)) yield* loop(elements.slice(0, 2_000))
  const runs = yield* Effect.forEach(Object.entries(loops), ([name, loop]) =>
    Effect.map(Effect.cached(watched(loop, elements)), (run) => ({ name, run }))
  )
  const caseOf = (name: string, unit: string, of: "p99" | "longest" | "perSecond"): Case => ({
    name: `loop, ${name}`,
    unit,
    once: true,
    value: (measured) => measured,
    subjects: Effect.succeed(
      runs.map(({ name, run }): Subject => ({
        name,
        round: Effect.map(run, (found) => ({ measured: found[of], answer: { sum: found.sum } }))
      }))
    )
  })
  return [
    caseOf("delay", "ms p99", "p99"),
    caseOf("longest delay", "ms", "longest"),
    caseOf("speed", "elements/s", "perSecond")
  ]
})

// ---- offload ----------------------------------------------------------------------------------------------------------

const threads = Math.max(1, navigator.hardwareConcurrency - 1)

/** As many asked for at once as keep all threads at work, and no more than a program would. */
const askedAtOnce = 64

/** So many computations, of a kind. */
interface Load {
  readonly name: string
  readonly count: number
  readonly steps: number
  readonly bytes?: number | undefined
}

const loadsOf = ({ quick }: Effort): ReadonlyArray<Load> => [
  { name: "of 2 µs", count: quick ? 1_000 : 20_000, steps: 1_000 },
  { name: "of 10 ms", count: quick ? 10 : 100, steps: 4_000_000 },
  { name: "with 1 MB", count: quick ? 50 : 1_000, steps: 0, bytes: 1_000_000 }
]

/** One computation, in its way. */
interface Way {
  readonly crunch: (seed: number, steps: number) => Effect.Effect<number, unknown>
  readonly stamp: (bytes: Uint8Array<ArrayBuffer>) => Effect.Effect<Uint8Array<ArrayBuffer>, unknown>
}

const layerWorkers = Layer.provide(
  Background.layerWorkers({ size: threads }),
  NodeWorker.layer(() => new Worker(new URL("../peers/offloadWorker.ts", import.meta.url)))
)

const byQuerypool = Effect.gen(function* () {
  const workers = Context.get(yield* Layer.build(layerWorkers), Background.Workers)
  const offload = Effect.provideService(Background.Workers, workers)
  return {
    crunch: (seed, steps) => offload(Background.offload(crunched, { seed, steps })),
    stamp: (bytes) => offload(Background.offload(stamped, bytes))
  } satisfies Way
})

const byPiscina = Effect.gen(function* () {
  const pool = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new Piscina({
          filename: new URL("../peers/piscinaWorker.ts", import.meta.url).href,
          minThreads: threads,
          maxThreads: threads
        })
    ),
    (pool) => Effect.promise(() => pool.destroy())
  )
  return {
    crunch: (seed, steps) => Effect.tryPromise(() => pool.run({ seed, steps }, { name: "crunched" })),
    stamp: (bytes) => Effect.tryPromise(() => pool.run(bytes, { name: "stamped", transferList: [bytes.buffer] }))
  } satisfies Way
})

const inThisThread = Effect.succeed({
  crunch: (seed, steps) => Effect.sync(() => crunch(seed, steps)),
  stamp: (bytes) => Effect.sync(() => stamp(bytes))
} satisfies Way)

const subjectOf = (name: string, { bytes, count, steps }: Load, way: Way): Subject => {
  const numbers = Array.from({ length: count }, (_, index) => index)
  const one =
    bytes === undefined
      ? (seed: number) => way.crunch(seed, steps)
      : (seed: number) =>
          Effect.map(
            Effect.suspend(() => way.stamp(new Uint8Array(bytes).fill(seed))),
            (stamped) => (stamped[0] ?? 0) + (stamped[1024] ?? 0) + (stamped[1] ?? 0) + stamped.length
          )
  return {
    name,
    round: elapsedSeconds(Effect.forEach(numbers, one, { concurrency: askedAtOnce })).pipe(
      Effect.map(([seconds, values]) => ({
        measured: seconds,
        answer: { count, sum: values.reduce((sum, value) => (sum + value) | 0, 0) }
      })),
      failAs(name)
    )
  }
}

const offloadCases = (effort: Effort): ReadonlyArray<Case> =>
  loadsOf(effort).map((load) => ({
    name: `offload, ${load.name}`,
    unit: "computations/s",
    value: (seconds) => load.count / seconds,
    subjects: Effect.gen(function* () {
      return [
        subjectOf("querypool", load, yield* byQuerypool),
        subjectOf("piscina", load, yield* byPiscina),
        subjectOf("in this thread", load, yield* inThisThread)
      ]
    })
  }))

// -----------------------------------------------------------------------------------------------------------------------

export const background: Suite = {
  name: "background",
  about: () => "background work",
  cases: Effect.fnUntraced(function* (effort) {
    const loop = yield* loopCases(effort)
    return [...loop, ...offloadCases(effort), ...(yield* taskCases(effort)), ...(yield* requestCases(effort))]
  })
}
