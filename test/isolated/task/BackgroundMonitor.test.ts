import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, References, Schema } from "effect"
import { readFileSync } from "node:fs"
import * as Background from "../../../src/task/Background.ts"
import * as Task from "../../../src/task/Task.ts"
import * as TaskRunner from "../../../src/task/TaskRunner.ts"
import { layerMemory } from "../../../src/task/TaskStoreMemory.ts"
import { waitUntil } from "../../support/waitUntil.ts"

interface Warning {
  readonly message: string
  readonly stack: unknown
}

/** A monitor, and what it warns of. */
const watching = (options?: Background.MonitorOptions) => {
  const warnings: Array<Warning> = []
  const logger = Logger.make(({ fiber, message }) => {
    const { stack } = fiber.getRef(References.CurrentLogAnnotations)
    warnings.push({ message: String(message), stack })
  })
  return { warnings, layer: Layer.provide(Background.monitor(options), Logger.layer([logger])) }
}

const spin = (millis: number): void => {
  const until = performance.now() + millis
  while (performance.now() < until);
}

/** Does so until it is told of as expected: on a busy machine nobody may have looked on at the first time. */
const untilTold = <R>(warnings: ReadonlyArray<Warning>, expected: RegExp, block: Effect.Effect<unknown, never, R>) =>
  Effect.gen(function* () {
    yield* waitUntil(
      `it is told of: ${expected}`,
      Effect.andThen(
        block,
        Effect.sync(() => warnings.some(({ message }) => expected.test(message)))
      ),
      100
    )
    return warnings.find(({ message }) => expected.test(message))
  })

const scalesImages = (): void => spin(400)

const waits = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)
const backtracks = () => /^(a+)+$/.test(`${"a".repeat(24)}b`)

const resize = Task.make("resize", { payload: Schema.Finite, session: "none" })

describe("a monitor", () => {
  it.live("names the task whose handler blocks the loop, by its id, and the function with its line", () => {
    const { layer, warnings } = watching()
    const ids: Array<string> = []
    const handler = Task.toLayer(resize, (_, { id }) =>
      Effect.sync(() => {
        ids.push(id)
        scalesImages()
      })
    )
    return Effect.gen(function* () {
      const told = yield* untilTold(
        warnings,
        /by task "resize"/,
        Effect.flatMap(Effect.orDie(Task.enqueue(resize, 7)), ({ await: ended }) => Effect.orDie(ended))
      )
      const [, millis, id, place, line] =
        /^The event loop was blocked for (\d+) ms by task "resize" \((.+)\), in spin \((.+):(\d+):\d+\)$/.exec(
          told?.message ?? ""
        ) ?? []
      assert.isAtLeast(Number(millis), 300)
      assert.include(ids, id)
      assert.strictEqual(place, "test/isolated/task/BackgroundMonitor.test.ts")
      const source = readFileSync(import.meta.filename, "utf8").split("\n")
      assert.include(source[Number(line) - 1], "while (performance.now() < until)")
      assert.include(String(told?.stack), "scalesImages")
    }).pipe(
      Effect.provide(
        Layer.merge(handler.pipe(Layer.provide(TaskRunner.layer()), Layer.provideMerge(layerMemory())), layer)
      )
    )
  })

  it.live("names a span, a fiber without one, and what runs in no fiber", () => {
    const { layer, warnings } = watching({ limit: "50 millis" })
    const blocks = Effect.sync(scalesImages)
    return Effect.gen(function* () {
      yield* untilTold(warnings, /by span "GET \/images", in spin/, Effect.withSpan(blocks, "GET /images"))
      yield* untilTold(warnings, /by fiber #\d+, in spin/, blocks)
      const outside = Effect.callback<void>((resume) => {
        setTimeout(() => {
          scalesImages()
          setImmediate(() => resume(Effect.void))
        })
      })
      yield* untilTold(warnings, /by code that runs in no fiber, in spin/, outside)
    }).pipe(Effect.provide(layer))
  })

  it.live("sees into a regular expression and a wait", () => {
    const { layer, warnings } = watching({ limit: "50 millis" })
    return Effect.gen(function* () {
      yield* untilTold(warnings, /in waits \(/, Effect.sync(waits))
      yield* untilTold(warnings, /in backtracks \(/, Effect.sync(backtracks))
    }).pipe(Effect.provide(layer))
  })

  it.live("says nothing of what is shorter than its limit, and of nothing when it is over", () => {
    const { layer, warnings } = watching({ limit: "1 minute" })
    return Effect.gen(function* () {
      yield* Effect.provide(Effect.sync(scalesImages), layer)
      scalesImages()
      yield* Effect.yieldNow
      assert.deepStrictEqual(warnings, [])
    })
  })

  it("refuses a limit below that of its timers", () => {
    assert.throws(() => Background.monitor({ limit: 19 }), "Expected `limit` to be finite and from 20 ms, got 19")
    assert.throws(() => Background.monitor({ limit: "Infinity" }), "got Infinity")
  })
})
