import { assert, describe, it } from "@effect/vitest"
import type { Context } from "effect"
import { Cause, Effect, Tracer } from "effect"
import { QuietTracer } from "../../../src/query/QuietTracer.ts"
import * as Recorder from "../../support/Recorder.ts"

/** Under the only span of a trace; `asked` has the names of the spans that the tracer outside was asked for. */
const make = () => {
  const recorder = Recorder.make()
  const asked: Array<string> = []
  const outside = Tracer.make({
    span: (options) => {
      asked.push(options.name)
      return recorder.tracer.span(options)
    }
  })
  const around = Tracer.externalSpan({ traceId: "a trace", spanId: "a span", sampled: true })
  const quiet = new QuietTracer(outside, around, "database")
  const quietly = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.updateContext(effect, (context: Context.Context<never>) => quiet.over(context))
  return { asked, quietly, recorder }
}

/** As effect/sql makes one, and fills it. */
const statement = Effect.useSpan("database", { kind: "client" }, (span) =>
  Effect.sync(() => {
    span.attribute("db.query.text", "select 1")
    return span
  })
)

describe("a tracer of what is not followed", () => {
  it.effect("asks for no span for a statement, also within a span of the query's own", () =>
    Effect.gen(function* () {
      const { asked, quietly } = make()
      const { attributes, sampled, spanId, traceId } = yield* quietly(statement)
      assert.deepStrictEqual({ sampled, spanId, traceId }, { sampled: false, spanId: "a span", traceId: "a trace" })
      assert.strictEqual(attributes.size, 0)
      yield* quietly(Effect.withSpan(statement, "mine"))
      assert.deepStrictEqual(asked, ["mine"])
    })
  )

  it.effect("tells no span, and leaves an error the names of those that it went through", () =>
    Effect.gen(function* () {
      const { quietly, recorder } = make()
      const failing = Effect.withSpan(Effect.fail(new Error("no")), "mine")
      const cause = yield* Effect.flip(Effect.sandbox(quietly(failing)))
      assert.match(Cause.pretty(cause), /at mine \(/)
      assert.deepStrictEqual(recorder.spans, [])
    })
  )

  it.effect("tells what says of itself that it is to be told", () =>
    Effect.gen(function* () {
      const { quietly, recorder } = make()
      yield* quietly(Effect.withSpan(statement, "root", { root: true }))
      yield* quietly(Effect.withSpan(Effect.void, "insists", { sampled: true }))
      assert.deepStrictEqual(
        recorder.spans.map(({ name }) => name),
        ["root", "database", "insists"]
      )
    })
  )
})
