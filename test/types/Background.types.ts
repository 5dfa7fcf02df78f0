import { Duration, Effect, pipe, Stream } from "effect"
import { Background } from "querypool/task"
import type { Equals } from "./Equals.ts"
import { accept, expect } from "./Equals.ts"

class Torn {
  readonly _tag = "Torn"
}
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
