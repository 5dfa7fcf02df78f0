import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import * as Task from "../../../src/task/Task.ts"
import type { Reason } from "../../../src/task/TaskError.ts"
import * as Reasons from "../../../src/task/TaskError.ts"
import { TaskError } from "../../../src/task/TaskError.ts"
import * as TaskGroup from "../../../src/task/TaskGroup.ts"

class Busy extends Schema.TaggedError<Busy>()("Busy", { since: Schema.Date }) {}

const dated = Task.make("dated", { payload: Schema.Void, success: Schema.Date, error: Busy })
const plain = Task.make("plain", { payload: Schema.Void, error: Schema.NullOr(Schema.String) })
const text = Task.make("text", { payload: Schema.Void, success: Schema.String, error: Schema.String })
const open = Task.make("open", { payload: Schema.Void, success: Schema.Json, error: Schema.Json })

const now = new Date(1e12)

const reasons: { readonly [R in (typeof Reason)["Type"] as R["_tag"]]: R } = {
  NotFound: new Reasons.NotFound({ id: "7" }),
  Cancelled: new Reasons.Cancelled(),
  Discarded: new Reasons.Discarded({ why: "gone" }),
  Dead: new Reasons.Dead({ attempts: 3, why: "broken" }),
  TimedOut: new Reasons.TimedOut({ afterMillis: 5 }),
  Unfit: new Reasons.Unfit({ what: "success", message: "no" }),
  StoreFailed: new Reasons.StoreFailed({ message: "no" }),
  Duplicate: new Reasons.Duplicate({ id: "7", uniqueKey: "k" }),
  Impossible: new Reasons.Impossible({ message: "no" })
}
const faults = (task: string | undefined) =>
  Object.values(reasons).map((reason) => Exit.fail(new TaskError(task === undefined ? { reason } : { task, reason })))

/** Through the text that a store in another process would keep. */
const there = Effect.fnUntraced(function* <P>(payload: Schema.Codec<P, unknown>, value: P) {
  const { payload: codec } = Task.make("then", { payload })
  const text = JSON.stringify(yield* Schema.encodeEffect(codec)(value))
  return yield* Schema.decodeUnknownEffect(codec)(JSON.parse(text))
})

describe("the Exit of a task", () => {
  it.effect("comes back as it was, with every value, error and reason", () =>
    Effect.gen(function* () {
      const own = [Exit.succeed(now), Exit.fail(new Busy({ since: now }))]
      for (const exit of [...own, ...faults("dated"), ...faults("another"), ...faults(undefined)]) {
        assert.deepStrictEqual(yield* there(TaskGroup.exit(dated), exit), exit)
      }
      for (const exit of [Exit.void, Exit.fail("no"), Exit.fail(null), ...faults("plain")]) {
        assert.deepStrictEqual(yield* there(TaskGroup.exit(plain), exit), exit)
      }
    })
  )

  it.effect("keeps errors of any form apart from reasons of its own", () =>
    Effect.gen(function* () {
      const forms = [null, "no", { error: 1 }, { discarded: "gone" }, { task: "open", reason: { _tag: "Cancelled" } }]
      for (const exit of [...forms.map(Exit.fail), ...forms.map(Exit.succeed), ...faults("open")]) {
        assert.deepStrictEqual(yield* there(TaskGroup.exit(open), exit), exit)
      }
    })
  )

  it.effect("keeps its place in a tuple, a record, an array and a union", () =>
    Effect.gen(function* () {
      const tuple = [Exit.succeed(now), Exit.fail("no")] as const
      assert.deepStrictEqual(yield* there(TaskGroup.exits([dated, plain]), tuple), tuple)
      const record = { b: Exit.fail("no"), a: Exit.succeed(now) }
      assert.deepStrictEqual(yield* there(TaskGroup.exits({ a: dated, b: plain }), record), record)
      const either = Schema.Array(Schema.Union([TaskGroup.exit(text), TaskGroup.exit(dated)]))
      const array = [Exit.succeed(now), Exit.fail(new Busy({ since: now })), Exit.succeed("yes"), Exit.fail("no")]
      assert.deepStrictEqual(yield* there(either, array), array)
    })
  )

  it.effect("that is a defect, or has another's error, is refused as a payload", () =>
    Effect.gen(function* () {
      const encode = Schema.encodeUnknownEffect(TaskGroup.exit(dated))
      for (const [exit, why] of [
        [Exit.die(new Error("broken")), 'the Exit of task "dated" has neither value nor error'],
        [Exit.fail("no"), "Expected"],
        [Exit.succeed("today"), "Expected a valid Date"],
        ["today", "Expected"]
      ] as const) {
        assert.include(String(yield* Effect.flip(encode(exit))), why)
      }
    })
  )
})
