/**
 * Warns who blocks the event loop, and for how long.
 *
 *     The event loop was blocked for 812 ms by task "resize" (0196…-000007-…), in scale (src/images.ts:41:9)
 *
 * - **Every block is told of** that is longer than the limit, when it is over: from then on there is somebody to tell.
 *   A loop that never ends is not.
 * - **Who** is the fiber that ran, by its task, its span or its number, and **where** is its function, as they were seen
 *   from another thread in the middle of the block: what ran is not changed, asked or wrapped for that.
 * - A block may be nobody's: a process that was stopped, a machine with too much to do, a collection of garbage.
 *
 * On, it costs 0.7 % of a processor and 19 MB, and a block 1 ms for each look at it. This file and the thread's are the
 * only ones of `task/` that need Node.
 *
 * @internal
 */
import { Duration, Effect, Layer } from "effect"
import { isMainThread, Worker } from "node:worker_threads"
import { lineOf, look, Sights } from "./BackgroundBlock.ts"

/**
 * What can be said of the monitor.
 *
 * @since 0.1.0
 */
export interface MonitorOptions {
  /**
   * How long the event loop may be kept by one turn. Default 100 ms, from which on a person notices that something waits
   * (Nielsen, Usability Engineering, 1993, chapter 5). At least 20 ms.
   */
  readonly limit?: Duration.Input | undefined
}

/**
 * What the thread is told.
 *
 * @internal
 */
export interface Watch {
  readonly beats: Int32Array
  readonly expression: string
  readonly lookMillis: number
}

const leastLimitMillis = 20

/**
 * Logs a warning for each time that the event loop of the main thread was blocked for longer than a limit, with the
 * milliseconds, the task, span or fiber that did it, and its function. The stack is annotated.
 *
 * Throws a `RangeError` for a limit below 20 ms.
 *
 * @since 0.1.0
 */
export const monitor = (options: MonitorOptions = {}): Layer.Layer<never> => {
  const limitMillis = Duration.toMillis(Duration.fromInputUnsafe(options.limit ?? "100 millis"))
  if (!(limitMillis >= leastLimitMillis && Number.isFinite(limitMillis))) {
    throw new RangeError(
      `Expected \`limit\` to be finite and from ${leastLimitMillis} ms, got ${String(options.limit)}`
    )
  }
  return Layer.effectDiscard(
    Effect.gen(function* () {
      const runFork = Effect.runForkWith(yield* Effect.context<never>())
      const warn = (message: string, stack: ReadonlyArray<string> = []) => {
        const annotations = stack.length > 0 ? { stack: stack.slice(0, mostAnnotated) } : {}
        runFork(Effect.annotateLogs(Effect.logWarning(message), annotations))
      }
      yield* Effect.acquireRelease(
        Effect.promise(() => start(limitMillis, warn)),
        (stop) => Effect.promise(stop)
      )
    })
  )
}

const mostAnnotated = 10

let monitors = 0

/** Of the file that is beside this one, whatever both have become. */
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"

/** Answers, when the thread looks on, how to stop. */
const start = async (
  limitMillis: number,
  warn: (message: string, stack?: ReadonlyArray<string>) => void
): Promise<() => Promise<void>> => {
  const beatMillis = limitMillis / 4
  const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  const sights = new Sights()
  let beatenAt = performance.now()
  const beating = setInterval(() => {
    const now = performance.now()
    const lateMillis = now - beatenAt - beatMillis
    const { most } = sights
    sights.clear()
    beatenAt = now
    Atomics.add(beats, 0, 1)
    if (lateMillis >= limitMillis) warn(lineOf(lateMillis, most), most?.stack)
  }, beatMillis).unref()

  const key = `querypool/task/Background/monitor/${++monitors}`
  const ask = () => {
    const sight = look(key)
    if (sight !== undefined) sights.add(sight)
  }
  // The way from the inspector, which evaluates in the global scope, to here.
  Object.defineProperty(globalThis, Symbol.for(key), { value: ask, configurable: true })
  const watch: Watch = {
    beats,
    expression: `globalThis[Symbol.for(${JSON.stringify(key)})]?.()\n//# sourceURL=${key}`,
    lookMillis: limitMillis / 2
  }
  // In another thread than the main one there is no inspector to be asked: what is told is how long.
  const thread = isMainThread
    ? new Worker(new URL(`./BackgroundWatchdog.${extension}`, import.meta.url), { name: key, workerData: watch })
    : undefined
  await new Promise<void>((resolve) => {
    thread?.once("online", resolve)
    thread?.on("error", (error: Error) => {
      warn(`The monitor of the event loop cannot see who blocks it: ${error.message}`)
      resolve()
    })
    if (thread === undefined) resolve()
  })
  // The program may end without stopping it.
  thread?.unref()
  return async () => {
    clearInterval(beating)
    Reflect.deleteProperty(globalThis, Symbol.for(key))
    await thread?.terminate()
  }
}
