import type { Layer } from "effect"
import { Duration, Effect, pipe, Schema, Stream } from "effect"
import type { Spawner, WorkerPlatform } from "effect/workers/Worker"
import type { WorkerError } from "effect/workers/WorkerError"
import type { WorkerRunnerPlatform } from "effect/workers/WorkerRunner"
import { Background } from "querypool/task"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

class Torn extends Schema.TaggedError<Torn>()("Torn", {}) {}
interface Printer {
  readonly _: unique symbol
}
declare const lines: Stream.Stream<string, Torn, Printer>
declare const texts: ReadonlyArray<string>
declare const print: Effect.Effect<number, Torn, Printer>

// ---- yieldEvery -------------------------------------------------------------------------------------------------------

const piped = lines.pipe(Background.yieldEvery(100))
expect<Equals<typeof piped, typeof lines>>()
const byTime = lines.pipe(Background.yieldEvery("5 millis"), Stream.map(Number))
expect<Equals<typeof byTime, Stream.Stream<number, Torn, Printer>>>()
const byDefault = lines.pipe(Background.yieldEvery())
expect<Equals<typeof byDefault, typeof lines>>()
const given = Background.yieldEvery(lines, Duration.millis(5))
expect<Equals<typeof given, typeof lines>>()

const iterated = Background.yieldEvery(texts)
expect<Equals<typeof iterated, Iterable<Effect.Effect<string>>>>()
const counted = Effect.forEach(
  Background.yieldEvery(texts, 100),
  Effect.map((text) => text.length)
)
expect<Equals<typeof counted, Effect.Effect<Array<number>>>>()

// @ts-expect-error -- a bare number is one of elements: nanoseconds as a bigint would look like one
accept(Background.yieldEvery(texts, 100n))

// ---- idle -------------------------------------------------------------------------------------------------------------

const later = Background.idle(print, { longestWait: "1 minute" })
expect<Equals<typeof later, typeof print>>()
const laterPiped = pipe(print, Background.idle({ longestWait: 1000, busyFrom: 0.3 }))
expect<Equals<typeof laterPiped, typeof print>>()

// @ts-expect-error -- how long it may wait has to be said
accept(Background.idle(print, {}))

// ---- offload ----------------------------------------------------------------------------------------------------------

const measured = Background.computation("measured", {
  payload: Schema.Struct({ name: Schema.String, at: Schema.Date }),
  success: Schema.BigInt,
  error: Torn
})
const silent = Background.computation("silent", { payload: Schema.Finite })

const offloaded = Background.offload(measured, { name: "a", at: new Date() })
expect<Equals<typeof offloaded, Effect.Effect<bigint, Torn | Background.OffloadError, Background.Workers>>>()
const offloadedSilently = Background.offload(silent, 1)
expect<Equals<typeof offloadedSilently, Effect.Effect<void, Background.OffloadError, Background.Workers>>>()
// @ts-expect-error -- a payload of another shape
accept(Background.offload(measured, { name: "a" }))

const handler = Background.handle(measured, ({ at, name }) => {
  expect<Equals<typeof at, Date>>()
  return name === "" ? Effect.fail(new Torn()) : Effect.as(print, 1n)
})
expect<Equals<typeof handler, Background.Handler<Printer>>>()
// What is refused here by the compiler is what the checker of effects looks for, too.
// @effect-diagnostics missingEffectError:off
// @ts-expect-error -- an error that the computation does not declare has nobody to go to
accept(Background.handle(silent, () => Effect.fail(new Torn())))
// @ts-expect-error -- a result of another type
accept(Background.handle(measured, () => Effect.succeed("1")))

const served = Background.serve([handler, Background.handle(silent, () => Effect.void)])
expect<Equals<typeof served, Effect.Effect<void, WorkerError, Printer | WorkerRunnerPlatform>>>()
const workers = Background.layerWorkers({ size: 2 })
expect<Equals<typeof workers, Layer.Layer<Background.Workers, never, WorkerPlatform | Spawner>>>()
